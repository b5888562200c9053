//! An event that is marked as another stream's, or shows it, is refused, even if it could be understood.

use optview::codec;
use optview::domain::record::Header;
use optview::domain::{PartitionOffset, Record, Topic};

fn decode(topic: Topic, value: &str, headers: &[Header<'_>]) -> Result<(), String> {
    let position = PartitionOffset { topic, partition: 0, offset: 0 };
    let (value, headers) = (Some(value.as_bytes()), headers.to_vec());
    let record = Record { position, timestamp_millis: Some(0), key: None, value, headers };
    codec::decode(&record).map(drop).map_err(|error| error.to_string())
}

/// An event that can be decoded as a job's and as a run's.
const CANCELED: &str =
    r#"{"metadata":{"eventId":"e","occurredAt":"2026-03-01T09:00:00Z"},"jobId":"j","canceled":{}}"#;

#[test]
fn a_message_type_in_a_header_must_be_the_streams() {
    let markers: [(&str, &str, Topic); 6] = [
        ("ce_type", "optview.events.v1.JobEvent", Topic::Jobs),
        ("ce_type", "optview.events.v1.JobCanceled", Topic::Jobs),
        ("CE_Type", "type.googleapis.com/optview.events.v1.MultistartRunEvent", Topic::MultistartRuns),
        (
            "content-type",
            "application/json; messageType=\"optview.events.v1.MultistartRunEvent\"",
            Topic::MultistartRuns,
        ),
        ("content-type", "application/json;charset=utf-8; proto=JobEvent", Topic::Jobs),
        ("ce_type", "MultistartRunCanceled", Topic::MultistartRuns),
    ];
    for (header, value, stream) in markers {
        for topic in [Topic::Jobs, Topic::MultistartRuns] {
            let decoded = decode(topic, CANCELED, &[(header, Some(value.as_bytes()))]);
            if topic == stream {
                assert_eq!(decoded, Ok(()), "{header}: {value}");
            } else {
                let reason = decoded.expect_err("it is marked as another stream's");
                assert!(reason.contains(&format!("a message of {stream}, ")), "{reason}");
                assert!(reason.ends_with(&format!("is --topic-{topic} right?")), "{reason}");
            }
        }
    }
    // Names that are not in the contract are ignored.
    for (header, value) in [("ce_type", "com.example.canceled"), ("content-type", "application/json; proto=Other")]
    {
        assert_eq!(decode(Topic::Jobs, CANCELED, &[(header, Some(value.as_bytes()))]), Ok(()));
    }
}

#[test]
fn an_event_with_a_run_index_is_no_jobs() {
    for name in ["runIndex", "run_index"] {
        let run = CANCELED.replace(r#""canceled""#, &format!(r#""{name}":3,"canceled""#));
        assert_eq!(decode(Topic::MultistartRuns, &run, &[]), Ok(()));
        let reason = decode(Topic::Jobs, &run, &[]).expect_err("it is a run's");
        assert!(reason.contains("only events of multistart-runs have one"), "{reason}");
        // JSON writes null for what is absent.
        assert_eq!(decode(Topic::Jobs, &run.replace(":3,", ":null,"), &[]), Ok(()));
    }
}

#[test]
fn every_message_of_the_contract_is_known_as_its_streams() {
    for (file, stream, other, count) in [
        ("optimization", Topic::Optimizations, Topic::Jobs, 6),
        ("job", Topic::Jobs, Topic::MultistartRuns, 7),
        ("multistart_run", Topic::MultistartRuns, Topic::Jobs, 5),
    ] {
        let path = format!("{}/proto/optview/events/v1/{file}.proto", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(path).unwrap();
        let names: Vec<&str> =
            text.lines().filter_map(|line| line.strip_prefix("message ")?.split(' ').next()).collect();
        assert_eq!(names.len(), count, "{names:?}");
        for name in names {
            for name in [name.to_owned(), format!("optview.events.v1.{name}")] {
                let reason =
                    decode(other, CANCELED, &[("ce_type", Some(name.as_bytes()))]).expect_err("another's");
                assert!(reason.contains(&format!("a message of {stream}, ")), "{reason}");
            }
        }
    }
}
