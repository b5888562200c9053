//! The gate that reads no further than a pause allows: events from beyond are put aside, in their order, until they may be folded.

use std::collections::VecDeque;
use std::time::Duration;

use super::decoder::DecodedEvent;
use super::pause::{Positions, ReadTarget};
use super::{Moment, Projector};
use crate::source::Source;
use crate::store::StoreError;

/// The positions up to which may be read, and the events from beyond them.
#[derive(Default)]
pub(super) struct ReadGate {
    /// `None` if nothing limits reading. A partition that is not named must not be read.
    positions: Option<Positions>,
    /// The events from beyond, each with the index of the first of its records that is not folded yet.
    aside: VecDeque<(DecodedEvent, usize)>,
    /// The number of the request that the gate obeys.
    number: u64,
    /// True if the request is answered only once a checkpoint is on the disk.
    sync: bool,
    answered: bool,
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

impl Projector<'_> {
    /// Obeys the pause handle. Returns true if the projector is paused: then nothing is to be read.
    pub(super) fn hold(&mut self, now: Moment, source: &mut dyn Source) -> Result<bool, StoreError> {
        let control = self.control;
        if let Some(asked) = control.new_target(&mut self.gate.number) {
            self.gate.answered = false;
            self.gate.sync = matches!(asked, ReadTarget::CheckpointAt(_));
            self.gate.positions = match asked {
                ReadTarget::Unlimited => None,
                ReadTarget::Here => Some(self.partitions.positions()),
                ReadTarget::At(positions) | ReadTarget::CheckpointAt(positions) => Some(positions),
            };
            for (event, from) in std::mem::take(&mut self.gate.aside) {
                self.take_in(now, event, from)?;
            }
            self.note_position();
        }
        let Some(positions) = &self.gate.positions else { return Ok(false) };
        match self.partitions.have_reached(positions) {
            Ok(false) => return Ok(false),
            Ok(true) if !self.gate.answered => {
                self.write_back.write_all(now.instant)?;
                self.write_back.wait_until_written()?;
                if self.gate.sync {
                    self.checkpoint(now)?;
                    self.settle(source)?;
                }
                control.answer(self.gate.number, Ok(self.partitions.positions()));
            }
            Err(reason) if !self.gate.answered => control.answer(self.gate.number, Err(reason)),
            Ok(true) | Err(_) => {}
        }
        self.gate.answered = true;
        if self.reporter.is_due(now.instant) {
            self.report(now, source);
        }
        self.write_back.check()?;
        control.wait(self.gate.number, Duration::from_millis(50));
        Ok(true)
    }
}
