//! A partition as the reading client holds it: its queue, its position, and its current error.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use chrono::Utc;
use rdkafka::types::RDKafkaErrorCode;

use super::client::Client;
use super::consumer_watch::ConsumerWatch;
use super::fetch_errors::{Consequence, Meaning, consequence, meaning};
use super::queue::{Queue, QueueItem};
use super::reading_order::Turn;
use super::wake_flag::WakeFlag;
use crate::domain::{Gap, TopicId, TopicPartition};
use crate::source::{PartitionObservation, Records as _, SourceEvent, StandingError};

pub struct AssignedPartition {
    pub partition: TopicPartition,
    queue: Queue,
    /// Set by librdkafka when the queue becomes non-empty.
    ready: Arc<AtomicBool>,
    /// Timestamp of the last delivered record, in milliseconds since 1970.
    pub time: i64,
    /// The next offset to deliver. A client that replaces another one begins there.
    pub position: i64,
    /// The offset after the last record that the cluster is known to have, if it has named any.
    pub known_end: Option<i64>,
    /// True if it sent nothing while its records were waited for, and has sent nothing since.
    pub is_late: bool,
    /// The id of the topic that the partition was assigned for, once known. Records of another one are not delivered.
    pub topic_id: Option<TopicId>,
    /// True if records were taken from the queue and not delivered. They are to be fetched again.
    pub has_refused: bool,
    /// The current error. librdkafka reports an error once; it stands until records or the end of the partition
    /// arrive.
    pub error: Option<FetchError>,
}

/// A batch of a queue's items, in their order.
pub struct ReceivedBatch {
    items: Vec<QueueItem>,
    /// Number of records, ends and errors.
    pub records: usize,
    /// Size of the records' values in bytes.
    pub bytes: usize,
}

/// An error of a partition's fetch that stands.
#[derive(Clone, Debug)]
pub struct FetchError {
    pub shown: StandingError,
    code: RDKafkaErrorCode,
    /// The start of the uninterrupted run of reports of this code.
    pub since: Instant,
    last_reported: Instant,
}

impl AssignedPartition {
    /// Redirects the partition's records from the client's main queue to a queue of its own. This must come before
    /// the first fetch: a record from the main queue could be read after its successors, and a checkpoint between
    /// the two would cover records that were never folded.
    pub fn split(
        client: &Arc<Client<ConsumerWatch>>,
        name: &str,
        partition: TopicPartition,
        position: i64,
        wake: &Arc<WakeFlag>,
    ) -> Result<AssignedPartition, String> {
        let ready = Arc::new(AtomicBool::new(true));
        let (wake, set) = (wake.clone(), ready.clone());
        let nonempty = move || {
            set.store(true, Ordering::Release);
            wake.wake();
        };
        let queue = Queue::split(client, name, partition.partition, nonempty)
            .ok_or_else(|| format!("librdkafka has no queue for {name}/{}", partition.partition))?;
        Ok(AssignedPartition {
            partition,
            queue,
            ready,
            time: i64::MIN,
            position,
            known_end: None,
            is_late: false,
            topic_id: None,
            has_refused: false,
            error: None,
        })
    }

    pub fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }

    /// Returns the part of its state that its turn to be read depends on.
    pub fn turn(&self) -> Turn {
        let is_ready = self.is_ready();
        let has_more = self.known_end.is_some_and(|end| self.position < end);
        let is_awaited = has_more && !is_ready && !self.is_late && !self.has_refused && self.error.is_none();
        Turn { time: self.time, is_ready, is_awaited }
    }

    /// Takes a batch out of the partition's queue, which is to be delivered or refused.
    pub fn receive(&mut self) -> ReceivedBatch {
        // The flag is cleared before the queue is read, because records that arrive meanwhile set it again.
        self.ready.store(false, Ordering::Release);
        let mut items = Vec::new();
        let (records, bytes) = self.queue.take(self.partition.topic, |item| items.push(item));
        if Queue::is_full_batch(records) {
            self.ready.store(true, Ordering::Release);
        }
        ReceivedBatch { items, records, bytes }
    }

    /// Returns true if records that a client fetched from the topic of this id may be delivered.
    pub fn may_deliver(&self, fetched: Option<TopicId>) -> bool {
        !self.has_refused && self.is_of(fetched)
    }

    /// Returns true if the topic of this id is the partition's, or where either is unknown.
    pub fn is_of(&self, fetched: Option<TopicId>) -> bool {
        self.topic_id.is_none() || fetched.is_none() || self.topic_id == fetched
    }

    /// Delivers a batch of the partition's records.
    pub fn deliver(&mut self, batch: ReceivedBatch, watch: &ConsumerWatch, take: &mut dyn FnMut(SourceEvent)) {
        self.is_late &= batch.items.is_empty();
        for item in batch.items {
            match item {
                QueueItem::Messages(messages) => {
                    let last = messages.record(messages.len() - 1);
                    self.time = last.timestamp_millis.unwrap_or(i64::MIN);
                    self.position = last.position.offset + 1;
                    drop(last);
                    self.error = None;
                    take(SourceEvent::Records(Box::new(messages)));
                }
                QueueItem::End(at) => {
                    watch.note_connected();
                    self.position = self.position.max(at);
                    self.error = None;
                    take(SourceEvent::Ended { partition: self.partition, position: self.position });
                }
                QueueItem::Error(code, text) => self.take_error(code, &text, watch, take),
            }
        }
    }

    /// Drops a batch that may be of another topic of the same name, until the cluster has said which one it is.
    pub fn refuse(&mut self, batch: &ReceivedBatch, watch: &ConsumerWatch, take: &mut dyn FnMut(SourceEvent)) {
        if batch.items.is_empty() {
            return;
        }
        self.has_refused = true;
        let text = "the topic's id has changed, as where it is deleted and created again; nothing more of it is read until the \
                    brokers agree on the id";
        self.take_error(RDKafkaErrorCode::UnknownTopicId, text, watch, take);
    }

    fn take_error(
        &mut self,
        code: RDKafkaErrorCode,
        text: &str,
        watch: &ConsumerWatch,
        take: &mut dyn FnMut(SourceEvent),
    ) {
        let now = Instant::now();
        let same = self.error.as_ref().filter(|held| held.code == code);
        let since = same.map_or(now, |held| held.since);
        match consequence(code, text, now - since) {
            Consequence::Stands(text) => {
                watch.note_fetch_error(self.partition, code, &text);
                let shown = standing_error(self.error.take(), code, text);
                self.error = Some(FetchError { shown, code, since, last_reported: now });
            }
            Consequence::Stops(reason) => take(SourceEvent::Failed { partition: self.partition, reason }),
        }
    }

    /// Returns the gap for which the partition cannot be read on after a broker reported that its next offset
    /// does not exist. Only bounds that the cluster was asked for afterwards prove it.
    pub fn out_of_range(&self, observed: Option<PartitionObservation>) -> Option<Gap> {
        let error = self.error.as_ref().filter(|error| meaning(error.code) == Meaning::OutOfRange)?;
        let PartitionObservation { low, high, .. } =
            observed.filter(|seen| seen.asked_at > error.last_reported)?;
        Gap::between_offsets(self.position, low, high)
    }

    /// Marks the queue as possibly non-empty, since a partition that is assigned anew may deliver at once.
    pub fn mark_ready(&self) {
        self.ready.store(true, Ordering::Release);
    }
}

/// Returns the error for display. It dates from the first error after which the partition was not read.
fn standing_error(before: Option<FetchError>, code: RDKafkaErrorCode, text: String) -> StandingError {
    let since = before.map_or_else(Utc::now, |before| before.shown.since);
    StandingError { code: format!("{code:?}"), text, since }
}
