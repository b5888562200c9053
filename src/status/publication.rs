//! The publishing of views on a topic: how far it is, and what keeps it from going on.

use std::collections::BTreeMap;

use serde::Serialize;

/// The age in seconds from which a view that is not published makes a warning, if checkpoints wait for it.
const LATE_SECONDS: f64 = 10.0;

/// The publishing of views, as `/status` shows it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PublicationReport {
    /// The name of the topic of views.
    pub topic: String,
    /// The format of the views there: `json`, `flat` or `protobuf`.
    pub format: &'static str,
    /// `starting`, `waiting`, `reconciling`, `publishing` or `fenced`.
    pub state: &'static str,
    /// Number of views that are not on the topic as they are.
    pub unpublished: u64,
    /// Time since which there have been such views; `null` if there are none.
    pub oldest_unpublished_seconds: Option<f64>,
    /// True while each checkpoint waits until everything that it covers is on the topic.
    pub holds_checkpoints: bool,
    /// Number of views and tombstones that this process has put on the topic.
    pub published: u64,
    /// The greatest version that a record of the topic has.
    pub version: u64,
    /// The position that the views must come to before any is published; `null` if they have.
    pub awaited_position: Option<String>,
    /// The time of the last mark, RFC 3339; `null` if this process has written none.
    pub marked_at: Option<String>,
    /// The positions that the last mark covers.
    pub marked_positions: Option<BTreeMap<String, i64>>,
    /// The reason for which nothing can be published; `null` if there is none.
    pub error: Option<String>,
    /// The time since which that is so, RFC 3339.
    pub error_since: Option<String>,
}

impl PublicationReport {
    /// Describes what keeps views from the topic, with the remedy; `None` if nothing does.
    pub(super) fn warning(&self) -> Option<String> {
        let age = self.oldest_unpublished_seconds.filter(|age| self.holds_checkpoints && *age > LATE_SECONDS);
        let why = match (&self.error, age) {
            (Some(error), _) => error.clone(),
            (None, Some(age)) => {
                format!("the brokers have taken none for {age:.0} s, while {} wait", self.unpublished)
            }
            (None, None) => return None,
        };
        let what = if self.holds_checkpoints {
            "; reads go on, and no checkpoint is written until then, so that a restart reads again what came since"
        } else {
            ""
        };
        Some(format!("views are not published on the topic {}: {why}{what}", self.topic))
    }
}
