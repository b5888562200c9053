//! The commands under `dead-letters`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::optional_kafka::OptionalKafka;
use super::tools::ToolConfig;
use super::values;
use crate::codec::Framing;
use crate::source::kafka::KafkaSettings;

/// A command under `dead-letters` with all that it needs.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum DeadLettersConfig {
    /// Group the dead letters by topic and kind of reason, with their number and the newest
    List(LettersConfig),
    /// Show one: its position, time, key and headers, the reason, and the value with the place of the error
    Show(LetterConfig),
    /// Decode them again, as a new version may understand them, and fold what is understood
    Retry(RetryConfig),
    /// Remove them from the store, as nobody needs these records; a rebuild finds them anew
    Discard(ChosenLettersConfig),
    /// Write them to a file as lines of JSON, each with the whole record
    Export(LettersExportConfig),
    /// Read on the topics that stopped because of their dead letters
    Resume(ResumeConfig),
}

/// The choice of dead letters by what they have in common.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
pub struct LetterFilter {
    /// Choose those of this topic only
    #[arg(long, value_name = "NAME", value_parser = values::topic)]
    pub topic: Option<String>,
    /// Choose those only whose reason contains this text, or the kind of it, as `list` has that
    #[arg(long, value_name = "TEXT", value_parser = values::text)]
    pub reason: Option<String>,
    /// Choose those only whose records were written before this time (RFC 3339)
    #[arg(id = "before", long = "before", value_name = "TIME", value_parser = values::time)]
    pub before_millis: Option<i64>,
    /// Choose those only whose records were written at this time or later (RFC 3339)
    #[arg(id = "after", long = "after", value_name = "TIME", value_parser = values::time)]
    pub after_millis: Option<i64>,
}

/// The settings of `dead-letters list`.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct LettersConfig {
    /// The choice of the dead letters.
    #[command(flatten)]
    pub filter: LetterFilter,
    /// The data directory, and the form of the result.
    #[command(flatten)]
    pub tool: ToolConfig,
}

/// The settings of `dead-letters show`.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct LetterConfig {
    /// The dead letter, as TOPIC/PARTITION@OFFSET
    #[arg(value_name = "ID", value_parser = values::text)]
    pub id: String,
    /// The frame that a schema registry's serializer has put around the value, by which the place of the error is found; where a
    /// process serves the store, it goes by its own
    #[arg(long, value_name = "auto|confluent|glue|apicurio|none", default_value = "auto", value_parser = values::framing)]
    pub framing: Framing,
    /// The data directory, and the form of the result.
    #[command(flatten)]
    pub tool: ToolConfig,
}

/// The settings of `dead-letters discard`, and a part of those of `dead-letters retry`.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct ChosenLettersConfig {
    /// The dead letters, each as TOPIC/PARTITION@OFFSET. Without them: all that the options choose
    #[arg(value_name = "ID", action = clap::ArgAction::Append, value_parser = values::text)]
    pub ids: Vec<String>,
    /// All of them
    #[arg(long)]
    pub all: bool,
    /// The choice of the dead letters.
    #[command(flatten)]
    pub filter: LetterFilter,
    /// The data directory, and the form of the result.
    #[command(flatten)]
    pub tool: ToolConfig,
}

/// The settings of `dead-letters retry`.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
#[command(mut_arg("brokers", |brokers| brokers.help(
    "Kafka's bootstrap addresses: needed with --from-topic where no process serves the store",
)))]
pub struct RetryConfig {
    /// Try the dead letters of this topic, to which --dead-letter-topic has written them, instead of those of the store
    #[arg(long, value_name = "NAME", value_parser = values::topic)]
    pub from_topic: Option<String>,
    /// The frame that a schema registry's serializer has put around the values; where a process serves the store, it goes by its own
    #[arg(long, value_name = "auto|confluent|glue|apicurio|none", default_value = "auto", value_parser = values::framing)]
    pub framing: Framing,
    /// The cluster with the topic; without brokers if only a process that serves the store reads it.
    #[command(flatten)]
    pub kafka: OptionalKafka<KafkaSettings>,
    /// The choice of the dead letters, the data directory, and the form of the result.
    #[command(flatten)]
    pub chosen: ChosenLettersConfig,
}

/// The settings of `dead-letters export`.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct LettersExportConfig {
    /// The file to write, which must not be there
    #[arg(id = "letters", value_name = "FILE", value_parser = values::file)]
    pub file: PathBuf,
    /// The choice of the dead letters.
    #[command(flatten)]
    pub filter: LetterFilter,
    /// The data directory, and the form of the result.
    #[command(flatten)]
    pub tool: ToolConfig,
}

/// The settings of `dead-letters resume`.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct ResumeConfig {
    /// The topic. Without it: every topic that has stopped
    #[arg(long, value_name = "NAME", value_parser = values::topic)]
    pub topic: Option<String>,
    /// The data directory, and the form of the result.
    #[command(flatten)]
    pub tool: ToolConfig,
}
