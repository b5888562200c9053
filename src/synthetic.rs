//! A synthetic history: optimizations that live their lives, many at a time, the same for the same seed. It comes
//! with the expected views at the end, which follow from the plans of the lives and not from the events.
//!
//! It serves `load`, `demo` and the tests. Pure: it knows neither Kafka nor an encoding, and reads no clock.

use serde::{Deserialize, Serialize};

use crate::domain::{Event, Status, Timestamp};

use life::Life;
use plan::Fate;
use random::Random;
pub use settings::HistorySettings;

mod facts;
mod life;
mod plan;
mod random;
mod settings;

/// The expected totals at the end, whatever the order in which the topics were read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expectation {
    /// Number of optimizations that readers see.
    pub optimizations: u64,
    /// Number of optimizations that were deleted.
    pub deleted: u64,
    /// The visible optimizations by their status.
    pub by_status: ByStatus,
    /// Sum of the run counts of all visible optimizations.
    pub run_count: u64,
}

/// Number of visible optimizations of each status.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ByStatus {
    /// Number of optimizations whose `status` is null, because no job is linked.
    pub none: u64,
    /// Number of optimizations whose `status` is `queued`.
    pub queued: u64,
    /// Number of optimizations whose `status` is `running`.
    pub running: u64,
    /// Number of optimizations whose `status` is `succeeded`.
    pub succeeded: u64,
    /// Number of optimizations whose `status` is `failed`.
    pub failed: u64,
    /// Number of optimizations whose `status` is `canceled`.
    pub canceled: u64,
}

impl Expectation {
    /// Counts one optimization.
    pub fn add(&mut self, status: Option<Status>, run_count: u64, deleted: bool) {
        if deleted {
            self.deleted += 1;
            return;
        }
        self.optimizations += 1;
        self.run_count += run_count;
        let by_status = &mut self.by_status;
        *match status {
            None => &mut by_status.none,
            Some(Status::Queued) => &mut by_status.queued,
            Some(Status::Running) => &mut by_status.running,
            Some(Status::Succeeded) => &mut by_status.succeeded,
            Some(Status::Failed) => &mut by_status.failed,
            Some(Status::Canceled) => &mut by_status.canceled,
        } += 1;
    }
}

/// A history as an iterator over its events in the order in which they occurred.
///
/// Each optimization has its own stream of random numbers, so that a longer history begins with the same lives.
pub struct History {
    settings: HistorySettings,
    /// Chooses the optimization that has the next event.
    random: Random,
    under_way: Vec<Life>,
    begun: u64,
    events: u64,
    expectation: Expectation,
}

/// Time between two events of the whole history. With 1000 active optimizations, a life of 20 events takes some
/// two minutes.
const MILLIS_BETWEEN_EVENTS: u64 = 7;

impl History {
    /// Creates a history before its first event.
    pub fn new(settings: HistorySettings) -> History {
        // Lives are numbered from 1, so that 0 is free.
        let random = Random::new(settings.seed, 0);
        History {
            settings,
            random,
            under_way: Vec::new(),
            begun: 0,
            events: 0,
            expectation: Expectation::default(),
        }
    }

    /// Returns the expectation of the lives begun so far; of all lives once the history has ended.
    pub fn expectation(&self) -> &Expectation {
        &self.expectation
    }

    /// Number of lives that are over.
    pub fn optimizations_done(&self) -> u64 {
        self.begun - self.under_way.len() as u64
    }

    /// Returns the next event with this time of occurrence, for traffic that should look live.
    pub fn next_at(&mut self, occurred_at: Timestamp) -> Option<Event<'static>> {
        while self.under_way.len() < self.settings.concurrent && self.begun < self.settings.optimizations {
            self.begin();
        }
        if self.under_way.is_empty() {
            return None;
        }
        let turn = self.random.index(self.under_way.len());
        let event = self.under_way[turn].next(&self.settings, occurred_at)?;
        if self.under_way[turn].is_over() {
            self.under_way.swap_remove(turn);
        }
        self.events += 1;
        Some(event)
    }

    fn begin(&mut self) {
        self.begun += 1;
        let life = Life::new(&self.settings, self.begun);
        let Fate { status, run_count, deleted } = life.fate();
        self.expectation.add(status, run_count, deleted);
        self.under_way.push(life);
    }
}

impl Iterator for History {
    type Item = Event<'static>;

    fn next(&mut self) -> Option<Event<'static>> {
        let since_start = i64::try_from(self.events * MILLIS_BETWEEN_EVENTS).unwrap_or(i64::MAX);
        let millis = self.settings.start.millis().saturating_add(since_start);
        let occurred_at = Timestamp::from_millis(millis).expect("the year 10000 is 10^13 events away");
        self.next_at(occurred_at)
    }
}

#[cfg(test)]
mod tests;
