//! The metrics of the time for which the topics keep their records.

use metrics::{Unit, describe_gauge, gauge};

use crate::status::{HistoryExpiry, HistoryLimits, TopicReport};

pub(super) fn describe() {
    describe_gauge!(
        "optview_topic_history_seconds_left",
        Unit::Seconds,
        "Time until Kafka may remove the oldest record that a rebuild would need"
    );
    describe_gauge!(
        "optview_topic_history_limited",
        "1 if the topic's settings remove records by age, size or compaction, else 0"
    );
}

/// Sets the gauges from the topics' last known settings, as of now.
pub(super) fn record_topics(topics: &[TopicReport]) {
    let now = chrono::Utc::now().timestamp_millis();
    for topic in topics {
        let name = &topic.topic;
        gauge!("optview_topic_history_seconds_left", "topic" => name.clone()).set(topic.expiry.seconds(now));
        let is_known = topic.expiry != HistoryExpiry::Unknown;
        let HistoryLimits { age, size, compaction } = topic.limits;
        for (by, is_limited) in [("age", age), ("size", size), ("compaction", compaction)] {
            let value = if is_known { f64::from(u8::from(is_limited)) } else { f64::NAN };
            gauge!("optview_topic_history_limited", "topic" => name.clone(), "by" => by).set(value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::builder;
    use super::*;

    #[test]
    fn a_scrape_shows_how_long_each_topic_keeps_its_oldest_record() {
        let report = |topic: &str, left, limited| TopicReport {
            topic: topic.to_owned(),
            expiry: left,
            limits: HistoryLimits { age: limited, ..HistoryLimits::default() },
            ..TopicReport::default()
        };
        let recorder = builder().build_recorder();
        metrics::with_local_recorder(&recorder, || {
            record_topics(&[
                report("a", HistoryExpiry::ForEver, false),
                report("b", HistoryExpiry::Until(0), true),
                report("c", HistoryExpiry::Unknown, false),
            ]);
        });
        let text = recorder.handle().render();
        for line in [
            // Prometheus reads it as +Inf.
            r#"optview_topic_history_seconds_left{topic="a"} inf"#,
            r#"optview_topic_history_seconds_left{topic="b"} 0"#,
            r#"optview_topic_history_seconds_left{topic="c"} NaN"#,
            r#"optview_topic_history_limited{topic="a",by="age"} 0"#,
            r#"optview_topic_history_limited{topic="b",by="age"} 1"#,
            r#"optview_topic_history_limited{topic="c",by="age"} NaN"#,
        ] {
            assert!(text.lines().any(|candidate| candidate == line), "no line {line:?} in:\n{text}");
        }
    }
}
