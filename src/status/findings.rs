//! What the projector has found in the records that somebody should look at: events that lost although they are newer,
//! deletions that deleted nothing, numbers that are none, jobs that nothing links, and streams that are not understood. Counted since the process
//! began, but for what says otherwise.

use serde::Serialize;

/// All findings, as `/status` shows them among its keys.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Findings {
    pub outranked_events: Found<OutrankedEvent>,
    pub deletions_without_effect: Found<EmptyDeletion>,
    pub nulled_numbers: Found<NulledNumbers>,
    /// `null` until they have been counted: once live, and then every hour.
    pub orphan_jobs: Option<OrphanJobs>,
    pub streams: Vec<StreamReport>,
}

impl Findings {
    /// Takes in what was found by the projector whose place another takes, which has counted nothing until now.
    pub fn go_on_from(&mut self, before: Findings) {
        self.outranked_events.go_on_from(before.outranked_events);
        self.deletions_without_effect.go_on_from(before.deletions_without_effect);
        self.nulled_numbers.go_on_from(before.nulled_numbers);
        self.orphan_jobs = self.orphan_jobs.take().or(before.orphan_jobs);
    }
}

/// How often something was found, and the newest.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Found<T> {
    pub count: u64,
    pub newest: Option<T>,
}

impl<T> Default for Found<T> {
    fn default() -> Found<T> {
        Found { count: 0, newest: None }
    }
}

impl<T> Found<T> {
    pub fn add(&mut self, newest: T) {
        self.count += 1;
        self.newest = Some(newest);
    }

    fn go_on_from(&mut self, before: Found<T>) {
        self.count += before.count;
        self.newest = self.newest.take().or(before.newest);
    }
}

/// An event that changed nothing although it is newer than what it lost to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OutrankedEvent {
    /// The optimization or the job that it is of.
    pub id: String,
    pub event: EventPlace,
    pub lost_to: EventPlace,
    pub why: String,
}

/// An event, and where its record lies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EventPlace {
    /// The kind of event; `null` where it is not known.
    pub kind: Option<&'static str>,
    /// The topic's name in the cluster.
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
    pub occurred_at: String,
    /// `null` for a record with a null value, which carries none.
    pub event_id: Option<String>,
    /// 0: the producer has none.
    pub sequence: u64,
}

/// A deletion of an optimization that was not there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EmptyDeletion {
    pub id: String,
    pub event: EventPlace,
    /// What is odd about the id; `null` where nothing is.
    pub hint: Option<String>,
}

/// An event with numbers that JSON cannot say (NaN, infinities), which are shown as null.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NulledNumbers {
    /// The optimization or the job that it is of.
    pub id: String,
    pub event: EventPlace,
    /// How many there are in the event.
    pub numbers: u32,
}

/// Jobs that no optimization has linked for `--orphan-retention`, since they were first found here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OrphanJobs {
    pub count: u64,
    /// Jobs that no optimization links, those too that have not waited so long.
    pub waiting: u64,
    pub longest: Option<OrphanJob>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OrphanJob {
    pub job_id: String,
    pub first_found_at: String,
}

/// How much of a stream was understood.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StreamReport {
    /// What the topic means: `optimizations`, `jobs` or `multistart-runs`.
    pub stream: &'static str,
    /// The topic's name in the cluster.
    pub topic: String,
    pub understood: u64,
    pub not_understood: u64,
    /// Set while many of the latest records are not understood: what that means.
    pub problem: Option<String>,
}
