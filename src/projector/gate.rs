//! The gate that reads no further than a pause allows: events from beyond are put aside, in their order, until they may be folded.

use std::collections::VecDeque;

use super::decoder::DecodedEvent;
use super::pause::Positions;

/// The positions up to which may be read, and the events from beyond them.
#[derive(Default)]
pub struct ReadGate {
    /// `None` if nothing limits reading. A partition that is not named must not be read.
    pub positions: Option<Positions>,
    /// The events from beyond, each with the index of the first of its records that is not folded yet.
    pub aside: VecDeque<(DecodedEvent, usize)>,
    /// The number of the request that the gate obeys.
    pub number: u64,
    /// True if the request is answered only once a checkpoint is on the disk.
    pub sync: bool,
    pub answered: bool,
}

impl ReadGate {
    /// Returns true if an event must wait, because an earlier one of its partition waits already.
    pub fn waits(&self, event: &DecodedEvent) -> bool {
        self.aside.iter().any(|(held, _)| held.partition() == event.partition())
    }

    pub fn put_aside(&mut self, event: DecodedEvent, from: usize) {
        self.aside.push_back((event, from));
    }

    /// The offset up to which the event's partition may be read.
    pub fn limit(&self, event: &DecodedEvent) -> Option<i64> {
        self.positions.as_ref().map(|positions| positions.get(&event.partition()).copied().unwrap_or(i64::MIN))
    }
}
