//! Refusals of protobuf.

use optview::domain::Topic;

use super::case::{Case, NO_JOB_EVENT, NO_OPTIMIZATION_EVENT, NO_RUN_EVENT, bytes, check};

const TIME: &[u8] = b"\x12\x06\x08\x80\x90\x80\xcd\x06";

#[test]
fn protobuf_that_is_not_understood_is_refused_with_the_field_and_the_reason() {
    check(&[protobuf_messages]);
}

fn protobuf_messages() -> Vec<Case> {
    use Topic::{Jobs, MultistartRuns, Optimizations};
    let sound = || [field(1, b"e-1"), TIME.to_vec()].concat();
    let message = |rest: &[&[u8]]| [field(1, &sound()), rest.concat()].concat();
    vec![
        bytes(Jobs, b"\xff\xff", "(protobuf) invalid varint"),
        bytes(Jobs, b"\x12\x05job", "(protobuf) JobEvent.job_id: buffer underflow"),
        bytes(
            Jobs,
            b"\x10\x05",
            "(protobuf) JobEvent.job_id: invalid wire type: Varint (expected LengthDelimited)",
        ),
        bytes(
            Jobs,
            message(&[&field(2, b"job-\xff"), &field(4, b"")]),
            "(protobuf) JobEvent.job_id: invalid string value: data is not UTF-8 encoded",
        ),
        bytes(Jobs, message(&[&field(2, b"job-1")]), NO_JOB_EVENT),
        bytes(Jobs, message(&[&field(2, b"job-1"), &field(99, b"")]), "(job); there is `99`, (unknown)"),
        bytes(Jobs, message(&[&field(4, b"")]), "job_id: is missing or empty"),
        bytes(Jobs, message(&[&field(2, &b"j".repeat(1025)), &field(4, b"")]), "job_id: has 1025 bytes(long)"),
        bytes(Optimizations, message(&[&field(2, b"opt-1")]), NO_OPTIMIZATION_EVENT),
        bytes(
            Optimizations,
            message(&[&field(2, b"opt-1"), &field(6, b"")]),
            "job_linked.job_id: is missing or empty",
        ),
        bytes(
            Optimizations,
            message(&[&field(2, b"opt-1"), &field(3, b"")]),
            "created.organization_id: is missing or empty",
        ),
        bytes(MultistartRuns, message(&[&field(2, b"job-1")]), NO_RUN_EVENT),
        protobuf(&[], "metadata.event_id: is missing, and so is the header ce_id"),
        protobuf(&field(1, b"e-1"), "metadata.occurred_at: is missing, and so is the header ce_time"),
        protobuf(
            &[field(1, b"e-1"), field(2, b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\x7f")].concat(),
            "metadata.occurred_at: 9223372036854775807 s and 0 ns since 1970 is not a time in the years 1 to 9999",
        ),
        protobuf(
            &[field(1, b"e-1"), field(2, b"\x10\x80\x94\xeb\xdc\x03")].concat(),
            "metadata.occurred_at: 0 s and 1000000000 ns since 1970 is not a time in the years 1 to 9999",
        ),
        protobuf(
            &[field(1, b"e-1"), field(2, b"\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01")].concat(),
            "metadata.occurred_at: 0 s and -1 ns since 1970 is not a time in the years 1 to 9999",
        ),
    ]
}

/// Returns the protobuf of a job event with an event, a job, and this metadata.
fn protobuf(metadata: &[u8], expected: &'static str) -> Case {
    bytes(Topic::Jobs, [field(1, metadata), field(2, b"job-1"), field(4, b"")].concat(), expected)
}

pub fn protobuf_created(objectives: &[u8], expected: &'static str) -> Case {
    let metadata = [field(1, b"e-1"), TIME.to_vec()].concat();
    let created = [field(1, b"org-1"), field(2, b"prj-1"), field(13, objectives)].concat();
    let value = [field(1, &metadata), field(2, b"opt-1"), field(3, &created)].concat();
    bytes(Topic::Optimizations, value, expected)
}

/// Returns a length-delimited field of a protobuf message.
pub fn field(number: u32, content: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    prost::encoding::encode_varint(u64::from(number << 3 | 2), &mut bytes);
    prost::encoding::encode_varint(content.len() as u64, &mut bytes);
    bytes.extend_from_slice(content);
    bytes
}

/// Returns a protobuf value with this many nested lists.
pub fn nested_lists(levels: usize) -> Vec<u8> {
    // The lists are written from the inside out and backwards, because appending is cheap.
    let mut reversed: Vec<u8> = Vec::new();
    for _ in 0..levels {
        for number in [1, 6] {
            let mut head = Vec::new();
            prost::encoding::encode_varint(u64::from(number << 3 | 2u32), &mut head);
            prost::encoding::encode_varint(reversed.len() as u64, &mut head);
            reversed.extend(head.iter().rev());
        }
    }
    reversed.reverse();
    reversed
}
