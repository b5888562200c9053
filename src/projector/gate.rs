//! The gate that lets a projector read no further than asked: what comes from beyond is put aside, in its order, until it may be folded.

use std::collections::VecDeque;
use std::time::Duration;

use super::decoding::Told;
use super::pause::{PauseHandle, Positions, ReadTarget};
use super::{Projector, REPORT_EVERY};
use crate::source::Source;
use crate::store::StoreError;

/// The positions up to which may be read, and the events from beyond.
#[derive(Default)]
pub(super) struct ReadGate {
    /// `None`: there is no limit. A partition that is not named must not be read.
    positions: Option<Positions>,
    /// Each with the place of the first of its events that is not folded yet.
    aside: VecDeque<(Told, usize)>,
    number: u64,
    /// Answered only when there is a checkpoint.
    sync: bool,
    answered: bool,
}

impl ReadGate {
    /// Returns true if an event of this partition must wait, as another one of it waits already.
    pub fn waits(&self, told: &Told) -> bool {
        self.aside.iter().any(|(held, _)| held.partition() == told.partition())
    }

    pub fn put_aside(&mut self, told: Told, from: usize) {
        self.aside.push_back((told, from));
    }

    /// Returns the offset at which the event's partition is to pause.
    pub fn limit(&self, told: &Told) -> Option<i64> {
        self.positions.as_ref().map(|positions| positions.get(&told.partition()).copied().unwrap_or(i64::MIN))
    }
}

impl Projector {
    /// Obeys the handle. Returns true if the projector is paused: then nothing is to be read.
    pub(super) fn hold(&mut self, control: &PauseHandle, source: &mut dyn Source) -> Result<bool, StoreError> {
        if let Some(asked) = control.new_target(&mut self.limits.number) {
            self.limits.answered = false;
            self.limits.sync = matches!(asked, ReadTarget::CheckpointAt(_));
            self.limits.positions = match asked {
                ReadTarget::Unlimited => None,
                ReadTarget::Here => Some(self.partitions.positions()),
                ReadTarget::At(positions) | ReadTarget::CheckpointAt(positions) => Some(positions),
            };
            for (told, from) in std::mem::take(&mut self.limits.aside) {
                self.take_in(told, from)?;
            }
        }
        let Some(positions) = &self.limits.positions else { return Ok(false) };
        match self.partitions.have_reached(positions) {
            Ok(false) => return Ok(false),
            Ok(true) if !self.limits.answered => {
                self.write_changes(true)?;
                self.wait_for_writes()?;
                if self.limits.sync {
                    self.checkpoint()?;
                    self.wait_for_checkpoint(source)?;
                }
                control.answer(self.limits.number, Ok(self.partitions.positions()));
            }
            Err(reason) if !self.limits.answered => control.answer(self.limits.number, Err(reason)),
            Ok(true) | Err(_) => {}
        }
        self.limits.answered = true;
        if self.last_report.elapsed() >= REPORT_EVERY {
            self.report(source);
        }
        self.writer.check()?;
        control.wait(self.limits.number, Duration::from_millis(50));
        Ok(true)
    }

    fn wait_for_checkpoint(&mut self, source: &mut dyn Source) -> Result<(), StoreError> {
        while self.partitions.awaits_checkpoint() {
            self.writer.check()?;
            std::thread::sleep(Duration::from_millis(1));
            self.publish_checkpoint(source);
        }
        Ok(())
    }
}
