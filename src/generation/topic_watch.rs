//! A watch over how long the topics keep their records. It asks the cluster at the start and daily, and reports where a rebuild will one day
//! miss some. On a thread of its own: nothing waits for the answer, and no error of it is the process's.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, SecondsFormat, Utc};
use parking_lot::{Condvar, Mutex};

use crate::domain::{NamedPartition, Topic, TopicPartition};
use crate::source::Watermarks;
use crate::source::kafka::topic_settings::{SettingsError, TopicSettings, topic_settings};
use crate::source::kafka::{KafkaSettings, metadata};
use crate::status::{HistoryExpiry, HistoryLimits, Status, TopicReport};

const ASK_EVERY: Duration = Duration::from_secs(24 * 3600);
/// After how long it asks again where the cluster did not answer, or not for all topics.
const ASK_AGAIN: Duration = Duration::from_secs(60);

/// Asks until it is dropped.
pub struct TopicWatch(Arc<Ending>);

#[derive(Default)]
struct Ending {
    ended: Mutex<bool>,
    changed: Condvar,
}

impl Drop for TopicWatch {
    fn drop(&mut self) {
        *self.0.ended.lock() = true;
        self.0.changed.notify_all();
    }
}

impl Ending {
    /// Gives whether it has ended, at the latest after `wait`.
    fn wait(&self, wait: Duration) -> bool {
        let deadline = Instant::now() + wait;
        let mut ended = self.ended.lock();
        while !*ended && !self.changed.wait_until(&mut ended, deadline).timed_out() {}
        *ended
    }
}

/// Begins to ask.
///
/// # Errors
/// Fails if no thread can be started.
pub fn start(kafka: KafkaSettings, status: Status) -> std::io::Result<TopicWatch> {
    let ending = Arc::new(Ending::default());
    let watch = TopicWatch(ending.clone());
    let run = move || {
        let mut said = BTreeMap::new();
        loop {
            let topics = ask(&kafka);
            let is_complete = topics.iter().all(|(_, is_answered)| *is_answered);
            topics.iter().for_each(|(report, is_answered)| say_once(&mut said, report, *is_answered));
            status.set_topics(topics.into_iter().map(|(report, _)| report).collect());
            if ending.wait(if is_complete { ASK_EVERY } else { ASK_AGAIN }) {
                return;
            }
        }
    };
    std::thread::Builder::new().name("topic-watch".to_owned()).spawn(run)?;
    Ok(watch)
}

/// Logs what is wrong with a topic, once a change. Where there is no answer, its reason may have other words each time.
fn say_once(said: &mut BTreeMap<String, Option<String>>, report: &TopicReport, is_answered: bool) {
    let name = report.topic.clone();
    match &report.warning {
        Some(warning) => {
            let about = is_answered.then(|| warning.clone());
            if said.get(&name) != Some(&about) {
                tracing::warn!("{warning}");
                said.insert(name, about);
            }
        }
        None if is_answered && said.remove(&name).is_some() => {
            tracing::info!(topic = name, "the topic keeps all of its records");
        }
        None => {}
    }
}

/// The reports of the topics, and whether the cluster has answered.
fn ask(kafka: &KafkaSettings) -> Vec<(TopicReport, bool)> {
    let settings = match topic_settings(kafka) {
        Ok(settings) => settings,
        Err(error) => {
            let is_answered = matches!(error, SettingsError::Unsupported { .. });
            return Topic::ALL
                .into_iter()
                .map(|topic| (unknown(kafka.topics.get(topic), &error), is_answered))
                .collect();
        }
    };
    let begins = begins(kafka, |topic| settings.get(&topic).is_none_or(|held| held.removes_by_age().is_some()));
    let oldest = oldest_records(kafka, &begins);
    let report = |topic: Topic| {
        let (name, held) = (kafka.topics.get(topic), settings.get(&topic));
        if held.is_none() && !begins.keys().any(|begin| begin.topic == topic) {
            // The projector reports that it is missing.
            return (TopicReport { topic: name.to_owned(), ..TopicReport::default() }, false);
        }
        let now = Utc::now().timestamp_millis();
        (report(name, held, oldest.get(&topic).copied(), now), true)
    };
    Topic::ALL.into_iter().map(report).collect()
}

fn unknown(name: &str, error: &SettingsError) -> TopicReport {
    let warning = format!("it is not known how long the topic `{name}` keeps its records: {error}");
    TopicReport { topic: name.to_owned(), warning: Some(warning), ..TopicReport::default() }
}

/// `oldest`: the timestamp of the oldest record, in milliseconds since 1970, where there is one.
fn report(name: &str, settings: Option<&TopicSettings>, oldest: Option<i64>, now: i64) -> TopicReport {
    let Some(settings) = settings else {
        let warning = format!(
            "it is not known how long the topic `{name}` keeps its records, as the cluster does not show its settings: grant \
             DescribeConfigs on it to this client. Kafka's default is 7 days, after which a rebuild \
             would miss records"
        );
        return TopicReport { topic: name.to_owned(), warning: Some(warning), ..TopicReport::default() };
    };
    let goes_at = match (settings.removes_by_age(), oldest) {
        (Some(retention), Some(oldest)) => Some(oldest.saturating_add(retention)),
        // Nothing is there to go yet: what comes now is the first to go.
        (Some(retention), None) => Some(now.saturating_add(retention)),
        (None, _) => None,
    };
    let left = match goes_at {
        _ if settings.compacts => HistoryExpiry::Compacted,
        Some(millis) => HistoryExpiry::Until(millis),
        None => HistoryExpiry::ForEver,
    };
    TopicReport {
        topic: name.to_owned(),
        cleanup_policy: Some(settings.cleanup_policy.clone()),
        retention_ms: Some(settings.retention_millis),
        retention_bytes: Some(settings.retention_bytes),
        oldest_record_at: oldest.and_then(time),
        oldest_record_goes_at: oldest.and(goes_at).and_then(time),
        warning: settings.warning(name),
        expiry: left,
        limits: HistoryLimits {
            age: settings.removes_by_age().is_some(),
            size: settings.removes_by_size(),
            compaction: settings.compacts,
        },
    }
}

fn time(millis: i64) -> Option<String> {
    let time = DateTime::<Utc>::from_timestamp_millis(millis)?;
    Some(time.to_rfc3339_opts(SecondsFormat::Millis, true))
}

/// Returns the first offsets of the partitions of some topics; `None`: the partition is empty.
fn begins(kafka: &KafkaSettings, is_wanted: impl Fn(Topic) -> bool) -> BTreeMap<TopicPartition, Option<i64>> {
    let names: Vec<&str> =
        Topic::ALL.into_iter().filter(|topic| is_wanted(*topic)).map(|topic| kafka.topics.get(topic)).collect();
    if names.is_empty() {
        return BTreeMap::new();
    }
    let begin = |(partition, bounds): (NamedPartition, Watermarks)| {
        Some((kafka.topics.partition_of(&partition)?, (bounds.low < bounds.high).then_some(bounds.low)))
    };
    metadata::watermarks(kafka, names)
        .map(|bounds| bounds.into_iter().filter_map(begin).collect())
        .unwrap_or_else(|error| {
            tracing::warn!(%error, "the topics cannot be looked at: it is not known how old their oldest records are");
            BTreeMap::new()
        })
}

/// The timestamp of the oldest record of each topic that begins somewhere, in milliseconds since 1970.
fn oldest_records(kafka: &KafkaSettings, begins: &BTreeMap<TopicPartition, Option<i64>>) -> BTreeMap<Topic, i64> {
    let offsets = begins.iter().filter_map(|(&partition, begin)| Some((partition, (*begin)?))).collect();
    let records = metadata::records_at(kafka, &offsets).unwrap_or_else(|error| {
        tracing::warn!(%error, "the oldest records of the topics cannot be read: it is not known how old they are");
        BTreeMap::new()
    });
    let mut oldest = BTreeMap::new();
    for record in records.into_values() {
        let Some(millis) = record.timestamp_millis else { continue };
        oldest
            .entry(record.position.topic)
            .and_modify(|held: &mut i64| *held = millis.min(*held))
            .or_insert(millis);
    }
    oldest
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 24 * 3_600_000;
    const NOW: i64 = 1_000 * DAY;

    fn settings(cleanup_policy: &str, retention_millis: i64, retention_bytes: i64) -> TopicSettings {
        TopicSettings::new(cleanup_policy, retention_millis, retention_bytes)
    }

    #[test]
    fn what_is_left_is_the_oldest_records_age_taken_from_the_retention() {
        let left = |settings: &TopicSettings, oldest| report("jobs", Some(settings), oldest, NOW).expiry;
        assert_eq!(left(&settings("delete", -1, -1), Some(0)), HistoryExpiry::ForEver);
        assert_eq!(
            left(&settings("delete", 7 * DAY, -1), Some(NOW - 2 * DAY)),
            HistoryExpiry::Until(NOW + 5 * DAY)
        );
        assert_eq!(left(&settings("delete", 7 * DAY, -1), None), HistoryExpiry::Until(NOW + 7 * DAY));
        assert_eq!(left(&settings("compact", 7 * DAY, -1), Some(0)), HistoryExpiry::Compacted);
        assert_eq!(left(&settings("compact,delete", -1, -1), Some(0)), HistoryExpiry::Compacted);
        assert_eq!(left(&settings("delete", i64::MAX, -1), Some(NOW)), HistoryExpiry::Until(i64::MAX));
        assert_eq!(report("jobs", None, None, NOW).expiry, HistoryExpiry::Unknown);
    }

    #[test]
    fn a_topic_whose_settings_are_not_shown_says_what_to_grant() {
        let warning = report("jobs", None, None, NOW).warning.unwrap();
        assert!(warning.contains("`jobs`") && warning.contains("DescribeConfigs"), "{warning}");
    }

    #[test]
    fn the_report_has_what_the_cluster_said() {
        let report = report("jobs", Some(&settings("delete", 7 * DAY, -1)), Some(NOW), NOW);
        assert_eq!(report.retention_ms, Some(7 * DAY));
        assert_eq!(report.oldest_record_at.as_deref(), Some("1972-09-27T00:00:00.000Z"));
        assert_eq!(report.oldest_record_goes_at.as_deref(), Some("1972-10-04T00:00:00.000Z"));
        assert!(report.warning.unwrap().contains("retention.ms"));
    }

    #[test]
    fn a_warning_is_logged_once_a_change() {
        let mut said = BTreeMap::new();
        let mut is_new = |warning: &str, is_answered| {
            let before = said.clone();
            let warning = (!warning.is_empty()).then(|| warning.to_owned());
            say_once(
                &mut said,
                &TopicReport { topic: "jobs".to_owned(), warning, ..TopicReport::default() },
                is_answered,
            );
            said != before
        };
        for (warning, is_answered, expected) in [
            ("refused after 1 ms", false, true),
            ("refused after 2 ms", false, false),
            ("7 days", true, true),
            ("7 days", true, false),
            ("refused after 3 ms", false, true),
            ("7 days", true, true),
            ("8 days", true, true),
            ("", true, true),
            ("", true, false),
        ] {
            assert_eq!(is_new(warning, is_answered), expected, "{warning:?}");
        }
    }

    #[test]
    fn a_watch_that_is_dropped_ends_at_once() {
        let ending = Arc::new(Ending::default());
        drop(TopicWatch(ending.clone()));
        assert!(ending.wait(Duration::from_secs(3600)));
    }
}
