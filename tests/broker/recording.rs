//! Records the series that Prometheus would have scraped during real outages, as input of the alerts' tests in
//! `deploy/prometheus/tests`. It takes twenty minutes and seven brokers, so that it runs only on request:
//!
//! `OPTVIEW_TEST_RECORD=all OPTVIEW_TEST_KAFKA=start cargo test --test broker -- outages_are_recorded`, or one of them by name.
//!
//! The times at which alerts fire are written here and not derived from the recording: `promtool test rules` compares
//! the two.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use optview::source::TopicNames;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use crate::cluster::{PutRecord, send};
use crate::events::{completed, created, job};
use crate::health::{allow_all, broker_with_rights, deny_read, grant_read, patient_producer};
use crate::rig::{Brokers, DEADLINE, Kafka, Rig};
use crate::server::Server;
use crate::{Requirement, Test};

pub const TESTS: &[Test] = &[Test {
    name: "outages_are_recorded_as_prometheus_would_have_scraped_them",
    needs: Requirement::Recording,
    run: |_| record_all(),
}];

/// The scrape interval of most configurations of Prometheus.
const SCRAPE_INTERVAL: Duration = Duration::from_secs(15);
/// Number of scrapes before each outage and after it.
const SCRAPES_BEFORE: usize = 8;
const SCRAPES_AFTER: usize = 12;
const SCRAPES_A_MINUTE: usize = 4;
/// The default name of the topic that some outages are about.
const JOBS: &str = "jobs";

/// The kind of an outage.
#[derive(Clone, Copy, PartialEq, Eq)]
enum OutageKind {
    Nothing,
    OneOfThreeBrokersFrozen,
    ReadRevoked,
    TransactionLeftOpen,
    ClusterAway,
}

struct Outage {
    kind: OutageKind,
    /// The name of the file.
    name: &'static str,
    title: &'static str,
    minutes: usize,
    /// The alerts that fire, and no others, at each time after the beginning of the outage.
    firing: &'static [(&'static str, &'static [&'static str])],
}

const OUTAGES: &[Outage] = &[
    Outage {
        kind: OutageKind::Nothing,
        name: "all_is_well",
        title: "Nothing is wrong: events come, transactions are committed, and some partitions are idle",
        minutes: 12,
        firing: &[("5m", &[]), ("12m", &[])],
    },
    Outage {
        kind: OutageKind::OneOfThreeBrokersFrozen,
        name: "one_of_three_brokers_frozen",
        title: "One of three brokers is frozen: its partitions stand still, the others are read",
        minutes: 8,
        firing: &[
            ("45s", &[]),
            ("2m30s", &["OptviewPartitionError", "OptviewPartitionNotConfirmed", "OptviewStale"]),
            ("7m", &["OptviewBehind", "OptviewPartitionError", "OptviewPartitionNotConfirmed", "OptviewStale"]),
        ],
    },
    Outage {
        kind: OutageKind::ReadRevoked,
        name: "read_revoked",
        title: "The right to read one topic is revoked while it is read",
        minutes: 8,
        firing: &[
            ("30s", &[]),
            ("2m30s", &["OptviewPartitionError", "OptviewPartitionNotConfirmed", "OptviewStale"]),
            ("7m", &["OptviewBehind", "OptviewPartitionError", "OptviewPartitionNotConfirmed", "OptviewStale"]),
        ],
    },
    Outage {
        kind: OutageKind::TransactionLeftOpen,
        name: "transaction_left_open",
        title: "A producer dies with a transaction open that has 103 records",
        minutes: 6,
        firing: &[("1m", &[]), ("3m", &["OptviewTransactionOpen"]), ("6m", &["OptviewTransactionOpen"])],
    },
    Outage {
        kind: OutageKind::ClusterAway,
        name: "cluster_away",
        title: "The whole cluster is away for 12 minutes",
        minutes: 12,
        firing: &[
            ("1m", &[]),
            ("3m", &["OptviewKafkaDown", "OptviewStale"]),
            ("12m", &["OptviewBehind", "OptviewKafkaDown", "OptviewKafkaError", "OptviewStale"]),
        ],
    },
];

fn record_all() {
    let wanted = std::env::var("OPTVIEW_TEST_RECORD").expect("which are wanted");
    std::thread::scope(|scope| {
        let recording: Vec<_> = OUTAGES
            .iter()
            .filter(|outage| wanted == "all" || wanted == outage.name)
            .map(|outage| scope.spawn(|| record(outage)))
            .collect();
        assert!(!recording.is_empty(), "there is no outage {wanted}");
        recording.into_iter().for_each(|recorded| recorded.join().expect("an outage that is recorded"));
    });
}

/// Causes one outage, and writes the scrapes before it, during it, and after it.
fn record(outage: &Outage) {
    let world = World::start(outage.kind);
    world.server.wait_at_most(10 * DEADLINE, "well", |report| {
        report.state == "live" && report.lag_records == Some(0) && report.last_error.is_none()
    });
    let recorded = std::thread::scope(|scope| {
        let mut recorded = Recording::default();
        let begin = Instant::now();
        let end = SCRAPES_BEFORE + outage.minutes * SCRAPES_A_MINUTE;
        let mut events = 0;
        for scrape in 0..=end + SCRAPES_AFTER {
            let due = SCRAPE_INTERVAL * scrape as u32;
            while begin.elapsed() < due {
                events += 1;
                world.produce(events);
                std::thread::sleep(Duration::from_millis(500));
            }
            recorded.add(scrape, &world.server.metrics());
            assert!(
                begin.elapsed() < due + SCRAPE_INTERVAL / 2,
                "{}: scraped too late to be believed",
                outage.name
            );
            let cluster = &world.cluster;
            // Kafka's own commands take longer than a scrape may wait.
            if scrape == SCRAPES_BEFORE {
                scope.spawn(|| cluster.break_it());
            } else if scrape == end {
                scope.spawn(|| cluster.mend_it());
            }
        }
        recorded
    });
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/prometheus/tests");
    std::fs::create_dir_all(&path).expect("a directory for the recordings");
    let text = recorded.test_file(outage);
    std::fs::write(path.join(outage.name).with_extension("yaml"), text).expect("a recording that can be written");
}

/// A cluster, an instance that reads it, and a producer.
struct World {
    server: Server,
    producer: BaseProducer,
    cluster: OutageCluster,
}

/// The cluster in which the outage happens.
struct OutageCluster {
    kind: OutageKind,
    rig: Rig,
    others: Vec<Kafka>,
    transactions: Option<BaseProducer>,
}

impl World {
    fn start(kind: OutageKind) -> World {
        let broker = if kind == OutageKind::ReadRevoked { broker_with_rights() } else { Kafka::start() };
        let others: Vec<Kafka> = match kind {
            OutageKind::OneOfThreeBrokersFrozen => (0..2).map(|_| broker.join()).collect(),
            _ => Vec::new(),
        };
        let mut rig = Rig::new("recording", Brokers::Started, Some(broker));
        rig.settings.topics = TopicNames::default();
        rig.settings.brokers =
            others.iter().fold(rig.settings.brokers, |all, other| format!("{all},{}", other.address));
        rig.create_topics(3);
        if kind == OutageKind::ReadRevoked {
            allow_all(rig.own_broker.as_ref().expect("it has one"), JOBS);
        }
        let mut config = rig.settings.client_config();
        let producer: BaseProducer = config.set("message.timeout.ms", "5000").create().expect("a producer");
        let with_transactions = matches!(kind, OutageKind::Nothing | OutageKind::TransactionLeftOpen);
        let transactions = with_transactions.then(|| patient_producer(&rig));
        let server = Server::start(&rig, &[]);
        World { server, producer, cluster: OutageCluster { kind, rig, others, transactions } }
    }

    /// Sends some events. Those that a broker does not accept are lost.
    fn produce(&self, number: usize) {
        let id = format!("o-{number}");
        for put in [created(&id), job(&id, "pending", 1)] {
            self.send(&put);
        }
        let OutageCluster { kind, rig, transactions, .. } = &self.cluster;
        let Some(producer) = transactions.as_ref().filter(|_| *kind == OutageKind::Nothing) else {
            return self.send(&completed(&id, 2));
        };
        producer.begin_transaction().expect("a transaction");
        send(rig, producer, &completed(&id, 2));
        producer.commit_transaction(DEADLINE).expect("a transaction that ends");
    }

    fn send(&self, put: &PutRecord) {
        let name = self.cluster.rig.settings.topics.get(put.topic);
        let (key, value) = (put.key.as_deref().unwrap_or_default(), put.value.as_deref().unwrap_or_default());
        // The event is lost if the queue is full.
        let _ = self.producer.send(BaseRecord::to(name).key(key).payload(value));
        self.producer.poll(Duration::ZERO);
    }
}

impl OutageCluster {
    fn own_broker(&self) -> &Kafka {
        self.rig.own_broker.as_ref().expect("each world has one")
    }

    fn break_it(&self) {
        match self.kind {
            OutageKind::Nothing => {}
            OutageKind::OneOfThreeBrokersFrozen => self.others[0].freeze(),
            OutageKind::ReadRevoked => deny_read(self.own_broker(), JOBS),
            OutageKind::TransactionLeftOpen => {
                let producer = self.transactions.as_ref().expect("this world has one");
                producer.begin_transaction().expect("a transaction");
                (0..103).for_each(|number| {
                    send(&self.rig, producer, &job(&format!("left-{number}"), "pending", 1).to(0));
                });
                producer.flush(DEADLINE).expect("records that are delivered");
            }
            OutageKind::ClusterAway => self.own_broker().kill(),
        }
    }

    fn mend_it(&self) {
        match self.kind {
            OutageKind::Nothing => {}
            OutageKind::OneOfThreeBrokersFrozen => self.others[0].thaw(),
            OutageKind::ReadRevoked => grant_read(self.own_broker(), JOBS),
            OutageKind::TransactionLeftOpen => {
                let producer = self.transactions.as_ref().expect("this world has one");
                producer.abort_transaction(DEADLINE).expect("a transaction that ends");
            }
            OutageKind::ClusterAway => self.own_broker().restart(),
        }
    }
}

/// The values of each series by scrape.
#[derive(Default)]
struct Recording {
    scrapes: usize,
    series: BTreeMap<String, BTreeMap<usize, String>>,
}

impl Recording {
    fn add(&mut self, scrape: usize, text: &str) {
        self.scrapes = scrape + 1;
        let up = "up 1".to_owned();
        for line in text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).chain([&*up]) {
            let Some((series, value)) = line.rsplit_once(' ') else { continue };
            // No alert about Kafka uses durations of requests or quantiles.
            if series.contains("_duration_seconds") {
                continue;
            }
            let value = value.parse::<f64>().map_or_else(|_| value.to_owned(), rounded);
            self.series.entry(of_target(series)).or_default().insert(scrape, value);
        }
    }

    fn test_file(&self, outage: &Outage) -> String {
        let mut text = format!(
            "# {}.\n# Recorded from a real cluster by tests/broker/recording.rs: the outage begins after the scrape at {}\n\
             # and ends {} later.\n\
             rule_files:\n  - ../alerts.yaml\nevaluation_interval: 15s\ntests:\n  - interval: 15s\n    input_series:\n",
            outage.title,
            minutes(SCRAPES_BEFORE),
            minutes(outage.minutes * SCRAPES_A_MINUTE)
        );
        for (series, values) in &self.series {
            let values: Vec<&str> =
                (0..self.scrapes).map(|scrape| values.get(&scrape).map_or("_", String::as_str)).collect();
            writeln!(text, "      - series: '{series}'\n        values: '{}'", shortened(&values))
                .expect("a String");
        }
        text.push_str("    promql_expr_test:\n");
        let end = SCRAPES_BEFORE + outage.minutes * SCRAPES_A_MINUTE;
        expect(&mut text, SCRAPES_BEFORE, &[]);
        for (after, alerts) in outage.firing {
            expect(&mut text, SCRAPES_BEFORE + scrapes(after), alerts);
        }
        expect(&mut text, end + SCRAPES_AFTER, &[]);
        text
    }
}

/// Writes that these alerts fire at a scrape, and no others.
fn expect(text: &mut String, scrape: usize, alerts: &[&str]) {
    let time = minutes(scrape);
    let expression = "group by (alertname) (ALERTS{alertstate=\"firing\"})";
    write!(text, "      - expr: '{expression}'\n        eval_time: {time}\n        exp_samples:")
        .expect("a String");
    let alerts: BTreeSet<&&str> = alerts.iter().collect();
    text.push_str(if alerts.is_empty() { " []\n" } else { "\n" });
    for alert in alerts {
        writeln!(text, "          - labels: '{{alertname=\"{alert}\"}}'\n            value: 1").expect("a String");
    }
}

/// Adds the labels that Prometheus adds.
fn of_target(series: &str) -> String {
    const TARGET: &str = "instance=\"optview:9180\",job=\"optview\"";
    match series.split_once('{') {
        Some((name, labels)) => format!("{name}{{{TARGET},{labels}"),
        None => format!("{series}{{{TARGET}}}"),
    }
}

/// Rounds to milliseconds, which are precise enough.
fn rounded(value: f64) -> String {
    if value.is_nan() { "NaN".to_owned() } else { ((value * 1000.0).round() / 1000.0).to_string() }
}

/// Writes repetitions as promtool does: `1x3` is four times 1.
fn shortened(values: &[&str]) -> String {
    let mut runs: Vec<(&str, usize)> = Vec::new();
    for value in values {
        match runs.last_mut() {
            Some((last, again)) if last == value => *again += 1,
            _ => runs.push((value, 0)),
        }
    }
    // promtool repeats every number but NaN.
    let run_text = |(value, again): (&str, usize)| match again {
        0 => value.to_owned(),
        _ if value == "NaN" => vec![value; again + 1].join(" "),
        _ if value == "_" => format!("_x{}", again + 1),
        _ => format!("{value}x{again}"),
    };
    runs.into_iter().map(run_text).collect::<Vec<_>>().join(" ")
}

fn minutes(scrapes: usize) -> String {
    let seconds = scrapes as u64 * SCRAPE_INTERVAL.as_secs();
    format!("{}m{}s", seconds / 60, seconds % 60)
}

/// Number of scrapes in a time like `2m30s`.
fn scrapes(time: &str) -> usize {
    let (minutes, rest) = time.split_once('m').unwrap_or(("0", time));
    let seconds = rest.trim_end_matches('s');
    let number = |text: &str| if text.is_empty() { 0 } else { text.parse::<usize>().expect("a number") };
    (number(minutes) * 60 + number(seconds)) / SCRAPE_INTERVAL.as_secs() as usize
}
