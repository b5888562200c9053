//! A synthetic history: optimizations that live their lives, many at a time, the same for the same seed. With it comes
//! what a projector must show of it at the end, worked out from the lives' plans and not from the events.
//!
//! Serves `load`, `demo` and the tests. Pure: knows neither Kafka nor an encoding, and reads no clock.

use serde::{Deserialize, Serialize};

use crate::domain::{Event, Status, Timestamp};

use life::Life;
use plan::Fate;
use random::Random;

mod facts;
mod life;
mod plan;
mod random;

/// Which history. The same settings give the same events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistorySettings {
    pub seed: u64,
    pub optimizations: u64,
    /// Of each job.
    pub runs: u32,
    /// How many optimizations are under way at a time; at least 1.
    pub concurrent: usize,
    /// At least 1, as `organizations`.
    pub projects: u64,
    pub organizations: u64,
    /// When the first event occurred.
    pub start: Timestamp,
}

impl Default for HistorySettings {
    fn default() -> HistorySettings {
        HistorySettings {
            seed: 1,
            optimizations: 1000,
            runs: 8,
            concurrent: 1000,
            projects: 20,
            organizations: 2,
            // 2026-01-01T00:00:00Z
            start: Timestamp::from_millis(1_767_225_600_000).expect("a year between 1 and 9999"),
        }
    }
}

/// What must be shown at the end, whatever the order in which the topics were read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expectation {
    /// How many readers see.
    pub optimizations: u64,
    /// How many were there and are not shown any more.
    pub deleted: u64,
    pub by_status: ByStatus,
    /// The sum over all that are shown.
    pub run_count: u64,
}

/// How many of those that are shown have each status.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ByStatus {
    /// `status` is null: no job is linked.
    pub none: u64,
    pub queued: u64,
    pub running: u64,
    pub succeeded: u64,
    pub failed: u64,
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

/// The events in the order in which they occurred.
///
/// Each optimization has a stream of random numbers of its own, so a longer history begins with the same lives.
pub struct History {
    settings: HistorySettings,
    /// Says whose turn it is.
    random: Random,
    under_way: Vec<Life>,
    begun: u64,
    events: u64,
    expectation: Expectation,
}

/// Between two events of the whole history: with 1000 under way, a life of 20 events takes some two minutes.
const MILLIS_BETWEEN_EVENTS: u64 = 7;

impl History {
    pub fn new(settings: HistorySettings) -> History {
        // Lives are numbered from 1.
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

    /// Of the lives begun; all of them, once the history has ended.
    pub fn expectation(&self) -> &Expectation {
        &self.expectation
    }

    /// How many lives are over.
    pub fn optimizations_done(&self) -> u64 {
        self.begun - self.under_way.len() as u64
    }

    /// The next event, said to occur at this time: for traffic that should look live.
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
