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
    /// What had been understood, and what had not, of each stream by the projector whose place this one has taken.
    #[serde(skip)]
    streams_before: Vec<(u64, u64)>,
}

impl Findings {
    /// What is known of the streams now. The counts are those of one projector.
    pub fn set_streams(&mut self, mut streams: Vec<StreamReport>) {
        for (stream, (understood, not_understood)) in streams.iter_mut().zip(&self.streams_before) {
            stream.understood += understood;
            stream.not_understood += not_understood;
        }
        self.streams = streams;
    }

    /// Takes in what was found by the projector whose place another takes, which has counted nothing until now.
    pub fn go_on_from(&mut self, before: Findings) {
        self.streams_before =
            before.streams.iter().map(|stream| (stream.understood, stream.not_understood)).collect();
        let streams = std::mem::take(&mut self.streams);
        self.set_streams(if streams.is_empty() { uncounted(before.streams) } else { streams });
        self.outranked_events.go_on_from(before.outranked_events);
        self.deletions_without_effect.go_on_from(before.deletions_without_effect);
        self.nulled_numbers.go_on_from(before.nulled_numbers);
        self.orphan_jobs = self.orphan_jobs.take().or(before.orphan_jobs);
    }
}

/// What streams are, without what was counted of them.
fn uncounted(mut streams: Vec<StreamReport>) -> Vec<StreamReport> {
    for stream in &mut streams {
        (stream.understood, stream.not_understood) = (0, 0);
    }
    streams
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
    /// Adds what was found since.
    pub fn add(&mut self, since: Found<T>) {
        self.count += since.count;
        self.newest = since.newest.or(self.newest.take());
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

#[cfg(test)]
mod tests {
    use super::*;

    fn streams(counts: [(u64, u64); 3]) -> Vec<StreamReport> {
        let report = |(understood, not_understood)| StreamReport {
            stream: "jobs",
            topic: "jobs".to_owned(),
            understood,
            not_understood,
            problem: None,
        };
        counts.map(report).to_vec()
    }

    #[test]
    fn who_takes_another_s_place_counts_on_from_what_that_had_counted() {
        let mut before = Findings::default();
        before.set_streams(streams([(7, 1), (8, 2), (9, 3)]));
        before.outranked_events.count = 4;
        let mut after = Findings::default();
        after.go_on_from(before.clone());
        assert_eq!((&after.streams, after.outranked_events.count), (&before.streams, 4));
        after.set_streams(streams([(1, 0), (0, 1), (0, 0)]));
        assert_eq!(after.streams, streams([(8, 1), (8, 3), (9, 3)]));
        let mut next = Findings::default();
        next.go_on_from(after);
        next.set_streams(streams([(1, 1), (1, 1), (1, 1)]));
        assert_eq!(next.streams, streams([(9, 2), (9, 4), (10, 4)]));
    }

    #[test]
    fn the_first_projector_goes_on_from_nothing() {
        let mut first = Findings::default();
        first.set_streams(streams([(7, 1), (8, 2), (9, 3)]));
        first.go_on_from(Findings::default());
        assert_eq!(first.streams, streams([(7, 1), (8, 2), (9, 3)]));
    }
}
