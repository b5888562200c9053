//! The tools that work on a store.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::optional_kafka::OptionalKafka;
use super::projection::ProjectionConfig;
use super::values;
use crate::codec::published_view::ViewsFormat;
use crate::disk::DiskReserve;

/// The settings of a tool that works on a store.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct ToolConfig {
    /// Directory of the store; the process that serves it is asked, where one does
    #[arg(long, value_name = "DIR", value_parser = values::directory)]
    pub data_dir: PathBuf,
    /// Print the result as JSON, for programs
    #[arg(long)]
    pub json: bool,
}

// A tool that serves no store reads the topics itself, as `projection` has it. That stands before `tool`, whose data directory
// it reads without taking it.

#[derive(Clone, Debug, PartialEq, Args)]
#[command(mut_arg("brokers", |brokers| brokers.help(
    "Kafka's bootstrap addresses. Without it, positions are compared with the topics only where a process serves the store, and \
     so does --against-log",
)))]
/// The settings of `verify`.
pub struct VerifyConfig {
    /// Also build all of it anew from the topics, beside it, and compare every record
    #[arg(long)]
    pub against_log: bool,
    /// Compare this topic of views with the store, and do nothing else
    #[arg(long, value_name = "TOPIC", value_parser = values::topic)]
    pub against_views: Option<String>,
    /// Form of the views on that topic
    #[arg(long, value_name = "json|flat|protobuf", default_value = "json", value_parser = values::views_format)]
    pub views_format: ViewsFormat,
    /// Read no more records a second. Without it: as fast as it goes
    #[arg(long, value_name = "NUMBER", value_parser = values::rate)]
    pub max_rate: Option<f64>,
    /// The settings by which the tool reads the topics itself; without brokers if only a process that serves the
    /// store does.
    #[command(flatten)]
    pub projection: OptionalKafka<ProjectionConfig>,
    /// The data directory, and the form of the result.
    #[command(flatten)]
    pub tool: ToolConfig,
}

/// The generation that is to be removed, if any.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Args)]
pub struct Removal {
    /// Remove this one, which must not be live, and list the others
    #[arg(id = "remove", long = "remove", value_name = "GENERATION", value_parser = values::generation)]
    pub generation: Option<u64>,
    /// Remove it even where it has what neither the topics nor the live generation have
    #[arg(long)]
    pub accept_loss: bool,
}

/// The settings of `rebuild`.
#[derive(Clone, Debug, PartialEq, Args)]
#[command(mut_arg("brokers", |brokers| brokers.help(BROKERS)))]
pub struct RebuildConfig {
    /// Read this archive first, and then what the topics have beyond it; where a process serves the store, it reads it
    #[arg(long, value_name = "DIR", value_parser = values::directory_anywhere)]
    pub from_archive: Option<PathBuf>,
    /// Build and compare, and let readers see nothing of it
    #[arg(long)]
    pub dry_run: bool,
    /// Do not cut over where any view differs
    #[arg(long)]
    pub expect_same: bool,
    /// Build from what the topics have left, where they no longer have all
    #[arg(long)]
    pub accept_loss: bool,
    /// Fold only what was written before this time (RFC 3339), and let readers see nothing of it
    #[arg(id = "until", long = "until", value_name = "TIME", value_parser = values::time)]
    pub until_millis: Option<i64>,
    /// Read no more records a second. Without it: as fast as it goes
    #[arg(long, value_name = "NUMBER", value_parser = values::rate)]
    pub max_rate: Option<f64>,
    /// Number of generations that stay beside the live one
    #[arg(long, value_name = "COUNT", default_value = "1", value_parser = values::at_least(0_usize))]
    pub keep: usize,
    /// Number of views that are not the same and are named
    #[arg(long, value_name = "COUNT", default_value = "10", value_parser = values::at_least(0_usize))]
    pub examples: usize,
    /// Leave it to the process that serves the store
    #[arg(long)]
    pub detach: bool,
    /// The request: a rebuild, or something about the one that is under way.
    #[command(flatten)]
    pub request: RebuildRequest,
    /// The settings by which the tool reads the topics itself; without brokers if only a process that serves the
    /// store does.
    #[command(flatten)]
    pub projection: OptionalKafka<ProjectionConfig>,
    /// The data directory, and the form of the result.
    #[command(flatten)]
    pub tool: ToolConfig,
}

const BROKERS: &str = "Kafka's bootstrap addresses: needed where no process serves the store";

/// The request that `rebuild` makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RebuildRequest {
    /// Begins a rebuild.
    Begin,
    /// Reports the progress of the rebuild that is under way.
    Status,
    /// Ends the rebuild that is under way, and removes what it has made.
    Abort,
}

#[derive(Args)]
pub struct RebuildRequestArgs {
    /// Report the progress of the rebuild that is under way, and do nothing else
    #[arg(long)]
    status: bool,
    /// End the rebuild that is under way, and remove what it has made
    #[arg(long)]
    abort: bool,
}

impl From<RebuildRequestArgs> for RebuildRequest {
    /// `checks` has refused both at once.
    fn from(args: RebuildRequestArgs) -> RebuildRequest {
        match args {
            RebuildRequestArgs { status: true, .. } => RebuildRequest::Status,
            RebuildRequestArgs { abort: true, .. } => RebuildRequest::Abort,
            _ => RebuildRequest::Begin,
        }
    }
}

read_as!(RebuildRequest, RebuildRequestArgs);

/// The settings of `rollback`.
#[derive(Clone, Debug, PartialEq, Args)]
#[command(mut_arg("brokers", |brokers| brokers.help(BROKERS)))]
pub struct RollbackConfig {
    /// The generation, as `optview generations` lists it. Without it: the last but the live one
    #[arg(long, value_name = "GENERATION", value_parser = values::generation)]
    pub to: Option<u64>,
    /// Show it as it was left, and bring nothing up to date: for one that cannot be, or to look at it. It stays so after a restart,
    /// until a rebuild or another rollback
    #[arg(long)]
    pub frozen: bool,
    /// Number of generations that stay beside the live one
    #[arg(long, value_name = "COUNT", default_value = "1", value_parser = values::at_least(0_usize))]
    pub keep: usize,
    /// Leave it to the process that serves the store
    #[arg(long)]
    pub detach: bool,
    /// The settings by which the tool reads the topics itself; without brokers if only a process that serves the
    /// store does.
    #[command(flatten)]
    pub projection: OptionalKafka<ProjectionConfig>,
    /// The data directory, and the form of the result.
    #[command(flatten)]
    pub tool: ToolConfig,
}

/// A command under `snapshot` with all that it needs.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum SnapshotConfig {
    /// Copy the live generation into one file, while it goes on
    Export(SnapshotExportConfig),
    /// Make the store of a data directory that has none out of a snapshot
    Import(SnapshotImportConfig),
}

/// The settings of `snapshot export`.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct SnapshotExportConfig {
    /// The file to write, outside of data directories
    #[arg(id = "snapshot", value_name = "FILE", value_parser = values::file)]
    pub file: PathBuf,
    /// Replace a file that is there, once the new one is whole
    #[arg(long)]
    pub force: bool,
    /// The free space that stays on the disk.
    #[command(flatten)]
    pub disk_reserve: DiskReserve,
    /// The data directory, and the form of the result.
    #[command(flatten)]
    pub tool: ToolConfig,
}

/// The settings of `snapshot import`.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
#[command(mut_arg("data_dir", |directory| directory.help("Directory of the views; made if missing, and may be deleted")))]
pub struct SnapshotImportConfig {
    /// A file that `snapshot export` wrote
    #[arg(id = "snapshot", value_name = "FILE", value_parser = values::file)]
    pub file: PathBuf,
    /// The free space that stays on the disk.
    #[command(flatten)]
    pub disk_reserve: DiskReserve,
    /// The data directory, and the form of the result.
    #[command(flatten)]
    pub tool: ToolConfig,
}
