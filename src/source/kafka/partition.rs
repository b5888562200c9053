//! One partition as the client that reads holds it: its queue, how far it has come, and which error stands.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use chrono::Utc;
use rdkafka::types::RDKafkaErrorCode;

use super::client::Client;
use super::fetch_errors::{Consequence, Meaning, consequence, meaning};
use super::queue::{Queue, Taken};
use super::wake::Wake;
use super::watch::Watch;
use crate::domain::{Gap, Topic};
use crate::source::{PartitionObservation, Polled, Records as _, StandingError};

pub struct Partition {
    pub topic: Topic,
    pub number: i32,
    queue: Queue,
    /// Set by librdkafka when the queue stops being empty.
    ready: Arc<AtomicBool>,
    /// The timestamp of the last record given, in milliseconds since 1970.
    pub time: i64,
    /// The next offset to be given. A client that takes another one's place begins there.
    pub position: i64,
    /// librdkafka tells an error once; it stands until records come or the end does.
    pub error: Option<FetchError>,
}

/// An error of a partition's fetch that stands.
#[derive(Clone, Debug)]
pub struct FetchError {
    pub shown: StandingError,
    code: RDKafkaErrorCode,
    /// When this code was told first without another one between, and when last.
    pub since: Instant,
    told: Instant,
}

impl Partition {
    /// Takes the partition's records out of the client's main queue. Before anything is fetched: what came by the main queue
    /// could be read after what follows it, and a checkpoint between the two would cover records that were never folded.
    pub fn split(
        client: &Arc<Client<Watch>>,
        name: &str,
        (topic, number): (Topic, i32),
        position: i64,
        wake: &Arc<Wake>,
    ) -> Result<Partition, String> {
        let ready = Arc::new(AtomicBool::new(true));
        let (wake, set) = (wake.clone(), ready.clone());
        let nonempty = move || {
            set.store(true, Ordering::Release);
            wake.wake();
        };
        let queue = Queue::split(client, name, number, nonempty)
            .ok_or_else(|| format!("librdkafka has no queue for {name}/{number}"))?;
        Ok(Partition { topic, number, queue, ready, time: i64::MIN, position, error: None })
    }

    pub fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }

    /// Gives a batch of the partition's records. Gives how many those were, and how many bytes they have.
    pub fn turn(&mut self, watch: &Watch, take: &mut dyn FnMut(Polled)) -> (usize, usize) {
        let Partition { topic, number, ref mut queue, ref ready, ref mut time, ref mut position, ref mut error } =
            *self;
        // Before the queue is read: what comes meanwhile sets it again.
        ready.store(false, Ordering::Release);
        let (taken, bytes) = queue.take(topic, |taken| match taken {
            Taken::Messages(messages) => {
                let last = messages.record(messages.len() - 1);
                *time = last.timestamp_millis.unwrap_or(i64::MIN);
                *position = last.position.offset + 1;
                drop(last);
                *error = None;
                take(Polled::Records(Box::new(messages)));
            }
            Taken::End(at) => {
                watch.connected();
                *position = (*position).max(at);
                *error = None;
                take(Polled::Ended { topic, partition: number, position: *position });
            }
            Taken::Error(code, text) => {
                let now = Instant::now();
                let same = error.as_ref().filter(|held| held.code == code);
                let since = same.map_or(now, |held| held.since);
                match consequence(code, &text, now - since) {
                    Consequence::Stands(text) => {
                        watch.fetch_failed((topic, number), code, &text);
                        let shown = standing(error.take(), code, text);
                        *error = Some(FetchError { shown, code, since, told: now });
                    }
                    Consequence::Stops(reason) => take(Polled::Failed { topic, partition: number, reason }),
                }
            }
        });
        if Queue::is_batch(taken) {
            ready.store(true, Ordering::Release);
        }
        (taken, bytes)
    }

    /// Returns the gap for which the partition cannot be read on, if a broker has answered that the offset to be read next is not
    /// there. Only bounds that the cluster was asked for afterwards prove it.
    pub fn out_of_range(&self, observed: Option<PartitionObservation>) -> Option<Gap> {
        let error = self.error.as_ref().filter(|error| meaning(error.code) == Meaning::OutOfRange)?;
        let PartitionObservation { low, high, .. } = observed.filter(|seen| seen.asked_at > error.told)?;
        Gap::between_offsets(self.position, low, high)
    }

    /// A partition that is assigned anew may give its records at once.
    pub fn look_again(&self) {
        self.ready.store(true, Ordering::Release);
    }
}

/// The error as it is shown: it stands since the first error after which the partition has not been read.
fn standing(before: Option<FetchError>, code: RDKafkaErrorCode, text: String) -> StandingError {
    let since = before.map_or_else(Utc::now, |before| before.shown.since);
    StandingError { code: format!("{code:?}"), text, since }
}
