//! The options of the publishing of views.

use std::path::PathBuf;

use clap::Args;

use super::values;
use crate::codec::published_view::ViewsFormat;
use crate::disk::DiskReserve;
use crate::source::kafka::KafkaSettings;
use crate::source::kafka::views_topic::ViewsTopicSettings;

/// The settings of the publishing of views on a topic.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct PublicationConfig {
    /// Publish each view that changes on this compacted topic, which is made if it is missing. One instance publishes: the one that
    /// was started last
    #[arg(long, value_name = "TOPIC", value_parser = values::topic)]
    pub publish_views: Option<String>,
    /// Form of the published views: as lists show them; flat, with metrics and objectives as JSON texts; or the message of
    /// proto/optview/views
    #[arg(long, value_name = "json|flat|protobuf", default_value = "json", value_parser = values::views_format)]
    pub views_format: ViewsFormat,
    /// Number of partitions of the topic of views, where it is made
    #[arg(long, value_name = "COUNT", default_value = "6", value_parser = values::at_least(1_i32))]
    pub views_partitions: i32,
    /// Number of brokers that keep each partition of the topic of views, where it is made; the cluster's default without it
    #[arg(long, value_name = "COUNT", value_parser = values::at_least(1_i32))]
    pub views_replication_factor: Option<i32>,
}

/// The settings of `publish`.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
#[command(mut_arg("publish_views", |topic| topic.required(true)))]
pub struct PublishConfig {
    /// The brokers, the topics' names, and further settings of the client.
    #[command(flatten)]
    pub kafka: KafkaSettings,
    /// Directory of a store that no process serves
    #[arg(long, value_name = "DIR", value_parser = values::directory)]
    pub data_dir: Option<PathBuf>,
    /// A file that `snapshot export` wrote, in place of a store
    #[arg(long, value_name = "FILE", value_parser = values::file)]
    pub snapshot: Option<PathBuf>,
    /// The settings of the publishing of views.
    #[command(flatten)]
    pub publication: PublicationConfig,
    /// The free space that stays on the disk.
    #[command(flatten)]
    pub disk_reserve: DiskReserve,
    /// Print the result as JSON, for programs
    #[arg(long)]
    pub json: bool,
}

impl PublicationConfig {
    /// Returns the settings of a publishing that does not take place.
    pub fn off() -> PublicationConfig {
        PublicationConfig {
            publish_views: None,
            views_format: ViewsFormat::Json,
            views_partitions: 6,
            views_replication_factor: None,
        }
    }

    /// Returns the topic of views, if views are to be published.
    pub fn topic(&self) -> Option<ViewsTopicSettings> {
        self.publish_views.clone().map(|name| ViewsTopicSettings {
            name,
            partitions: self.views_partitions,
            replication_factor: self.views_replication_factor,
        })
    }
}
