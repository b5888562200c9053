//! The reading of a topic of views, once it has begun: how far each partition is from the end that it had then, and when something was
//! heard of it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::moment::ReplicaMoment;
use crate::source::Watermarks;

/// The time without an item of a partition that has more, after which the topic is read by a new client.
const DEAF_AFTER: Duration = Duration::from_secs(20);

/// The reading of a topic.
#[derive(Clone, Debug)]
pub struct Reading {
    /// The moment of the beginning.
    begun: Instant,
    /// The partitions that have not been read yet to the end that they had at the beginning, each with that.
    open: BTreeMap<i32, i64>,
    /// The partitions whose end has been reached, and nothing has come after it.
    pub ended: BTreeSet<i32>,
    /// The moment of the last item of each partition, or of the beginning.
    heard: BTreeMap<i32, Instant>,
    /// The moment at which the cluster last answered that a partition has no more.
    pub confirmed: BTreeMap<i32, Instant>,
    /// The moment at which the topic is to be read anew, after an error.
    pub again_at: Option<Instant>,
}

impl Reading {
    /// Begins to read partitions with these bounds at these offsets.
    pub fn new(next: &BTreeMap<i32, i64>, bounds: &BTreeMap<i32, Watermarks>, now: ReplicaMoment) -> Reading {
        let ends = bounds.iter().map(|(partition, bounds)| (*partition, bounds.high));
        let is_open = |(partition, end): &(i32, i64)| next.get(partition).is_some_and(|next| next < end);
        Reading {
            begun: now.instant,
            open: ends.filter(is_open).collect(),
            ended: BTreeSet::new(),
            heard: bounds.keys().map(|partition| (*partition, now.instant)).collect(),
            confirmed: BTreeMap::new(),
            again_at: None,
        }
    }

    /// Returns true once every partition has been read to the end that it had at the beginning.
    pub fn has_caught_up(&self) -> bool {
        self.open.is_empty()
    }

    /// Returns the last moment of which it is known that everything has been read that the topic held then; `None` if there is none.
    pub fn complete_as_of(&self) -> Option<Instant> {
        if !self.has_caught_up() {
            return None;
        }
        let confirmed = self.heard.keys().map(|partition| self.confirmed.get(partition).copied());
        Some(confirmed.map(|moment| moment.unwrap_or(self.begun)).min().unwrap_or(self.begun).max(self.begun))
    }

    /// Takes note of a record, after which these offsets are the next.
    pub fn take_record(&mut self, partition: i32, next: &BTreeMap<i32, i64>, now: ReplicaMoment) {
        self.heard.insert(partition, now.instant);
        self.ended.remove(&partition);
        if self.open.get(&partition).is_some_and(|end| next.get(&partition) >= Some(end)) {
            self.open.remove(&partition);
        }
    }

    /// Takes note of the end of a partition. What lies before it may be markers of transactions.
    pub fn take_end(&mut self, partition: i32, now: ReplicaMoment) {
        self.heard.insert(partition, now.instant);
        self.confirmed.insert(partition, now.instant);
        self.ended.insert(partition);
        self.open.remove(&partition);
    }

    /// Takes note of the bounds as they are found: nothing has come to a partition that had been read to its end.
    pub fn confirm_ends(
        &mut self,
        before: &BTreeMap<i32, Watermarks>,
        bounds: &BTreeMap<i32, Watermarks>,
        now: ReplicaMoment,
    ) {
        for (partition, found) in bounds {
            if self.ended.contains(partition) && before.get(partition) == Some(found) {
                self.confirmed.insert(*partition, now.instant);
            }
        }
    }

    /// Returns true if a partition has more than was read, and nothing has come of it for long.
    pub fn is_deaf(
        &self,
        next: &BTreeMap<i32, i64>,
        bounds: &BTreeMap<i32, Watermarks>,
        now: ReplicaMoment,
    ) -> bool {
        bounds.iter().any(|(partition, bounds)| {
            let has_more = next.get(partition).is_some_and(|next| *next < bounds.high);
            let heard = self.heard.get(partition).copied().unwrap_or(now.instant);
            has_more && !self.ended.contains(partition) && now.instant.duration_since(heard) > DEAF_AFTER
        })
    }

    /// Takes note that the topic is read by a new client from now on.
    pub fn begin_again(&mut self, now: ReplicaMoment) {
        self.ended.clear();
        self.heard.values_mut().for_each(|heard| *heard = now.instant);
    }
}
