//! The projection that keeps the served views up to date: an engine that folds the topics of events, or a replica that reads a topic of views.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;

use crate::config::ServeConfig;
use crate::control;
use crate::domain::NamedPartition;
use crate::generation::Engine;
use crate::live_views::ReaderSource;
use crate::publication::{self, Publication, Publisher, PublisherSettings, PublisherThread};
use crate::replica::{Replica, ReplicaSettings};
use crate::snapshot;
use crate::source::kafka::views_feed::KafkaViewsFeed;
use crate::source::kafka::views_topic::KafkaViewsTopic;
use crate::status::{PartitionReport, Report, State, Status};
use crate::store::verify::{PartitionBounds, TopicBounds};
use crate::store::{self, StoreError};
use crate::tools;

/// The time between an answer of the cluster about a topic of views and the next question.
const ASK_EVERY: Duration = Duration::from_secs(5);

/// The projection that keeps the views up to date which are served.
#[derive(Clone)]
pub enum Projection {
    /// The topics of events are folded.
    Events(Arc<Engine>),
    /// A topic of views is read.
    Views(Arc<Replica>),
}

impl Projection {
    /// Makes what the configuration asks for, with nothing open yet. `on_failure` is called if it ends by itself.
    pub fn new(
        config: &ServeConfig,
        on_failure: impl Fn() + Send + Sync + 'static,
        publication: Option<Publication>,
    ) -> Projection {
        match &config.from_views {
            None => {
                let on_failure = Arc::new(on_failure);
                Projection::Events(Engine::publishing(config.projection.clone(), on_failure, publication))
            }
            Some(topic) => {
                let settings = ReplicaSettings {
                    topic: topic.clone(),
                    data_dir: config.projection.data_dir.clone(),
                    store_cache_bytes: config.projection.store_cache_bytes,
                    sync_interval: config.projection.sync_interval,
                    ask_interval: ASK_EVERY,
                    disk_reserve: config.projection.disk_reserve,
                };
                Projection::Views(Replica::new(settings, Box::new(on_failure)))
            }
        }
    }

    /// Returns the source of the readers that requests are answered with.
    pub fn reader(&self) -> &ReaderSource {
        match self {
            Projection::Events(engine) => &engine.reader,
            Projection::Views(replica) => &replica.reader,
        }
    }

    /// Returns the status of what readers see.
    pub fn status(&self) -> &Status {
        match self {
            Projection::Events(engine) => &engine.status,
            Projection::Views(replica) => &replica.status,
        }
    }

    /// Opens the store, and begins to keep it up to date.
    ///
    /// # Errors
    /// The store cannot be opened.
    pub fn start(&self, config: &ServeConfig) -> anyhow::Result<()> {
        match self {
            Projection::Events(engine) => {
                if let Some(file) = &config.from_snapshot {
                    import(file, engine)?;
                }
                engine.start(Some(config.on_format_change))
            }
            Projection::Views(replica) => {
                let topic = &replica.settings().topic;
                let feed = KafkaViewsFeed::start(config.projection.kafka.clone(), topic)
                    .map_err(|error| StoreError::of_thread(&config.projection.data_dir, error))?;
                replica.start(feed)
            }
        }
    }

    /// Writes all that was read, and closes what is open.
    ///
    /// # Errors
    /// The store has failed.
    pub fn stop(&self) -> anyhow::Result<()> {
        match self {
            Projection::Events(engine) => engine.stop(),
            Projection::Views(replica) => replica.stop(),
        }
    }

    /// Returns the handler that answers tools with what the reads are answered from.
    pub fn tools(&self) -> control::RequestHandler {
        match self {
            Projection::Events(engine) => of_engine(engine),
            Projection::Views(replica) => {
                let topic = replica.settings().topic.clone();
                tools::refuse(format!(
                    "the store is made of the topic of views `{topic}` (--from-views), and has nothing of the events that the views are made \
                     of: ask the instance that publishes them"
                ))
            }
        }
    }

    /// Begins to publish what readers see.
    ///
    /// # Errors
    /// The process may start no more threads.
    pub fn publish(&self, config: &ServeConfig, publication: Publication) -> anyhow::Result<PublisherThread> {
        let topic = config.publication.topic().context("no topic of views is given")?;
        let topic = KafkaViewsTopic::new(config.projection.kafka.clone(), topic, publication.stop_flag());
        let settings = PublisherSettings::new(config.projection.sync_interval);
        let publisher = Publisher::new(topic, publication.clone(), settings);
        let thread = publication::start(publisher, publication, self.status().clone());
        Ok(thread.map_err(|error| StoreError::of_thread(&config.projection.data_dir, error))?)
    }
}

/// Makes the store, where there is none yet.
fn import(file: &Path, engine: &Engine) -> anyhow::Result<()> {
    let room = engine.config.disk_reserve;
    let topics = &engine.config.kafka.topics;
    let imported = snapshot::import_where_none(file, &engine.config.data_dir, room, topics, &mut |_| {
        if engine.status.state() == State::Stopping { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    match imported.context("the store cannot be made of the snapshot that --from-snapshot names")? {
        Some(summary) => tracing::info!(
            file = %file.display(),
            generation = summary.generation,
            views = summary.views,
            "the store has been made of a snapshot"
        ),
        None => tracing::info!(file = %file.display(), "there is a store already, so --from-snapshot is ignored"),
    }
    Ok(())
}

/// Answers tools with what the reads are answered from.
fn of_engine(engine: &Arc<Engine>) -> control::RequestHandler {
    let engine = engine.clone();
    tools::answer(move || match engine.reader.get() {
        _ if engine.status.state() == State::Stopping => Err("it is about to end".to_owned()),
        None => Err("it has not opened its store yet: its log says more".to_owned()),
        Some(reader) => Ok(tools::ToolContext {
            data_dir: engine.config.data_dir.clone(),
            generation: Some(reader.status().report().generation),
            topics: engine.config.kafka.topics.clone(),
            bounds: {
                let status = reader.status().clone();
                Box::new(move || bounds(&status.report()))
            },
            reader: Ok(store::Reader::clone(&reader)),
            kafka: Some(engine.config.kafka.clone()),
            framing: engine.config.framing,
            is_served: true,
            engine: Some(engine.clone()),
        }),
    })
}

/// Returns the partitions' bounds that the brokers reported last.
fn bounds(report: &Report) -> Option<TopicBounds> {
    // Before the partitions have been found, nothing is known of any.
    (!report.partitions.is_empty()).then(|| report.partitions.iter().filter_map(partition_bounds).collect())
}

fn partition_bounds(held: &PartitionReport) -> Option<(NamedPartition, PartitionBounds)> {
    let topic_id = held.freshness.topic_id.as_ref().and_then(|id| id.parse().ok());
    let bounds = PartitionBounds { low: held.low?, high: held.high?, topic_id };
    Some((NamedPartition::new(held.topic.clone(), held.partition), bounds))
}
