//! Events that lose although they happened later than their winner. The order of versions is the contract's and is
//! followed; this module makes such a loss visible. Beside its winner, a register keeps the latest event by time:
//! two maxima over the same events, so that the order of arrival matters to neither.

use std::cmp::Reverse;

use serde::{Deserialize, Serialize};

use super::position::Topic;
use super::stamp::Stamp;

/// An event that changed nothing although it happened later than the event that it lost to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outranking {
    /// The stream of the event.
    pub topic: Topic,
    /// The kind of event as the contract on the topics names it.
    pub kind: &'static str,
    /// The id of the event's optimization or job.
    pub id: Box<str>,
    /// The stamp of the event that lost.
    pub event: Stamp,
    /// The stamp of the event that won.
    pub winner: Stamp,
}

/// The latest event of a register by time. It is empty while that is the event that set the register.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LatestEvent(Option<Box<Stamp>>);

impl LatestEvent {
    /// Returns the latest event, which is `winner`, the one that set the register, if no other is stored.
    pub fn or<'a>(&'a self, winner: &'a Stamp) -> &'a Stamp {
        self.0.as_deref().unwrap_or(winner)
    }

    /// Returns true if `new` replaces `winner` in both respects, as nearly every event does: it has the greater
    /// version, and did not happen earlier than any event before it.
    pub fn is_passed_by(&self, winner: &Stamp, new: &Stamp) -> bool {
        self.0.is_none() && new.version > winner.version && new.happened_at() >= winner.happened_at()
    }

    /// Creates the value to store beside `winner`, the event that finally set the register.
    pub fn beside(latest: Stamp, winner: &Stamp) -> LatestEvent {
        LatestEvent((latest != *winner).then(|| Box::new(latest)))
    }

    /// Returns the latest event if it lost to `winner` although it is newer.
    pub fn outranked_by(&self, winner: &Stamp) -> Option<&Stamp> {
        self.0.as_deref().filter(|latest| is_outranked(latest, winner))
    }
}

/// Returns the later one of two events. If both are one event that was seen twice, returns the one at the lesser
/// position.
pub fn later_of<'a>(one: &'a Stamp, other: &'a Stamp) -> &'a Stamp {
    let key = |stamp: &'a Stamp| (stamp.happened_at(), &stamp.version, Reverse(stamp.source));
    if key(one) >= key(other) { one } else { other }
}

/// Returns true if an event loses to `winner` by version although it is newer.
pub fn is_outranked(event: &Stamp, winner: &Stamp) -> bool {
    event.version < winner.version && is_newer(event, winner)
}

/// Returns true if an event happened later than another, and does not come before it in the same partition. Clocks
/// differ by some milliseconds, so that an event does not count as newer than its successor.
pub fn is_newer(event: &Stamp, other: &Stamp) -> bool {
    let (at, from) = (event.source, other.source);
    let comes_before = (at.topic, at.partition) == (from.topic, from.partition) && at.offset < from.offset;
    event.happened_at() > other.happened_at() && !comes_before
}

/// Explains why an event lost although it is newer.
pub fn explanation(event: &Stamp, winner: &Stamp) -> String {
    let (lost, won) = (&event.version, &winner.version);
    if lost >= won {
        return format!("the optimization had been deleted at {}, which is for ever", won.occurred_at);
    }
    match (lost.sequence, won.sequence) {
        (0, 1..) => format!(
            "it has no sequence and lost to an event with the sequence {}: all producers of one aggregate must give \
             sequences, or none",
            won.sequence
        ),
        (lost, won) if lost < won => format!(
            "its sequence {lost} is less than the {won} of the event that it lost to: the producer's counter began again, \
             or {won} was wrong"
        ),
        _ => format!(
            "the event that it lost to says that it occurred at {}, but its record had been written at {}: that producer's \
             clock was ahead",
            won.occurred_at,
            winner.happened_at()
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Metadata, PartitionOffset, Timestamp};

    fn stamp(sequence: u64, second: i64, partition: i32, offset: i64) -> Stamp {
        let metadata = Metadata {
            event_id: format!("e{partition}-{offset}").into(),
            occurred_at: Timestamp::new(second, 0).unwrap(),
            sequence,
        };
        Stamp::new(&metadata, 0, PartitionOffset { topic: Topic::Jobs, partition, offset })
    }

    #[test]
    fn an_event_is_outranked_where_it_is_newer_and_loses() {
        let winner = stamp(5, 100, 0, 10);
        for (event, expected) in [
            (stamp(0, 101, 0, 11), true),
            (stamp(1, 101, 0, 11), true),
            (stamp(1, 101, 1, 3), true),
            // The event wins.
            (stamp(6, 101, 0, 11), false),
            // The event occurred earlier, or at the same time.
            (stamp(1, 99, 0, 11), false),
            (stamp(1, 100, 0, 11), false),
            // The event came before, from a clock that is a little ahead.
            (stamp(1, 101, 0, 9), false),
        ] {
            assert_eq!(is_outranked(&event, &winner), expected, "{event:?}");
        }
    }

    #[test]
    fn a_time_after_the_record_was_written_is_not_believed() {
        let hour = 3_600_000;
        let ahead = stamp(0, 4_000_000_000, 0, 10).written_at(Some(100_000));
        let event = stamp(0, 100 + 3_600, 0, 11).written_at(Some(100_000 + hour));
        assert_eq!(ahead.happened_at(), Timestamp::from_millis(100_000).unwrap());
        assert!(is_outranked(&event, &ahead));
        assert!(explanation(&event, &ahead).contains("clock was ahead"), "{}", explanation(&event, &ahead));
        // Producers and brokers never have exactly the same clock.
        let nearly = stamp(0, 160, 0, 10).written_at(Some(100_000));
        assert_eq!(nearly, stamp(0, 160, 0, 10));
        // The record has no timestamp.
        assert_eq!(stamp(0, 4_000_000_000, 0, 10).written_at(Some(0)), stamp(0, 4_000_000_000, 0, 10));
    }
}
