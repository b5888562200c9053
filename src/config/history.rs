//! The command `history`.

use std::path::PathBuf;

use clap::Args;

use super::optional_kafka::OptionalKafka;
use super::values;
use crate::codec::Framing;
use crate::domain::{PartitionOffset, Timestamp, Topic};
use crate::source::TopicNames;
use crate::source::kafka::KafkaSettings;

/// The settings of `history`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryConfig {
    /// The place from which the history is read.
    pub log_source: LogSource,
    /// Names of the topics in that log.
    pub topics: TopicNames,
    /// The optimization's id.
    pub id: String,
    /// `None`: all events are listed instead.
    pub as_of: Option<AsOf>,
    /// The frames that the values may have.
    pub framing: Framing,
    /// True if the result is printed as JSON, for programs.
    pub json: bool,
}

/// The place from which a history is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogSource {
    /// The topics of a cluster.
    Topics(KafkaSettings),
    /// An archive in this directory.
    Archive(PathBuf),
}

/// A moment of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AsOf {
    /// The moment before this time.
    Time(Timestamp),
    /// The moment after the record at this position.
    Position(PartitionOffset),
}

impl AsOf {
    /// Parses a time, or a record's position with its topic's name, as every command writes it: `jobs/0@41`. `jobs:0:41` is taken too.
    pub fn parse(text: &str, topics: &TopicNames) -> Result<AsOf, String> {
        if let Some(time) = Timestamp::parse(text) {
            return Ok(AsOf::Time(time));
        }
        let Some((name, partition, offset)) = split_position(text) else {
            return Err(
                "is neither a time nor a position; give for instance 2026-03-01T09:00:00Z or jobs/0@41".into()
            );
        };
        match topics.topic_of(name) {
            Some(topic) => Ok(AsOf::Position(PartitionOffset { topic, partition, offset })),
            None => {
                let names = Topic::ALL.map(|topic| topics.get(topic)).join(", ");
                Err(format!("names none of the topics; they are {names}"))
            }
        }
    }
}

/// Splits `jobs/0@41` into its parts.
fn split_position(text: &str) -> Option<(&str, i32, i64)> {
    let (rest, offset) = text.rsplit_once(['@', ':'])?;
    let (topic, partition) = rest.rsplit_once(['/', ':'])?;
    Some((topic, partition.parse().ok()?, offset.parse().ok()?))
}

#[derive(Args)]
#[command(mut_arg("brokers", |brokers| brokers.help("Kafka's bootstrap addresses: needed without --from-archive")))]
pub struct HistoryArgs {
    /// The optimization's id
    #[arg(value_name = "ID", value_parser = values::id)]
    id: String,
    /// Show the view as the records gave it that were written before a time (RFC 3339), or up to a record and its time
    #[arg(long, value_name = "TIME|TOPIC/PARTITION@OFFSET")]
    as_of: Option<String>,
    /// Read this archive instead of the topics; no cluster is needed then
    #[arg(long, value_name = "DIR", value_parser = values::archive)]
    from_archive: Option<(PathBuf, TopicNames)>,
    #[command(flatten)]
    kafka: OptionalKafka<KafkaSettings>,
    /// The frame that a schema registry's serializer has put around the values; auto takes every one that can be nothing else
    #[arg(long, value_name = "auto|confluent|glue|apicurio|none", default_value = "auto", value_parser = values::framing)]
    framing: Framing,
    /// Print the result as JSON, for programs
    #[arg(long)]
    json: bool,
}

impl From<HistoryArgs> for HistoryConfig {
    /// `checks` has refused a history of nothing, and a moment that is none.
    fn from(args: HistoryArgs) -> HistoryConfig {
        let HistoryArgs { id, as_of, from_archive, kafka, framing, json } = args;
        // Brokers may be there as a variable, for other commands.
        let (log_source, topics) = match from_archive {
            Some((directory, topics)) => (LogSource::Archive(directory), topics),
            None => {
                let kafka = kafka.0.expect("brokers, where there is no archive");
                (LogSource::Topics(kafka.clone()), kafka.topics)
            }
        };
        let as_of = as_of.and_then(|text| AsOf::parse(&text, &topics).ok());
        HistoryConfig { log_source, topics, id, as_of, framing, json }
    }
}

read_as!(HistoryConfig, HistoryArgs);
