//! The command `load`, and the history that it makes.

use clap::Args;

use super::values;
use crate::codec::Encoding;
use crate::source::kafka::KafkaSettings;
use crate::synthetic::HistorySettings;

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
}

#[derive(Args)]
pub struct HistorySettingsArgs {
    /// Number of optimizations that live their lives
    #[arg(long, value_name = "COUNT", default_value = "1000", value_parser = values::at_least(0_u64))]
    optimizations: u64,
    /// Number of multistart runs of each job
    #[arg(long, value_name = "COUNT", default_value = "8", value_parser = values::at_least(0_u32))]
    runs: u32,
    /// Number of optimizations that are under way at a time
    #[arg(long, value_name = "COUNT", default_value = "1000", value_parser = values::at_least(1_usize))]
    concurrent: usize,
    /// The same seed gives the same events
    #[arg(long, value_name = "NUMBER", default_value = "1", value_parser = values::at_least(0_u64))]
    seed: u64,
    /// Number of projects, named prj-1, prj-2, ...
    #[arg(long, value_name = "COUNT", default_value = "20", value_parser = values::at_least(1_u64))]
    projects: u64,
    /// Number of organizations, named org-1, org-2, ...; the projects are spread over them
    #[arg(long, value_name = "COUNT", default_value = "2", value_parser = values::at_least(1_u64))]
    organizations: u64,
}

impl From<HistorySettingsArgs> for HistorySettings {
    fn from(args: HistorySettingsArgs) -> HistorySettings {
        let HistorySettingsArgs { optimizations, runs, concurrent, seed, projects, organizations } = args;
        let start = HistorySettings::default().start;
        HistorySettings { seed, optimizations, runs, concurrent, projects, organizations, start }
    }
}

read_as!(HistorySettings, HistorySettingsArgs);
