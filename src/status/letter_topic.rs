//! The dead letter topic, as `/status` shows it.

use serde::Serialize;

/// The state of the dead letter topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LetterTopicReport {
    /// The topic's name in the cluster.
    pub topic: String,
    /// Number of dead letters that the topic has acknowledged since the start.
    pub acknowledged: u64,
    /// Number of dead letters that the topic has not acknowledged yet. No checkpoint passes them.
    pub waiting: u64,
    /// Number of dead letters of which only the count was left when the letters that the store had were written to the topic. They are
    /// not written later: the topic has those only that an earlier run wrote.
    pub only_counted: u64,
    /// The reason for which the topic takes none; `null` while it does.
    pub error: Option<String>,
}
