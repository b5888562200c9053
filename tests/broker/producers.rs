//! The producers of `docs/producers/`, as they stand there, write to the broker, and `serve` shows what they wrote.
//!
//! Each is built by its own script from the registries of its language, with its messages generated from `proto/`. If that fails, the
//! test is ignored with the reason; with `OPTVIEW_TEST_PRODUCERS=required` it fails instead.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use optview::codec::{self, encode, unknown_fields};
use optview::domain::{PartitionOffset, Record, Topic};
use rdkafka::Message;
use rdkafka::message::{Headers, OwnedMessage};
use serde_json::json;

use crate::rig::Rig;
use crate::server::Server;
use crate::{Requirement, Test};

pub const TESTS: &[Test] = &[
    Test {
        name: "what_the_producer_in_java_writes_is_shown",
        needs: Requirement::BrokerAndProducer(Language::Java),
        run: |rig| check(rig, Language::Java),
    },
    Test {
        name: "what_the_producer_in_go_writes_is_shown",
        needs: Requirement::BrokerAndProducer(Language::Go),
        run: |rig| check(rig, Language::Go),
    },
    Test {
        name: "what_the_producer_in_typescript_writes_is_shown",
        needs: Requirement::BrokerAndProducer(Language::TypeScript),
        run: |rig| check(rig, Language::TypeScript),
    },
    Test {
        name: "what_the_producer_in_python_writes_is_shown",
        needs: Requirement::BrokerAndProducer(Language::Python),
        run: |rig| check(rig, Language::Python),
    },
];

/// The language of a producer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    Java,
    Go,
    TypeScript,
    Python,
}

/// The encodings that every producer writes.
const ENCODINGS: [&str; 2] = ["json", "protobuf"];

/// Builds a producer. Returns the reason for which it cannot be built.
pub fn build(language: Language) -> Result<(), String> {
    // The other producers bring their generators along.
    let needed = match language {
        Language::Go => run(Command::new(root().join("tests/contract/check")).arg("install")),
        _ => Ok(()),
    };
    let built = needed.and_then(|()| run(&mut producer(language)));
    if std::env::var("OPTVIEW_TEST_PRODUCERS").is_ok_and(|value| value == "required") {
        return built.map_err(|why| panic!("OPTVIEW_TEST_PRODUCERS=required, but {why}"));
    }
    built
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

/// The script of a producer, with `buf` on its path.
fn producer(language: Language) -> Command {
    let mut command =
        Command::new(root().join(format!("docs/producers/{}/run", format!("{language:?}").to_lowercase())));
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{}:{path}", root().join("tests/contract/node_modules/.bin").display()));
    command
}

fn run(command: &mut Command) -> Result<(), String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output =
        command.stdin(Stdio::null()).output().map_err(|error| format!("{name} cannot be run: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let text = [output.stderr, output.stdout].concat();
    let text = String::from_utf8_lossy(&text);
    let first = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    Err(format!("{name} failed: {first}"))
}

fn check(rig: &Rig, language: Language) {
    rig.create_topics(3);
    let server = Server::start(rig, &[]);
    server.wait_until_live();
    let name = rig.settings.topics.get(Topic::Optimizations);
    let prefix = name.strip_suffix(Topic::Optimizations.default_name()).expect("a topic of the rig");
    let id = |encoding: &str| format!("{language:?}-{encoding}");
    for encoding in ENCODINGS {
        let mut command = producer(language);
        command.args([&rig.settings.brokers, encoding, &id(encoding)]).env("TOPIC_PREFIX", prefix);
        let written = run(&mut command);
        assert_eq!(written, Ok(()), "{encoding}");
    }
    let report = server.wait_until_all_is_kept(rig);
    assert_eq!((report.dead_letters, report.views), (0, 2), "{report:?}");
    for encoding in ENCODINGS {
        check_view(&server, &id(encoding));
    }
    let messages: Vec<(Topic, OwnedMessage)> = Topic::ALL
        .into_iter()
        .flat_map(|topic| rig.messages(topic).into_iter().map(move |held| (topic, held)))
        .collect();
    assert_eq!(messages.len(), 4 * ENCODINGS.len());
    for (topic, message) in &messages {
        check_record(*topic, message);
    }
}

/// Checks that the view is that of the events which each producer writes.
fn check_view(server: &Server, id: &str) {
    let answer = server.get(&format!("/optimizations/{id}"));
    assert_eq!(answer.status, 200, "{id}: {answer:?}");
    let expected = json!({
        "id": id, "name": "Fast charge", "description": null, "project_id": "prj-1", "organization_id": "org-1",
        "status": "succeeded", "kind": "optimize", "created_at": answer.body["created_at"], "created_by_email": null,
        "cell_spec_id": null, "parameterized_model_id": null, "parameterized_model_name": null, "cell_name": null,
        "optimization_template_id": null, "metrics": {"Charge time [s]": 1174.25, "Cycles": 12}, "objectives": null,
        "error": null, "error_code": null, "run_count": 1,
    });
    assert_eq!(answer.body, expected, "{id}");
    assert!(answer.body["created_at"].is_string(), "{id}: {answer:?}");
}

/// Checks that a record is as the contract wants it, and has nothing that `optview validate` would doubt.
fn check_record(topic: Topic, message: &OwnedMessage) {
    let headers: Vec<(&str, Option<&[u8]>)> = message
        .headers()
        .map(|held| held.iter().map(|header| (header.key, header.value)).collect())
        .unwrap_or_default();
    let position = PartitionOffset { topic, partition: message.partition(), offset: message.offset() };
    let record =
        Record { position, timestamp_millis: None, key: message.key(), value: message.payload(), headers };
    assert_eq!(unknown_fields::find(&record), Ok(Vec::new()));
    let event = codec::decode(&record).expect("an event").event;
    assert_eq!(message.key(), Some(encode::key(&event).as_bytes()));
    assert!(event.metadata.sequence > 0, "{event:?}");
    let encoding =
        if message.payload().is_some_and(|value| value.starts_with(b"{")) { "json" } else { "protobuf" };
    let type_name = match topic {
        Topic::Optimizations => "OptimizationEvent",
        Topic::Jobs => "JobEvent",
        Topic::MultistartRuns => "MultistartRunEvent",
    };
    let (content_type, ce_type) = (format!("application/{encoding}"), format!("optview.events.v1.{type_name}"));
    let expected = [("content-type", Some(content_type.as_bytes())), ("ce_type", Some(ce_type.as_bytes()))];
    assert_eq!(record.headers, expected);
}
