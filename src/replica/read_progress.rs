//! The progress of the reading of a topic of views, once it has begun: how far each partition is from the end that it had then, and when something was
//! heard of it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::moment::ReplicaMoment;
use crate::source::Watermarks;

/// The time without an item of a partition that has more, after which the topic is read by a new client.
const DEAF_AFTER: Duration = Duration::from_secs(20);

/// The end of a partition, as the reading client has reached it.
#[derive(Clone, Copy, Debug)]
pub struct ReachedEnd {
    reached: Instant,
    /// The end as the cluster named it to the first question that was asked after that: the client does not give its offset. `None` until then.
    offset: Option<i64>,
}

/// The progress of the reading of a topic.
#[derive(Clone, Debug)]
pub struct ReadProgress {
    /// The moment of the beginning.
    begun: Instant,
    /// The partitions that have not been read yet to the end that they had at the beginning, each with that.
    open: BTreeMap<i32, i64>,
    /// The partitions whose end has been reached, and nothing has come after it, nor does the cluster know of more.
    pub ended: BTreeMap<i32, ReachedEnd>,
    /// The moment of the last item of each partition, or of the beginning.
    heard: BTreeMap<i32, Instant>,
    /// The moment at which the cluster last answered that a partition has no more.
    pub confirmed: BTreeMap<i32, Instant>,
    /// The end that each partition had when the cluster was last asked, with a moment before it.
    goals: BTreeMap<i32, (i64, Instant)>,
    /// The moment at which the topic is to be read anew, after an error.
    pub again_at: Option<Instant>,
}

impl ReadProgress {
    /// Begins to read partitions with these bounds at these offsets.
    pub fn new(next: &BTreeMap<i32, i64>, bounds: &BTreeMap<i32, Watermarks>, now: ReplicaMoment) -> ReadProgress {
        let ends = bounds.iter().map(|(partition, bounds)| (*partition, bounds.high));
        ReadProgress {
            begun: now.instant,
            open: ends.filter(|(partition, end)| next.get(partition).is_some_and(|next| next < end)).collect(),
            ended: BTreeMap::new(),
            heard: bounds.keys().map(|partition| (*partition, now.instant)).collect(),
            confirmed: BTreeMap::new(),
            goals: BTreeMap::new(),
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

    /// Takes note of a record, after which these offsets are the next. Returns the moment of the question whose end has been read by that.
    pub fn take_record(
        &mut self,
        partition: i32,
        next: &BTreeMap<i32, i64>,
        now: ReplicaMoment,
    ) -> Option<Instant> {
        self.heard.insert(partition, now.instant);
        self.ended.remove(&partition);
        if self.open.get(&partition).is_some_and(|end| next.get(&partition) >= Some(end)) {
            self.open.remove(&partition);
        }
        self.confirm_goal(partition, next)
    }

    /// Takes note that everything has been read that a partition had when the cluster was asked, if that is so.
    fn confirm_goal(&mut self, partition: i32, next: &BTreeMap<i32, i64>) -> Option<Instant> {
        let (end, asked) = self.goals.get(&partition).copied()?;
        if next.get(&partition).is_none_or(|next| *next < end) {
            return None;
        }
        self.goals.remove(&partition);
        self.confirm(partition, asked);
        Some(asked)
    }

    fn confirm(&mut self, partition: i32, moment: Instant) {
        self.confirmed.entry(partition).and_modify(|held| *held = moment.max(*held)).or_insert(moment);
    }

    /// Takes note of the end of a partition. What lies before it may be markers of transactions.
    pub fn take_end(&mut self, partition: i32, now: ReplicaMoment) {
        self.heard.insert(partition, now.instant);
        self.confirm(partition, now.instant);
        self.ended.insert(partition, ReachedEnd { reached: now.instant, offset: None });
        self.open.remove(&partition);
    }

    /// Takes note of the bounds as they are found by a question that was asked at this moment: nothing may have come to a partition that
    /// had been read to its end, or there is more of it now, which the client should bring soon.
    pub fn take_bounds(
        &mut self,
        before: &BTreeMap<i32, Watermarks>,
        bounds: &BTreeMap<i32, Watermarks>,
        asked: Instant,
        next: &BTreeMap<i32, i64>,
        now: ReplicaMoment,
    ) {
        for (partition, found) in bounds {
            if let Some(end) = self.ended.get_mut(partition) {
                if end.offset.is_some_and(|offset| offset < found.high) {
                    self.ended.remove(partition);
                    self.heard.insert(*partition, now.instant);
                } else if end.reached < asked {
                    end.offset.get_or_insert(found.high);
                }
            }
            if self.ended.contains_key(partition) && before.get(partition) == Some(found) {
                self.confirm(*partition, asked);
            }
            self.goals.insert(*partition, (found.high, asked));
            self.confirm_goal(*partition, next);
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
            has_more && !self.ended.contains_key(partition) && now.instant.duration_since(heard) > DEAF_AFTER
        })
    }

    /// Takes note that the topic is read by a new client from now on.
    pub fn begin_again(&mut self, now: ReplicaMoment) {
        self.ended.clear();
        self.heard.values_mut().for_each(|heard| *heard = now.instant);
    }
}
