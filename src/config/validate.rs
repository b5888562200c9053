//! The command `validate`.

use std::path::PathBuf;

use clap::Args;

use super::values;
use crate::codec::Framing;
use crate::domain::Topic;

/// The settings of `validate`.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct ValidateConfig {
    /// The file of events: one a line as JSON, one as JSON or protobuf, or records as an archive has them; `-` for standard input
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// The topic that the events are for: optimizations, jobs or multistart-runs; not needed for records of an archive
    #[arg(long, value_name = "TOPIC", value_parser = stream)]
    pub topic: Option<Topic>,
    /// The record's key, if the file is one event
    #[arg(long, value_name = "KEY")]
    pub key: Option<String>,
    /// The header `content-type` that the records will have; without it the first byte decides, as in `serve`
    #[arg(long, value_name = "TYPE", value_parser = values::text)]
    pub content_type: Option<String>,
    /// The frame that a schema registry's serializer has put around the values; auto takes every one that can be nothing else
    #[arg(long, value_name = "auto|confluent|glue|apicurio|none", default_value = "auto", value_parser = values::framing)]
    pub framing: Framing,
    /// Print the views that the events together result in
    #[arg(long)]
    pub view: bool,
    /// Print the changes of status that the events together result in
    #[arg(long)]
    pub explain: bool,
    /// Print the result as JSON, for programs
    #[arg(long)]
    pub json: bool,
}

fn stream(text: &str) -> Result<Topic, String> {
    Topic::ALL
        .into_iter()
        .find(|topic| topic.default_name() == text)
        .ok_or_else(|| "is none of optimizations, jobs and multistart-runs".to_owned())
}
