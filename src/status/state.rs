//! The state that the whole instance is in.

use serde::Serialize;
use strum::IntoStaticStr;

/// The state of the projector as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, IntoStaticStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum State {
    /// No partition is assigned yet: the store opens, or the broker has not answered.
    Starting,
    /// The projector reads towards the high watermarks that were seen at the start.
    CatchingUp,
    /// The projector has read past the high watermarks that were seen at the start.
    Live,
    /// The generation was live, in this process or an earlier one, but for some partition the cluster has not confirmed for a
    /// while that nothing more has come: the views may be old.
    Stale,
    /// The views are shown as another version left them, while this one builds its own; or as they were left, because an
    /// operator requested that. `frozen_at` has the position.
    Frozen,
    /// The projector cannot go on by itself; `last_error` has the reason.
    Stalled,
    /// The process is stopping: it drains requests and writes what has been read.
    Stopping,
}

impl State {
    /// All states, in the order of the variants.
    pub const ALL: [State; 7] = [
        State::Starting,
        State::CatchingUp,
        State::Live,
        State::Stale,
        State::Frozen,
        State::Stalled,
        State::Stopping,
    ];

    /// Returns the name of the state in `/status`, in metrics, and in the header of every answer.
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// Returns true if everything has been read that was there at the start. (The generation that readers see may also be
    /// `stale` from an earlier process, as long as no broker answers.)
    pub fn has_caught_up(self) -> bool {
        matches!(self, State::Live | State::Stale)
    }
}
