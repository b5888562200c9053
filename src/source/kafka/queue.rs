//! A partition's queue in librdkafka, emptied many records at a time.
//!
//! The crate's own `PartitionQueue` takes one record a call. Each call takes a lock, allocates and frees an event,
//! and reads the clock twice, which came to a fifth of the projector's time in a catch-up. Hence the unsafe code
//! here, which calls librdkafka as its header documents.

#![expect(unsafe_code, reason = "calls into librdkafka that the crate has no functions for")]

use std::ffi::{CStr, CString, c_void};
use std::ptr::NonNull;
use std::sync::Arc;

use rdkafka::bindings as rd;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::types::RDKafkaErrorCode;

use super::client::Client;
use super::consumer_watch::ConsumerWatch;
use super::decompression;
use super::fetch_errors::code_of;
use crate::domain::record::Header;
use crate::domain::{PartitionOffset, Record, Topic};
use crate::source::Records;

/// Maximum number of records that one call takes.
const BATCH: usize = 512;

type Callback = Box<dyn Fn() + Send + Sync>;

pub struct Queue {
    raw: NonNull<rd::rd_kafka_queue_t>,
    batch: Vec<*mut rd::rd_kafka_message_t>,
    // librdkafka calls this until the queue is dropped. It is boxed twice, for a thin pointer to a fixed address.
    nonempty: Box<Callback>,
    // The queue is part of the consumer.
    consumer: Arc<Client<ConsumerWatch>>,
}

/// An item of a queue.
pub enum QueueItem {
    Messages(Messages),
    /// The end of the partition, at this offset.
    End(i64),
    Error(RDKafkaErrorCode, String),
}

impl Queue {
    /// Redirects a partition's records from the consumer's main queue to a queue of its own. librdkafka's threads
    /// call `nonempty` when the queue becomes non-empty. `None` if librdkafka does not know the partition.
    pub fn split(
        consumer: &Arc<Client<ConsumerWatch>>,
        name: &str,
        partition: i32,
        nonempty: impl Fn() + Send + Sync + 'static,
    ) -> Option<Queue> {
        let name = CString::new(name).ok()?;
        let nonempty: Box<Callback> = Box::new(Box::new(nonempty));
        let opaque: *const Callback = &raw const *nonempty;
        // SAFETY: the client lives as long as `consumer`, of which a clone is kept; the callback is boxed and kept as
        // long as the queue, whose drop ends the calls.
        let raw = unsafe {
            let raw = rd::rd_kafka_queue_get_partition(consumer.client().native_ptr(), name.as_ptr(), partition);
            let raw = NonNull::new(raw)?;
            rd::rd_kafka_queue_forward(raw.as_ptr(), std::ptr::null_mut());
            rd::rd_kafka_queue_cb_event_enable(raw.as_ptr(), Some(call_nonempty), opaque.cast_mut().cast());
            raw
        };
        Some(Queue { raw, batch: vec![std::ptr::null_mut(); BATCH], nonempty, consumer: consumer.clone() })
    }

    /// Passes at most one batch of the queue's items to `give`, without waiting. Returns their number, and the
    /// size of their values in bytes.
    pub fn take(&mut self, topic: Topic, mut give: impl FnMut(QueueItem)) -> (usize, usize) {
        // SAFETY: the queue is alive, and `batch` has room for as many pointers as are asked for.
        let taken = unsafe {
            rd::rd_kafka_consume_batch_queue(self.raw.as_ptr(), 0, self.batch.as_mut_ptr(), self.batch.len())
        };
        let taken = usize::try_from(taken).unwrap_or(0);
        let none = || Messages { topic, held: Vec::new(), _consumer: self.consumer.clone() };
        let mut messages = none();
        messages.held.reserve(taken);
        let mut bytes = 0;
        for message in self.batch[..taken].iter().filter_map(|&raw| NonNull::new(raw)).map(Message) {
            match message.error() {
                None => {
                    bytes += message.value_len();
                    messages.held.push(message);
                }
                Some((code, text)) => {
                    if !messages.held.is_empty() {
                        give(QueueItem::Messages(std::mem::replace(&mut messages, none())));
                    }
                    give(match code {
                        RDKafkaErrorCode::PartitionEOF => QueueItem::End(message.offset()),
                        code => QueueItem::Error(code, text),
                    });
                }
            }
        }
        if !messages.held.is_empty() {
            give(QueueItem::Messages(messages));
        }
        (taken, bytes)
    }

    /// Returns true if a call that took this number of items may have left some in the queue.
    pub fn is_full_batch(taken: usize) -> bool {
        taken >= BATCH
    }
}

/// Returns the number of events that wait for a consumer's `poll`: log lines, errors and statistics. One call of the crate's
/// `poll` without a wait serves one of them.
pub fn waiting_events<C: ConsumerContext>(consumer: &BaseConsumer<C>) -> usize {
    // SAFETY: the consumer is alive, and so is its queue until it is let go of here.
    unsafe {
        let raw = rd::rd_kafka_queue_get_consumer(consumer.client().native_ptr());
        if raw.is_null() {
            return 0;
        }
        let waiting = rd::rd_kafka_queue_length(raw);
        rd::rd_kafka_queue_destroy(raw);
        waiting
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        // SAFETY: the queue is alive until here. The callback is removed first, because librdkafka might call it
        // after it is gone.
        unsafe {
            rd::rd_kafka_queue_cb_event_enable(self.raw.as_ptr(), None, std::ptr::null_mut());
            rd::rd_kafka_queue_destroy(self.raw.as_ptr());
        }
        let _ = &self.nonempty;
    }
}

unsafe extern "C" fn call_nonempty(_: *mut rd::rd_kafka_t, opaque: *mut c_void) {
    // SAFETY: `opaque` is the callback that `split` boxed, which lives as long as it may be called.
    let callback = unsafe { &*opaque.cast::<Callback>() };
    callback();
}

/// Consecutive messages of one partition.
pub struct Messages {
    topic: Topic,
    held: Vec<Message>,
    // The messages are dropped before the consumer.
    _consumer: Arc<Client<ConsumerWatch>>,
}

impl Records for Messages {
    fn len(&self) -> usize {
        self.held.len()
    }

    fn record(&self, at: usize) -> Record<'_> {
        self.held[at].record(self.topic)
    }

    fn cut_from(&self, at: usize) -> Option<u64> {
        decompression::has_cut().then(|| decompression::cut_from(&self.held[at].headers())).flatten()
    }
}

/// One of librdkafka's messages, which is ours to destroy.
struct Message(NonNull<rd::rd_kafka_message_t>);

// SAFETY: librdkafka's messages may be read and destroyed on any thread, on one at a time, as the crate's own are.
unsafe impl Send for Message {}

impl Message {
    /// Returns the error that the message stands for, or `None` if it is a record.
    fn error(&self) -> Option<(RDKafkaErrorCode, String)> {
        // SAFETY: the message is alive until it is dropped. The code is read as a number, since a broker that is
        // newer than librdkafka may have sent one that its enum lacks.
        let (number, payload, len) = unsafe {
            let message = self.0.as_ptr();
            ((&raw const (*message).err).cast::<i32>().read(), (*message).payload, (*message).len)
        };
        if number == 0 {
            return None;
        }
        let text = String::from_utf8_lossy(self.bytes(payload, len).unwrap_or_default());
        match code_of(number) {
            RDKafkaErrorCode::Unknown if number != RDKafkaErrorCode::Unknown as i32 => {
                Some((RDKafkaErrorCode::Unknown, format!("the broker's error code is {number}. {text}")))
            }
            code => Some((code, text.into_owned())),
        }
    }

    fn value_len(&self) -> usize {
        // SAFETY: the message is alive until it is dropped.
        unsafe { self.0.as_ref() }.len
    }

    /// The offset of the record, or the position of the end of the partition.
    fn offset(&self) -> i64 {
        // SAFETY: the message is alive until it is dropped.
        unsafe { self.0.as_ref() }.offset
    }

    fn record(&self, topic: Topic) -> Record<'_> {
        // SAFETY: the message is alive until it is dropped.
        let message = unsafe { self.0.as_ref() };
        let mut kind = rd::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        // SAFETY: the message is alive, and `kind` may be written.
        let timestamp = unsafe { rd::rd_kafka_message_timestamp(self.0.as_ptr(), &raw mut kind) };
        Record {
            position: PartitionOffset { topic, partition: message.partition, offset: message.offset },
            timestamp_millis: (timestamp >= 0).then_some(timestamp),
            key: self.bytes(message.key, message.key_len),
            value: self.bytes(message.payload, message.len),
            headers: self.headers(),
        }
    }

    fn headers(&self) -> Vec<Header<'_>> {
        let mut headers = Vec::new();
        let mut raw = std::ptr::null_mut();
        // SAFETY: the message is alive, and `raw` may be written; it belongs to the message.
        let error = unsafe { rd::rd_kafka_message_headers(self.0.as_ptr(), &raw mut raw) };
        if error != rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
            return headers;
        }
        loop {
            let (mut name, mut value, mut len) = (std::ptr::null(), std::ptr::null(), 0);
            // SAFETY: `raw` is alive with the message, and the three may be written.
            let error = unsafe {
                rd::rd_kafka_header_get_all(raw, headers.len(), &raw mut name, &raw mut value, &raw mut len)
            };
            if error != rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
                return headers;
            }
            // SAFETY: librdkafka ends every name with a zero, and keeps it as long as the message.
            let name = unsafe { CStr::from_ptr(name) };
            // A name that is not UTF-8 is none that optview looks for.
            headers.push((name.to_str().unwrap_or("?"), self.bytes(value, len)));
        }
    }

    /// Returns a part of the message; `None` if it is null, which differs from empty.
    fn bytes(&self, begin: *const c_void, len: usize) -> Option<&[u8]> {
        // SAFETY: librdkafka gives the length with the pointer, and keeps the bytes as long as the message.
        (!begin.is_null()).then(|| unsafe { std::slice::from_raw_parts(begin.cast(), len) })
    }
}

impl Drop for Message {
    fn drop(&mut self) {
        // SAFETY: it was given to us, and nothing of it is borrowed any more.
        unsafe { rd::rd_kafka_message_destroy(self.0.as_ptr()) }
    }
}
