//! The things that every tool is given, and gives back.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::anyhow;
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};

use crate::codec::Framing;
use crate::generation::Engine;
use crate::source::TopicNames;
use crate::source::kafka::KafkaSettings;
use crate::store::verify::TopicBounds;
use crate::store::{OpenError, Reader};

/// Number of bytes of the store's pages that are held in memory if the store is opened only for a tool.
pub const CACHE_BYTES: u64 = 64 << 20;

/// The store that a tool works on, open in this process.
pub struct ToolContext {
    /// The data directory that the store lies in.
    pub data_dir: PathBuf,
    /// The live generation's number.
    pub generation: Option<u64>,
    /// The store's reader, or the reason for which the store cannot be opened.
    pub reader: Result<Reader, OpenError>,
    /// The names of the topics in the cluster.
    pub topics: TopicNames,
    /// Returns the bounds of each partition on the broker, if they are known.
    pub bounds: Box<dyn Fn() -> Option<TopicBounds>>,
    /// The settings of the cluster, if they are known.
    pub kafka: Option<KafkaSettings>,
    /// The frames that the values of records may have.
    pub framing: Framing,
    /// True if requests are answered from the store meanwhile.
    pub is_served: bool,
    /// The engine that keeps the store up to date, if any does.
    pub engine: Option<Arc<Engine>>,
}

/// The result of a tool that did not fail.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ToolOutcome {
    /// The result, which the text for people is made from.
    pub json: Box<RawValue>,
    /// True if the tool found a difference or a problem, for which the command ends with 3.
    pub problem_found: bool,
    /// True if the tool was ended before all was done, for which the command fails. The result is of what was done until then.
    #[serde(default)]
    pub is_partial: bool,
}

impl ToolContext {
    /// Returns the store's reader, or the reason for which there is none, with the remedy.
    pub(super) fn reader(&self) -> anyhow::Result<&Reader> {
        self.reader.as_ref().map_err(|error| match error.is_damage() {
            true => anyhow!(
                "{error}; `optview serve` moves such a store aside at its next start, and builds a new one from Kafka"
            ),
            false => anyhow!("{error}"),
        })
    }
}

impl ToolOutcome {
    /// Returns the outcome of a tool that found no problem.
    pub(super) fn new(value: &impl Serialize) -> anyhow::Result<ToolOutcome> {
        Ok(ToolOutcome { json: to_raw_value(value)?, problem_found: false, is_partial: false })
    }
}
