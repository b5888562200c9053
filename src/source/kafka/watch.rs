//! What librdkafka tells beside records: watermarks, trouble with the cluster, and partitions that appear.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rdkafka::ClientContext;
use rdkafka::TopicPartitionList;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::statistics::Statistics;
use rdkafka::types::RDKafkaErrorCode;

use crate::domain::Topic;
use crate::source::{TopicNames, Watermarks};

/// How often the topics are looked at for new partitions, and, before all were found, for themselves.
const LOOK_EVERY: Duration = Duration::from_secs(5);
const LOOK_AGAIN: Duration = Duration::from_millis(250);
/// How long a request to the cluster may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// The same trouble is logged again after this long.
const LOG_AGAIN: Duration = Duration::from_secs(60);

/// librdkafka's callbacks. Called on whichever thread polls.
pub struct Watch {
    names: TopicNames,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    watermarks: HashMap<(Topic, i32), Watermarks>,
    /// With the connection; the next answer of the cluster ends it.
    trouble: Option<String>,
    /// The id that the cluster gave itself.
    cluster_id: Option<String>,
    /// With the topics, as of the last look at them.
    topics_trouble: Option<String>,
    /// What was logged lately, by what it is about.
    logged: HashMap<String, Instant>,
}

impl Watch {
    pub fn new(names: TopicNames) -> Watch {
        Watch { names, state: Mutex::default() }
    }

    pub fn watermarks(&self, topic: Topic, partition: i32) -> Option<Watermarks> {
        self.state.lock().watermarks.get(&(topic, partition)).copied()
    }

    pub fn last_trouble(&self) -> Option<String> {
        let state = self.state.lock();
        state.trouble.clone().or_else(|| state.topics_trouble.clone())
    }

    pub fn cluster_id(&self) -> Option<String> {
        self.state.lock().cluster_id.clone()
    }

    /// The cluster answers.
    pub fn connected(&self) {
        let mut state = self.state.lock();
        if state.trouble.take().is_some() {
            state.logged.clear();
            tracing::info!("the Kafka cluster answers again");
        }
    }

    pub fn trouble(&self, code: RDKafkaErrorCode, reason: &str) {
        let mut state = self.state.lock();
        // One failure comes several times, with its reason and without; and while no broker answers, that none does
        // comes again and again, which says less than why the last one did not.
        if state.trouble.is_some() && (reason.is_empty() || code == RDKafkaErrorCode::AllBrokersDown) {
            return;
        }
        let text = if reason.is_empty() { code.to_string() } else { format!("{code}: {reason}") };
        state.log(&code.to_string(), &text);
        state.trouble = Some(text);
    }

    fn note(&self, text: String) {
        let mut state = self.state.lock();
        state.log(&text, &text);
        state.trouble = Some(text);
    }

    /// What the last look at the topics found wrong.
    fn set_topics_trouble(&self, trouble: Option<String>) {
        let mut state = self.state.lock();
        if let Some(text) = &trouble {
            state.log("topics", text);
        }
        state.topics_trouble = trouble;
    }
}

impl State {
    /// The same trouble once in a while only: its text may differ each time, in how long an attempt took, say.
    fn log(&mut self, about: &str, text: &str) {
        if self.logged.get(about).is_none_or(|at| at.elapsed() >= LOG_AGAIN) {
            tracing::warn!("trouble with the Kafka cluster, trying again: {text}");
            self.logged.insert(about.to_owned(), Instant::now());
        }
    }
}

impl ClientContext for Watch {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        // Errors reach `error` too, which says them once.
        tracing::debug!(target: "librdkafka", ?level, facility, "{message}");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        // The end of a partition comes here too, as well as to whoever polls its queue.
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::PartitionEOF) => {}
            Some(code) => self.trouble(code, reason),
            None => self.note(format!("{error}: {reason}")),
        }
    }

    fn stats(&self, statistics: Statistics) {
        if statistics.brokers.values().any(|broker| broker.nodeid >= 0 && broker.state == "UP") {
            self.connected();
        }
        let mut state = self.state.lock();
        for topic in Topic::ALL {
            let Some(held) = statistics.topics.get(self.names.get(topic)) else { continue };
            for (&number, partition) in &held.partitions {
                if number >= 0 && partition.ls_offset >= 0 && partition.lo_offset >= 0 {
                    let watermarks = Watermarks { low: partition.lo_offset, high: partition.ls_offset };
                    state.watermarks.insert((topic, number), watermarks);
                }
            }
        }
    }
}

impl ConsumerContext for Watch {
    fn commit_callback(&self, result: KafkaResult<()>, _offsets: &TopicPartitionList) {
        if let Err(error) = result {
            let text = format!("the group's offsets, which only lag tools read, cannot be published: {error}");
            self.state.lock().log("publishing", &text);
        }
    }
}

/// A partition that was not known before.
#[derive(Clone, Copy, Debug)]
pub struct Found {
    pub topic: Topic,
    pub partition: i32,
    pub watermarks: Watermarks,
}

/// Looks for partitions on a thread of its own: the requests wait for the cluster.
pub struct Watcher {
    found: Receiver<Found>,
    complete: Arc<AtomicBool>,
    /// `complete` as it was before what was found was last taken.
    taken_all: bool,
    // Dropping it ends the thread.
    _alive: Arc<()>,
}

impl Watcher {
    pub fn start(
        consumer: Arc<BaseConsumer<Watch>>,
        names: TopicNames,
        wake: impl Fn() + Send + 'static,
    ) -> Watcher {
        let (send, found) = channel();
        let complete = Arc::new(AtomicBool::new(false));
        let alive = Arc::new(());
        let (still_wanted, is_complete) = (Arc::downgrade(&alive), complete.clone());
        std::thread::spawn(move || {
            let mut known = HashSet::new();
            while still_wanted.strong_count() > 0 {
                let all = look(&consumer, &names, &mut known, &send);
                is_complete.fetch_or(all, Ordering::Release);
                wake();
                std::thread::sleep(if all { LOOK_EVERY } else { LOOK_AGAIN });
            }
        });
        Watcher { found, complete, taken_all: false, _alive: alive }
    }

    /// What was found since the last call.
    pub fn found(&mut self) -> Vec<Found> {
        // First: what is found before it is set is in the channel by then.
        self.taken_all = self.complete.load(Ordering::Acquire);
        self.found.try_iter().collect()
    }

    /// Whether all partitions of all topics had been found, at some time, and were given by [`Watcher::found`].
    pub fn is_complete(&self) -> bool {
        self.taken_all
    }
}

/// Looks at every topic once. True where all of them are there and all of their partitions are known.
fn look(
    consumer: &BaseConsumer<Watch>,
    names: &TopicNames,
    known: &mut HashSet<(Topic, i32)>,
    found: &Sender<Found>,
) -> bool {
    let look = |topic| look_at(consumer, names.get(topic), topic, known, found).err();
    let troubles: Vec<String> = Topic::ALL.into_iter().filter_map(look).collect();
    let all = troubles.is_empty();
    consumer.context().set_topics_trouble((!all).then(|| troubles.join("; ")));
    all
}

fn look_at(
    consumer: &BaseConsumer<Watch>,
    name: &str,
    topic: Topic,
    known: &mut HashSet<(Topic, i32)>,
    found: &Sender<Found>,
) -> Result<(), String> {
    let no_topic = |why: &dyn std::fmt::Display| format!("cannot look at the topic `{name}`: {why}");
    let metadata = consumer.fetch_metadata(Some(name), REQUEST_TIMEOUT).map_err(|error| no_topic(&error))?;
    let held = metadata.topics().iter().find(|held| held.name() == name);
    let held = held.ok_or_else(|| no_topic(&"the cluster does not tell of it"))?;
    if let Some(error) = held.error() {
        let error = rdkafka::error::KafkaError::MetadataFetch(error.into());
        return Err(format!("the topic `{name}` cannot be read, is it there? ({error})"));
    }
    if held.partitions().is_empty() {
        return Err(no_topic(&"it has no partitions"));
    }
    // Before any partition is told of. The cluster has just answered, so it is known by now, if ever.
    if let Some(id) = consumer.client().fetch_cluster_id(REQUEST_TIMEOUT) {
        consumer.context().state.lock().cluster_id = Some(id);
    }
    for partition in held.partitions().iter().map(|partition| partition.id()) {
        if known.contains(&(topic, partition)) {
            continue;
        }
        let (low, high) =
            consumer.fetch_watermarks(name, partition, REQUEST_TIMEOUT).map_err(|error| no_topic(&error))?;
        known.insert((topic, partition));
        // The receiver is gone only where the source is: then nobody wants to know.
        let _ = found.send(Found { topic, partition, watermarks: Watermarks { low, high } });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_complete_only_once_what_was_found_has_been_taken() {
        let (send, found) = channel();
        let complete = Arc::new(AtomicBool::new(false));
        let mut watcher = Watcher { found, complete: complete.clone(), taken_all: false, _alive: Arc::new(()) };
        assert!(watcher.found().is_empty() && !watcher.is_complete());
        let watermarks = Watermarks { low: 0, high: 9 };
        send.send(Found { topic: Topic::Jobs, partition: 0, watermarks }).unwrap();
        complete.store(true, Ordering::Release);
        assert!(!watcher.is_complete(), "a partition waits to be taken");
        assert_eq!(watcher.found().len(), 1);
        assert!(watcher.is_complete());
    }

    #[test]
    fn the_last_trouble_is_the_one_that_says_why() {
        use RDKafkaErrorCode::{AllBrokersDown, BrokerTransportFailure, Resolve};
        let watch = Watch::new(TopicNames::default());
        assert_eq!(watch.last_trouble(), None);
        watch.trouble(AllBrokersDown, "1/1 brokers are down");
        assert!(watch.last_trouble().unwrap().contains("1/1"));
        watch.trouble(BrokerTransportFailure, "kafka:9092: Connection refused");
        for (code, reason) in [(BrokerTransportFailure, ""), (AllBrokersDown, "1/1 brokers are down")] {
            watch.trouble(code, reason);
            assert!(watch.last_trouble().unwrap().contains("Connection refused"));
        }
        watch.trouble(Resolve, "kafka: no such host");
        assert!(watch.last_trouble().unwrap().contains("no such host"));
        watch.connected();
        assert_eq!(watch.last_trouble(), None);
    }

    #[test]
    fn the_same_trouble_is_logged_once_whatever_its_words() {
        let watch = Watch::new(TopicNames::default());
        for attempt in 0..100 {
            let reason = format!("refused after {attempt} ms");
            watch.trouble(RDKafkaErrorCode::BrokerTransportFailure, &reason);
            watch.trouble(RDKafkaErrorCode::AllBrokersDown, &reason);
            watch.set_topics_trouble(Some(format!("cannot look, {attempt}")));
        }
        assert_eq!(watch.state.lock().logged.len(), 2);
    }
}
