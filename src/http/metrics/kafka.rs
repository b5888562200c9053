//! The metrics of the partitions and of the cluster: how far each partition is read, how fresh that is, and which errors stand.
//! Values that are not known are NaN, which no alert's comparison matches, so the ages are never NaN while something is read.

use std::collections::BTreeMap;
use std::time::Instant;

use metrics::{Unit, counter, describe_counter, describe_gauge, gauge};
use parking_lot::Mutex;

use super::gauge_values::of_offset;
use crate::status::{KafkaReport, PartitionReport, PartitionState, Report};

/// The errors and the stops that were ever recorded, by topic, partition and code, each with whether it still stands. One that is
/// over has to be recorded as 0, or it would stand in Prometheus for ever.
#[derive(Default)]
pub struct RecordedErrors(Mutex<BTreeMap<ErrorLabels, bool>>);

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
enum ErrorLabels {
    Cluster { code: String },
    Partition { topic: String, partition: String, code: String },
    Stop { topic: String, partition: String, code: &'static str },
}

/// Sets the metrics of the partitions and of the cluster from the report, with ages as of `now`.
pub fn record_kafka(report: &Report, errors: &RecordedErrors, now: Instant) {
    match &report.kafka {
        Some(kafka) => record_cluster(kafka, now),
        None => {
            gauge!("optview_kafka_up").set(f64::NAN);
            gauge!("optview_kafka_seconds_since_answer").set(f64::NAN);
        }
    }
    report.partitions.iter().for_each(|partition| record_partition(partition, now));
    errors.record(report);
}

fn record_cluster(kafka: &KafkaReport, now: Instant) {
    gauge!("optview_kafka_up").set(if kafka.up { 1.0 } else { 0.0 });
    gauge!("optview_kafka_seconds_since_answer").set(kafka.seconds_unanswered(now));
    counter!("optview_kafka_client_renewals_total").absolute(kafka.renewals);
}

fn record_partition(report: &PartitionReport, now: Instant) {
    let partition = report.partition.to_string();
    let set = |name: &'static str, value: f64| {
        gauge!(name, "topic" => report.topic.clone(), "partition" => partition.clone()).set(value);
    };
    let freshness = &report.freshness;
    set("optview_partition_position", of_offset(Some(report.position)));
    set("optview_partition_checkpoint", of_offset(report.checkpoint));
    set("optview_partition_low_watermark", of_offset(report.low));
    set("optview_partition_high_watermark", of_offset(report.high));
    set("optview_partition_last_stable_offset", of_offset(freshness.last_stable));
    set("optview_partition_hidden_records", of_offset(freshness.hidden_records));
    set("optview_partition_hidden_seconds", freshness.seconds_hidden(now));
    set("optview_partition_lag_records", of_offset(report.lag_records));
    set("optview_partition_lag_seconds", report.lag_seconds.unwrap_or(f64::NAN));
    set("optview_partition_seconds_since_confirmed", freshness.seconds_unconfirmed(now).unwrap_or(f64::NAN));
    set("optview_partition_stopped", if report.state == PartitionState::Stopped { 1.0 } else { 0.0 });
}

impl RecordedErrors {
    fn record(&self, report: &Report) {
        let mut recorded = self.0.lock();
        recorded.values_mut().for_each(|is_standing| *is_standing = false);
        recorded.extend(standing(report).map(|labels| (labels, true)));
        for (labels, &is_standing) in &*recorded {
            let gauge = match labels.clone() {
                ErrorLabels::Cluster { code } => gauge!("optview_kafka_error", "code" => code),
                ErrorLabels::Partition { topic, partition, code } => {
                    gauge!("optview_partition_error", "topic" => topic, "partition" => partition, "code" => code)
                }
                ErrorLabels::Stop { topic, partition, code } => {
                    gauge!("optview_partition_stop_reason", "topic" => topic, "partition" => partition, "code" => code)
                }
            };
            gauge.set(if is_standing { 1.0 } else { 0.0 });
        }
    }
}

/// Returns the labels of all errors that stand.
fn standing(report: &Report) -> impl Iterator<Item = ErrorLabels> {
    let of_cluster = report.kafka.iter().filter_map(|kafka| kafka.error_code.clone());
    let of_partitions = report.partitions.iter().filter_map(|one| {
        let code = one.freshness.error_code.clone()?;
        Some(ErrorLabels::Partition { topic: one.topic.clone(), partition: one.partition.to_string(), code })
    });
    let stops = report.partitions.iter().filter_map(|one| {
        let code = one.freshness.stop_code?;
        Some(ErrorLabels::Stop { topic: one.topic.clone(), partition: one.partition.to_string(), code })
    });
    of_partitions.chain(stops).chain(of_cluster.map(|code| ErrorLabels::Cluster { code }))
}

pub fn describe_kafka() {
    describe_gauge!("optview_kafka_up", "1 where the cluster has answered within 10 s, else 0");
    describe_gauge!(
        "optview_kafka_seconds_since_answer",
        Unit::Seconds,
        "Time since the cluster's last answer, or since it was first asked if it never answered"
    );
    describe_gauge!("optview_kafka_error", "1 while an error with the cluster stands, by its code");
    describe_counter!(
        "optview_kafka_client_renewals_total",
        "Number of times that the reading client was replaced because it heard nothing any more"
    );
    describe_gauge!("optview_partition_position", "The next offset to be read");
    describe_gauge!("optview_partition_checkpoint", "The next offset to be read after a restart");
    describe_gauge!("optview_partition_low_watermark", "The oldest offset that the broker still has");
    describe_gauge!(
        "optview_partition_high_watermark",
        "One past the newest offset that the broker has, those of open transactions included"
    );
    describe_gauge!(
        "optview_partition_last_stable_offset",
        "One past the newest offset that a reader of committed records may pass"
    );
    describe_gauge!("optview_partition_hidden_records", "Offsets that lie behind a transaction that is open");
    describe_gauge!(
        "optview_partition_hidden_seconds",
        Unit::Seconds,
        "Time for which the same transaction has hidden records; 0 if none does"
    );
    describe_gauge!(
        "optview_partition_lag_records",
        "Records that can be read and have not been; NaN while the broker has not answered for 10 s"
    );
    describe_gauge!(
        "optview_partition_lag_seconds",
        Unit::Seconds,
        "The greatest possible age of an unread record; 0 if the broker answers that there is none"
    );
    describe_gauge!(
        "optview_partition_seconds_since_confirmed",
        Unit::Seconds,
        "Time since the cluster last confirmed that everything was read, or since the partition was found if it never did"
    );
    describe_gauge!("optview_partition_error", "1 while an error stands that keeps the partition from being read");
    describe_gauge!(
        "optview_partition_stop_reason",
        "1 while the partition has stopped for the reason with this code"
    );
    describe_gauge!(
        "optview_partition_stopped",
        "1 while the partition is not read any further before somebody intervenes"
    );
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::status::{PartitionFreshness, PartitionInstants, Status};

    fn report(begin: Instant) -> Report {
        let status = Status::new(1);
        let instants =
            PartitionInstants { found: Some(begin), hidden: Some(begin), ..PartitionInstants::default() };
        let freshness = PartitionFreshness {
            last_stable: Some(1),
            hidden_records: Some(103),
            error_code: Some("TopicAuthorizationFailed".to_owned()),
            instants,
            ..PartitionFreshness::default()
        };
        let partition = PartitionReport {
            topic: "jobs".to_owned(),
            partition: 0,
            position: 1,
            checkpoint: Some(1),
            low: Some(0),
            high: Some(104),
            lag_records: None,
            lag_seconds: None,
            state: PartitionState::Live,
            freshness,
        };
        status.set_progress(vec![partition], 0, 0);
        status.set_kafka(Some(KafkaReport {
            cluster_id: None,
            up: false,
            last_answer_seconds_ago: None,
            error: Some("no broker answers".to_owned()),
            error_code: Some("AllBrokersDown".to_owned()),
            error_since: None,
            renewals: 2,
            last_renewal_at: None,
            last_answer: None,
            asked_since: begin,
        }));
        status.report()
    }

    fn scraped(record: impl FnOnce()) -> String {
        let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
        metrics::with_local_recorder(&recorder, record);
        recorder.handle().render()
    }

    fn assert_lines(text: &str, lines: &[&str]) {
        for line in lines {
            assert!(text.lines().any(|candidate| candidate == *line), "no line {line:?} in:\n{text}");
        }
    }

    #[test]
    fn every_metric_of_a_cluster_that_is_away_grows() {
        let begin = Instant::now();
        let report = report(begin);
        let text = scraped(|| record_kafka(&report, &RecordedErrors::default(), begin + Duration::from_secs(720)));
        assert_lines(
            &text,
            &[
                "optview_kafka_up 0",
                "optview_kafka_seconds_since_answer 720",
                r#"optview_kafka_error{code="AllBrokersDown"} 1"#,
                "optview_kafka_client_renewals_total 2",
                r#"optview_partition_seconds_since_confirmed{topic="jobs",partition="0"} 720"#,
                r#"optview_partition_lag_records{topic="jobs",partition="0"} NaN"#,
                r#"optview_partition_high_watermark{topic="jobs",partition="0"} 104"#,
                r#"optview_partition_last_stable_offset{topic="jobs",partition="0"} 1"#,
                r#"optview_partition_hidden_records{topic="jobs",partition="0"} 103"#,
                r#"optview_partition_hidden_seconds{topic="jobs",partition="0"} 720"#,
                r#"optview_partition_error{topic="jobs",partition="0",code="TopicAuthorizationFailed"} 1"#,
            ],
        );
    }

    #[test]
    fn an_error_that_is_over_is_recorded_as_0() {
        let begin = Instant::now();
        let mut report = report(begin);
        let errors = RecordedErrors::default();
        let text = scraped(|| {
            record_kafka(&report, &errors, begin);
            report.partitions[0].freshness.error_code = Some("NotLeaderForPartition".to_owned());
            report.kafka.as_mut().unwrap().error_code = None;
            record_kafka(&report, &errors, begin);
        });
        assert_lines(
            &text,
            &[
                r#"optview_partition_error{topic="jobs",partition="0",code="TopicAuthorizationFailed"} 0"#,
                r#"optview_partition_error{topic="jobs",partition="0",code="NotLeaderForPartition"} 1"#,
                r#"optview_kafka_error{code="AllBrokersDown"} 0"#,
            ],
        );
    }

    #[test]
    fn a_cluster_that_nobody_asks_is_neither_up_nor_down() {
        let status = Status::new(1);
        let text = scraped(|| record_kafka(&status.report(), &RecordedErrors::default(), Instant::now()));
        assert_lines(&text, &["optview_kafka_up NaN", "optview_kafka_seconds_since_answer NaN"]);
    }
}
