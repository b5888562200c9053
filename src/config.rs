//! The configuration: what each command may be given, declared once, and read whole from the command line, the environment
//! and the configuration file, so that every mistake is named at once and nothing starts half configured.
//!
//! The only reader of the environment. Nothing else may ask it, or the answer would depend on who asks. The comments of
//! the options are what `--help` shows.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, FromArgMatches, Subcommand};

use crate::api_keys::ApiKeys;
use crate::cli::{self, CommandLine};
use crate::codec::Encoding;
use crate::logging::LogConfig;
use crate::source::kafka::KafkaSettings;
use crate::synthetic::HistorySettings;

pub use archive::{ArchiveConfig, ArchiveExportConfig, ArchiveImportConfig, ArchiveVerifyConfig};
pub use history::{AsOf, HistoryConfig, LogSource};
use layers::Layers;
pub use layers::{Environment, Mistakes};
pub use optional_kafka::OptionalKafka;
pub use tools::{
    RebuildConfig, RebuildRequest, Removal, RollbackConfig, SnapshotConfig, SnapshotExportConfig,
    SnapshotImportConfig, ToolConfig, VerifyConfig,
};

/// Reads a type from the command line as the second type is read, and converts it.
macro_rules! read_as {
    ($meant:ty, $typed:ty) => {
        impl clap::Args for $meant {
            fn augment_args(command: clap::Command) -> clap::Command {
                <$typed>::augment_args(command)
            }

            fn augment_args_for_update(command: clap::Command) -> clap::Command {
                <$typed>::augment_args_for_update(command)
            }
        }

        impl clap::FromArgMatches for $meant {
            fn from_arg_matches(matches: &clap::ArgMatches) -> Result<Self, clap::Error> {
                <$typed>::from_arg_matches(matches).map(Into::into)
            }

            fn update_from_arg_matches(&mut self, matches: &clap::ArgMatches) -> Result<(), clap::Error> {
                *self = Self::from_arg_matches(matches)?;
                Ok(())
            }
        }
    };
}

mod archive;
mod checks;
mod file;
mod history;
mod kafka;
mod layers;
mod load;
mod log;
mod optional_kafka;
mod tools;
mod values;
mod variables;

/// A command with all that it needs.
#[derive(Clone, Debug, PartialEq, Subcommand)]
pub enum Config {
    /// Keep the views up to date from Kafka, and serve them over HTTP
    Serve(Box<ServeConfig>),
    /// Show all of it with nothing to set up: an in-process broker, live traffic, the real server
    Demo(DemoConfig),
    /// Put a synthetic, repeatable history on the topics, for trials and benchmarks
    Load(LoadConfig),
    /// Explain an optimization's view: which event set each of its fields
    Explain {
        /// The optimization's id
        #[arg(value_name = "ID", value_parser = values::id)]
        id: String,
        /// The data directory, the form of the result, and the log.
        #[command(flatten)]
        tool: ToolConfig,
    },
    /// Prove the store: every record, the lists and totals, and how far it has read
    Verify(Box<VerifyConfig>),
    /// List the generations of the store, the live one and those beside it, or remove one
    Generations {
        /// The generation to remove, if any.
        #[command(flatten)]
        removal: Removal,
        /// The data directory, the form of the result, and the log.
        #[command(flatten)]
        tool: ToolConfig,
    },
    /// Accept that the views are built without records that the topics no longer had
    AcceptLoss(ToolConfig),
    /// Build the views anew from the topics, compare them with the live ones, and let readers see them
    Rebuild(Box<RebuildConfig>),
    /// Let readers see an earlier generation again, once it has caught up, or frozen as it was left
    Rollback(Box<RollbackConfig>),
    /// Keep the topics' records in files
    #[command(subcommand)]
    Archive(ArchiveConfig),
    /// Show what happened to an optimization, event by event, or its view as it was at a moment
    History(HistoryConfig),
    /// Copy the store as one file
    #[command(subcommand)]
    Snapshot(SnapshotConfig),
}

impl Config {
    /// The settings of the log, whichever the command.
    pub fn log(&self) -> &LogConfig {
        match self {
            Config::Serve(config) => &config.log,
            Config::Demo(config) => &config.log,
            Config::Load(config) => &config.log,
            Config::Rebuild(config) => &config.tool.log,
            Config::Rollback(config) => &config.tool.log,
            Config::Verify(config) => &config.tool.log,
            Config::Explain { tool, .. } | Config::Generations { tool, .. } | Config::AcceptLoss(tool) => {
                &tool.log
            }
            Config::Archive(ArchiveConfig::Export(config)) => &config.log,
            Config::Archive(ArchiveConfig::Verify(config)) => &config.log,
            Config::Archive(ArchiveConfig::Import(config)) => &config.log,
            Config::History(config) => &config.log,
            Config::Snapshot(SnapshotConfig::Export(config)) => &config.tool.log,
            Config::Snapshot(SnapshotConfig::Import(config)) => &config.tool.log,
        }
    }
}

/// The settings of `serve`.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct ServeConfig {
    /// The settings of the store and of its connection to Kafka.
    #[command(flatten)]
    pub projection: ProjectionConfig,
    /// Begin with this snapshot where --data-dir has no store yet; ignored where it has
    #[arg(long, value_name = "FILE", value_parser = values::file)]
    pub from_snapshot: Option<PathBuf>,
    /// The answer to a store that another version has folded in another format: serve its views as they are, and build those
    /// that take their place; or do not start
    #[arg(long, value_name = "rebuild|refuse", default_value = "rebuild", value_parser = values::on_format_change)]
    pub on_format_change: OnFormatChange,
    /// Be ready (/readyz) only while live. Without it, a store that was live once is ready at once, and each answer states that
    /// it may be old
    #[arg(long)]
    pub require_fresh: bool,
    /// Address of the read API
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:8080", value_parser = values::address)]
    pub listen: SocketAddr,
    /// Address of /metrics and /status, for operators
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:9180", value_parser = values::address)]
    pub admin_listen: SocketAddr,
    /// The keys, and who may read what with them. Without it, everybody may read everything
    #[arg(long, value_name = "FILE", value_parser = values::api_keys)]
    pub api_keys: Option<ApiKeys>,
    /// Time that requests under way may take after a signal to stop
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = values::duration)]
    pub drain_deadline: Duration,
    /// Time that the last writes and syncs may take beyond --drain-deadline; then the process ends with 1, and reports what is
    /// not written
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = values::duration)]
    pub write_deadline: Duration,
    /// Number of connections that may be open at once on --listen, as far as the limit of open files allows
    #[arg(long, value_name = "COUNT", default_value = "10000", value_parser = values::at_least(1_usize))]
    pub max_connections: usize,
    /// Time that a connection is kept between two requests; longer than what stands in front keeps its own (most: 600s)
    #[arg(long, value_name = "DURATION", default_value = "620s", value_parser = values::interval)]
    pub keep_alive: Duration,
    /// The format and the filter of the log lines.
    #[command(flatten)]
    pub log: LogConfig,
}

/// The answer to a store that another version has folded in another format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFormatChange {
    /// The store is served as it is, until one of this version's takes its place.
    Rebuild,
    /// The store is not served.
    Refuse,
}

/// The settings by which a store is built from the topics, and kept up to date.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct ProjectionConfig {
    /// The brokers, the topics' names, and further settings of the client.
    #[command(flatten)]
    pub kafka: KafkaSettings,
    /// Directory of the views; made if missing, and may be deleted
    #[arg(long, value_name = "DIR", value_parser = values::directory)]
    pub data_dir: PathBuf,
    /// Consumer group under which offsets are written, for lag tools; they are never read back
    #[arg(long, value_name = "NAME", default_value = "optview", value_parser = values::text)]
    pub group_id: String,
    /// Time between two syncs of the store to disk, once caught up
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = values::interval)]
    pub sync_interval: Duration,
    /// Time between two syncs of the store to disk, while catching up
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = values::interval)]
    pub catch_up_sync_interval: Duration,
    /// Size of the changes that may wait in memory before they are written, while catching up
    #[arg(id = "memory_budget", long = "memory-budget", value_name = "BYTES", default_value = "256MiB")]
    #[arg(value_parser = values::bytes(1 << 20))]
    pub memory_budget_bytes: u64,
    /// Size of the store's pages that may be held in memory
    #[arg(id = "store_cache", long = "store-cache", value_name = "BYTES", default_value = "128MiB")]
    #[arg(value_parser = values::bytes(1 << 20))]
    pub store_cache_bytes: u64,
    /// Time that a job may wait for an optimization that links it before it is reported; nothing is dropped
    #[arg(long, value_name = "DURATION", default_value = "7d", value_parser = values::interval)]
    pub orphan_retention: Duration,
    /// Stop consuming while the disk has less than this free
    #[arg(id = "min_free_disk", long = "min-free-disk", value_name = "BYTES", default_value = "256MiB")]
    #[arg(value_parser = values::bytes(0))]
    pub min_free_disk_bytes: u64,
}

/// The settings of `demo`.
#[derive(Clone, Debug, PartialEq, Args)]
pub struct DemoConfig {
    /// Address of the read API. Without it: 127.0.0.1:8080, or a free port where that is taken
    #[arg(long, value_name = "IP:PORT", value_parser = values::address)]
    pub listen: Option<SocketAddr>,
    /// Address of /metrics and /status. Without it: 127.0.0.1:9180, or a free port where that is taken
    #[arg(long, value_name = "IP:PORT", value_parser = values::address)]
    pub admin_listen: Option<SocketAddr>,
    /// Events a second
    #[arg(id = "rate", long = "rate", value_name = "NUMBER", default_value = "50", value_parser = values::rate)]
    pub events_per_second: f64,
    /// The format and the filter of the log lines.
    #[command(flatten)]
    pub log: LogConfig,
}

/// The settings of `load`.
#[derive(Clone, Debug, PartialEq, Args)]
pub struct LoadConfig {
    /// The brokers, the topics' names, and further settings of the client.
    #[command(flatten)]
    pub kafka: KafkaSettings,
    /// The settings of the history that is loaded.
    #[command(flatten)]
    pub history: HistorySettings,
    /// Number of partitions of each topic that has to be created
    #[arg(long, value_name = "COUNT", default_value = "6", value_parser = values::at_least(1_i32))]
    pub partitions: i32,
    /// Encoding of the events
    #[arg(long, value_name = "json|protobuf", default_value = "json", value_parser = values::encoding)]
    pub encoding: Encoding,
    /// Events a second. Without it: as fast as it goes
    #[arg(id = "rate", long = "rate", value_name = "NUMBER", value_parser = values::rate)]
    pub events_per_second: Option<f64>,
    /// The format and the filter of the log lines.
    #[command(flatten)]
    pub log: LogConfig,
}

/// Returns the configuration with its warnings, or else every mistake.
pub fn read(line: &CommandLine, environment: &Environment) -> Result<(Config, Vec<String>), Mistakes> {
    let program = cli::program::<Config>();
    let mut layers = Layers::new(line, environment, &program);
    kafka::merge_properties(&mut layers);
    log::choose_filter(&mut layers);
    layers.parse();
    checks::check(&mut layers);
    let (arguments, warnings) = layers.finish()?;
    let config = program.try_get_matches_from(arguments).and_then(|matches| Config::from_arg_matches(&matches));
    Ok((config.expect("arguments that were parsed one command at a time"), warnings))
}

#[cfg(test)]
mod tests;
