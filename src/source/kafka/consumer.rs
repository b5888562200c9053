//! Records from Kafka: one consumer, a queue a partition, our own offsets. Never subscribes, never stores offsets, never
//! lets librdkafka choose where to begin.
//!
//! What the cluster says of the topics comes by another client (`observer.rs`). Where the consumer has gone deaf by that, it
//! is replaced by a new one, which goes on where each partition stands.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use rdkafka::config::{ClientConfig, FromClientConfigAndContext};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{Headers, Message, OwnedMessage};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};

use super::client::Client;
use super::decompression;
use super::observer::{Found, Observer};
use super::partition::Partition;
use super::renewal::{Cure, Sight, Watchdog};
use super::settings::KafkaSettings;
use super::wake::Wake;
use super::watch::Watch;
use crate::domain::{Position, Record, Topic};
use crate::source::{ClusterHealth, PartitionObservation, Polled, Records, Source, StandingError, Watermarks};

/// How many records are given by one poll, about.
const RECORDS_A_POLL: usize = 2048;
/// How many bytes of records are given by one poll, about. What is taken out of librdkafka's queues counts no more there, and
/// is fetched again.
const BYTES_A_POLL: usize = 8 << 20;
/// How often it is looked whether the consumer is deaf.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The observer's client is answered where it has heard something within this time.
const HEARS: Duration = Duration::from_secs(10);

pub struct KafkaSource {
    // Before `consumer`: queues must be gone when it closes.
    partitions: Vec<Partition>,
    consumer: Arc<Client<Watch>>,
    observer: Observer,
    settings: KafkaSettings,
    group_id: String,
    wake: Arc<Wake>,
    /// What came while nothing was to be given.
    strays: Vec<Polled>,
    watchdog: Watchdog,
    last_look: Instant,
    renewals: u64,
    last_renewal: Option<DateTime<Utc>>,
}

impl KafkaSource {
    /// Does not wait for the cluster: what is wrong with it is told by [`Source::trouble`].
    pub fn new(settings: &KafkaSettings, group_id: &str) -> Result<KafkaSource, KafkaError> {
        let wake = Arc::new(Wake::default());
        let watch = Watch::new(settings.topics.clone());
        let consumer = Arc::new(connect(settings, group_id, watch)?);
        let observer = {
            let wake = wake.clone();
            Observer::start(settings, group_id, move || wake.wake())?
        };
        let now = Instant::now();
        Ok(KafkaSource {
            partitions: Vec::new(),
            consumer,
            observer,
            settings: settings.clone(),
            group_id: group_id.to_owned(),
            wake,
            strays: Vec::new(),
            watchdog: Watchdog::new(now),
            last_look: now,
            renewals: 0,
            last_renewal: None,
        })
    }

    /// Has the cluster asked at once which topics there are, without waiting for the answers.
    pub fn ask_now(&self) {
        self.observer.ask_now();
    }

    /// Whether the cluster has said which topic it is when it was asked after `time`, or never says so: all that was given
    /// before is of the topic of [`Source::observation`].
    pub fn is_confirmed_since(&self, topic: Topic, time: Instant) -> bool {
        self.observer.is_confirmed_since(topic, time)
    }

    fn name(&self, topic: Topic) -> &str {
        self.settings.topics.get(topic)
    }

    /// Serves callbacks. No records come here, since each partition has its own queue before it is assigned; if some did,
    /// none may be lost.
    fn serve_main_queue(&mut self, take: &mut dyn FnMut(Polled)) {
        while let Some(polled) = self.consumer.poll(Duration::ZERO) {
            match polled {
                Ok(message) => {
                    if let Some(topic) = self.settings.topics.called(message.topic()) {
                        let (number, next) = (message.partition(), message.offset() + 1);
                        take(Polled::Records(Box::new(Stray { topic, message: message.detach() })));
                        let is = |held: &&mut Partition| (held.topic, held.number) == (topic, number);
                        // What lies between the two is still in the partition's queue.
                        if let Some(partition) = self.partitions.iter_mut().find(is)
                            && partition.position + 1 == next
                        {
                            partition.position = next;
                        }
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
        let ready = self.partitions.iter().enumerate().filter(|(_, partition)| partition.is_ready());
        ready.min_by_key(|(_, partition)| partition.time).map(|(at, _)| at)
    }

    /// Heals what has gone deaf.
    fn look_after_consumer(&mut self, now: Instant) {
        if now.saturating_duration_since(self.last_look) < LOOK_EVERY {
            return;
        }
        self.last_look = now;
        for held in &self.partitions {
            let &Partition { topic, number: partition, .. } = held;
            if let Some(reason) = held.out_of_range(self.observer.observation(topic, partition)) {
                self.strays.push(Polled::Failed { topic, partition, reason });
            }
        }
        let watch = self.consumer.context();
        let sight = |held: &Partition| Sight {
            topic: held.topic,
            partition: held.number,
            position: held.position.max(watch.fetched(held.topic, held.number).unwrap_or(i64::MIN)),
            has_records: held.is_ready(),
            end: self.observer.watermarks(held.topic, held.number).map(|held| held.high),
            has_error: held.error.is_some(),
        };
        let seen: Vec<Sight> = self.partitions.iter().map(sight).collect();
        let others_hear = self.observer.has_heard_within(HEARS);
        match self.watchdog.look(now, watch.last_answer(), others_hear, &seen) {
            Cure::Nothing => {}
            Cure::Reassign(partitions) => self.reassign(&partitions),
            Cure::Renew(why) => self.renew(&why),
        }
    }

    /// Has some partitions fetched anew, from where they stand. What is in their queues is fetched again.
    fn reassign(&mut self, which: &[(Topic, i32)]) {
        let held = || self.partitions.iter().filter(|held| which.contains(&(held.topic, held.number)));
        let assigned = self.list(held()).and_then(|list| {
            self.consumer.incremental_unassign(&list).map_err(|error| error.to_string())?;
            self.consumer.incremental_assign(&list).map_err(|error| error.to_string())
        });
        match assigned {
            Ok(()) => {
                // An error that stands has been logged.
                if held().any(|held| held.error.is_none()) {
                    tracing::info!(partitions = ?which, "partitions that stand still were assigned anew");
                }
                held().for_each(Partition::look_again);
            }
            // Half of it may have been done, so that it cannot be tried again on the same client.
            Err(error) => self.renew(&format!("partitions cannot be assigned anew: {error}")),
        }
    }

    /// Puts a new consumer into the place of the one that reads. Each partition goes on where it stands: what was taken of
    /// its old queue has been given, and what was not is fetched again.
    fn renew(&mut self, why: &str) {
        match self.successor() {
            Ok((consumer, partitions)) => {
                tracing::warn!("the Kafka client that reads was replaced by a new one: {why}");
                let old = std::mem::replace(&mut self.consumer, consumer);
                // The old queues go before their consumer.
                self.partitions = partitions;
                old.context().replace();
                old.replace();
                self.renewals += 1;
                self.last_renewal = Some(Utc::now());
            }
            Err(error) => {
                tracing::warn!(
                    "the Kafka client that reads cannot be replaced by a new one ({error}), though {why}"
                );
            }
        }
    }

    fn successor(&self) -> Result<(Arc<Client<Watch>>, Vec<Partition>), String> {
        let consumer = connect(&self.settings, &self.group_id, self.consumer.context().successor());
        let consumer = Arc::new(consumer.map_err(|error| error.to_string())?);
        let split = |held: &Partition| {
            let (key, name) = ((held.topic, held.number), self.name(held.topic));
            let mut split = Partition::split(&consumer, name, key, held.position, &self.wake)?;
            (split.time, split.error) = (held.time, held.error.clone());
            Ok(split)
        };
        let partitions = self.partitions.iter().map(split).collect::<Result<Vec<Partition>, String>>()?;
        let list = self.list(partitions.iter())?;
        consumer.incremental_assign(&list).map_err(|error| error.to_string())?;
        Ok((consumer, partitions))
    }

    /// Partitions with the offsets to be read next.
    fn list<'a>(&self, partitions: impl Iterator<Item = &'a Partition>) -> Result<TopicPartitionList, String> {
        let mut list = TopicPartitionList::new();
        for &Partition { topic, number, position, .. } in partitions {
            let added = list.add_partition_offset(self.name(topic), number, Offset::Offset(position));
            added.map_err(|error| error.to_string())?;
        }
        Ok(list)
    }
}

impl Source for KafkaSource {
    fn poll(&mut self, wait: Duration, take: &mut dyn FnMut(Polled)) {
        self.strays.drain(..).for_each(&mut *take);
        self.serve_main_queue(take);
        for Found { topic, partition, watermarks } in self.observer.found() {
            take(Polled::Found { topic, partition, watermarks });
        }
        if self.most_behind().is_none() {
            self.wake.wait(wait);
        }
        let (mut given, mut bytes) = (0, 0);
        while given < RECORDS_A_POLL
            && bytes < BYTES_A_POLL
            && let Some(at) = self.most_behind()
        {
            let mut partition = self.partitions.swap_remove(at);
            let (records, bytes_given) = partition.turn(self.consumer.context(), take);
            (given, bytes) = (given + records, bytes + bytes_given);
            self.partitions.push(partition);
        }
        self.look_after_consumer(Instant::now());
    }

    fn rest(&mut self, wait: Duration) {
        let mut strays = std::mem::take(&mut self.strays);
        self.serve_main_queue(&mut |polled| strays.push(polled));
        self.strays = strays;
        std::thread::sleep(wait);
    }

    fn assign(&mut self, topic: Topic, partition: i32, offset: i64) -> Result<(), String> {
        let key = (topic, partition);
        let partition = Partition::split(&self.consumer, self.name(topic), key, offset, &self.wake)?;
        let list = self.list(std::iter::once(&partition))?;
        self.consumer.incremental_assign(&list).map_err(|error| error.to_string())?;
        self.partitions.push(partition);
        Ok(())
    }

    fn stop(&mut self, topic: Topic, partition: i32) {
        self.partitions.retain(|held| (held.topic, held.number) != (topic, partition));
        let mut list = TopicPartitionList::new();
        list.add_partition(self.name(topic), partition);
        if let Err(error) = self.consumer.incremental_unassign(&list) {
            tracing::warn!(%topic, partition, %error, "librdkafka did not let go of a stopped partition");
        }
    }

    fn watermarks(&self, topic: Topic, partition: i32) -> Option<Watermarks> {
        self.observer.watermarks(topic, partition)
    }

    fn trouble(&self) -> Option<String> {
        self.consumer.context().last_trouble().or_else(|| self.observer.trouble())
    }

    fn is_complete(&self) -> bool {
        self.observer.is_complete()
    }

    fn cluster_id(&self) -> Option<String> {
        self.observer.cluster_id()
    }

    fn observation(&self, topic: Topic, partition: i32) -> Option<PartitionObservation> {
        self.observer.observation(topic, partition)
    }

    fn partition_error(&self, topic: Topic, partition: i32) -> Option<StandingError> {
        let is = |held: &&Partition| (held.topic, held.number) == (topic, partition);
        let of_fetch = self.partitions.iter().find(is).and_then(|held| held.error.as_ref());
        of_fetch.map(|error| error.shown.clone()).or_else(|| self.observer.partition_error(topic, partition))
    }

    fn cluster_health(&self) -> ClusterHealth {
        let (renewals, last_renewal) = (self.renewals, self.last_renewal);
        ClusterHealth { renewals, last_renewal, ..self.observer.health() }
    }

    fn publish(&mut self, offsets: &[(Topic, i32, i64)]) {
        let mut list = TopicPartitionList::new();
        for &(topic, partition, offset) in offsets {
            if let Err(error) = list.add_partition_offset(self.name(topic), partition, Offset::Offset(offset)) {
                tracing::debug!(%topic, partition, offset, %error, "cannot publish an offset");
            }
        }
        // For lag tools only: nothing depends on it, so a failure is no more than noted.
        if let Err(error) = self.consumer.commit(&list, CommitMode::Async) {
            tracing::debug!(%error, "the group's offsets were not published");
        }
    }
}

fn connect(settings: &KafkaSettings, group_id: &str, watch: Watch) -> Result<Client<Watch>, KafkaError> {
    let mut config = consumer_config(settings, group_id);
    // The watch looks at them. Nobody else may ask for any: the crate's own contexts log them as a whole.
    config.set("statistics.interval.ms", "1000");
    BaseConsumer::from_config_and_context(&config, watch).map(Client::new)
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

    fn cut_from(&self, at: usize) -> Option<u64> {
        decompression::has_cut().then(|| decompression::cut_from(&self.record(at).headers)).flatten()
    }
}

/// Returns the settings of a consumer. Those that the projector's correctness rests on come last, so that nothing overrides them.
pub fn consumer_config(settings: &KafkaSettings, group_id: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    for (key, value) in [
        ("client.id", "optview"),
        ("queued.min.messages", "10000"),
        ("queued.max.messages.kbytes", "4096"),
        ("fetch.queue.backoff.ms", "20"),
        // A fetch that asks only partitions without news is held by the broker for this long (by default 500 ms), and no
        // other is sent meanwhile: none for a partition whose queue has just been emptied.
        ("fetch.wait.max.ms", "20"),
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

#[cfg(test)]
mod tests;
