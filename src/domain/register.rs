//! A register: a value with the version that set it. Joining two keeps the greater version, so that registers form a
//! semilattice and events may come in any order, any number of times.

use serde::{Deserialize, Serialize};

use super::event::Metadata;
use super::position::Position;
use super::timestamp::Timestamp;

/// Compared field by field, in this order. Equal versions are the same event.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Version {
    /// 0: the producer has none.
    pub sequence: u64,
    pub occurred_at: Timestamp,
    /// Orders a job's statuses where nothing before it does; 0 elsewhere.
    pub rank: u8,
    pub event_id: Box<str>,
}

/// What set a register: the version, and the least position at which that event was seen.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Stamp {
    pub version: Version,
    pub source: Position,
}

impl Stamp {
    pub fn new(metadata: &Metadata<'_>, rank: u8, source: Position) -> Stamp {
        let version = Version {
            sequence: metadata.sequence,
            occurred_at: metadata.occurred_at,
            rank,
            event_id: metadata.event_id.as_ref().into(),
        };
        Stamp { version, source }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Register<T> {
    pub value: T,
    pub stamp: Stamp,
}

impl<T: Ord> Register<T> {
    /// Takes the maximum of what `slot` holds and `new`. True where that changed `slot`.
    ///
    /// Two events with one version should be one event. Where a producer breaks that, the greater value wins, so that
    /// the order of arrival still does not matter.
    pub fn join(slot: &mut Option<Register<T>>, new: Register<T>) -> bool {
        let Some(held) = slot else {
            *slot = Some(new);
            return true;
        };
        match new.stamp.version.cmp(&held.stamp.version) {
            std::cmp::Ordering::Less => false,
            std::cmp::Ordering::Greater => {
                *held = new;
                true
            }
            std::cmp::Ordering::Equal => {
                let earlier = new.stamp.source < held.stamp.source;
                if earlier {
                    held.stamp.source = new.stamp.source;
                }
                let greater = new.value > held.value;
                if greater {
                    held.value = new.value;
                }
                earlier || greater
            }
        }
    }
}
