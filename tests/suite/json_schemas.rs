//! The JSON Schemas in `proto/schemas/` are those of `proto/`, and take what the decoder takes.
//!
//! `OPTVIEW_WRITE_SCHEMAS=1 cargo test --test suite -- json_schemas` writes them anew.

mod generator;

use std::fs;
use std::path::{Path, PathBuf};

use boon::{Compiler, SchemaIndex, Schemas};
use optview::codec;
use optview::domain::record::Header;
use optview::domain::{PartitionOffset, Record, Topic};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::{Map, Value, json};

use crate::event_documents::{contract, message_name};
use crate::published_events;

fn path_of(topic: Topic) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("proto/schemas/{}.json", message_name(topic)))
}

/// The schema of each topic, ready to be asked.
struct Validators {
    schemas: Schemas,
    indexes: [SchemaIndex; 3],
}

impl Validators {
    fn new() -> Validators {
        let mut schemas = Schemas::new();
        let indexes = Topic::ALL.map(|topic| {
            let path = path_of(topic).display().to_string();
            let text = fs::read_to_string(&path).unwrap();
            let mut compiler = Compiler::new();
            compiler.add_resource(&path, serde_json::from_str(&text).unwrap()).unwrap();
            compiler.compile(&path, &mut schemas).unwrap_or_else(|error| panic!("{path}: {error:#}"))
        });
        Validators { schemas, indexes }
    }

    fn check(&self, topic: Topic, value: &Value) -> Result<(), String> {
        let index = self.indexes[Topic::ALL.iter().position(|held| *held == topic).unwrap()];
        self.schemas.validate(value, index).map_err(|error| format!("{error:#}"))
    }
}

/// Decodes a value, of which headers give the id and the time if it has none.
fn decode(topic: Topic, value: &Value) -> Result<(), String> {
    let value = value.to_string();
    let headers: Vec<Header<'_>> = vec![
        ("content-type", Some(b"application/json")),
        ("ce_id", Some(b"e")),
        ("ce_time", Some(b"2026-03-01T09:00:00Z")),
    ];
    let position = PartitionOffset { topic, partition: 0, offset: 0 };
    let record = Record { position, timestamp_millis: None, key: None, value: Some(value.as_bytes()), headers };
    codec::decode(&record).map(|_| ()).map_err(|error| error.to_string())
}

/// Returns the examples of `proto/examples/` and every published event that is JSON.
fn examples() -> Vec<(Topic, Value)> {
    let mut examples = Vec::new();
    for topic in Topic::ALL {
        let path = format!("proto/examples/{topic}.jsonl");
        let lines = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap();
        examples.extend(lines.lines().map(|line| (topic, serde_json::from_str(line).unwrap())));
    }
    assert!(examples.len() > 20, "the examples are all there");
    let published = published_events::values().into_iter();
    examples.extend(
        published.filter_map(|(topic, value)| Some((topic, serde_json::from_slice::<Value>(&value).ok()?))),
    );
    examples
}

#[test]
fn the_schemas_are_those_of_the_protos() {
    let pool = contract();
    for topic in Topic::ALL {
        let message = pool.get_message_by_name(&format!("optview.events.v1.{}", message_name(topic))).unwrap();
        let text = format!("{:#}\n", generator::schema(&message));
        if std::env::var_os("OPTVIEW_WRITE_SCHEMAS").is_some() {
            fs::write(path_of(topic), &text).unwrap();
        }
        let held = fs::read_to_string(path_of(topic)).unwrap_or_default();
        assert!(
            held == text,
            "proto/schemas/{}.json is not what proto/ gives: run OPTVIEW_WRITE_SCHEMAS=1 cargo test --test suite -- json_schemas",
            message_name(topic)
        );
    }
}

#[test]
fn every_example_is_valid() {
    let validators = Validators::new();
    for (topic, example) in examples() {
        assert_eq!(validators.check(topic, &example), Ok(()), "{topic}: {example}");
    }
}

#[test]
fn spoilt_examples_are_not_valid_and_are_refused() {
    let validators = Validators::new();
    let (created, failed, run) = ("optimizations", "jobs", "multistart-runs");
    for (topic, pointer, spoilt) in [
        (created, "/optimizationId", json!("")),
        (created, "/optimizationId", Value::Null),
        (created, "/optimizationId", json!(7)),
        (created, "/created/organizationId", json!("")),
        (created, "/created/projectId", Value::Null),
        (created, "/created/jobId", json!("")),
        (created, "/created/name", json!(["Fast charge"])),
        (created, "/created/createdAt", json!("yesterday")),
        (created, "/created/objectives", json!([1])),
        (created, "/created/kind", json!("k".repeat(1025))),
        (created, "/created", json!([])),
        (created, "/created", Value::Null),
        (created, "/metadata/sequence", json!(-1)),
        (created, "/metadata/sequence", json!("first")),
        (created, "/metadata/occurredAt", json!(1_772_355_600)),
        (failed, "/failed/error", json!(false)),
        (failed, "/failed/errorCode", json!({})),
        (failed, "/failed", json!("it did")),
        (run, "/runIndex", json!(1.5)),
        (run, "/runIndex", json!(4_294_967_296_u64)),
        (run, "/completed/cost", json!("cheap")),
        (run, "/completed/iterations", json!(0.5)),
        (run, "/completed/parameterValues", json!("none")),
    ] {
        let topic = crate::cases::topic_named(topic);
        let (_, mut example) = examples()
            .into_iter()
            .find(|(held, value)| *held == topic && value.pointer(pointer).is_some())
            .unwrap();
        *example.pointer_mut(pointer).unwrap() = spoilt;
        assert!(validators.check(topic, &example).is_err(), "{topic}: {example}");
        assert!(decode(topic, &example).is_err(), "{topic}: {example}");
    }
}

/// One change of an event.
#[derive(Clone, Debug)]
enum Change {
    Remove,
    Replace(Value),
    Respell,
    Add(&'static str, Value),
}

fn change() -> impl Strategy<Value = Change> {
    let values = vec![
        Value::Null,
        json!(true),
        json!(1),
        json!(-1),
        json!(0.5),
        json!(1.0),
        json!("1"),
        json!("1e0"),
        json!(""),
        json!("text"),
        json!("2026-03-01T10:00:00+01:00"),
        json!({}),
        json!([]),
        json!({"jobId": "job-9"}),
    ];
    let names = vec![
        "created",
        "deleted",
        "pending",
        "completed",
        "jobLinked",
        "job_linked",
        "runIndex",
        "job_id",
        "other",
    ];
    prop_oneof![
        Just(Change::Remove),
        select(values.clone()).prop_map(Change::Replace),
        Just(Change::Respell),
        (select(names), select(values)).prop_map(|(name, value)| Change::Add(name, value)),
    ]
}

fn apply(event: &mut Value, change: &Change, at: Index) {
    let mut fields = Vec::new();
    collect_fields(event, "", &mut fields);
    let (pointer, name) = fields[at.index(fields.len())].clone();
    let object: &mut Map<String, Value> = event.pointer_mut(&pointer).unwrap().as_object_mut().unwrap();
    match change {
        Change::Remove => drop(object.remove(&name)),
        Change::Replace(value) => drop(object.insert(name, value.clone())),
        Change::Respell if !name.is_ascii() => {}
        Change::Respell => {
            let value = object.remove(&name).unwrap();
            let is_snake = name.contains('_');
            object.insert(if is_snake { camel(&name) } else { snake(&name) }, value);
        }
        Change::Add(name, value) => drop(object.entry(*name).or_insert_with(|| value.clone())),
    }
}

/// Collects the fields of messages, each with the pointer of its message. What is in free objects is no field.
fn collect_fields(value: &Value, pointer: &str, fields: &mut Vec<(String, String)>) {
    let Value::Object(object) = value else { return };
    for (name, value) in object {
        fields.push((pointer.to_owned(), name.clone()));
        if !["objectives", "metrics", "parameterValues", "parameter_values"].contains(&name.as_str()) {
            collect_fields(value, &format!("{pointer}/{}", name.replace('~', "~0").replace('/', "~1")), fields);
        }
    }
}

fn snake(name: &str) -> String {
    let characters = name.chars().map(|held| {
        if held.is_ascii_uppercase() { format!("_{}", held.to_ascii_lowercase()) } else { held.into() }
    });
    characters.collect()
}

fn camel(name: &str) -> String {
    let mut words = name
        .split('_')
        .map(|word| word[..word.len().min(1)].to_ascii_uppercase() + word.get(1..).unwrap_or_default());
    let first = words.next().unwrap_or_default();
    first[..first.len().min(1)].to_ascii_lowercase()
        + first.get(1..).unwrap_or_default()
        + &words.collect::<String>()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn a_schema_takes_what_the_decoder_takes(
        example in any::<Index>(),
        changes in proptest::collection::vec((change(), any::<Index>()), 1..4),
    ) {
        thread_local!(static SHARED: (Validators, Vec<(Topic, Value)>) = (Validators::new(), examples()));
        SHARED.with(|(validators, examples)| {
            let (topic, mut event) = examples[example.index(examples.len())].clone();
            for (change, at) in &changes {
                if event.as_object().is_some_and(|fields| !fields.is_empty()) {
                    apply(&mut event, change, *at);
                }
            }
            let (valid, decoded) = (validators.check(topic, &event), decode(topic, &event));
            prop_assert_eq!(valid.is_ok(), decoded.is_ok(), "{}: {}\n{:?}\n{:?}", topic, event, valid, decoded);
            Ok(())
        })?;
    }
}
