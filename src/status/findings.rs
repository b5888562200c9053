//! The projector's findings in the records, which operators should look into: events that lost although they are newer,
//! deletions that deleted nothing, numbers that JSON cannot express, jobs that no optimization links, and streams that are not
//! understood. The counts begin with the process, unless a field states otherwise.

use serde::Serialize;

/// All findings, as `/status` shows them among its keys.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Findings {
    /// The events that lost although they are newer.
    pub outranked_events: FindingCounter<OutrankedEvent>,
    /// The deletions of optimizations that were not there.
    pub deletions_without_effect: FindingCounter<EmptyDeletion>,
    /// The events with numbers that JSON cannot express.
    pub nulled_numbers: FindingCounter<NulledNumbers>,
    /// The jobs that no optimization links; `null` until they are first counted, once live, and then every hour.
    pub orphan_jobs: Option<OrphanJobs>,
    /// The counts of each stream's records; empty until the projector has reported.
    pub streams: Vec<StreamReport>,
    /// The counts of understood and not understood records of each stream from the projector that this one has replaced.
    #[serde(skip)]
    streams_before: Vec<(u64, u64)>,
}

impl Findings {
    /// Sets the reports of the streams. Their counts are those of one projector, to which those of earlier ones are added.
    pub fn set_streams(&mut self, mut streams: Vec<StreamReport>) {
        for (stream, (understood, not_understood)) in streams.iter_mut().zip(&self.streams_before) {
            stream.understood += understood;
            stream.not_understood += not_understood;
        }
        self.streams = streams;
    }

    /// Adds the findings of the projector that this one replaces. It has counted nothing until now.
    pub fn continue_from(&mut self, before: Findings) {
        self.streams_before =
            before.streams.iter().map(|stream| (stream.understood, stream.not_understood)).collect();
        let streams = std::mem::take(&mut self.streams);
        self.set_streams(if streams.is_empty() { uncounted(before.streams) } else { streams });
        self.outranked_events.continue_from(before.outranked_events);
        self.deletions_without_effect.continue_from(before.deletions_without_effect);
        self.nulled_numbers.continue_from(before.nulled_numbers);
        self.orphan_jobs = self.orphan_jobs.take().or(before.orphan_jobs);
    }
}

/// Resets the counts of these streams to zero.
fn uncounted(mut streams: Vec<StreamReport>) -> Vec<StreamReport> {
    for stream in &mut streams {
        (stream.understood, stream.not_understood) = (0, 0);
    }
    streams
}

/// The number of findings of one kind, with the newest one.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FindingCounter<T> {
    /// Number of findings.
    pub count: u64,
    /// The finding that was made last; `null` if there is none.
    pub newest: Option<T>,
}

impl<T> Default for FindingCounter<T> {
    fn default() -> FindingCounter<T> {
        FindingCounter { count: 0, newest: None }
    }
}

impl<T> FindingCounter<T> {
    /// Adds later findings.
    pub fn add(&mut self, since: FindingCounter<T>) {
        self.count += since.count;
        self.newest = since.newest.or(self.newest.take());
    }

    fn continue_from(&mut self, before: FindingCounter<T>) {
        self.count += before.count;
        self.newest = self.newest.take().or(before.newest);
    }
}

/// An event that changed nothing although it is newer than what it lost to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OutrankedEvent {
    /// The id of the optimization or the job that the event belongs to.
    pub id: String,
    /// The event that changed nothing.
    pub event: EventPlace,
    /// The event that it lost to.
    pub lost_to: EventPlace,
    /// The reason for which the newer event lost, in words.
    pub why: String,
}

/// An event, and the position of its record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EventPlace {
    /// The kind of event; `null` if it is not known.
    pub kind: Option<&'static str>,
    /// The topic's name in the cluster.
    pub topic: String,
    /// The number of the partition within its topic, counted from 0.
    pub partition: i32,
    /// The offset of the record.
    pub offset: i64,
    /// The time that the event states, RFC 3339.
    pub occurred_at: String,
    /// `null` for a record with a null value, which carries none.
    pub event_id: Option<String>,
    /// The producer's sequence number; 0 if the producer has none.
    pub sequence: u64,
}

/// A deletion of an optimization that was not there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EmptyDeletion {
    /// The id that was to be deleted.
    pub id: String,
    /// The deletion.
    pub event: EventPlace,
    /// A remark about an odd id; `null` if the id is not odd.
    pub hint: Option<String>,
}

/// An event with numbers that JSON cannot express (NaN, infinities), which are shown as null.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NulledNumbers {
    /// The id of the optimization or the job that the event belongs to.
    pub id: String,
    /// The event with the numbers.
    pub event: EventPlace,
    /// Number of such numbers in the event.
    pub numbers: u32,
}

/// The jobs that no optimization has linked for `--orphan-retention` since they were first found here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OrphanJobs {
    /// Number of such jobs.
    pub count: u64,
    /// Number of jobs that no optimization links, including those that have not waited so long.
    pub waiting: u64,
    /// The job among them that has waited longest; `null` if there is none.
    pub longest: Option<OrphanJob>,
}

/// A job that no optimization links.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OrphanJob {
    /// The id of the job.
    pub job_id: String,
    /// The time at which the job was first found to be linked by none, RFC 3339.
    pub first_found_at: String,
}

/// The numbers of records of a stream that were understood and that were not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StreamReport {
    /// The stream's name: `optimizations`, `jobs` or `multistart-runs`.
    pub stream: &'static str,
    /// The topic's name in the cluster.
    pub topic: String,
    /// Number of records that were decoded.
    pub understood: u64,
    /// Number of records that became dead letters.
    pub not_understood: u64,
    /// The meaning and the remedy, while many of the latest records are not understood.
    pub problem: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn streams(counts: [(u64, u64); 3]) -> Vec<StreamReport> {
        counts
            .map(|(understood, not_understood)| StreamReport {
                stream: "jobs",
                topic: "jobs".to_owned(),
                understood,
                not_understood,
                problem: None,
            })
            .to_vec()
    }

    #[test]
    fn a_projector_that_replaces_another_continues_its_counts() {
        let mut before = Findings::default();
        before.set_streams(streams([(7, 1), (8, 2), (9, 3)]));
        before.outranked_events.count = 4;
        let mut after = Findings::default();
        after.continue_from(before.clone());
        assert_eq!((&after.streams, after.outranked_events.count), (&before.streams, 4));
        after.set_streams(streams([(1, 0), (0, 1), (0, 0)]));
        assert_eq!(after.streams, streams([(8, 1), (8, 3), (9, 3)]));
        let mut next = Findings::default();
        next.continue_from(after);
        next.set_streams(streams([(1, 1), (1, 1), (1, 1)]));
        assert_eq!(next.streams, streams([(9, 2), (9, 4), (10, 4)]));
    }

    #[test]
    fn the_first_projector_continues_no_counts() {
        let mut first = Findings::default();
        first.set_streams(streams([(7, 1), (8, 2), (9, 3)]));
        first.continue_from(Findings::default());
        assert_eq!(first.streams, streams([(7, 1), (8, 2), (9, 3)]));
    }
}
