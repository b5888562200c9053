//! Asks the cluster itself about the topics: which partitions there are, where each ends, and whether a topic is
//! still the same. It uses a client of its own, because the one that reads may be deaf or believe an older topic's
//! offsets.
//!
//! There are two threads. One looks for partitions, which may take long if a broker does not answer. The other
//! asks about the known partitions once a second, and collects the answers that come within [`ANSWER_TIMEOUT`].

mod finder;
mod identity;
mod round;
mod state;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use chrono::Utc;
use parking_lot::Mutex;
use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaError;

use super::KafkaSettings;
use super::consumer_config::consumer_config;
use super::consumer_watch::TroubleLog;
use super::error_context::ErrorContext;
use super::queries::{Answer, Bound, ID_REQUESTS_MAX, OffsetAnswers, Queries, QueryClient};
use super::queue::waiting_events;
use super::renewal::Silence;
use super::wake_flag::WakeFlag;
use crate::domain::{Topic, TopicPartition};
use crate::source::{ClusterHealth, PartitionObservation, StandingError, TopicNames, Watermarks};
use round::Round;
use state::ClusterState;
pub use state::FoundPartition;

/// Interval of the requests about known partitions.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// Time limit of an answer. A later one is dropped.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);
/// Interval of the scans for new partitions.
const SCAN_INTERVAL: Duration = Duration::from_secs(5);
const SCAN_RETRY: Duration = Duration::from_millis(250);
/// Age below which a client that believes an older topic's epochs is not replaced yet.
const RENEWAL_MIN_AGE: Duration = Duration::from_secs(10);

/// The observer of the cluster. Dropping it ends its threads.
pub struct Observer {
    shared: Arc<SharedState>,
}

struct SharedState {
    settings: KafkaSettings,
    group_id: String,
    client: Mutex<Arc<QueryClient>>,
    state: Mutex<ClusterState>,
    /// Wakes the thread that asks about known partitions.
    ask: WakeFlag,
    look: WakeFlag,
    logged: Mutex<TroubleLog>,
    is_over: AtomicBool,
}

impl Observer {
    /// Starts the threads without waiting for the cluster. `wake` is called when a new partition becomes readable.
    pub fn start(
        settings: &KafkaSettings,
        group_id: &str,
        wake: impl Fn() + Send + 'static,
    ) -> Result<Observer, KafkaError> {
        let shared = Arc::new(SharedState {
            client: Mutex::new(Arc::new(client(settings, group_id)?)),
            settings: settings.clone(),
            group_id: group_id.to_owned(),
            state: Mutex::new(ClusterState::new(settings.topics.clone())),
            ask: WakeFlag::default(),
            look: WakeFlag::default(),
            logged: Mutex::default(),
            is_over: AtomicBool::new(false),
        });
        // If the second thread cannot be started, dropping the observer ends the first.
        let observer = Observer { shared: shared.clone() };
        let looking = shared.clone();
        thread("kafka-look", move || find_partitions(&looking))?;
        thread("kafka-observe", move || poll_partitions(&shared, &wake))?;
        Ok(observer)
    }

    /// Takes the partitions that were found since the last call.
    pub fn take_found(&self) -> Vec<FoundPartition> {
        self.shared.state.lock().take_found()
    }

    /// Returns true once all partitions of all topics were found and returned by [`Observer::take_found`].
    pub fn is_complete(&self) -> bool {
        self.shared.state.lock().is_complete()
    }

    /// Returns the cluster's id, once known.
    pub fn cluster_id(&self) -> Option<String> {
        self.shared.state.lock().cluster_id()
    }

    /// Returns the error that keeps partitions from being found.
    pub fn trouble(&self) -> Option<String> {
        self.shared.state.lock().trouble()
    }

    /// Returns the cluster's last answer about a partition.
    pub fn observation(&self, partition: TopicPartition) -> Option<PartitionObservation> {
        self.shared.state.lock().observation(partition)
    }

    /// Asks at once, without waiting for the answers.
    pub fn ask_now(&self) {
        self.shared.ask.wake();
    }

    /// Returns true if the cluster has confirmed the topic's id in answer to a request after `time`, or never
    /// gives ids.
    pub fn is_confirmed_since(&self, topic: Topic, time: Instant) -> bool {
        self.shared.state.lock().is_confirmed_since(topic, time)
    }

    /// Returns the bounds of a partition for a reader of committed records.
    pub fn watermarks(&self, partition: TopicPartition) -> Option<Watermarks> {
        let PartitionObservation { low, last_stable, .. } = self.observation(partition)?;
        Some(Watermarks { low, high: last_stable })
    }

    /// Returns the error for which the cluster does not answer about a partition.
    pub fn partition_error(&self, partition: TopicPartition) -> Option<StandingError> {
        self.shared.state.lock().partition_error(partition)
    }

    /// Returns the state of the connection between the observing client and the cluster.
    pub fn health(&self) -> ClusterHealth {
        self.shared.state.lock().health()
    }

    /// Returns true if the cluster has answered within the last `time`.
    pub fn has_answered_within(&self, time: Duration) -> bool {
        self.shared.state.lock().last_answer().is_some_and(|at| at.elapsed() < time)
    }
}

impl Drop for Observer {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Release);
        self.shared.ask.wake();
        self.shared.look.wake();
    }
}

fn thread(name: &str, run: impl FnOnce() + Send + 'static) -> Result<(), KafkaError> {
    let started = std::thread::Builder::new().name(name.to_owned()).spawn(run);
    started.map(drop).map_err(|error| KafkaError::ClientCreation(format!("a thread cannot be started: {error}")))
}

/// Creates a client that reads nothing.
fn client(settings: &KafkaSettings, group_id: &str) -> Result<QueryClient, KafkaError> {
    let mut config = consumer_config(settings, group_id);
    let id = format!("{}-observer", config.get("client.id").unwrap_or("optview"));
    config.set("client.id", id);
    Ok(QueryClient::new(config.create_with_context(ErrorContext::default())?))
}

fn find_partitions(shared: &SharedState) {
    while !shared.is_over.load(Ordering::Acquire) {
        let client = shared.client.lock().clone();
        let look = finder::scan_topics(&client, &shared.settings.topics);
        let wait = if look.troubles.is_empty() { SCAN_INTERVAL } else { SCAN_RETRY };
        if !look.troubles.is_empty() {
            shared.logged.lock().warn("topics", &look.troubles.join("; "));
        }
        if shared.state.lock().take_scan(look, Instant::now()) {
            shared.ask.wake();
        }
        shared.look.wait(wait);
    }
}

fn poll_partitions(shared: &SharedState, wake: &dyn Fn()) {
    let mut asker = Poller::new(shared);
    while !shared.is_over.load(Ordering::Acquire) {
        let begin = Instant::now();
        asker.round(shared);
        wake();
        shared.ask.wait(POLL_INTERVAL.saturating_sub(begin.elapsed()));
    }
}

/// The poller of known partitions, which replaces its client when that receives no answers.
struct Poller {
    queries: Queries,
    since: Instant,
    silence: Silence,
    /// Index of the broker that is asked for ids first: the last one that answered without an error.
    broker: usize,
}

impl Poller {
    fn new(shared: &SharedState) -> Poller {
        let now = Instant::now();
        let queries = Queries::new(shared.client.lock().clone());
        Poller { queries, since: now, silence: Silence::new(now), broker: 0 }
    }

    fn round(&mut self, shared: &SharedState) {
        let (partitions, topics, brokers) = {
            let state = shared.state.lock();
            let asked = if state.wants_second_opinion() { ID_REQUESTS_MAX } else { 1 };
            (state.partitions(), state.topics(), brokers_to_ask(state.brokers(), self.broker, asked))
        };
        let mut is_old = false;
        if !partitions.is_empty() {
            let round = self.ask_cluster(&shared.settings.topics, &partitions, &topics, &brokers);
            is_old = round.is_of_older_epoch() && self.since.elapsed() > RENEWAL_MIN_AGE;
            if round.is_misdirected() {
                shared.look.wake();
            }
            let reasons = self.queries.client().context();
            if round.is_answered() {
                reasons.clear();
            }
            shared.state.lock().take_round(&round, reasons.last(), Instant::now(), Utc::now());
        }
        // Callbacks record the reasons of failures.
        for _ in 0..waiting_events(self.queries.client()) {
            let _ = self.queries.client().poll(Duration::ZERO);
        }
        if let Some(heard) = shared.state.lock().last_answer() {
            self.silence.note_answer(heard);
        }
        if self.silence.is_too_long(Instant::now(), false) || is_old {
            self.renew(shared);
        }
    }

    /// Replaces the client, which may never connect again, or may believe an older topic's leaders.
    fn renew(&mut self, shared: &SharedState) {
        let now = Instant::now();
        self.silence.note_renewal(now);
        match client(&shared.settings, &shared.group_id) {
            Ok(client) => {
                let client = Arc::new(client);
                self.queries = Queries::new(client.clone());
                std::mem::replace(&mut *shared.client.lock(), client).mark_replaced();
                self.since = now;
                tracing::debug!("the client that observes the cluster was made anew");
            }
            Err(error) => tracing::warn!(%error, "no new client that observes the cluster can be made"),
        }
    }

    fn ask_cluster(
        &mut self,
        names: &TopicNames,
        partitions: &[TopicPartition],
        topics: &[Topic],
        brokers: &[Option<i32>],
    ) -> Round {
        let mut round = Round::new(Instant::now());
        self.queries.begin_round();
        let asked: Vec<(&str, i32)> =
            partitions.iter().map(|&TopicPartition { topic, partition }| (names.get(topic), partition)).collect();
        for bound in Bound::ALL {
            self.queries.ask_offsets(bound, &asked, ANSWER_TIMEOUT);
        }
        let asked: Vec<&str> = topics.iter().map(|&topic| names.get(topic)).collect();
        for (request, broker) in brokers.iter().enumerate() {
            self.queries.ask_ids(request, &asked, *broker, ANSWER_TIMEOUT);
        }
        // librdkafka answers each request in time, with an error if no broker does.
        let deadline = round.asked_at + 2 * ANSWER_TIMEOUT;
        for _ in 0..Bound::ALL.len() + brokers.len() {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.queries.next(left) {
                Some(Answer::Offsets(bound, answers)) => {
                    take_offsets(&mut round, names, partitions, bound, answers)
                }
                Some(Answer::Ids(request, Ok(ids))) => {
                    round.ids.extend(
                        ids.into_iter()
                            .filter_map(|(name, id)| Some((names.topic_of(&name)?, brokers[request], id))),
                    );
                }
                Some(Answer::Ids(request, Err(code))) => {
                    round.ids.extend(topics.iter().map(|&topic| (topic, brokers[request], Err(code))));
                }
                // Rights are not asked for here.
                Some(Answer::Rights(_)) | None => break,
            }
        }
        if round.has_id_error() {
            self.broker += 1;
        }
        round
    }
}

/// Returns the brokers to ask for ids: `count` of them, beginning with number `first`. `None` lets librdkafka
/// choose.
fn brokers_to_ask(brokers: &[i32], first: usize, count: usize) -> Vec<Option<i32>> {
    if brokers.is_empty() {
        return vec![None];
    }
    (0..count.min(brokers.len())).map(|ahead| Some(brokers[(first + ahead) % brokers.len()])).collect()
}

fn take_offsets(
    round: &mut Round,
    names: &TopicNames,
    asked: &[TopicPartition],
    bound: Bound,
    answers: OffsetAnswers,
) {
    let answers: BTreeMap<TopicPartition, _> = match answers {
        Ok(answers) => answers
            .into_iter()
            .filter_map(|(partition, answer)| Some((names.partition_of(&partition)?, answer)))
            .collect(),
        Err(code) => asked.iter().map(|&partition| (partition, Err(code))).collect(),
    };
    round.offsets.extend(
        answers
            .into_iter()
            .map(|(TopicPartition { topic, partition }, answer)| ((topic, partition, bound), answer)),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brokers_are_asked_in_turn_and_none_twice_at_a_time() {
        let brokers = [4, 5, 6];
        for (first, count, expected) in
            [(0, 1, &[4][..]), (1, 1, &[5]), (2, 2, &[6, 4]), (3, 2, &[4, 5]), (7, 5, &[5, 6, 4])]
        {
            let expected: Vec<Option<i32>> = expected.iter().copied().map(Some).collect();
            assert_eq!(brokers_to_ask(&brokers, first, count), expected, "{first}, {count}");
        }
        assert_eq!(brokers_to_ask(&[], 3, 2), [None]);
        assert_eq!(brokers_to_ask(&[9], 3, 2), [Some(9)]);
    }
}
