//! A published event shape decodes for ever: `fixtures/events` has every shape in every encoding, as bytes that were
//! written once, by other software, and what they must decode to.
//!
//! One folder a shape. `json.txt` is what its JSON decodes to, `protobuf.txt` what its protobuf does: a Struct has
//! doubles only, and its keys are in no order. A line a field; what is absent has no line.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use optview::codec;
use optview::domain::event::{JobChange, JsonObject, OptimizationChange, RunChange};
use optview::domain::record::Header;
use optview::domain::{Body, Event, PartitionOffset, Record, Topic};

use crate::cases::topic_named;

/// The time of every event of the fixtures.
const TIME: &str = "2026-03-01T09:00:00.125Z";

/// A file of each shape: the bytes of a record's value, and the headers that come with it.
struct Encoding {
    file: &'static str,
    content_type: Option<&'static str>,
    /// True for CloudEvents in binary mode, where headers carry the metadata instead of the payload.
    cloudevents: bool,
    expected: &'static str,
}

const fn encoding(file: &'static str, expected: &'static str) -> Encoding {
    Encoding { file, content_type: None, cloudevents: false, expected }
}

const fn cloudevents(file: &'static str, content_type: &'static str, expected: &'static str) -> Encoding {
    Encoding { file, content_type: Some(content_type), cloudevents: true, expected }
}

const ENCODINGS: [Encoding; 8] = [
    encoding("camel.json", "json.txt"),
    encoding("snake.json", "json.txt"),
    encoding("protobuf.bin", "protobuf.txt"),
    encoding("confluent-json.bin", "json.txt"),
    encoding("confluent-protobuf.bin", "protobuf.txt"),
    encoding("confluent-protobuf-path.bin", "protobuf.txt"),
    cloudevents("cloudevents.json", "application/json; charset=utf-8", "json.txt"),
    cloudevents("cloudevents.bin", "application/protobuf", "protobuf.txt"),
];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/suite/fixtures/events")
}

fn names_in(folder: &Path) -> BTreeSet<String> {
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.collect()
}

fn text(shape: &str, file: &str) -> String {
    fs::read_to_string(folder().join(shape).join(file)).unwrap()
}

/// Decodes one file of a shape as the record that it would be.
fn with_decoded<T>(shape: &str, encoding: &Encoding, then: impl FnOnce(&Event<'_>) -> T) -> T {
    let value = fs::read(folder().join(shape).join(encoding.file)).unwrap();
    let topic = topic_named(text(shape, encoding.expected).lines().next().unwrap());
    let event_id = format!("e-{shape}");
    let mut headers: Vec<Header<'_>> = vec![("later-header", None)];
    if let Some(content_type) = encoding.content_type {
        headers.push(("content-type", Some(content_type.as_bytes())));
    }
    if encoding.cloudevents {
        headers.push(("ce_specversion", Some(b"1.0")));
        headers.push(("ce_id", Some(event_id.as_bytes())));
        headers.push(("ce_time", Some(TIME.as_bytes())));
    }
    let record = record(topic, Some(&value), &headers);
    let decoded = codec::decode(&record).unwrap_or_else(|error| panic!("{shape}/{}: {error}", encoding.file));
    assert_eq!(decoded.position, record.position);
    then(&decoded.event)
}

/// Every value of the fixtures, with its topic.
pub fn values() -> Vec<(Topic, Vec<u8>)> {
    names_in(&folder())
        .into_iter()
        .flat_map(|shape| {
            ENCODINGS.iter().map(move |encoding| {
                let topic = topic_named(text(&shape, encoding.expected).lines().next().unwrap());
                (topic, fs::read(folder().join(&shape).join(encoding.file)).unwrap())
            })
        })
        .collect()
}

fn record<'a>(topic: Topic, value: Option<&'a [u8]>, headers: &[Header<'a>]) -> Record<'a> {
    let position = PartitionOffset { topic, partition: 2, offset: 41 };
    let headers = headers.to_vec();
    Record { position, timestamp_millis: Some(1_772_355_600_250), key: Some(b"opt-1"), value, headers }
}

#[test]
fn every_published_shape_decodes_to_what_it_always_did_in_every_encoding() {
    let shapes = names_in(&folder());
    assert!(shapes.len() > 40, "the fixtures are all there");
    for shape in &shapes {
        for encoding in &ENCODINGS {
            let mut expected = text(shape, encoding.expected);
            if encoding.cloudevents {
                // No CloudEvents header carries the sequence.
                let lines = expected.lines().filter(|line| !line.starts_with("sequence = "));
                expected = lines.flat_map(|line| [line, "\n"]).collect();
            }
            let decoded = with_decoded(shape, encoding, rendered);
            assert_eq!(decoded, expected, "{shape}/{}", encoding.file);
        }
    }
}

#[test]
fn every_file_of_the_fixtures_is_used() {
    let mut expected: BTreeSet<String> = ENCODINGS.iter().map(|encoding| encoding.file.to_owned()).collect();
    expected.extend(ENCODINGS.iter().map(|encoding| encoding.expected.to_owned()));
    for shape in names_in(&folder()) {
        assert_eq!(names_in(&folder().join(&shape)), expected, "{shape}");
    }
}

#[test]
fn every_event_of_the_contract_and_each_of_its_fields_is_in_the_fixtures() {
    let shapes = names_in(&folder());
    let lines = |file: &str| -> BTreeSet<String> {
        let topic_of = |text: &str| text.lines().next().unwrap().to_owned();
        let named = |text: String| {
            let topic = topic_of(&text);
            text.lines()
                .skip(1)
                .map(|line| format!("{topic}/{}", line.split(" = ").next().unwrap()))
                .collect::<Vec<_>>()
        };
        shapes.iter().flat_map(|shape| named(text(shape, file))).collect()
    };
    let contract: BTreeSet<String> = Topic::ALL.into_iter().flat_map(fields_of_contract).collect();
    assert!(contract.contains("jobs/failed.error_code") && contract.contains("multistart-runs/started"));
    for file in ["json.txt", "protobuf.txt"] {
        assert_eq!(lines(file), contract, "{file}");
    }
}

/// Returns the fields of the contract in the form of the expectations: `jobs/failed`, `jobs/failed.error_code`, ...
fn fields_of_contract(topic: Topic) -> Vec<String> {
    let (file, message) = match topic {
        Topic::Optimizations => ("optimization", "OptimizationEvent"),
        Topic::Jobs => ("job", "JobEvent"),
        Topic::MultistartRuns => ("multistart_run", "MultistartRunEvent"),
    };
    let proto = |file: &str| {
        let path = format!("proto/optview/events/v1/{file}.proto");
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
    };
    let proto = proto("metadata") + &proto(file);
    let mut names = fields_of(&proto, "Metadata").into_iter().map(|(name, _)| name).collect::<Vec<_>>();
    for (name, kind) in fields_of(&proto, message) {
        if kind != "Metadata" {
            names.push(name.clone());
        }
        let inner = if kind == "Metadata" { Vec::new() } else { fields_of(&proto, &kind) };
        names.extend(inner.into_iter().map(|(inner, _)| format!("{name}.{inner}")));
    }
    names.iter().map(|name| format!("{topic}/{name}")).collect()
}

/// Name and type of each field of a message; none where there is no such message.
fn fields_of(proto: &str, message: &str) -> Vec<(String, String)> {
    let begin = format!("message {message} {{");
    let Some((_, rest)) = proto.split_once(&begin) else { return Vec::new() };
    let body = rest.split("\nmessage ").next().unwrap();
    body.lines()
        .filter_map(|line| {
            let line = line.trim().strip_suffix(';').filter(|line| !line.starts_with("//"))?;
            let (declared, number) = line.split_once(" = ")?;
            number.parse::<u32>().ok()?;
            let (kind, name) = declared.trim_start_matches("optional ").split_once(' ')?;
            Some((name.to_owned(), kind.to_owned()))
        })
        .collect()
}

#[test]
fn a_null_value_on_the_optimizations_topic_always_meant_deleted() {
    let with_headers: &[Header<'_>] = &[("CE_ID", Some(b"e-9")), ("ce_time", Some(b"2026-03-01T10:00:00+01:00"))];
    for (headers, expected) in [
        (&[][..], "event_id = \"\"\noccurred_at = 2026-03-01T09:00:00.250Z\n"),
        (with_headers, "event_id = \"e-9\"\noccurred_at = 2026-03-01T09:00:00Z\n"),
    ] {
        let decoded = codec::decode(&record(Topic::Optimizations, None, headers)).unwrap();
        let expected = format!("optimizations\n{expected}optimization_id = \"opt-1\"\ndeleted\n");
        assert_eq!(rendered(&decoded.event), expected);
    }
    let without_a_time = Record { timestamp_millis: None, ..record(Topic::Optimizations, None, &[]) };
    let decoded = codec::decode(&without_a_time).unwrap();
    assert_eq!(decoded.event.metadata.occurred_at.to_string(), "1970-01-01T00:00:00Z");
}

#[test]
fn metadata_in_the_payload_wins_over_the_headers() {
    let value = text("job-pending-few", "camel.json");
    let headers: &[Header<'_>] = &[("ce_id", Some(b"other")), ("ce_time", Some(b"2020-01-01T00:00:00Z"))];
    let decoded = codec::decode(&record(Topic::Jobs, Some(value.as_bytes()), headers)).unwrap();
    assert_eq!(decoded.event.metadata.event_id, "e-job-pending-few");
    assert_eq!(decoded.event.metadata.occurred_at.to_string(), TIME);
}

/// An event as the expectations have it.
fn rendered(event: &Event<'_>) -> String {
    let mut lines = Lines(format!("{}\n", event.body.topic()));
    lines.text("event_id", &event.metadata.event_id);
    lines.plain("occurred_at", Some(event.metadata.occurred_at));
    lines.plain("sequence", Some(event.metadata.sequence).filter(|sequence| *sequence > 0));
    match &event.body {
        Body::Optimization { optimization_id, change } => {
            lines.text("optimization_id", optimization_id);
            render_optimization(&mut lines, change);
        }
        Body::Job { job_id, optimization_id, change } => {
            lines.text("job_id", job_id);
            lines.text_if_any("optimization_id", optimization_id);
            render_job(&mut lines, change);
        }
        Body::Run { job_id, run_index, optimization_id, change } => {
            lines.text("job_id", job_id);
            lines.plain("run_index", Some(run_index));
            lines.text_if_any("optimization_id", optimization_id);
            render_run(&mut lines, change);
        }
    }
    lines.0
}

fn render_optimization(lines: &mut Lines, change: &OptimizationChange<'_>) {
    match change {
        OptimizationChange::Created(created) => {
            lines.event("created");
            lines.text("created.organization_id", &created.organization_id);
            lines.text("created.project_id", &created.project_id);
            lines.text_if_any("created.name", &created.name);
            lines.text_if_any("created.description", &created.description);
            lines.text_if_any("created.kind", &created.kind);
            lines.plain("created.created_at", created.created_at);
            lines.text_if_any("created.created_by_email", &created.created_by_email);
            lines.text_if_any("created.cell_spec_id", &created.cell_spec_id);
            lines.text_if_any("created.cell_name", &created.cell_name);
            lines.text_if_any("created.parameterized_model_id", &created.parameterized_model_id);
            lines.text_if_any("created.parameterized_model_name", &created.parameterized_model_name);
            lines.text_if_any("created.optimization_template_id", &created.optimization_template_id);
            lines.object("created.objectives", &created.objectives);
            lines.text_if_any("created.job_id", &created.job_id);
        }
        OptimizationChange::DetailsChanged { name, description } => {
            lines.event("details_changed");
            lines.text_if_any("details_changed.name", name);
            lines.text_if_any("details_changed.description", description);
        }
        OptimizationChange::DisplayNamesChanged { cell_name, parameterized_model_name } => {
            lines.event("display_names_changed");
            lines.text_if_any("display_names_changed.cell_name", cell_name);
            lines.text_if_any("display_names_changed.parameterized_model_name", parameterized_model_name);
        }
        OptimizationChange::JobLinked { job_id } => {
            lines.event("job_linked");
            lines.text("job_linked.job_id", job_id);
        }
        OptimizationChange::Deleted => lines.event("deleted"),
    }
}

fn render_job(lines: &mut Lines, change: &JobChange<'_>) {
    match change {
        JobChange::Pending => lines.event("pending"),
        JobChange::Processing => lines.event("processing"),
        JobChange::Waiting => lines.event("waiting"),
        JobChange::Completed { metrics } => {
            lines.event("completed");
            lines.object("completed.metrics", metrics);
        }
        JobChange::Failed { error, error_code } => {
            lines.event("failed");
            lines.text_if_any("failed.error", error);
            lines.text_if_any("failed.error_code", error_code);
        }
        JobChange::Canceled => lines.event("canceled"),
    }
}

fn render_run(lines: &mut Lines, change: &RunChange<'_>) {
    match change {
        RunChange::Started => lines.event("started"),
        RunChange::Completed { cost, parameter_values, iterations, evaluations } => {
            lines.event("completed");
            lines.plain("completed.cost", cost.map(|cost| format!("{cost:?}")));
            lines.object("completed.parameter_values", parameter_values);
            lines.plain("completed.iterations", *iterations);
            lines.plain("completed.evaluations", *evaluations);
        }
        RunChange::Failed { error } => {
            lines.event("failed");
            lines.text_if_any("failed.error", error);
        }
        RunChange::Canceled => lines.event("canceled"),
    }
}

struct Lines(String);

impl Lines {
    fn event(&mut self, name: &str) {
        writeln!(self.0, "{name}").unwrap();
    }

    fn plain(&mut self, name: &str, value: Option<impl std::fmt::Display>) {
        if let Some(value) = value {
            writeln!(self.0, "{name} = {value}").unwrap();
        }
    }

    fn text(&mut self, name: &str, value: &str) {
        self.plain(name, Some(serde_json::to_string(value).unwrap()));
    }

    fn text_if_any(&mut self, name: &str, value: &Option<std::borrow::Cow<'_, str>>) {
        if let Some(value) = value {
            self.text(name, value);
        }
    }

    fn object(&mut self, name: &str, value: &Option<JsonObject<'_>>) {
        self.plain(name, value.as_ref().map(|object| &object.0));
    }
}
