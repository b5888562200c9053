//! Each limit refuses the first value above it, and accepts the one before.

use optview::codec::{self, DecodeError};
use optview::domain::record::RECORD_LIMIT;
use optview::domain::{PartitionOffset, Record, Topic};

/// Decodes a job whose metrics nest to this depth.
fn completed(depth: usize) -> Result<(), DecodeError> {
    let metrics = format!("{}1{}", r#"{"a":["#.repeat(depth / 2), "]}".repeat(depth / 2));
    let value = format!(
        r#"{{"metadata":{{"eventId":"e","occurredAt":"2026-03-01T09:00:00Z"}},"jobId":"j","completed":{{"metrics":{metrics}}}}}"#
    );
    let record = Record {
        position: PartitionOffset { topic: Topic::Jobs, partition: 0, offset: 0 },
        timestamp_millis: None,
        key: None,
        value: Some(value.as_bytes()),
        headers: Vec::new(),
    };
    codec::decode(&record).map(drop)
}

#[test]
fn an_object_may_nest_a_hundred_levels_and_no_more() {
    assert_eq!(completed(100), Ok(()));
    for depth in [102, 20_000] {
        let why = completed(depth).expect_err("too deep").to_string();
        assert_eq!(why, "completed.metrics: nests deeper than 100 levels");
    }
}

#[test]
fn a_record_may_have_eight_mebibytes_and_no_more() {
    let begin =
        r#"{"metadata":{"eventId":"e","occurredAt":"2026-03-01T09:00:00Z"},"jobId":"j","failed":{"error":""#;
    for (over, expected) in [
        (0, None),
        (
            1,
            Some(
                "the record has 8388609 bytes, more than the 8388608 that it may have: only its beginning is kept",
            ),
        ),
    ] {
        let (key, header) = (b"key", ("name", Some(&b"value"[..])));
        let rest = RECORD_LIMIT + over - begin.len() - "\"}}".len() - key.len() - "name".len() - "value".len();
        let value = format!("{begin}{}\"}}}}", "x".repeat(rest));
        let record = Record {
            position: PartitionOffset { topic: Topic::Jobs, partition: 0, offset: 0 },
            timestamp_millis: None,
            key: Some(key),
            value: Some(value.as_bytes()),
            headers: vec![header],
        };
        assert_eq!(codec::decode(&record).err().map(|error| error.to_string()).as_deref(), expected);
    }
}
