//! The backlog of records: whether more of them wait than are folded at once. The source's polls show it, without a question to the
//! cluster and without a clock.

/// A poll that gives so many records has left others behind, or comes after a standstill.
const FULL_POLL_RECORDS: usize = 1_024;

/// After so many polls in a row that gave less, the fold keeps up. A few of them come also in the middle of a backlog, where the next
/// answer of the brokers is still on its way.
const OTHER_POLLS_MAX: u32 = 16;

/// The backlog as the last polls show it.
#[derive(Default)]
pub struct RecordBacklog {
    /// Number of polls that may still give less than a full one before the backlog counts as folded; 0 if there is none.
    polls_left: u32,
}

impl RecordBacklog {
    /// Takes note of the number of records that a poll has given. `has_waited` is true for a poll that waits where there are none.
    pub fn note_poll(&mut self, records: usize, has_waited: bool) {
        self.polls_left = match records {
            FULL_POLL_RECORDS.. => OTHER_POLLS_MAX,
            0 if has_waited => 0,
            _ => self.polls_left.saturating_sub(1),
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

    /// Returns whether there is a backlog after each of these polls.
    fn after(polls: &[(usize, bool)]) -> Vec<bool> {
        let mut backlog = RecordBacklog::default();
        let mut there = Vec::new();
        for (records, has_waited) in polls {
            backlog.note_poll(*records, *has_waited);
            there.push(backlog.is_there());
        }
        there
    }

    #[test]
    fn a_full_poll_begins_a_backlog_and_a_poll_that_waits_in_vain_ends_it() {
        let polls = [(1_023, true), (1_024, false), (0, false), (2_048, false), (3, true), (0, true), (9, true)];
        assert_eq!(after(&polls), [false, true, true, true, true, false, false]);
    }

    #[test]
    fn many_polls_that_are_not_full_end_a_backlog_though_something_always_comes() {
        let mut polls = vec![(2_048, false)];
        polls.resize(20, (700, true));
        let is_there = after(&polls);
        assert_eq!(is_there.iter().filter(|is_there| **is_there).count(), 16);
        assert!(is_there[15] && !is_there[16]);
    }
}
