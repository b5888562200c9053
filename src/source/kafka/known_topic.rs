//! A topic that a consumer knows before any partition of it is assigned.

#![expect(unsafe_code, reason = "calls into librdkafka that the crate has no functions for")]

use std::ffi::CString;
use std::ptr::NonNull;
use std::sync::Arc;

use rdkafka::bindings as rd;
use rdkafka::consumer::Consumer;

use super::client::Client;
use super::consumer_watch::ConsumerWatch;

/// A topic of which librdkafka asks for the leaders as soon as it is connected. Of a topic that it does not know, it asks up to
/// a second after a partition is assigned.
pub struct KnownTopic {
    raw: NonNull<rd::rd_kafka_topic_t>,
    // The topic is part of the consumer.
    _consumer: Arc<Client<ConsumerWatch>>,
}

// SAFETY: librdkafka's topics may be used on any thread.
unsafe impl Send for KnownTopic {}

impl KnownTopic {
    /// Makes a topic known to a consumer. `None` if librdkafka does not take its name.
    pub fn new(consumer: &Arc<Client<ConsumerWatch>>, name: &str) -> Option<KnownTopic> {
        let name = CString::new(name).ok()?;
        // SAFETY: the client lives as long as `consumer`, of which a clone is kept. Without settings of its own, the topic has
        // the consumer's.
        let raw =
            unsafe { rd::rd_kafka_topic_new(consumer.client().native_ptr(), name.as_ptr(), std::ptr::null_mut()) };
        Some(KnownTopic { raw: NonNull::new(raw)?, _consumer: consumer.clone() })
    }
}

impl Drop for KnownTopic {
    fn drop(&mut self) {
        // SAFETY: it was given to us, and nobody else destroys it.
        unsafe { rd::rd_kafka_topic_destroy(self.raw.as_ptr()) }
    }
}
