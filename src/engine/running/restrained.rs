//! A source that is held back: to a rate, so that a rebuild leaves the broker and the disk to others; to what was written
//! before a time; and from telling the outside how far it is, while it is not what readers see.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::domain::{Record, Topic};
use crate::source::{Polled, Records, Source, Watermarks};

/// What holds a source back.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Restraint {
    /// Records a second, while it is not live.
    pub max_rate: Option<f64>,
    /// Milliseconds since 1970: of records with this timestamp or a later one, nothing is folded.
    pub until_millis: Option<i64>,
}

pub struct Restrained<S> {
    source: S,
    restraint: Restraint,
    is_live: Arc<AtomicBool>,
    /// When the next records may be read.
    due: Instant,
}

impl<S: Source> Restrained<S> {
    pub fn new(source: S, restraint: Restraint, is_live: Arc<AtomicBool>) -> Restrained<S> {
        Restrained { source, restraint, is_live, due: Instant::now() }
    }

    fn is_live(&self) -> bool {
        self.is_live.load(Ordering::Acquire)
    }
}

impl<S: Source> Source for Restrained<S> {
    fn poll(&mut self, wait: Duration, take: &mut dyn FnMut(Polled)) {
        let Restraint { max_rate, until_millis } = self.restraint;
        let max_rate = max_rate.filter(|_| !self.is_live());
        let early = self.due.saturating_duration_since(Instant::now());
        if max_rate.is_some() && !early.is_zero() {
            // Not much longer than was asked for: the projector has other things to do.
            return std::thread::sleep(early.min(wait.max(Duration::from_millis(10))));
        }
        let mut read = 0;
        self.source.poll(wait, &mut |polled| match polled {
            Polled::Records(records) => {
                read += records.len();
                match until_millis {
                    Some(until) => {
                        Early::of(records, until).map(|records| take(Polled::Records(Box::new(records))))
                    }
                    None => Some(take(Polled::Records(records))),
                };
            }
            other => take(other),
        });
        if let Some(rate) = max_rate {
            // What was not read in the past is not made up for.
            self.due = self.due.max(Instant::now()) + Duration::from_secs_f64(read as f64 / rate);
        }
    }

    fn assign(&mut self, topic: Topic, partition: i32, offset: i64) -> Result<(), String> {
        self.source.assign(topic, partition, offset)
    }

    fn stop(&mut self, topic: Topic, partition: i32) {
        self.source.stop(topic, partition);
    }

    fn watermarks(&self, topic: Topic, partition: i32) -> Option<Watermarks> {
        self.source.watermarks(topic, partition)
    }

    fn trouble(&self) -> Option<String> {
        self.source.trouble()
    }

    fn is_complete(&self) -> bool {
        self.source.is_complete()
    }

    fn publish(&mut self, offsets: &[(Topic, i32, i64)]) {
        if self.is_live() {
            self.source.publish(offsets);
        }
    }
}

/// Those of some records that were written before a time.
struct Early {
    records: Box<dyn Records>,
    places: Vec<usize>,
}

impl Early {
    fn of(records: Box<dyn Records>, until_millis: i64) -> Option<Early> {
        let is_early = |at: &usize| records.record(*at).timestamp_millis.is_none_or(|time| time < until_millis);
        let places: Vec<usize> = (0..records.len()).filter(is_early).collect();
        (!places.is_empty()).then_some(Early { records, places })
    }
}

impl Records for Early {
    fn len(&self) -> usize {
        self.places.len()
    }

    fn record(&self, at: usize) -> Record<'_> {
        self.records.record(self.places[at])
    }
}
