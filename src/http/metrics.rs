//! The metrics for Prometheus: requests are counted as they are answered, and the projector's status is recorded at each scrape.
//! On the hot path there is no look-up and no label, since each route holds its handles.

mod files;
mod findings;
mod gauge_values;
mod kafka;
mod topics;

use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use metrics::{
    Counter, Histogram, Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

pub use files::{record_connection_limit, record_files};
use gauge_values::{of_count, of_offset};
pub use kafka::RecordedErrors;
use kafka::{describe_kafka, record_kafka};

use crate::status::{Report, State};
use crate::version::{COMMIT, VERSION};
use topics::record_topics;

/// The bounds of the histograms' buckets in seconds, from a hit in memory to the time after which clients give up.
const BUCKETS_SECONDS: [f64; 18] = [
    0.000_01, 0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1,
    0.25, 0.5, 1.0, 2.5, 10.0,
];

/// The interval at which the samples of the histograms are collected, which would otherwise pile up until a scrape.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);

/// The status codes that this server answers with.
const STATUSES: [(StatusCode, &str); 12] = [
    (StatusCode::OK, "200"),
    (StatusCode::NO_CONTENT, "204"),
    (StatusCode::NOT_MODIFIED, "304"),
    (StatusCode::NOT_FOUND, "404"),
    (StatusCode::UNAUTHORIZED, "401"),
    (StatusCode::METHOD_NOT_ALLOWED, "405"),
    (StatusCode::UNPROCESSABLE_ENTITY, "422"),
    (StatusCode::TOO_MANY_REQUESTS, "429"),
    (StatusCode::NOT_IMPLEMENTED, "501"),
    (StatusCode::SERVICE_UNAVAILABLE, "503"),
    (StatusCode::GATEWAY_TIMEOUT, "504"),
    (StatusCode::INTERNAL_SERVER_ERROR, "500"),
];

/// Installs the process's recorder, once: a second call returns the same handle. Every metric of the process whose name
/// ends in `_seconds` gets buckets for times.
pub fn install_metrics() -> PrometheusHandle {
    static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
    HANDLE.get_or_init(install).clone()
}

fn install() -> PrometheusHandle {
    let recorder = builder().build_recorder();
    let handle = recorder.handle();
    if metrics::set_global_recorder(recorder).is_err() {
        tracing::warn!("another metrics recorder is in place already: /metrics will stay empty");
    }
    describe();
    gauge!("optview_build_info", "version" => VERSION, "commit" => COMMIT.unwrap_or("unknown")).set(1.0);
    let upkept = handle.clone();
    let upkeep = move || {
        loop {
            thread::sleep(UPKEEP_INTERVAL);
            upkept.run_upkeep();
        }
    };
    if let Err(error) = thread::Builder::new().name("metrics-upkeep".to_owned()).spawn(upkeep) {
        tracing::warn!(%error, "no thread for the metrics' upkeep: each scrape will do it instead");
    }
    handle
}

fn builder() -> PrometheusBuilder {
    PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &BUCKETS_SECONDS)
        .expect("the list of buckets is not empty")
}

/// The metrics of one route, bound to the recorder that is installed when they are made.
pub struct RouteMetrics {
    requests: [Counter; STATUSES.len()],
    duration: Histogram,
}

impl RouteMetrics {
    pub fn register(route: &'static str) -> RouteMetrics {
        let requests = STATUSES
            .map(|(_, status)| counter!("optview_http_requests_total", "route" => route, "status" => status));
        let duration = histogram!("optview_http_request_duration_seconds", "route" => route);
        RouteMetrics { requests, duration }
    }

    pub fn record(&self, status: StatusCode, took: Duration) {
        if let Some(index) = STATUSES.iter().position(|(known, _)| *known == status) {
            self.requests[index].increment(1);
        }
        self.duration.record(took);
    }
}

/// Sets the gauges from the status. Values that are not known yet are NaN, which no alert's comparison matches.
pub fn record_report(report: &Report, errors: &RecordedErrors) {
    for state in State::ALL {
        let value = if report.state == state { 1.0 } else { 0.0 };
        gauge!("optview_state", "state" => state.as_str()).set(value);
    }
    gauge!("optview_generation").set(of_count(report.generation));
    gauge!("optview_views").set(of_count(report.views));
    gauge!("optview_dead_letters").set(of_count(report.dead_letters));
    gauge!("optview_dead_letters_replaced").set(of_count(report.dead_letters_replaced));
    if let Some(topic) = &report.dead_letter_topic {
        gauge!("optview_dead_letter_topic_acknowledged").set(of_count(topic.acknowledged));
        gauge!("optview_dead_letter_topic_waiting").set(of_count(topic.waiting));
    }
    gauge!("optview_lag_records").set(of_offset(report.lag_records));
    gauge!("optview_lag_seconds").set(report.lag_seconds.unwrap_or(f64::NAN));
    findings::record(&report.findings);
    record_kafka(report, errors, Instant::now());
    record_topics(&report.topics);
    record_missing_history(report);
}

/// Sets the number of missing records of each partition: 0 if none is missing, or if somebody has accepted it.
fn record_missing_history(report: &Report) {
    let set = |topic: &str, partition: i32, records: i64| {
        let labels = [("topic", topic.to_owned()), ("partition", partition.to_string())];
        gauge!("optview_missing_history_records", &labels).set(of_offset(Some(records)));
    };
    report.partitions.iter().for_each(|one| set(&one.topic, one.partition, 0));
    for missing in &report.missing_history {
        set(&missing.topic, missing.partition, missing.to - missing.from);
    }
}

fn describe() {
    files::describe();
    findings::describe();
    topics::describe();
    describe_counter!("optview_http_requests_total", "Requests answered, by route and status code");
    describe_histogram!(
        "optview_http_request_duration_seconds",
        Unit::Seconds,
        "Time from a request's head until its answer begins"
    );
    describe_gauge!("optview_http_connections", "Connections open, on all addresses");
    describe_gauge!("optview_build_info", "1, labelled with the version and the commit that run");
    describe_gauge!("optview_state", "1 for the state that the projector is in, 0 for the others");
    describe_gauge!("optview_generation", "The generation of the store that is served");
    describe_gauge!(
        "optview_missing_history_records",
        "Records that the views are built without, and nobody has accepted that"
    );
    describe_gauge!("optview_views", "Optimizations that readers can see");
    describe_gauge!("optview_dead_letters", "Records kept because they could not be understood");
    describe_gauge!("optview_dead_letters_replaced", "Dead letters of which only the count is left");
    describe_gauge!(
        "optview_dead_letter_topic_acknowledged",
        "Dead letters that the dead letter topic has acknowledged since the start"
    );
    describe_gauge!(
        "optview_dead_letter_topic_waiting",
        "Dead letters that the dead letter topic has not acknowledged, and that no checkpoint passes"
    );
    describe_gauge!("optview_lag_records", "Records not read yet, on all partitions");
    describe_gauge!("optview_lag_seconds", Unit::Seconds, "The greatest lag of a partition");
    describe_kafka();
}

#[cfg(test)]
mod tests {
    use crate::status::MissingHistory;

    use super::*;
    use crate::status::{LetterTopicReport, PartitionFreshness, PartitionReport, PartitionState, Status};

    /// Returns the text of a scrape after `record`, without touching the process's recorder.
    fn scraped(record: impl FnOnce()) -> String {
        let recorder = builder().build_recorder();
        metrics::with_local_recorder(&recorder, record);
        recorder.handle().render()
    }

    fn assert_line(text: &str, line: &str) {
        assert!(text.lines().any(|candidate| candidate == line), "no line {line:?} in:\n{text}");
    }

    #[test]
    fn a_request_is_counted_under_its_route_and_status() {
        let text = scraped(|| {
            describe();
            let route = RouteMetrics::register("/optimizations/{id}");
            route.record(StatusCode::OK, Duration::from_micros(20));
            route.record(StatusCode::OK, Duration::from_millis(20));
            route.record(StatusCode::NOT_FOUND, Duration::from_secs(20));
        });
        assert_line(&text, "# TYPE optview_http_requests_total counter");
        assert_line(&text, r#"optview_http_requests_total{route="/optimizations/{id}",status="200"} 2"#);
        assert_line(&text, r#"optview_http_requests_total{route="/optimizations/{id}",status="404"} 1"#);
        assert_line(&text, r#"optview_http_requests_total{route="/optimizations/{id}",status="503"} 0"#);
        assert_line(&text, "# TYPE optview_http_request_duration_seconds histogram");
        let bucket = |le: &str, count: u64| {
            format!(
                "optview_http_request_duration_seconds_bucket{{route=\"/optimizations/{{id}}\",le=\"{le}\"}} {count}"
            )
        };
        assert_line(&text, &bucket("0.000025", 1));
        assert_line(&text, &bucket("0.025", 2));
        assert_line(&text, &bucket("+Inf", 3));
    }

    #[test]
    fn a_scrape_shows_the_values_of_the_report() {
        let report = Report {
            state: State::Live,
            views: 1_000,
            dead_letters: 2,
            dead_letters_replaced: 5,
            dead_letter_topic: Some(LetterTopicReport {
                topic: "letters".to_owned(),
                acknowledged: 8,
                waiting: 4,
                only_counted: 0,
                error: None,
            }),
            lag_records: Some(7),
            lag_seconds: None,
            missing_history: vec![MissingHistory {
                topic: "jobs".to_owned(),
                partition: 5,
                from: 0,
                to: 900,
                since: "2026-11-28T12:00:00Z".to_owned(),
            }],
            partitions: vec![PartitionReport {
                topic: "jobs".to_owned(),
                partition: 4,
                position: 93,
                checkpoint: None,
                low: Some(0),
                high: Some(100),
                lag_records: Some(7),
                lag_seconds: Some(0.5),
                state: PartitionState::Stopped,
                freshness: PartitionFreshness { stop_code: Some("removed"), ..PartitionFreshness::default() },
            }],
            ..Status::new(3).report()
        };
        let text = scraped(|| record_report(&report, &RecordedErrors::default()));
        for line in [
            r#"optview_state{state="live"} 1"#,
            r#"optview_state{state="frozen"} 0"#,
            r#"optview_state{state="stalled"} 0"#,
            "optview_generation 3",
            "optview_views 1000",
            "optview_dead_letters 2",
            "optview_dead_letters_replaced 5",
            "optview_dead_letter_topic_acknowledged 8",
            "optview_dead_letter_topic_waiting 4",
            "optview_lag_records 7",
            "optview_lag_seconds NaN",
            r#"optview_partition_position{topic="jobs",partition="4"} 93"#,
            r#"optview_partition_checkpoint{topic="jobs",partition="4"} NaN"#,
            r#"optview_partition_high_watermark{topic="jobs",partition="4"} 100"#,
            r#"optview_partition_lag_records{topic="jobs",partition="4"} 7"#,
            r#"optview_partition_lag_seconds{topic="jobs",partition="4"} 0.5"#,
            r#"optview_partition_stopped{topic="jobs",partition="4"} 1"#,
            r#"optview_partition_stop_reason{topic="jobs",partition="4",code="removed"} 1"#,
            r#"optview_missing_history_records{topic="jobs",partition="4"} 0"#,
            r#"optview_missing_history_records{topic="jobs",partition="5"} 900"#,
        ] {
            assert_line(&text, line);
        }
    }

    #[test]
    fn a_second_installation_is_the_first() {
        let (first, second) = (install_metrics(), install_metrics());
        let commit = COMMIT.unwrap_or("unknown");
        assert_line(
            &first.render(),
            &format!("optview_build_info{{version=\"{VERSION}\",commit=\"{commit}\"}} 1"),
        );
        gauge!("optview_test_gauge").set(5.0);
        assert_line(&first.render(), "optview_test_gauge 5");
        assert_line(&second.render(), "optview_test_gauge 5");
    }
}
