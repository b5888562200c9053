//! The options of the publishing of views.

use clap::Args;

use super::values;
use crate::codec::published_view::ViewsFormat;
use crate::source::kafka::views_topic::ViewsTopicSettings;

/// The settings of the publishing of views on a topic.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct PublicationConfig {
    /// Publish each view that changes on this compacted topic, which is made if it is missing. One instance publishes: the one that
    /// was started last
    #[arg(long, value_name = "TOPIC", value_parser = values::topic)]
    pub publish_views: Option<String>,
    /// Form of the published views: as lists show them; flat, with metrics and objectives as JSON texts
    #[arg(long, value_name = "json|flat", default_value = "json", value_parser = values::views_format)]
    pub views_format: ViewsFormat,
    /// Number of partitions of the topic of views, where it is made
    #[arg(long, value_name = "COUNT", default_value = "12", value_parser = values::at_least(1_i32))]
    pub views_partitions: i32,
    /// Number of brokers that keep each partition of the topic of views, where it is made; the cluster's default without it
    #[arg(long, value_name = "COUNT", value_parser = values::at_least(1_i32))]
    pub views_replication_factor: Option<i32>,
}

impl PublicationConfig {
    /// Returns the settings of a publishing that does not take place.
    pub fn off() -> PublicationConfig {
        PublicationConfig {
            publish_views: None,
            views_format: ViewsFormat::Json,
            views_partitions: 12,
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
