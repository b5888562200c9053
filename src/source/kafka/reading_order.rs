//! The order in which partitions are read: the oldest records first, so that the events of an optimization are folded close together,
//! whichever partitions they lie in.
//!
//! A partition that is behind may have no records at hand, because its broker is slow or it was assigned last. Others are read
//! meanwhile, but not far ahead: an optimization whose events are folded far apart is held in memory, written and written again.

use std::time::{Duration, Instant};

/// The most records that are read ahead of older ones, which takes some milliseconds. In catch-ups with two million records beside other
/// work, each optimization was written 1.2 to 1.5 times with 65,536 here, 1.1 to 1.2 times with 16,384, 1.06 times with 4,096, and 1.3
/// to 1.8 times without a limit.
const LEAD_MAX: usize = 8_192;
/// The time for which older records are waited for. A partition that has sent none by then is not waited for until it does.
pub const LATE_AFTER: Duration = Duration::from_millis(100);

/// The part of a partition's state that its turn to be read depends on.
#[derive(Clone, Copy, Debug)]
pub struct Turn {
    /// The timestamp of the last record that was read of it, in milliseconds since 1970; the least number if there is none.
    pub time: i64,
    /// True if it may have records at hand.
    pub is_ready: bool,
    /// True if it has no records at hand, and some are known to come.
    pub is_awaited: bool,
}

impl Turn {
    /// Returns true if records of this time, in milliseconds since 1970, are not to be read far ahead of the partition's.
    pub fn holds_back(&self, time: i64) -> bool {
        self.is_awaited && self.time < time
    }
}

/// The answer to the question of what to read next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextRead {
    /// The partition at this index is to be read.
    Partition(usize),
    /// Nothing is to be read until records come.
    Nothing,
    /// Nothing is to be read, and the partitions that [hold back](Turn::holds_back) records of this time are late: they are no longer
    /// awaited.
    Late(i64),
}

/// The reading so far, as far as the order depends on it.
#[derive(Debug, Default)]
pub struct ReadingOrder {
    /// Number of records that were read ahead of older ones, less those that were read in their order since.
    lead: usize,
    /// True if the partition that was chosen last is ahead of one that is awaited.
    is_ahead: bool,
    /// The time since which nothing is read because older records are awaited.
    waits_since: Option<Instant>,
}

impl ReadingOrder {
    /// Decides what to read next.
    pub fn next(&mut self, now: Instant, turns: impl Iterator<Item = Turn> + Clone) -> NextRead {
        let ready = turns.clone().enumerate().filter(|(_, turn)| turn.is_ready);
        let Some((at, Turn { time, .. })) = ready.min_by_key(|(_, turn)| turn.time) else {
            self.waits_since = None;
            return NextRead::Nothing;
        };
        self.is_ahead = turns.clone().any(|turn| turn.holds_back(time));
        if !self.is_ahead || self.lead < LEAD_MAX {
            self.waits_since = None;
            return NextRead::Partition(at);
        }
        let since = *self.waits_since.get_or_insert(now);
        if now.saturating_duration_since(since) < LATE_AFTER {
            return NextRead::Nothing;
        }
        self.waits_since = None;
        NextRead::Late(time)
    }

    /// Takes note that this number of records was read of the partition that was chosen last.
    pub fn note_read(&mut self, records: usize) {
        self.lead = if self.is_ahead { self.lead + records } else { self.lead.saturating_sub(records) };
    }

    /// Returns true if records are at hand that are not read because older ones are awaited.
    pub fn waits(&self) -> bool {
        self.waits_since.is_some()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    const READY: Turn = Turn { time: 0, is_ready: true, is_awaited: false };
    const AWAITED: Turn = Turn { time: 0, is_ready: false, is_awaited: true };

    /// Reads as much as may be read of these partitions while nothing comes. Returns the number of records.
    fn read_all(order: &mut ReadingOrder, now: Instant, turns: &[Turn]) -> usize {
        (0..100_000)
            .take_while(|_| {
                let chosen = matches!(order.next(now, turns.iter().copied()), NextRead::Partition(_));
                order.note_read(if chosen { 512 } else { 0 });
                chosen
            })
            .count()
            * 512
    }

    #[test]
    fn the_oldest_records_at_hand_are_read() {
        let turns =
            [Turn { time: 3, ..READY }, Turn { time: 1, is_ready: false, ..READY }, Turn { time: 2, ..READY }];
        assert_eq!(ReadingOrder::default().next(Instant::now(), turns.into_iter()), NextRead::Partition(2));
        assert_eq!(ReadingOrder::default().next(Instant::now(), std::iter::empty()), NextRead::Nothing);
    }

    #[test]
    fn a_partition_is_read_ahead_of_one_that_is_awaited_but_not_far() {
        let (mut order, now) = (ReadingOrder::default(), Instant::now());
        let turns = [Turn { time: 2, ..READY }, Turn { time: 1, ..AWAITED }];
        assert_eq!(read_all(&mut order, now, &turns), LEAD_MAX);
        assert!(order.waits());
        // Once the older records are there, as many may be read ahead again as were read of them.
        let all_ready = [Turn { time: 2, ..READY }, Turn { time: 1, ..READY }];
        assert_eq!(order.next(now, all_ready.into_iter()), NextRead::Partition(1));
        assert!(!order.waits());
        order.note_read(1024);
        assert_eq!(read_all(&mut order, now, &turns), 1024);
    }

    #[test]
    fn nobody_waits_for_newer_records_nor_for_those_that_are_not_known_to_come() {
        let (mut order, now) = (ReadingOrder::default(), Instant::now());
        let turns =
            [Turn { time: 2, ..READY }, Turn { time: 3, ..AWAITED }, Turn { is_awaited: false, ..AWAITED }];
        assert_eq!(read_all(&mut order, now, &turns), 100_000 * 512);
    }

    #[test]
    fn a_partition_that_sends_nothing_is_not_waited_for_for_long() {
        let (mut order, now) = (ReadingOrder::default(), Instant::now());
        let turns = [Turn { time: 2, ..READY }, Turn { time: 1, ..AWAITED }];
        read_all(&mut order, now, &turns);
        let almost = now + LATE_AFTER - Duration::from_millis(1);
        assert_eq!(order.next(almost, turns.into_iter()), NextRead::Nothing);
        assert_eq!(order.next(now + LATE_AFTER, turns.into_iter()), NextRead::Late(2));
        // One that is late is not awaited.
        let late = [turns[0], Turn { is_awaited: false, ..turns[1] }];
        assert_eq!(order.next(now + LATE_AFTER, late.into_iter()), NextRead::Partition(0));
    }

    proptest! {
        /// Each partition has records of ascending times, which come in any order between the partitions. What is read ahead of records
        /// that have not come is bounded, and everything is read once all has come.
        #[test]
        fn any_arrival_is_read_whole_and_never_far_ahead(
            partitions in vec(vec((1..50_i64, 1..2_000_usize), 1..20), 1..6),
            arrivals in vec(0..6_usize, 0..200),
        ) {
            let now = Instant::now();
            let mut order = ReadingOrder::default();
            // Batches of records with their time, from the last one that was read on.
            let mut to_come: Vec<VecDeque<(i64, usize)>> = partitions
                .iter()
                .map(|batches| {
                    let mut time = 0;
                    batches.iter().map(|&(later, records)| { time += later; (time, records) }).collect()
                })
                .collect();
            let mut at_hand: Vec<VecDeque<(i64, usize)>> = vec![VecDeque::new(); partitions.len()];
            let mut times = vec![i64::MIN; partitions.len()];
            let all = (0..partitions.len()).flat_map(|partition| [partition; 20]);
            let mut ahead = 0;
            for arrived in arrivals.into_iter().chain(all).filter(|&arrived| arrived < partitions.len()) {
                at_hand[arrived].extend(to_come[arrived].pop_front());
                loop {
                    let turn = |partition: usize| Turn {
                        time: times[partition],
                        is_ready: !at_hand[partition].is_empty(),
                        is_awaited: at_hand[partition].is_empty() && !to_come[partition].is_empty(),
                    };
                    let NextRead::Partition(chosen) = order.next(now, (0..partitions.len()).map(turn)) else { break };
                    let is_ahead = (0..partitions.len()).any(|other| turn(other).holds_back(times[chosen]));
                    let (time, records) = at_hand[chosen].pop_front().unwrap();
                    order.note_read(records);
                    times[chosen] = time;
                    ahead = if is_ahead { ahead + records } else { ahead.saturating_sub(records) };
                    prop_assert!(ahead < LEAD_MAX + 2_000);
                }
            }
            prop_assert!(to_come.iter().chain(&at_hand).all(VecDeque::is_empty));
        }
    }
}
