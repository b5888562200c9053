//! How long a tool that reads to an end waits for what does not come, and why it then ends. An error of a partition is told by
//! its source as long as it stands; whoever waits without asking for it would wait for ever. Pure: the clock is given.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::{Source, StandingError};
use crate::domain::Topic;

/// Why a tool waits no longer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Overdue {
    /// One partition cannot be read, whatever comes of the others.
    Partition { topic: Topic, partition: i32, why: String },
    /// Nothing has come of any partition.
    Silence { why: String },
}

/// The time that a source has to give something.
#[derive(Debug)]
pub struct ReadDeadline {
    limit: Duration,
    heard: Instant,
    /// The partitions with an error, and since when they have had one without a break.
    failing: BTreeMap<(Topic, i32), Instant>,
}

impl ReadDeadline {
    pub fn new(limit: Duration, now: Instant) -> ReadDeadline {
        ReadDeadline { limit, heard: now, failing: BTreeMap::new() }
    }

    /// Something has come.
    pub fn heard(&mut self, now: Instant) {
        self.heard = now;
    }

    /// Whether the time is over for these partitions, each of which has something that is still to be read.
    pub fn look(
        &mut self,
        source: &dyn Source,
        awaited: impl IntoIterator<Item = (Topic, i32)>,
        now: Instant,
    ) -> Option<Overdue> {
        let before = std::mem::take(&mut self.failing);
        let mut first = None;
        for (topic, partition) in awaited {
            let Some(error) = source.partition_error(topic, partition) else { continue };
            let since = before.get(&(topic, partition)).copied().unwrap_or(now);
            self.failing.insert((topic, partition), since);
            if needs_somebody(&error) || now.saturating_duration_since(since) >= self.limit {
                return Some(Overdue::Partition { topic, partition, why: error.text });
            }
            first.get_or_insert(Overdue::Partition { topic, partition, why: error.text });
        }
        let is_silent = now.saturating_duration_since(self.heard) >= self.limit;
        is_silent.then(|| first.unwrap_or_else(|| Overdue::Silence { why: trouble(source) }))
    }
}

/// What keeps the whole source from giving anything.
pub fn trouble(source: &dyn Source) -> String {
    let of_cluster = || source.cluster_health().error.map(|error| error.text);
    source.trouble().or_else(of_cluster).unwrap_or_else(|| "the cluster does not answer".to_owned())
}

/// Whether an error stays until somebody changes something: a right that is not there does not come by itself.
fn needs_somebody(error: &StandingError) -> bool {
    error.code.ends_with("AuthorizationFailed")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::{Polled, StopReason, Watermarks};

    const LIMIT: Duration = Duration::from_secs(60);

    /// A source that gives nothing, with errors of some partitions of the jobs.
    struct Silent(Vec<(i32, &'static str)>);

    impl Source for Silent {
        fn poll(&mut self, _: Duration, _: &mut dyn FnMut(Polled)) {}

        fn assign(&mut self, _: Topic, _: i32, _: i64) -> Result<(), StopReason> {
            Ok(())
        }

        fn stop(&mut self, _: Topic, _: i32) {}

        fn watermarks(&self, _: Topic, _: i32) -> Option<Watermarks> {
            None
        }

        fn trouble(&self) -> Option<String> {
            None
        }

        fn is_complete(&self) -> bool {
            true
        }

        fn partition_error(&self, _: Topic, partition: i32) -> Option<StandingError> {
            let (_, code) = self.0.iter().find(|(failing, _)| *failing == partition)?;
            let since = chrono::DateTime::UNIX_EPOCH;
            Some(StandingError { code: (*code).to_owned(), text: format!("{code}!"), since })
        }

        fn publish(&mut self, _: &[(Topic, i32, i64)]) {}
    }

    fn overdue(partition: i32, why: &str) -> Option<Overdue> {
        Some(Overdue::Partition { topic: Topic::Jobs, partition, why: why.to_owned() })
    }

    #[test]
    fn an_error_ends_it_once_it_has_stood_without_a_break_though_others_are_read() {
        let (failing, well) = (Silent(vec![(1, "NotLeaderForPartition")]), Silent(Vec::new()));
        let begin = Instant::now();
        let at = |seconds| begin + Duration::from_secs(seconds);
        let mut deadline = ReadDeadline::new(LIMIT, begin);
        let mut look = |source: &Silent, seconds| {
            deadline.heard(at(seconds));
            deadline.look(source, [(Topic::Jobs, 0), (Topic::Jobs, 1)], at(seconds))
        };
        assert_eq!((look(&failing, 0), look(&failing, 59)), (None, None));
        assert_eq!(look(&well, 60), None);
        assert_eq!((look(&failing, 61), look(&failing, 120)), (None, None), "it has been well in between");
        assert_eq!(look(&failing, 121), overdue(1, "NotLeaderForPartition!"));
    }

    #[test]
    fn a_right_that_is_missing_ends_it_at_once_and_one_that_nobody_waits_for_does_not() {
        let failing = Silent(vec![(1, "TopicAuthorizationFailed")]);
        let now = Instant::now();
        let mut deadline = ReadDeadline::new(LIMIT, now);
        assert_eq!(deadline.look(&failing, [(Topic::Jobs, 0)], now), None);
        let both = [(Topic::Jobs, 0), (Topic::Jobs, 1)];
        assert_eq!(deadline.look(&failing, both, now), overdue(1, "TopicAuthorizationFailed!"));
    }

    #[test]
    fn silence_ends_it_and_names_the_error_of_a_partition_where_there_is_one() {
        let begin = Instant::now();
        let mut deadline = ReadDeadline::new(LIMIT, begin);
        let jobs = [(Topic::Jobs, 0)];
        assert_eq!(deadline.look(&Silent(Vec::new()), jobs, begin + LIMIT - Duration::from_secs(1)), None);
        let why = "the cluster does not answer".to_owned();
        let silence = Some(Overdue::Silence { why });
        assert_eq!(deadline.look(&Silent(Vec::new()), jobs, begin + LIMIT), silence);
        let late = Silent(vec![(0, "LeaderNotAvailable")]);
        assert_eq!(deadline.look(&late, jobs, begin + LIMIT), overdue(0, "LeaderNotAvailable!"));
        deadline.heard(begin + LIMIT);
        assert_eq!(deadline.look(&late, jobs, begin + LIMIT), None);
    }
}
