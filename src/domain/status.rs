//! The status of an optimization, which follows from its job's.

use serde::{Deserialize, Serialize};
use strum::IntoStaticStr;

/// An optimization's status in the reader's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, IntoStaticStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Status {
    /// The linked job is pending, or no event of it is known.
    Queued,
    /// The linked job is waiting or processing.
    Running,
    /// The linked job completed.
    Succeeded,
    /// The linked job failed.
    Failed,
    /// The linked job was canceled.
    Canceled,
}

impl Status {
    /// All statuses, in the order of the variants.
    pub const ALL: [Status; 5] =
        [Status::Queued, Status::Running, Status::Succeeded, Status::Failed, Status::Canceled];

    /// Returns the status as answers and queries write it.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// A set of statuses, in which "no status" is one, too. A filter by the empty set filters nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StatusSet(u8);

impl StatusSet {
    /// The empty set, which filters nothing.
    pub const ANY: StatusSet = StatusSet(0);

    /// Adds a status; `None` stands for no status.
    pub fn insert(&mut self, status: Option<Status>) {
        self.0 |= StatusSet::bit(status);
    }

    /// Returns true if the set filters nothing.
    pub fn is_any(self) -> bool {
        self.0 == 0
    }

    /// Returns true if a filter by the set accepts the status.
    pub fn accepts(self, status: Option<Status>) -> bool {
        self.is_any() || self.0 & StatusSet::bit(status) != 0
    }

    const fn bit(status: Option<Status>) -> u8 {
        match status {
            None => 1,
            Some(status) => 2 << status as u8,
        }
    }
}

/// Makes the set of one status; `None` makes the one that filters nothing.
impl From<Option<Status>> for StatusSet {
    fn from(only: Option<Status>) -> StatusSet {
        StatusSet(only.map_or(0, |status| StatusSet::bit(Some(status))))
    }
}
