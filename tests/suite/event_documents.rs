//! `docs/EVENTS.md` is right: each event on it is decoded, and each command prints what the page shows.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use optview::codec::{self, Framing, unknown_fields};
use optview::domain::event::JobChange;
use optview::domain::{OptimizationEvent, PartitionOffset, Record, RunEvent, Topic};
use prost_reflect::DescriptorPool;
use strum::VariantNames as _;

use crate::cases::topic_named;

/// A block of code on the page: its language, what stands after that, and its lines.
struct Block {
    language: String,
    subject: String,
    text: String,
}

fn page() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/EVENTS.md")).unwrap()
}

fn blocks(page: &str) -> Vec<Block> {
    let mut fences = page.split("\n```");
    fences.next();
    let mut blocks = Vec::new();
    // A fence that opens a block and the one that closes it come in turn.
    while let (Some(block), Some(_)) = (fences.next(), fences.next()) {
        let (head, text) = block.split_once('\n').unwrap();
        let (language, subject) = head.split_once(' ').unwrap_or((head, ""));
        blocks.push(Block { language: language.into(), subject: subject.into(), text: text.into() });
    }
    blocks
}

/// The messages of `proto/`, as they are compiled into the program.
pub fn contract() -> DescriptorPool {
    DescriptorPool::decode(&include_bytes!("../../src/codec/generated/contract.binpb")[..]).unwrap()
}

/// Returns the name of the message of a topic.
pub fn message_name(topic: Topic) -> &'static str {
    match topic {
        Topic::Optimizations => "OptimizationEvent",
        Topic::Jobs => "JobEvent",
        Topic::MultistartRuns => "MultistartRunEvent",
    }
}

/// Returns the kinds of event of a topic.
pub fn kinds(topic: Topic) -> &'static [&'static str] {
    match topic {
        Topic::Optimizations => OptimizationEvent::VARIANTS,
        Topic::Jobs => JobChange::VARIANTS,
        Topic::MultistartRuns => RunEvent::VARIANTS,
    }
}

/// Checks that a value is an event of this kind, of which the contract has every field.
fn check_kind(topic: Topic, value: &[u8], kind: &str) {
    let position = PartitionOffset { topic, partition: 0, offset: 0 };
    let record = Record { position, timestamp_millis: None, key: None, value: Some(value), headers: Vec::new() };
    assert_eq!(unknown_fields::find(&record, Framing::Auto), Ok(Vec::new()), "{}", String::from_utf8_lossy(value));
    match codec::decode(&record) {
        Ok(envelope) => assert_eq!(envelope.event.body.kind(), kind),
        Err(error) => panic!("{}: {error}", String::from_utf8_lossy(value)),
    }
}

/// The page has both forms of each event. `tests/contract/check` compares the two, since it has a reader of protobuf's text.
#[test]
fn each_event_is_on_the_page_as_json_that_is_understood_and_as_protobuf() {
    let page = page();
    let blocks = blocks(&page);
    let mut shown = BTreeSet::new();
    for (json, text) in blocks.iter().zip(blocks.iter().skip(1)).filter(|(json, _)| json.language == "json") {
        assert_eq!((text.language.as_str(), &text.subject), ("textproto", &json.subject));
        let (topic, kind) = json.subject.split_once('.').unwrap();
        check_kind(topic_named(topic), json.text.as_bytes(), kind);
        shown.insert(json.subject.clone());
    }
    let contract =
        Topic::ALL.into_iter().flat_map(|topic| kinds(topic).iter().map(move |kind| format!("{topic}.{kind}")));
    assert_eq!(shown, contract.collect());
}

#[test]
fn each_command_on_the_page_prints_what_it_shows() {
    let program = Path::new(env!("CARGO_BIN_EXE_optview"));
    let path = format!("{}:{}", program.parent().unwrap().display(), std::env::var("PATH").unwrap());
    let mut count = 0;
    for block in blocks(&page()).iter().filter(|block| block.language == "console") {
        let mut shown = String::new();
        for line in block.text.lines().filter(|line| line.starts_with("$ ")) {
            let mut command = Command::new("bash");
            command.args(["-c", &line[2..]]).current_dir(env!("CARGO_MANIFEST_DIR")).env("PATH", &path);
            // Settings in the environment are not this test's.
            for (name, _) in
                std::env::vars().filter(|(name, _)| name.starts_with("OPTVIEW_") || name == "RUST_LOG")
            {
                command.env_remove(name);
            }
            let output = command.output().unwrap();
            let text = [output.stdout, output.stderr].concat();
            shown += &format!("{line}\n{}", String::from_utf8(text).unwrap());
            count += 1;
        }
        assert_eq!(block.text, shown.trim_end());
    }
    assert!(count >= 8, "the commands are all there");
}

/// The examples of `proto/asyncapi.yaml` are lines of `proto/examples/`, at least one of each kind of event.
#[test]
fn the_examples_for_asyncapi_are_those_of_every_kind() {
    let file =
        |path: &str| fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("proto").join(path)).unwrap();
    let document = file("asyncapi.yaml");
    let lines: Vec<&str> = document.lines().map(str::trim).collect();
    assert!(lines.contains(&concat!("version: ", env!("CARGO_PKG_VERSION"))));
    for topic in Topic::ALL {
        let examples = file(&format!("examples/{topic}.jsonl"));
        for kind in kinds(topic) {
            let named = format!("- name: {kind}");
            let payloads = lines.iter().zip(lines.iter().skip(1)).filter(|(name, _)| **name == named);
            let mut payloads = payloads.filter_map(|(_, payload)| payload.strip_prefix("payload: "));
            assert!(payloads.any(|payload| examples.lines().any(|line| line == payload)), "{topic}.{kind}");
        }
    }
}

/// `buf breaking` compares `proto/` with the contract of each release; that of this version is among them.
#[test]
fn the_contract_of_this_release_is_kept() {
    let path = concat!("proto/released/", env!("CARGO_PKG_VERSION"), ".txtpb");
    let released = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap_or_default();
    assert!(released.contains("name: \"OptimizationCreated\""), "{path}: run tests/contract/check release");
}
