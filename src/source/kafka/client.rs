//! A client of the cluster whose closing delays nobody: closing waits for brokers, which may never answer.

use std::ops::Deref;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;

use super::error_context::ErrorContext;

/// Time that the end of the source waits for its client to close. The group's offsets are sent meanwhile.
const CLOSED_WITHIN: Duration = Duration::from_secs(5);

/// Time in which librdkafka reports why a connection has failed.
const REASON_WITHIN: Duration = Duration::from_secs(1);

pub struct Client<C: ConsumerContext + 'static> {
    /// The wrapped consumer; `None` only while the client is being dropped.
    consumer: Option<BaseConsumer<C>>,
    is_replaced: AtomicBool,
}

impl<C: ConsumerContext + 'static> Client<C> {
    pub fn new(consumer: BaseConsumer<C>) -> Client<C> {
        Client { consumer: Some(consumer), is_replaced: AtomicBool::new(false) }
    }

    /// Notes that another client has taken this one's place, so that nobody waits for its end. Records that it
    /// delivered keep it alive until they are folded.
    pub fn mark_replaced(&self) {
        self.is_replaced.store(true, Ordering::Release);
    }
}

impl Client<ErrorContext> {
    /// Waits until the reason for a failed connection has been reported. Reports come only while a client is polled.
    pub fn await_reason(&self) {
        let begin = Instant::now();
        while self.context().last().is_none() && begin.elapsed() < REASON_WITHIN {
            // It reads nothing, so that nothing is lost.
            let _ = self.poll(Duration::from_millis(50));
        }
    }

    /// Returns the text of a request's error, and the reason for it if one is reported.
    pub fn explain(&self, error: &KafkaError) -> String {
        let is_of_broker =
            error.rdkafka_error_code().is_some_and(|code| code as i32 > RDKafkaErrorCode::End as i32);
        if !is_of_broker {
            self.await_reason();
        }
        self.context().explain(error)
    }
}

impl<C: ConsumerContext + 'static> Deref for Client<C> {
    type Target = BaseConsumer<C>;

    fn deref(&self) -> &BaseConsumer<C> {
        self.consumer.as_ref().expect("it is there until it is dropped")
    }
}

impl<C: ConsumerContext + 'static> Drop for Client<C> {
    fn drop(&mut self) {
        let consumer = self.consumer.take();
        let (closed, is_closed) = channel();
        let close = move || {
            drop(consumer);
            // The waiting side may be gone.
            let _ = closed.send(());
        };
        // If no thread can be started, the failed call has dropped the closure, which closes the consumer here.
        let thread = std::thread::Builder::new().name("kafka-close".to_owned()).spawn(close);
        if thread.is_ok() && !self.is_replaced.load(Ordering::Acquire) {
            let _ = is_closed.recv_timeout(CLOSED_WITHIN);
        }
    }
}
