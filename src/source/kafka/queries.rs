//! Requests to a cluster for which the crate has no calls: the ids of topics, the rights on them, and the bounds of many
//! partitions at once. No answer waits for another one, so that a broker that is away delays only its own.
//!
//! This module has unsafe code, because it calls librdkafka as its header documents.

#![expect(unsafe_code, reason = "calls into librdkafka that the crate has no functions for")]

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::ptr::NonNull;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::bindings as rd;
use rdkafka::consumer::Consumer;
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};

use super::client::Client;
use super::error_context::ErrorContext;
use super::fetch_errors::code_of;
use crate::domain::{NamedPartition, TopicId};

/// A client that sends requests and never reads.
pub type QueryClient = Client<ErrorContext>;

/// The bound of partitions that a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Bound {
    /// The offset of the oldest record.
    Low,
    /// One past the newest offset that a reader of committed records may pass.
    LastStable,
    /// One past the newest offset.
    High,
}

impl Bound {
    pub const ALL: [Bound; 3] = [Bound::Low, Bound::LastStable, Bound::High];
}

/// The answer of one partition's leader, or the error.
pub type OffsetAnswer = Result<i64, RDKafkaErrorCode>;

/// The answers of some partitions' leaders by the topic's name in the cluster, or an error of the whole request.
pub type OffsetAnswers = Result<Vec<(NamedPartition, OffsetAnswer)>, RDKafkaErrorCode>;

/// The cluster's answer about one topic: its id, or `None` if its brokers do not give ids.
pub type IdAnswer = Result<Option<TopicId>, RDKafkaErrorCode>;

/// The rights on a topic that the cluster gives this client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TopicRights {
    /// True if this client may read its records.
    pub may_read: bool,
    /// True if this client may write records to it.
    pub may_write: bool,
}

/// The cluster's answer about the rights on one topic; `None` if its brokers do not say.
pub type RightsAnswer = Result<Option<TopicRights>, RDKafkaErrorCode>;

/// An answer to one request.
pub enum Answer {
    Offsets(Bound, OffsetAnswers),
    /// The rights by the topic's name in the cluster.
    Rights(Result<Vec<(String, RightsAnswer)>, RDKafkaErrorCode>),
    /// The answer to the n-th of the round's requests for ids, counted from 0, by the topic's name in the cluster.
    Ids(usize, Result<Vec<(String, IdAnswer)>, RDKafkaErrorCode>),
}

/// The requests of one client, and the queue for their answers.
pub struct Queries {
    queue: NonNull<rd::rd_kafka_queue_t>,
    /// The number of the present round. Answers to earlier rounds come too late.
    round: usize,
    // The queue is part of the client.
    client: Arc<QueryClient>,
}

// SAFETY: librdkafka's queues may be used on any thread.
unsafe impl Send for Queries {}

/// The number that distinguishes the first request for ids within a round; the next requests have the numbers
/// after it. A request for offsets has the number of its bound.
const IDS: usize = 3;
/// Maximum number of brokers that a round may ask for ids.
pub const ID_REQUESTS_MAX: usize = 2;
/// The number of the request for rights.
const RIGHTS: usize = IDS + ID_REQUESTS_MAX;
/// Maximum number of different requests of a round.
const REQUESTS: usize = RIGHTS + 1;

impl Queries {
    pub fn new(client: Arc<QueryClient>) -> Queries {
        // SAFETY: the client lives as long as `client`, of which a clone is kept.
        let queue = unsafe { rd::rd_kafka_queue_new(client.client().native_ptr()) };
        Queries { queue: NonNull::new(queue).expect("librdkafka makes a queue"), round: 0, client }
    }

    /// Begins a round: only requests after this call are answered.
    pub fn begin_round(&mut self) {
        self.round += 1;
    }

    pub fn client(&self) -> &QueryClient {
        &self.client
    }

    /// Asks for one bound of each of these partitions.
    pub fn ask_offsets(&self, bound: Bound, partitions: &[(&str, i32)], within: Duration) {
        let of = match bound {
            Bound::Low => Offset::Beginning,
            Bound::LastStable | Bound::High => Offset::End,
        };
        let mut list = TopicPartitionList::with_capacity(partitions.len());
        for (topic, partition) in partitions {
            // Both of these offsets are valid in a list.
            let _ = list.add_partition_offset(topic, *partition, of);
        }
        let options = self.options(rd::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_LISTOFFSETS, within, bound as usize);
        // SAFETY: options, list and queue are alive, and librdkafka copies what it needs of the first two.
        unsafe {
            let level = match bound {
                Bound::LastStable => rd::rd_kafka_IsolationLevel_t::RD_KAFKA_ISOLATION_LEVEL_READ_COMMITTED,
                Bound::Low | Bound::High => {
                    rd::rd_kafka_IsolationLevel_t::RD_KAFKA_ISOLATION_LEVEL_READ_UNCOMMITTED
                }
            };
            let error = rd::rd_kafka_AdminOptions_set_isolation_level(options.0, level);
            debug_assert!(error.is_null(), "both levels are known");
            rd::rd_kafka_ListOffsets(
                self.client.client().native_ptr(),
                list.ptr(),
                options.0,
                self.queue.as_ptr(),
            );
        }
    }

    /// Asks for the ids of topics. The broker is the given one, or the one that librdkafka takes for the
    /// controller. `request` numbers the round's requests for ids, below [`ID_REQUESTS_MAX`].
    pub fn ask_ids(&self, request: usize, topics: &[&str], broker: Option<i32>, within: Duration) {
        let options =
            self.options(rd::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS, within, IDS + request);
        self.describe(topics, broker, &options);
    }

    /// Asks a broker what this client may do with topics.
    pub fn ask_rights(&self, topics: &[&str], broker: i32, within: Duration) {
        let options = self.options(rd::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS, within, RIGHTS);
        // SAFETY: the options are alive.
        let error = unsafe { rd::rd_kafka_AdminOptions_set_include_authorized_operations(options.0, 1) };
        debug_assert!(error.is_null(), "a description of topics has this option");
        self.describe(topics, Some(broker), &options);
    }

    fn describe(&self, topics: &[&str], broker: Option<i32>, options: &RequestOptions) {
        if let Some(broker) = broker {
            let mut error: [c_char; 256] = [0; 256];
            // SAFETY: the options are alive.
            unsafe { rd::rd_kafka_AdminOptions_set_broker(options.0, broker, error.as_mut_ptr(), error.len()) };
        }
        let names: Vec<CString> = topics.iter().filter_map(|name| CString::new(*name).ok()).collect();
        let mut pointers: Vec<*const c_char> = names.iter().map(|name| name.as_ptr()).collect();
        // SAFETY: names, options and queue are alive, and librdkafka copies what it needs of the first two.
        unsafe {
            let topics = rd::rd_kafka_TopicCollection_of_topic_names(pointers.as_mut_ptr(), pointers.len());
            rd::rd_kafka_DescribeTopics(self.client.client().native_ptr(), topics, options.0, self.queue.as_ptr());
            rd::rd_kafka_TopicCollection_destroy(topics);
        }
    }

    /// Returns the next answer that comes within `wait`. Each request is answered once, with an error if no broker
    /// answers.
    pub fn next(&self, wait: Duration) -> Option<Answer> {
        let deadline = Instant::now() + wait;
        loop {
            let left = deadline.saturating_duration_since(Instant::now()).as_millis();
            let left = c_int::try_from(left).unwrap_or(c_int::MAX);
            // SAFETY: the queue is alive; the event is ours to destroy, which `Event` does.
            let event = QueueEvent(NonNull::new(unsafe { rd::rd_kafka_queue_poll(self.queue.as_ptr(), left) })?);
            if let Some(answer) = event.answer_in(self.round) {
                return Some(answer);
            }
        }
    }

    fn options(&self, request: rd::rd_kafka_admin_op_t, within: Duration, what: usize) -> RequestOptions {
        let number = self.round * REQUESTS + what;
        let within = c_int::try_from(within.as_millis()).unwrap_or(c_int::MAX);
        let mut error: [c_char; 256] = [0; 256];
        // SAFETY: the client is alive; the options are ours to destroy, which `RequestOptions` does. The opaque
        // pointer is a number that nobody dereferences.
        unsafe {
            let options = rd::rd_kafka_AdminOptions_new(self.client.client().native_ptr(), request);
            rd::rd_kafka_AdminOptions_set_request_timeout(options, within, error.as_mut_ptr(), error.len());
            rd::rd_kafka_AdminOptions_set_opaque(options, std::ptr::without_provenance_mut::<c_void>(number));
            RequestOptions(options)
        }
    }
}

impl Drop for Queries {
    fn drop(&mut self) {
        // SAFETY: the queue is alive until here. Answers that come later are librdkafka's to destroy.
        unsafe { rd::rd_kafka_queue_destroy(self.queue.as_ptr()) }
    }
}

struct RequestOptions(*mut rd::rd_kafka_AdminOptions_t);

impl Drop for RequestOptions {
    fn drop(&mut self) {
        // SAFETY: `Queries::options` made it, and nobody else destroys it.
        unsafe { rd::rd_kafka_AdminOptions_destroy(self.0) }
    }
}

/// One answer as librdkafka delivers it.
struct QueueEvent(NonNull<rd::rd_kafka_event_t>);

impl QueueEvent {
    /// Returns the answer, or `None` if it belongs to an earlier round.
    fn answer_in(&self, round: usize) -> Option<Answer> {
        let event = self.0.as_ptr();
        // SAFETY: the event is alive.
        let (number, error) =
            unsafe { (rd::rd_kafka_event_opaque(event).addr(), rd::rd_kafka_event_error(event)) };
        let failed = (error != rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR).then(|| error.into());
        if number / REQUESTS != round {
            return None;
        }
        let request = number % REQUESTS;
        Some(match Bound::ALL.into_iter().find(|bound| *bound as usize == request) {
            Some(bound) => Answer::Offsets(bound, failed.map_or_else(|| Ok(self.offsets()), Err)),
            None if request == RIGHTS => Answer::Rights(failed.map_or_else(|| Ok(self.topics(rights)), Err)),
            None => Answer::Ids(request - IDS, failed.map_or_else(|| Ok(self.topics(topic_id)), Err)),
        })
    }

    fn offsets(&self) -> Vec<(NamedPartition, OffsetAnswer)> {
        let mut count = 0;
        // SAFETY: the event outlives all that is read of it, and the list has `count` elements.
        let infos = unsafe {
            let result = rd::rd_kafka_event_ListOffsets_result(self.0.as_ptr());
            if result.is_null() {
                return Vec::new();
            }
            let infos = rd::rd_kafka_ListOffsets_result_infos(result, &raw mut count);
            elements(infos.cast_const(), count)
        };
        infos
            .iter()
            .map(|info| {
                // SAFETY: the event outlives the element, as above. The code is read as a number, since a broker that
                // is newer than librdkafka may have sent one that its enum lacks.
                let (name, partition, offset, error) = unsafe {
                    let held = rd::rd_kafka_ListOffsetsResultInfo_topic_partition(*info);
                    let error = (&raw const (*held).err).cast::<i32>().read();
                    (text((*held).topic), (*held).partition, (*held).offset, error)
                };
                let answer = match code_of(error) {
                    // librdkafka answers so for a leader that gave none.
                    RDKafkaErrorCode::NoError if offset < 0 => Err(RDKafkaErrorCode::OperationTimedOut),
                    RDKafkaErrorCode::NoError => Ok(offset),
                    code => Err(code),
                };
                (NamedPartition::new(name, partition), answer)
            })
            .collect()
    }

    /// Returns for each topic what `of` takes from its description.
    fn topics<T>(
        &self,
        of: unsafe fn(*const rd::rd_kafka_TopicDescription_t) -> T,
    ) -> Vec<(String, Result<T, RDKafkaErrorCode>)> {
        let mut count = 0;
        // SAFETY: the event outlives all that is read of it, and the list has `count` elements.
        let topics = unsafe {
            let result = rd::rd_kafka_event_DescribeTopics_result(self.0.as_ptr());
            if result.is_null() {
                return Vec::new();
            }
            let topics = rd::rd_kafka_DescribeTopics_result_topics(result, &raw mut count);
            elements(topics.cast_const(), count)
        };
        topics
            .iter()
            .map(|topic| {
                // SAFETY: the event outlives the element, as above.
                unsafe {
                    let error = rd::rd_kafka_TopicDescription_error(*topic);
                    let name = text(rd::rd_kafka_TopicDescription_name(*topic));
                    if !error.is_null() {
                        let code = rd::rd_kafka_error_code(error);
                        if code != rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
                            return (name, Err(code.into()));
                        }
                    }
                    (name, Ok(of(*topic)))
                }
            })
            .collect()
    }
}

impl Drop for QueueEvent {
    fn drop(&mut self) {
        // SAFETY: it was given to us, and nothing of it is borrowed any more.
        unsafe { rd::rd_kafka_event_destroy(self.0.as_ptr()) }
    }
}

/// Returns the id of a topic. Brokers before Kafka 2.8 have no ids, for which librdkafka gives zeros.
///
/// # Safety
/// `topic` is alive.
unsafe fn topic_id(topic: *const rd::rd_kafka_TopicDescription_t) -> Option<TopicId> {
    // SAFETY: the caller guarantees that the topic is alive, whose id lives as long.
    let (most_significant, least_significant) = unsafe {
        let id = rd::rd_kafka_TopicDescription_topic_id(topic);
        if id.is_null() {
            return None;
        }
        (rd::rd_kafka_Uuid_most_significant_bits(id), rd::rd_kafka_Uuid_least_significant_bits(id))
    };
    let id = TopicId { most_significant, least_significant };
    (id != TopicId { most_significant: 0, least_significant: 0 }).then_some(id)
}

/// Returns the rights on a topic. Brokers before Kafka 2.3 do not tell them, for which librdkafka gives no list.
///
/// # Safety
/// `topic` is alive.
unsafe fn rights(topic: *const rd::rd_kafka_TopicDescription_t) -> Option<TopicRights> {
    use rd::rd_kafka_AclOperation_t as Operation;
    let mut count = 0;
    // SAFETY: the caller guarantees that the topic is alive, whose list lives as long. Its elements are read as numbers, since the
    // enum may lack one.
    let allowed: &[u32] = unsafe {
        let list = rd::rd_kafka_TopicDescription_authorized_operations(topic, &raw mut count);
        if list.is_null() {
            return None;
        }
        elements(list.cast(), count)
    };
    let has = |operation: Operation| allowed.contains(&(operation as u32));
    Some(TopicRights {
        may_read: has(Operation::RD_KAFKA_ACL_OPERATION_READ),
        may_write: has(Operation::RD_KAFKA_ACL_OPERATION_WRITE),
    })
}

/// Returns a slice of librdkafka's list, whose pointer may be null if it is empty.
///
/// # Safety
/// `first` points to `count` elements that live as long as the slice is used, or `count` is 0.
unsafe fn elements<'a, T>(first: *const T, count: usize) -> &'a [T] {
    if first.is_null() || count == 0 {
        return &[];
    }
    // SAFETY: the caller guarantees it.
    unsafe { std::slice::from_raw_parts(first, count) }
}

fn text(name: *const c_char) -> String {
    // SAFETY: librdkafka's names end with a zero, and live as long as the object that they name.
    unsafe { CStr::from_ptr(name) }.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests;
