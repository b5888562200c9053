//! The options of every command that projects the topics into a store.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::values;
use crate::codec::Framing;
use crate::disk::DiskReserve;
use crate::source::kafka::KafkaSettings;

/// The settings by which a store is built from the topics, and kept up to date.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
#[command(mut_arg("min_free_disk", |reserve| reserve.help("Stop consuming while the disk has less than this free")))]
pub struct ProjectionConfig {
    /// The brokers, the topics' names, and further settings of the client.
    #[command(flatten)]
    pub kafka: KafkaSettings,
    /// Directory of the views; made if missing, and may be deleted
    #[arg(long, value_name = "DIR", value_parser = values::directory)]
    pub data_dir: PathBuf,
    /// The frame that a schema registry's serializer has put around the values; auto takes every one that can be nothing else
    #[arg(long, value_name = "auto|confluent|glue|apicurio|none", default_value = "auto", value_parser = values::framing)]
    pub framing: Framing,
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
    /// Number of records of a topic that may not be understood, among its last 100000; with more, if they are also more than a tenth,
    /// the topic stops
    #[arg(long, value_name = "COUNT", default_value = "10000", value_parser = values::at_least(1_u64))]
    pub dead_letter_limit: u64,
    /// Number of dead letters that are kept; beyond it the oldest are only counted
    #[arg(long, value_name = "COUNT", default_value = "100000", value_parser = values::at_least(1_u64))]
    pub dead_letters_max: u64,
    /// Size of the dead letters that are kept; beyond it the oldest are only counted
    #[arg(long, value_name = "BYTES", default_value = "256MiB", value_parser = values::bytes(2 << 20))]
    pub dead_letters_max_bytes: u64,
    /// A topic to which each dead letter is written as well: the whole record, with headers that say where it comes from and why it was
    /// refused. No checkpoint passes one that the topic has not taken
    #[arg(long, value_name = "NAME", value_parser = values::topic)]
    pub dead_letter_topic: Option<String>,
    /// The free space that stays on the store's disk.
    #[command(flatten)]
    pub disk_reserve: DiskReserve,
}
