//! The cases: records with the expected texts of their refusals.

use optview::codec::{self, DecodeError};
use optview::domain::record::Header;
use optview::domain::{PartitionOffset, Record, Topic};

pub const NO_OPTIMIZATION_EVENT: &str =
    "event: none of created, details_changed, display_names_changed, job_linked, deleted is set";
pub const NO_JOB_EVENT: &str = "event: none of pending, processing, waiting, completed, failed, canceled is set";
pub const NO_RUN_EVENT: &str = "event: none of started, completed, failed, canceled is set";
pub const ARRAY: &str = "the payload is a JSON array: send one event a record";

/// The long forms of the words in brackets in the expected texts.
const ABBREVIATIONS: [(&str, &str); 11] = [
    ("(JSON)", "the payload is not JSON of the expected shape:"),
    ("(protobuf)", "the payload is not protobuf: failed to decode Protobuf message:"),
    ("(unsigned)", "expected an unsigned integer, or one in a string"),
    ("(time)", "is not an RFC 3339 time in the years 1 to 9999"),
    ("(unsupported)", "is not supported: send application/json or application/protobuf"),
    ("(compress)", "data: compress by the producer's `compression.type`, not the value"),
    ("(optimization)", NO_OPTIMIZATION_EVENT),
    ("(job)", NO_JOB_EVENT),
    ("(run)", NO_RUN_EVENT),
    ("(unknown)", "which the contract does not have"),
    ("(long)", ", more than the 1024 that it may have"),
];

/// The parts of a record, and the expected text of its refusal.
pub struct Case {
    pub topic: Topic,
    pub key: Vec<u8>,
    pub headers: Vec<(&'static str, Vec<u8>)>,
    pub value: Option<Vec<u8>>,
    pub expected: &'static str,
}

impl Case {
    pub fn header(mut self, name: &'static str, value: impl Into<Vec<u8>>) -> Case {
        self.headers.push((name, value.into()));
        self
    }

    pub fn key(self, key: impl Into<Vec<u8>>) -> Case {
        Case { key: key.into(), ..self }
    }

    pub fn refusal(&self) -> Result<(), DecodeError> {
        let headers: Vec<Header<'_>> =
            self.headers.iter().map(|(name, value)| (*name, Some(&value[..]))).collect();
        decode(self.topic, &self.key, self.value.as_deref(), &headers)
    }
}

pub fn decode(topic: Topic, key: &[u8], value: Option<&[u8]>, headers: &[Header<'_>]) -> Result<(), DecodeError> {
    let position = PartitionOffset { topic, partition: 0, offset: 0 };
    let headers = headers.to_vec();
    codec::decode(&Record { position, timestamp_millis: Some(0), key: Some(key), value, headers }).map(|_| ())
}

pub fn bytes(topic: Topic, value: impl Into<Vec<u8>>, expected: &'static str) -> Case {
    Case { topic, key: b"key".to_vec(), headers: Vec::new(), value: Some(value.into()), expected }
}

pub fn null(topic: Topic, expected: &'static str) -> Case {
    Case { value: None, ..bytes(topic, "", expected) }
}

/// Returns JSON with valid metadata before `rest`.
pub fn json(topic: Topic, rest: &str, expected: &'static str) -> Case {
    let metadata = r#"{"metadata":{"eventId":"e-1","occurredAt":"2026-03-01T09:00:00Z","sequence":"1"}"#;
    bytes(topic, format!("{metadata},{rest}}}"), expected)
}

pub fn job(rest: &str, expected: &'static str) -> Case {
    json(Topic::Jobs, &format!(r#""jobId":"job-1",{rest}"#), expected)
}

pub fn run(rest: &str, expected: &'static str) -> Case {
    json(Topic::MultistartRuns, &format!(r#""jobId":"job-1",{rest}"#), expected)
}

pub fn created(fields: &str, expected: &'static str) -> Case {
    let created = format!(r#""created":{{"organizationId":"org-1","projectId":"prj-1",{fields}}}"#);
    json(Topic::Optimizations, &format!(r#""optimizationId":"opt-1",{created}"#), expected)
}

/// Checks the refusal of each case, and reports all wrong ones together.
pub fn check(groups: &[fn() -> Vec<Case>]) {
    let mut wrong = String::new();
    for (group, cases) in groups.iter().enumerate() {
        for (number, case) in cases().iter().enumerate() {
            let refusal = match case.refusal() {
                Ok(()) => "it was understood".to_owned(),
                Err(refusal) => refusal.to_string(),
            };
            let expected = ABBREVIATIONS
                .iter()
                .fold(case.expected.to_owned(), |expected, (short, long)| expected.replace(short, long));
            if refusal != expected {
                wrong += &format!("@@{group}/{number}@@{refusal}\n");
            }
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}
