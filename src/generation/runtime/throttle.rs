//! A source that is throttled to a rate, so that a rebuild leaves the broker and the disk to others; that leaves out records which were
//! written after a time; and that does not publish its offsets while readers do not see the generation.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::domain::{PartitionOffset, Record, TopicPartition};
use crate::source::{
    ClusterHealth, PartitionObservation, Records, Source, SourceEvent, StandingError, StopReason, Watermarks,
};

/// The limits of a source.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Throttle {
    /// Records a second, until it is built: from then on it must keep up.
    pub max_rate: Option<f64>,
    /// Milliseconds since 1970: of records with this timestamp or a later one, nothing is folded.
    pub until_millis: Option<i64>,
    /// Its records are counted by another projector, until it is what readers see.
    pub is_quiet: bool,
}

/// The limits that have been lifted.
#[derive(Debug, Default)]
pub struct ThrottleRelease {
    /// Readers see the generation, so its offsets are published.
    pub is_live: AtomicBool,
    /// The generation is built, so the rate does not count any more.
    pub is_built: AtomicBool,
}

pub struct ThrottledSource<S> {
    source: S,
    restraint: Throttle,
    freedom: Arc<ThrottleRelease>,
    /// Events that were read too early, in their order.
    early: VecDeque<SourceEvent>,
    /// The time at which the next records may be given.
    due: Instant,
}

impl<S: Source> ThrottledSource<S> {
    pub fn new(source: S, restraint: Throttle, freedom: Arc<ThrottleRelease>) -> ThrottledSource<S> {
        ThrottledSource { source, restraint, freedom, early: VecDeque::new(), due: Instant::now() }
    }
}

impl<S: Source> Source for ThrottledSource<S> {
    fn poll(&mut self, wait: Duration, take: &mut dyn FnMut(SourceEvent)) -> bool {
        let Throttle { max_rate, until_millis, .. } = self.restraint;
        let max_rate = max_rate.filter(|_| !self.freedom.is_built.load(Ordering::Acquire));
        if max_rate.is_none() && until_millis.is_none() && self.early.is_empty() {
            return self.source.poll(wait, take);
        }
        if self.early.is_empty() {
            // What comes before it is due need not be waited for.
            let wait = if max_rate.is_some() && self.due > Instant::now() { Duration::ZERO } else { wait };
            let early = &mut self.early;
            self.source.poll(wait, &mut |polled| {
                let polled = match (polled, until_millis) {
                    (SourceEvent::Records(records), Some(until)) => {
                        EarlyRecords::of(records, until).map(SourceEvent::Records)
                    }
                    // Records may have been left out before it, so that nothing was read up to there.
                    (SourceEvent::Ended { partition, .. }, Some(_)) => {
                        Some(SourceEvent::Ended { partition, position: 0 })
                    }
                    (polled, _) => Some(polled),
                };
                early.extend(polled);
            });
        }
        while let Some(polled) = self.early.pop_front() {
            if let (SourceEvent::Records(records), Some(rate)) = (&polled, max_rate) {
                let now = Instant::now();
                if self.due > now {
                    self.early.push_front(polled);
                    break;
                }
                // What was not read in the past is not made up for.
                self.due = now + Duration::from_secs_f64(records.len() as f64 / rate);
            }
            take(polled);
        }
        let early = self.due.saturating_duration_since(Instant::now());
        if max_rate.is_some() && !early.is_zero() {
            // Not much longer than was asked for: the projector has other things to do.
            std::thread::sleep(early.min(wait.max(Duration::from_millis(10))));
        }
        !self.early.is_empty()
    }

    fn rest(&mut self, wait: Duration) {
        self.source.rest(wait);
    }

    fn assign(&mut self, partition: TopicPartition, offset: i64) -> Result<(), StopReason> {
        self.source.assign(partition, offset)
    }

    fn stop(&mut self, partition: TopicPartition) {
        self.source.stop(partition);
    }

    fn watermarks(&self, partition: TopicPartition) -> Option<Watermarks> {
        self.source.watermarks(partition)
    }

    fn trouble(&self) -> Option<String> {
        self.source.trouble()
    }

    fn is_complete(&self) -> bool {
        self.source.is_complete()
    }

    fn cluster_id(&self) -> Option<String> {
        self.source.cluster_id()
    }

    fn observation(&self, partition: TopicPartition) -> Option<PartitionObservation> {
        self.source.observation(partition)
    }

    fn partition_error(&self, partition: TopicPartition) -> Option<StandingError> {
        self.source.partition_error(partition)
    }

    fn cluster_health(&self) -> ClusterHealth {
        self.source.cluster_health()
    }

    fn publish(&mut self, offsets: &[PartitionOffset]) {
        if self.freedom.is_live.load(Ordering::Acquire) {
            self.source.publish(offsets);
        }
    }
}

/// Those of some records that were written before a time.
struct EarlyRecords {
    records: Box<dyn Records>,
    places: Vec<usize>,
}

impl EarlyRecords {
    fn of(records: Box<dyn Records>, until_millis: i64) -> Option<Box<dyn Records>> {
        let places: Vec<usize> = (0..records.len())
            .filter(|at| records.record(*at).timestamp_millis.is_none_or(|time| time < until_millis))
            .collect();
        (!places.is_empty()).then(|| Box::new(EarlyRecords { records, places }) as Box<dyn Records>)
    }
}

impl Records for EarlyRecords {
    fn len(&self) -> usize {
        self.places.len()
    }

    fn record(&self, at: usize) -> Record<'_> {
        self.records.record(self.places[at])
    }

    fn cut_from(&self, at: usize) -> Option<u64> {
        self.records.cut_from(self.places[at])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Topic;

    const JOBS: TopicPartition = TopicPartition::new(Topic::Jobs, 0);

    /// Gives ten batches of ten records at once, and then nothing.
    struct Flood(bool);

    struct Ten(i64);

    impl Records for Ten {
        fn len(&self) -> usize {
            10
        }

        fn record(&self, at: usize) -> Record<'_> {
            let offset = self.0 * 10 + at as i64;
            let position = JOBS.at(offset);
            Record { position, timestamp_millis: Some(offset), key: None, value: None, headers: Vec::new() }
        }
    }

    impl Source for Flood {
        fn poll(&mut self, _: Duration, take: &mut dyn FnMut(SourceEvent)) -> bool {
            if !std::mem::replace(&mut self.0, true) {
                (0..10).for_each(|batch| take(SourceEvent::Records(Box::new(Ten(batch)))));
                take(SourceEvent::Ended { partition: JOBS, position: 100 });
            }
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

        fn observation(&self, TopicPartition { partition, .. }: TopicPartition) -> Option<PartitionObservation> {
            let asked_at = Instant::now();
            Some(PartitionObservation {
                topic_id: None,
                low: 0,
                last_stable: 1,
                high: i64::from(partition),
                asked_at,
            })
        }

        fn partition_error(&self, TopicPartition { partition, .. }: TopicPartition) -> Option<StandingError> {
            let since = "2026-11-28T10:00:00Z".parse().unwrap();
            Some(StandingError { code: partition.to_string(), text: String::new(), since })
        }

        fn cluster_health(&self) -> ClusterHealth {
            ClusterHealth { renewals: 7, ..ClusterHealth::default() }
        }

        fn publish(&mut self, _: &[PartitionOffset]) {}
    }

    #[test]
    fn what_the_cluster_says_is_not_held_back() {
        let source = ThrottledSource::new(Flood(false), Throttle::default(), Arc::new(ThrottleRelease::default()));
        let partition = TopicPartition { partition: 5, ..JOBS };
        assert_eq!(source.observation(partition).map(|observation| observation.high), Some(5));
        assert_eq!(source.partition_error(partition).map(|error| error.code).as_deref(), Some("5"));
        assert_eq!(source.cluster_health().renewals, 7);
    }

    /// The offsets that a poll gives; -1 for the end.
    fn polled(source: &mut ThrottledSource<Flood>) -> Vec<i64> {
        let mut offsets = Vec::new();
        source.poll(Duration::ZERO, &mut |polled| match polled {
            SourceEvent::Records(records) => {
                offsets.extend((0..records.len()).map(|at| records.record(at).position.offset))
            }
            _ => offsets.push(-1),
        });
        offsets
    }

    fn in_order(until: i64) -> Vec<i64> {
        (0..until).chain([-1]).collect()
    }

    #[test]
    fn what_comes_at_once_is_given_batch_by_batch_until_it_is_built() {
        let freedom = Arc::new(ThrottleRelease::default());
        let restraint = Throttle { max_rate: Some(0.001), ..Throttle::default() };
        let mut source = ThrottledSource::new(Flood(false), restraint, freedom.clone());
        let mut given = polled(&mut source);
        assert_eq!(given, (0..10).collect::<Vec<_>>());
        assert!(polled(&mut source).is_empty(), "the next batch is due in hours");
        freedom.is_built.store(true, Ordering::Release);
        given.extend(polled(&mut source));
        assert_eq!(given, in_order(100));
    }

    #[test]
    fn what_was_written_later_is_left_out() {
        let restraint = Throttle { until_millis: Some(37), ..Throttle::default() };
        let mut source = ThrottledSource::new(Flood(false), restraint, Arc::new(ThrottleRelease::default()));
        assert_eq!(polled(&mut source), in_order(37));
    }
}
