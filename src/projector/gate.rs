//! The gate that lets a projector read no further than asked: what comes from beyond is put aside, in its order, until it may be folded.

use std::collections::VecDeque;
use std::time::Duration;

use super::decoder::DecodedEvent;
use super::pause::{Positions, ReadTarget};
use super::{Moment, Projector};
use crate::source::Source;
use crate::store::StoreError;

/// The positions up to which may be read, and the events from beyond.
#[derive(Default)]
pub(super) struct ReadGate {
    /// `None`: there is no limit. A partition that is not named must not be read.
    positions: Option<Positions>,
    /// Each with the place of the first of its events that is not folded yet.
    aside: VecDeque<(DecodedEvent, usize)>,
    number: u64,
    /// Answered only when there is a checkpoint.
    sync: bool,
    answered: bool,
}

impl ReadGate {
    /// Returns true if an event of this partition must wait, as another one of it waits already.
    pub fn waits(&self, told: &DecodedEvent) -> bool {
        self.aside.iter().any(|(held, _)| held.partition() == told.partition())
    }

    pub fn put_aside(&mut self, told: DecodedEvent, from: usize) {
        self.aside.push_back((told, from));
    }

    /// Returns the offset at which the event's partition is to pause.
    pub fn limit(&self, told: &DecodedEvent) -> Option<i64> {
        self.positions.as_ref().map(|positions| positions.get(&told.partition()).copied().unwrap_or(i64::MIN))
    }
}

impl Projector<'_> {
    /// Obeys the handle. Returns true if the projector is paused: then nothing is to be read.
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
            for (told, from) in std::mem::take(&mut self.gate.aside) {
                self.take_in(now, told, from)?;
            }
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
