//! The time for which a changed record stays in memory before it is written, while catching up: a catch-up's time depends on how often
//! one record is written.

/// Number of records in an epoch. What was not touched for some epochs is unlikely to be touched soon. A catch-up ends with the
/// optimizations of the last epochs unwritten, so an epoch is as short as an event's lag behind those of the other partitions allows.
pub const RECORDS_AN_EPOCH: u64 = 12_500;
/// Towards the end of a catch-up, a record is written that was not touched for this many times as many records as are still to come.
/// With 1, a history of which 100,000 optimizations are under way at a time has 7 % more records written for the same end.
const UNTOUCHED_BEFORE_END: u32 = 4;
/// Number of writes after which the delay is judged.
const WRITES_A_JUDGEMENT: usize = 2_000;

/// The number of epochs for which a changed record stays unwritten while catching up. What is written too early is written again, and what is
/// written too late is all written at the end, when nothing else is left to do. How long an optimization lives, counted in
/// records, depends on the history, so the delay is adjusted to it.
pub struct WriteDelay {
    epochs: u32,
    written: usize,
    written_again: usize,
}

impl WriteDelay {
    /// Begins with a delay of this number of epochs.
    pub fn new(epochs: u32) -> WriteDelay {
        WriteDelay { epochs, written: 0, written_again: 0 }
    }

    /// Takes in the number of records that were written since the last call, and of those that had been written before.
    pub fn adjust(&mut self, written: usize, written_again: usize) {
        self.written += written;
        self.written_again += written_again;
        if self.written < WRITES_A_JUDGEMENT {
            return;
        }
        let quarters = match 100 * self.written_again / self.written {
            0..2 => 3,
            2..10 => 4,
            10..40 => 8,
            _ => 16,
        };
        self.epochs = (self.epochs * quarters / 4).clamp(1, 4096);
        (self.written, self.written_again) = (0, 0);
    }

    /// Returns the epoch before which a record must have been touched last to be written in the present one. Towards the end of a
    /// catch-up the delay is shorter than it was found to be best: what was not touched for much longer than the rest takes hardly will
    /// be touched again, and can be written while the rest is read.
    pub fn before(&self, epoch: u32, records_to_come: u64) -> u32 {
        let epochs_to_come = u32::try_from(records_to_come / RECORDS_AN_EPOCH).unwrap_or(u32::MAX);
        epoch.saturating_sub(self.epochs.min(epochs_to_come.saturating_mul(UNTOUCHED_BEFORE_END).max(1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Adjusts a delay to so many judgements of which each has this share of records written again, in per cent.
    fn adjusted(delay: &mut WriteDelay, judgements: usize, again: usize) -> u32 {
        (0..judgements).for_each(|_| delay.adjust(WRITES_A_JUDGEMENT, WRITES_A_JUDGEMENT * again / 100));
        5_000 - delay.before(5_000, u64::MAX)
    }

    #[test]
    fn a_delay_grows_while_much_is_written_again_and_shrinks_while_nothing_is() {
        let mut delay = WriteDelay::new(16);
        assert_eq!(adjusted(&mut delay, 1, 5), 16);
        assert_eq!(adjusted(&mut delay, 1, 20), 32);
        assert_eq!(adjusted(&mut delay, 1, 60), 128);
        assert_eq!(adjusted(&mut delay, 1, 0), 96);
        assert_eq!(adjusted(&mut delay, 20, 100), 4096);
        assert_eq!(adjusted(&mut delay, 40, 0), 1);
    }

    #[test]
    fn a_delay_is_judged_by_many_writes() {
        let mut delay = WriteDelay::new(16);
        (0..19).for_each(|_| delay.adjust(WRITES_A_JUDGEMENT / 20, WRITES_A_JUDGEMENT / 20));
        assert_eq!(delay.before(100, u64::MAX), 84);
        delay.adjust(WRITES_A_JUDGEMENT / 20, 0);
        assert_eq!(delay.before(100, u64::MAX), 36);
    }

    #[test]
    fn towards_the_end_little_is_left_however_long_the_delay_has_become() {
        let mut delay = WriteDelay::new(16);
        assert_eq!(adjusted(&mut delay, 20, 100), 4096);
        assert_eq!(delay.before(1_000, 1_000 * RECORDS_AN_EPOCH), 0);
        assert_eq!(delay.before(1_000, 10 * RECORDS_AN_EPOCH), 960);
        assert_eq!(delay.before(1_000, RECORDS_AN_EPOCH), 996);
        assert_eq!(delay.before(1_000, RECORDS_AN_EPOCH - 1), 999);
        assert_eq!(delay.before(1_000, 0), 999);
        // One that is short stays as it is.
        assert_eq!(WriteDelay::new(2).before(1_000, 10 * RECORDS_AN_EPOCH), 998);
    }
}
