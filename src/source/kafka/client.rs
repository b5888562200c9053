//! A client of the cluster whose closing delays nobody: closing waits for brokers, which may never answer.

use std::ops::Deref;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, ConsumerContext};

/// Time that the end of the source waits for its client to close. The group's offsets are sent meanwhile.
const CLOSED_WITHIN: Duration = Duration::from_secs(5);

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
