//! Records from Kafka: one consumer, a queue a partition, our own offsets. Never subscribes, never stores offsets, never
//! lets librdkafka choose where to begin.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use rdkafka::config::{ClientConfig, FromClientConfigAndContext};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{Headers, Message, OwnedMessage};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};

use super::queue::{Queue, Taken};
use super::settings::KafkaSettings;
use super::watch::{Found, Watch, Watcher};
use crate::domain::{Position, Record, Topic};
use crate::source::{Polled, Records, Source, TopicNames, Watermarks};

/// How many records are given by one poll, about.
const RECORDS_A_POLL: usize = 2048;

type Consume = BaseConsumer<Watch>;

pub struct KafkaSource {
    // Before `consumer`: queues must be gone when it closes.
    partitions: Vec<Partition>,
    consumer: Arc<Consume>,
    watcher: Watcher,
    names: TopicNames,
    wake: Arc<Wake>,
    /// What came while nothing was to be given.
    strays: Vec<Polled>,
}

struct Partition {
    topic: Topic,
    number: i32,
    queue: Queue,
    /// Set by librdkafka when the queue stops being empty.
    ready: Arc<AtomicBool>,
    /// The timestamp of the last record given, in milliseconds since 1970.
    time: i64,
}

#[derive(Default)]
struct Wake {
    woken: Mutex<bool>,
    condvar: Condvar,
}

impl Wake {
    fn wake(&self) {
        *self.woken.lock() = true;
        self.condvar.notify_one();
    }

    fn wait(&self, wait: Duration) {
        let mut woken = self.woken.lock();
        if !*woken {
            self.condvar.wait_for(&mut woken, wait);
        }
        *woken = false;
    }
}

impl KafkaSource {
    /// Does not wait for the cluster: what is wrong with it is told by [`Source::trouble`].
    pub fn new(settings: &KafkaSettings, group_id: &str) -> Result<KafkaSource, KafkaError> {
        let wake = Arc::new(Wake::default());
        let watch = Watch::new(settings.topics.clone());
        let consumer = Arc::new(Consume::from_config_and_context(&consumer_config(settings, group_id), watch)?);
        let watcher = {
            let wake = wake.clone();
            Watcher::start(consumer.clone(), settings.topics.clone(), move || wake.wake())
        };
        let names = settings.topics.clone();
        Ok(KafkaSource { partitions: Vec::new(), consumer, watcher, names, wake, strays: Vec::new() })
    }

    /// Gives a batch of the partition's records. Gives how many those were.
    fn turn(&self, partition: &mut Partition, take: &mut dyn FnMut(Polled)) -> usize {
        let Partition { topic, number, ref mut queue, ref ready, ref mut time } = *partition;
        // Before the queue is read: what comes meanwhile sets it again.
        ready.store(false, Ordering::Release);
        let taken = queue.take(topic, |taken| match taken {
            Taken::Messages(messages) => {
                *time = messages.record(messages.len() - 1).timestamp_millis.unwrap_or(i64::MIN);
                take(Polled::Records(Box::new(messages)));
            }
            Taken::Error(RDKafkaErrorCode::PartitionEOF, _) => {
                self.consumer.context().connected();
                take(Polled::Ended { topic, partition: number });
            }
            Taken::Error(code, text) if is_transient(code) => self.consumer.context().trouble(code, &text),
            Taken::Error(code, text) => {
                take(Polled::Failed { topic, partition: number, reason: explain(code, &text) });
            }
        });
        if Queue::is_batch(taken) {
            ready.store(true, Ordering::Release);
        }
        taken
    }

    /// Serves callbacks. No records come here, since each partition has its own queue before it is assigned; if some did,
    /// none may be lost.
    fn serve_main_queue(&self, take: &mut dyn FnMut(Polled)) {
        while let Some(polled) = self.consumer.poll(Duration::ZERO) {
            match polled {
                Ok(message) => {
                    if let Some(topic) = self.names.called(message.topic()) {
                        take(Polled::Records(Box::new(Stray { topic, message: message.detach() })));
                    }
                }
                Err(error) => match error.rdkafka_error_code() {
                    // The records before it came with it, and its partition's queue tells of the next end.
                    Some(RDKafkaErrorCode::PartitionEOF) | None => {}
                    Some(code) => self.consumer.context().trouble(code, ""),
                },
            }
        }
    }

    /// The partition whose records are the oldest, of those that may have some.
    fn most_behind(&self) -> Option<usize> {
        let ready = |partition: &&Partition| partition.ready.load(Ordering::Acquire);
        let ready = self.partitions.iter().enumerate().filter(|(_, partition)| ready(partition));
        ready.min_by_key(|(_, partition)| partition.time).map(|(at, _)| at)
    }
}

impl Source for KafkaSource {
    fn poll(&mut self, wait: Duration, take: &mut dyn FnMut(Polled)) {
        self.strays.drain(..).for_each(&mut *take);
        self.serve_main_queue(take);
        for Found { topic, partition, watermarks } in self.watcher.found() {
            take(Polled::Found { topic, partition, watermarks });
        }
        if self.most_behind().is_none() {
            self.wake.wait(wait);
        }
        let mut given = 0;
        while given < RECORDS_A_POLL
            && let Some(at) = self.most_behind()
        {
            let mut partition = self.partitions.swap_remove(at);
            given += self.turn(&mut partition, take);
            self.partitions.push(partition);
        }
    }

    fn rest(&mut self, wait: Duration) {
        let mut strays = std::mem::take(&mut self.strays);
        self.serve_main_queue(&mut |polled| strays.push(polled));
        self.strays = strays;
        std::thread::sleep(wait);
    }

    fn assign(&mut self, topic: Topic, partition: i32, offset: i64) -> Result<(), String> {
        let name = self.names.get(topic);
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(name, partition, Offset::Offset(offset)).map_err(|error| error.to_string())?;
        let ready = Arc::new(AtomicBool::new(true));
        let (wake, set) = (self.wake.clone(), ready.clone());
        let nonempty = move || {
            set.store(true, Ordering::Release);
            wake.wake();
        };
        // Before anything is fetched: what came by the main queue could be read after what follows it, and a checkpoint
        // between the two would cover records that were never folded.
        let queue = Queue::split(&self.consumer, name, partition, nonempty)
            .ok_or_else(|| format!("librdkafka has no queue for {name}/{partition}"))?;
        self.consumer.incremental_assign(&list).map_err(|error| error.to_string())?;
        self.partitions.push(Partition { topic, number: partition, queue, ready, time: i64::MIN });
        Ok(())
    }

    fn stop(&mut self, topic: Topic, partition: i32) {
        self.partitions.retain(|held| (held.topic, held.number) != (topic, partition));
        let mut list = TopicPartitionList::new();
        list.add_partition(self.names.get(topic), partition);
        if let Err(error) = self.consumer.incremental_unassign(&list) {
            tracing::warn!(%topic, partition, %error, "librdkafka did not let go of a stopped partition");
        }
    }

    fn watermarks(&self, topic: Topic, partition: i32) -> Option<Watermarks> {
        self.consumer.context().watermarks(topic, partition)
    }

    fn trouble(&self) -> Option<String> {
        self.consumer.context().last_trouble()
    }

    fn is_complete(&self) -> bool {
        self.watcher.is_complete()
    }

    fn cluster_id(&self) -> Option<String> {
        self.consumer.context().cluster_id()
    }

    fn publish(&mut self, offsets: &[(Topic, i32, i64)]) {
        let mut list = TopicPartitionList::new();
        for &(topic, partition, offset) in offsets {
            if let Err(error) = list.add_partition_offset(self.names.get(topic), partition, Offset::Offset(offset))
            {
                tracing::debug!(%topic, partition, offset, %error, "cannot publish an offset");
            }
        }
        // For lag tools only: nothing depends on it, so a failure is no more than noted.
        if let Err(error) = self.consumer.commit(&list, CommitMode::Async) {
            tracing::debug!(%error, "the group's offsets were not published");
        }
    }
}

/// A record that came by the main queue.
struct Stray {
    topic: Topic,
    message: OwnedMessage,
}

impl Records for Stray {
    fn len(&self) -> usize {
        1
    }

    fn record(&self, _: usize) -> Record<'_> {
        let Stray { topic, message } = self;
        let headers = message.headers().into_iter().flat_map(|held| {
            (0..held.count()).filter_map(|at| held.try_get(at)).map(|header| (header.key, header.value))
        });
        Record {
            position: Position { topic: *topic, partition: message.partition(), offset: message.offset() },
            timestamp_millis: message.timestamp().to_millis(),
            key: message.key(),
            value: message.payload(),
            headers: headers.collect(),
        }
    }
}

/// Errors that librdkafka tries again by itself.
fn is_transient(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::BrokerTransportFailure
            | RDKafkaErrorCode::AllBrokersDown
            | RDKafkaErrorCode::OperationTimedOut
            | RDKafkaErrorCode::RequestTimedOut
            | RDKafkaErrorCode::Resolve
            | RDKafkaErrorCode::Authentication
            | RDKafkaErrorCode::NotLeaderForPartition
            | RDKafkaErrorCode::LeaderNotAvailable
            | RDKafkaErrorCode::NetworkException
            | RDKafkaErrorCode::UnknownTopicOrPartition
            | RDKafkaErrorCode::UnknownPartition
            | RDKafkaErrorCode::TopicAuthorizationFailed
    )
}

fn explain(code: RDKafkaErrorCode, text: &str) -> String {
    match code {
        RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange => {
            "the offset to read next is no longer in the topic: its oldest records were removed, or it was \
             truncated or created again. To build anew from what the topic has: optview rebuild"
                .to_owned()
        }
        _ => format!("{code}: {text}"),
    }
}

/// The settings that the projector's correctness rests on come last, so that nothing overrides them.
pub(super) fn consumer_config(settings: &KafkaSettings, group_id: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    for (key, value) in [
        ("client.id", "optview"),
        ("queued.min.messages", "10000"),
        ("queued.max.messages.kbytes", "4096"),
        ("fetch.queue.backoff.ms", "20"),
        // A fetch that asks only partitions without news is held by the broker for this long (by default 500 ms), and no
        // other is sent meanwhile: none for a partition whose queue has just been emptied.
        ("fetch.wait.max.ms", "20"),
        ("statistics.interval.ms", "1000"),
        ("reconnect.backoff.max.ms", "2000"),
        // A broker may close a connection that idles; that is no error.
        ("log.connection.close", "false"),
    ] {
        config.set(key, value);
    }
    for (key, value) in &settings.properties {
        config.set(key, value);
    }
    for (key, value) in [
        ("bootstrap.servers", settings.brokers.as_str()),
        ("group.id", group_id),
        ("enable.auto.commit", "false"),
        ("enable.auto.offset.store", "false"),
        ("auto.offset.reset", "error"),
        ("enable.partition.eof", "true"),
        ("isolation.level", "read_committed"),
        ("check.crcs", "true"),
        ("allow.auto.create.topics", "false"),
    ] {
        config.set(key, value);
    }
    config
}
