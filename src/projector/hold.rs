//! The hold of a projector: where a pause handle has it read no further, it stays at the positions that it was given until it is let
//! go.

use std::time::Duration;

use super::Projector;
use super::moment::Moment;
use super::pause::ReadTarget;
use crate::source::Source;
use crate::store::StoreError;

/// The interval at which a projector that is to hold looks whether its dead letters are acknowledged.
const ACKNOWLEDGED_WITHIN: Duration = Duration::from_millis(5);

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
            // Whoever lets it go may have let readers see it before that, and what was put aside is folded as what it is by now.
            self.notice_switch();
            for (event, from) in std::mem::take(&mut self.gate.aside) {
                self.take_in(now, event, from)?;
            }
            self.note_position();
        }
        let Some(positions) = &self.gate.positions else { return Ok(false) };
        match self.partitions.have_reached(positions) {
            Ok(false) => return Ok(false),
            // Another generation may be shown next, whose checkpoint is beyond these letters.
            Ok(true) if !self.gate.answered && self.letters.numbers().waiting() > 0 => {
                self.report_if_due(now, source);
                control.wait(self.gate.number, ACKNOWLEDGED_WITHIN);
                return Ok(true);
            }
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
        self.report_if_due(now, source);
        self.write_back.check()?;
        control.wait(self.gate.number, Duration::from_millis(50));
        Ok(true)
    }
}
