//! The backlog of records: whether more of them wait than are folded at once. The source's polls show it, without a question to the
//! cluster and without a clock.

use std::time::Duration;

/// A poll that gives so many records has left others behind, or comes after a standstill.
const FULL_POLL_RECORDS: usize = 1_024;

/// After so many polls in a row that gave less, the fold keeps up. A few of them come also in the middle of a backlog, where the next
/// answer of the brokers is still on its way.
const OTHER_POLLS_MAX: u32 = 16;

/// An empty poll that waits for so long shows that nothing is left. A shorter wait, as while a checkpoint is awaited, may lie between two
/// answers of the brokers.
const SILENCE: Duration = Duration::from_millis(50);

/// A poll of the source, as far as it shows a backlog.
#[derive(Clone, Copy)]
pub struct SourcePoll {
    /// Number of records that it has given.
    pub records: usize,
    /// True if it has given as much as one poll may give: also few records may be that, if they are large.
    pub is_full: bool,
    /// The time for which it waited in vain: zero if anything came.
    pub silence: Duration,
}

/// The backlog as the last polls show it.
#[derive(Default)]
pub struct RecordBacklog {
    /// Number of polls that may still give less than a full one before the backlog counts as folded; 0 if there is none.
    polls_left: u32,
}

impl RecordBacklog {
    /// Takes note of a poll.
    pub fn note_poll(&mut self, SourcePoll { records, is_full, silence }: SourcePoll) {
        self.polls_left = if is_full || records >= FULL_POLL_RECORDS {
            OTHER_POLLS_MAX
        } else if silence >= SILENCE {
            0
        } else {
            self.polls_left.saturating_sub(1)
        };
    }

    /// Takes note that nothing is read for some time.
    pub fn clear(&mut self) {
        self.polls_left = 0;
    }

    /// Returns true while records wait.
    pub fn is_there(&self) -> bool {
        self.polls_left > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: Duration = Duration::ZERO;
    const SHORT: Duration = Duration::from_millis(5);
    const LONG: Duration = Duration::from_millis(250);

    fn poll(records: usize) -> SourcePoll {
        SourcePoll { records, is_full: false, silence: NONE }
    }

    fn silent(silence: Duration) -> SourcePoll {
        SourcePoll { silence, ..poll(0) }
    }

    /// Returns whether there is a backlog after each of these polls.
    fn after(polls: &[SourcePoll]) -> Vec<bool> {
        let mut backlog = RecordBacklog::default();
        let mut there = Vec::new();
        for poll in polls {
            backlog.note_poll(*poll);
            there.push(backlog.is_there());
        }
        there
    }

    #[test]
    fn a_full_poll_begins_a_backlog_and_a_poll_that_waits_in_vain_ends_it() {
        let polls = [poll(1_023), poll(1_024), silent(NONE), poll(2_048), poll(3), silent(LONG), poll(9)];
        assert_eq!(after(&polls), [false, true, true, true, true, false, false]);
    }

    #[test]
    fn few_records_begin_a_backlog_if_they_are_as_much_as_one_poll_may_give() {
        let large = SourcePoll { is_full: true, ..poll(9) };
        assert_eq!(after(&[poll(9), large, poll(9), silent(LONG)]), [false, true, true, false]);
    }

    /// While a checkpoint is awaited, polls wait for so short a time that the brokers' next answer may still be on its way.
    #[test]
    fn one_short_wait_in_vain_ends_no_backlog() {
        let polls = [poll(2_048), silent(SHORT), silent(SHORT), poll(2_048), silent(SHORT)];
        assert_eq!(after(&polls), [true; 5]);
        let mut polls = vec![poll(2_048)];
        polls.resize(20, silent(SHORT));
        assert_eq!(after(&polls).iter().filter(|is_there| **is_there).count(), 16, "but many of them do");
    }

    #[test]
    fn many_polls_that_are_not_full_end_a_backlog_though_something_always_comes() {
        let mut polls = vec![poll(2_048)];
        polls.resize(20, poll(700));
        let is_there = after(&polls);
        assert_eq!(is_there.iter().filter(|is_there| **is_there).count(), 16);
        assert!(is_there[15] && !is_there[16]);
    }
}
