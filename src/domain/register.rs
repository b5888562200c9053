//! A register is a value with the version that set it. Joining two keeps the greater version, so that registers
//! form a semilattice and events may come in any order, any number of times.

use serde::{Deserialize, Serialize};

use super::outranking::{LatestEvent, later_of};
use super::stamp::Stamp;

/// A value with the stamp of the event that set it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Register<T> {
    /// The value of the event with the greatest version.
    pub value: T,
    /// The stamp of the event that set the value.
    pub stamp: Stamp,
    /// The latest event by time, unless it is the one that set the value.
    pub latest: LatestEvent,
}

impl<T> Register<T> {
    /// Creates a register that one event has set.
    pub fn new(value: T, stamp: Stamp) -> Register<T> {
        Register { value, stamp, latest: LatestEvent::default() }
    }
}

impl<T: Ord> Register<T> {
    /// Sets `slot` to the maximum of its content and `new`. Returns true if that changed `slot`.
    ///
    /// Two events with one version should be one event. If a producer breaks that, the greater value wins, so that
    /// the order of arrival still does not matter.
    pub fn join(slot: &mut Option<Register<T>>, new: Register<T>) -> bool {
        match slot {
            Some(held) => held.join_new(new),
            None => {
                *slot = Some(new);
                true
            }
        }
    }

    /// Does what [`Register::join`] does to a register that few records have, so that it takes no room in the others.
    pub fn join_rare(slot: &mut Option<Box<Register<T>>>, new: Register<T>) -> bool {
        match slot {
            Some(held) => held.join_new(new),
            None => {
                *slot = Some(Box::new(new));
                true
            }
        }
    }

    fn join_new(&mut self, new: Register<T>) -> bool {
        let held = self;
        let latest = later_of(held.latest.or(&held.stamp), new.latest.or(&new.stamp)).clone();
        let changed = match new.stamp.version.cmp(&held.stamp.version) {
            std::cmp::Ordering::Less => false,
            std::cmp::Ordering::Greater => {
                (held.value, held.stamp) = (new.value, new.stamp);
                true
            }
            std::cmp::Ordering::Equal => {
                let earlier = new.stamp.source < held.stamp.source;
                if earlier {
                    held.stamp = new.stamp;
                }
                let greater = new.value > held.value;
                if greater {
                    held.value = new.value;
                }
                earlier || greater
            }
        };
        let latest = LatestEvent::beside(latest, &held.stamp);
        let later_heard = held.latest != latest;
        held.latest = latest;
        changed || later_heard
    }
}
