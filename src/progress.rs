//! The progress of long work, as whoever does the work reports it.

use std::ops::ControlFlow;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A receiver of progress. It returns `Break` if nobody wants the result any more.
pub type ProgressSink<'a> = dyn FnMut(Progress) -> ControlFlow<()> + 'a;

/// The progress of a piece of work.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// The phase of the work, such as `building`.
    pub phase: String,
    pub records_done: u64,
    /// Number of records of the phase, as it was known when the phase began.
    pub records_total: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub records_per_second: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eta_seconds: Option<f64>,
    /// The thing that the work waits for at the moment, if anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting_for: Option<String>,
    /// The result of the work if it ended here, where that is worth something.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub so_far: Option<Value>,
}

impl Progress {
    /// Makes a progress without a rate, which the display then measures.
    pub fn new(phase: &str, records_done: u64, records_total: Option<u64>) -> Progress {
        let phase = phase.to_owned();
        Progress {
            phase,
            records_done,
            records_total,
            records_per_second: None,
            eta_seconds: None,
            waiting_for: None,
            so_far: None,
        }
    }

    /// Adds a rate, and the time that is left at this rate.
    pub fn with_rate(self, records_per_second: f64) -> Progress {
        let left = self.records_total.map(|total| total.saturating_sub(self.records_done) as f64);
        let eta_seconds = left.filter(|_| records_per_second > 0.0).map(|left| left / records_per_second);
        Progress { records_per_second: Some(records_per_second), eta_seconds, ..self }
    }
}
