//! A client of the cluster that closes without holding anybody up: closing waits for brokers, and those may never answer.

use std::ops::Deref;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, ConsumerContext};

/// How long the end of the source waits for its client to be closed: the group's offsets go out meanwhile.
const CLOSED_WITHIN: Duration = Duration::from_secs(5);

pub struct Client<C: ConsumerContext + 'static> {
    /// `None` only while it is dropped.
    consumer: Option<BaseConsumer<C>>,
    is_replaced: AtomicBool,
}

impl<C: ConsumerContext + 'static> Client<C> {
    pub fn new(consumer: BaseConsumer<C>) -> Client<C> {
        Client { consumer: Some(consumer), is_replaced: AtomicBool::new(false) }
    }

    /// Another one has taken its place, so nobody waits for its end. Records that it gave keep it until they are folded.
    pub fn mark_replaced(&self) {
        self.is_replaced.store(true, Ordering::Release);
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
            // Nobody may be waiting.
            let _ = closed.send(());
        };
        // Where no thread can be started, it has been closed here.
        let thread = std::thread::Builder::new().name("kafka-close".to_owned()).spawn(close);
        if thread.is_ok() && !self.is_replaced.load(Ordering::Acquire) {
            let _ = is_closed.recv_timeout(CLOSED_WITHIN);
        }
    }
}
