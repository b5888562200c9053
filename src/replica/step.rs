//! The result of a step of a follower.

use super::intake::VersionDrop;

/// The result of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FollowerStep {
    /// The step has read so many records.
    Read(u64),
    /// The store cannot be continued from the topic: the reason, and the record that shows it, if one does.
    Anew(String, Option<VersionDrop>),
}
