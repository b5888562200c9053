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
