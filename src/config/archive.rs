//! The commands under `archive`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::values;
use crate::disk::DiskReserve;
use crate::source::kafka::KafkaSettings;

/// A command under `archive` with all that it needs.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum ArchiveConfig {
    /// Copy the topics' records into files, from where the archive ends
    Export(ArchiveExportConfig),
    /// Prove that an archive is whole: every byte, every record, no gaps
    Verify(ArchiveVerifyConfig),
    /// Put an archive's records onto another cluster's topics
    Import(ArchiveImportConfig),
}

/// The settings of `archive export`.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct ArchiveExportConfig {
    /// The archive's directory; made if missing, continued where it is an archive
    #[arg(id = "archive", value_name = "DIR", value_parser = values::directory)]
    pub directory: PathBuf,
    /// Go on with what comes, until SIGINT, SIGTERM or SIGHUP
    #[arg(long)]
    pub follow: bool,
    /// Time after which what was copied is finished, synced and listed
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = values::interval)]
    pub commit_interval: Duration,
    /// The free space that stays on the disk.
    #[command(flatten)]
    pub disk_reserve: DiskReserve,
    /// Print the result as JSON, for programs
    #[arg(long)]
    pub json: bool,
    /// The brokers, the topics' names, and further settings of the client.
    #[command(flatten)]
    pub kafka: KafkaSettings,
}

/// The settings of `archive verify`.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct ArchiveVerifyConfig {
    /// The archive's directory
    #[arg(id = "archive", value_name = "DIR", value_parser = values::directory)]
    pub directory: PathBuf,
    /// Print the result as JSON, for programs
    #[arg(long)]
    pub json: bool,
}

/// The settings of `archive import`.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct ArchiveImportConfig {
    /// The archive's directory
    #[arg(id = "archive", value_name = "DIR", value_parser = values::directory)]
    pub directory: PathBuf,
    /// Print the result as JSON, for programs
    #[arg(long)]
    pub json: bool,
    /// The settings of the connection to the cluster that the records are put on.
    #[command(flatten)]
    pub kafka: KafkaSettings,
}
