//! The time limit of a tool that reads to an end. A source reports an error of a partition as long as the error
//! stands; a tool that did not ask for it would wait for ever. Pure: the caller passes the time.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::{Source, StandingError};
use crate::domain::TopicPartition;

/// The reason for which a tool stops waiting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadTimeout {
    /// One partition cannot be read. Records of other partitions do not help.
    Partition { partition: TopicPartition, why: String },
    /// No partition has delivered anything.
    Silence { why: String },
}

/// A time limit for a source that may deliver nothing.
#[derive(Debug)]
pub struct ReadDeadline {
    limit: Duration,
    heard: Instant,
    /// The start of the uninterrupted error of each partition that has one.
    failing: BTreeMap<TopicPartition, Instant>,
}

impl ReadDeadline {
    pub fn new(limit: Duration, now: Instant) -> ReadDeadline {
        ReadDeadline { limit, heard: now, failing: BTreeMap::new() }
    }

    /// Restarts the time limit because something was delivered.
    pub fn restart(&mut self, now: Instant) {
        self.heard = now;
    }

    /// Returns a timeout if `awaited`, the partitions with records still to be read, have taken too long.
    pub fn check(
        &mut self,
        source: &dyn Source,
        awaited: impl IntoIterator<Item = TopicPartition>,
        now: Instant,
    ) -> Option<ReadTimeout> {
        let before = std::mem::take(&mut self.failing);
        let mut first = None;
        for partition in awaited {
            let Some(error) = source.partition_error(partition) else { continue };
            let since = before.get(&partition).copied().unwrap_or(now);
            self.failing.insert(partition, since);
            if needs_intervention(&error) || now.saturating_duration_since(since) >= self.limit {
                return Some(ReadTimeout::Partition { partition, why: error.text });
            }
            first.get_or_insert(ReadTimeout::Partition { partition, why: error.text });
        }
        let is_silent = now.saturating_duration_since(self.heard) >= self.limit;
        is_silent.then(|| first.unwrap_or_else(|| ReadTimeout::Silence { why: trouble(source) }))
    }
}

/// Returns the reason for which the whole source delivers nothing.
pub fn trouble(source: &dyn Source) -> String {
    source
        .trouble()
        .or_else(|| source.cluster_health().error.map(|error| error.text))
        .unwrap_or_else(|| "the cluster does not answer".to_owned())
}

/// Returns true if the error stays until somebody acts: nobody gets a missing right by waiting.
fn needs_intervention(error: &StandingError) -> bool {
    error.code.ends_with("AuthorizationFailed")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{PartitionOffset, Topic};
    use crate::source::{SourceEvent, StopReason, Watermarks};

    const LIMIT: Duration = Duration::from_secs(60);

    /// A source that delivers nothing and has these errors of partitions of the jobs topic.
    struct Silent(Vec<(i32, &'static str)>);

    impl Source for Silent {
        fn poll(&mut self, _: Duration, _: &mut dyn FnMut(SourceEvent)) -> bool {
            false
        }

        fn assign(&mut self, _: TopicPartition, _: i64) -> Result<(), StopReason> {
            Ok(())
        }

        fn stop(&mut self, _: TopicPartition) {}

        fn watermarks(&self, _: TopicPartition) -> Option<Watermarks> {
            None
        }

        fn trouble(&self) -> Option<String> {
            None
        }

        fn is_complete(&self) -> bool {
            true
        }

        fn partition_error(&self, TopicPartition { partition, .. }: TopicPartition) -> Option<StandingError> {
            let (_, code) = self.0.iter().find(|(failing, _)| *failing == partition)?;
            let since = chrono::DateTime::UNIX_EPOCH;
            Some(StandingError { code: (*code).to_owned(), text: format!("{code}!"), since })
        }

        fn publish(&mut self, _: &[PartitionOffset]) {}
    }

    fn overdue(partition: i32, why: &str) -> Option<ReadTimeout> {
        let partition = TopicPartition::new(Topic::Jobs, partition);
        Some(ReadTimeout::Partition { partition, why: why.to_owned() })
    }

    #[test]
    fn an_error_ends_it_once_it_has_stood_without_a_break_though_others_are_read() {
        let (failing, well) = (Silent(vec![(1, "NotLeaderForPartition")]), Silent(Vec::new()));
        let begin = Instant::now();
        let at = |seconds| begin + Duration::from_secs(seconds);
        let mut deadline = ReadDeadline::new(LIMIT, begin);
        let mut look = |source: &Silent, seconds| {
            deadline.restart(at(seconds));
            deadline.check(
                source,
                [TopicPartition::new(Topic::Jobs, 0), TopicPartition::new(Topic::Jobs, 1)],
                at(seconds),
            )
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
        assert_eq!(deadline.check(&failing, [TopicPartition::new(Topic::Jobs, 0)], now), None);
        let both = [TopicPartition::new(Topic::Jobs, 0), TopicPartition::new(Topic::Jobs, 1)];
        assert_eq!(deadline.check(&failing, both, now), overdue(1, "TopicAuthorizationFailed!"));
    }

    #[test]
    fn silence_ends_it_and_names_the_error_of_a_partition_where_there_is_one() {
        let begin = Instant::now();
        let mut deadline = ReadDeadline::new(LIMIT, begin);
        let jobs = [TopicPartition::new(Topic::Jobs, 0)];
        assert_eq!(deadline.check(&Silent(Vec::new()), jobs, begin + LIMIT - Duration::from_secs(1)), None);
        let why = "the cluster does not answer".to_owned();
        let silence = Some(ReadTimeout::Silence { why });
        assert_eq!(deadline.check(&Silent(Vec::new()), jobs, begin + LIMIT), silence);
        let late = Silent(vec![(0, "LeaderNotAvailable")]);
        assert_eq!(deadline.check(&late, jobs, begin + LIMIT), overdue(0, "LeaderNotAvailable!"));
        deadline.restart(begin + LIMIT);
        assert_eq!(deadline.check(&late, jobs, begin + LIMIT), None);
    }
}
