//! `optview load`: puts a synthetic history on the topics, and prints the expected totals of the views.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::codec::encode::{encode, key};
use crate::config::LoadConfig;
use crate::output;
use crate::progress::Progress;
use crate::progress_display::ProgressDisplay;
use crate::source::kafka::admin;
use crate::source::kafka::producer::Producer;
use crate::source::kafka::topic_settings;
use crate::synthetic::{Expectation, History};

/// The summary of a load.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LoadSummary {
    /// Number of records sent.
    pub records: usize,
    /// Time in seconds from the first record sent to the last one acknowledged.
    pub seconds: f64,
    /// Number of records sent a second, on average.
    pub records_per_second: f64,
    /// The totals that the views must have once all records have been read.
    pub expectation: Expectation,
}

/// Loads the history, and prints the summary as one line of JSON on stdout.
pub fn run(config: &LoadConfig) -> anyhow::Result<()> {
    let loaded = load(config)?;
    Ok(output::print_json(&serde_json::to_string(&loaded)?)?)
}

/// Loads the history, and shows the progress on stderr.
pub fn load(config: &LoadConfig) -> anyhow::Result<LoadSummary> {
    for (topic, partitions) in admin::ensure_topics(&config.kafka, config.partitions)? {
        let name = config.kafka.topics.get(topic);
        if partitions == config.partitions {
            tracing::debug!(topic = name, partitions, "the topic exists");
        } else {
            let wanted = config.partitions;
            tracing::warn!(topic = name, partitions, wanted, "the topic exists already, and stays as it is");
        }
    }
    topic_settings::warn_of_losses(&config.kafka);
    let mut producer = Producer::new(&config.kafka)?;
    let mut history = History::new(config.history.clone());
    let mut shown = ProgressDisplay::new(false);
    let mut pace = Pace::new(config.events_per_second);
    let mut value = Vec::with_capacity(2048);
    let start = Instant::now();
    while let Some(event) = history.next() {
        encode(&event, config.encoding, &mut value);
        producer.send(event.body.topic(), key(&event), Some(&value))?;
        let sent = pace.sent();
        if sent.is_multiple_of(256) || pace.is_slow() {
            let (done, all) = (history.optimizations_done(), config.history.optimizations);
            shown.show(&Progress::new("loading optimizations", done, Some(all)));
        }
        while let Some(wait) = pace.wait() {
            producer.poll(wait)?;
        }
    }
    let records = producer.finish()?;
    shown.finish();
    let elapsed = start.elapsed();
    let records_per_second = (records as f64 / elapsed.as_secs_f64()).round();
    let seconds = elapsed.as_millis() as f64 / 1000.0;
    Ok(LoadSummary { records, seconds, records_per_second, expectation: history.expectation().clone() })
}

/// Keeps to a rate, measured from the start so that delays do not add up.
struct Pace {
    events_per_second: Option<f64>,
    start: Instant,
    sent: u64,
}

impl Pace {
    fn new(events_per_second: Option<f64>) -> Pace {
        Pace { events_per_second, start: Instant::now(), sent: 0 }
    }

    /// Counts one more event. Returns the count.
    fn sent(&mut self) -> u64 {
        self.sent += 1;
        self.sent
    }

    /// Returns true if the rate is so low that the progress may be shown after each event.
    fn is_slow(&self) -> bool {
        self.events_per_second.is_some_and(|rate| rate <= 1000.0)
    }

    /// Returns the wait before the next event, or a part of a long wait, so that failures are noticed meanwhile.
    fn wait(&self) -> Option<Duration> {
        let due = Duration::try_from_secs_f64(self.sent as f64 / self.events_per_second?).ok()?;
        let left = due.checked_sub(self.start.elapsed()).filter(|left| !left.is_zero())?;
        Some(left.min(Duration::from_millis(100)))
    }
}
