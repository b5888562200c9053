use proptest::prelude::*;

use super::*;
use crate::check::finding::Verdict;
use crate::codec::Encoding;
use crate::codec::encode::{encode, key};
use crate::domain::TopicPartition;
use crate::synthetic::{History, HistorySettings};

fn record(topic: Topic, offset: i64, key: Option<&str>, value: &str) -> OwnedRecord {
    OwnedRecord {
        position: TopicPartition::new(topic, 0).at(offset),
        timestamp_millis: Some(offset),
        key: key.map(|key| key.as_bytes().to_vec()),
        value: Some(value.as_bytes().to_vec()),
        headers: Vec::new(),
    }
}

fn newest(records: Vec<OwnedRecord>) -> NewestRecords {
    let mut newest = NewestRecords::default();
    for topic in Topic::ALL {
        newest.read.insert(TopicPartition::new(topic, 0), Vec::new());
    }
    for record in records {
        newest.read.entry(record.position.topic_partition()).or_default().push(record);
    }
    newest
}

fn found(newest: &NewestRecords, records_max: usize, has_all_optimizations: bool) -> Vec<Finding> {
    let names = TopicNames::default();
    findings(newest, SampleSettings { names: &names, framing: Framing::Auto, records_max, has_all_optimizations })
}

fn event(metadata: &str, rest: &str) -> String {
    format!(r#"{{"metadata":{{"eventId":"e","occurredAt":"2026-03-01T09:00:00Z"{metadata}}},{rest}}}"#)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn the_records_of_a_sound_producer_are_all_understood_and_have_no_oddity(seed in any::<u64>(), is_protobuf in any::<bool>()) {
        let encoding = if is_protobuf { Encoding::Protobuf } else { Encoding::Json };
        let settings = HistorySettings { seed, optimizations: 20, runs: 2, concurrent: 5, ..HistorySettings::default() };
        let mut value = Vec::new();
        let records: Vec<OwnedRecord> = History::new(settings)
            .zip(0..)
            .map(|(event, offset)| {
                encode(&event, encoding, &mut value);
                OwnedRecord {
                    position: TopicPartition::new(event.body.topic(), 0).at(offset),
                    timestamp_millis: Some(offset),
                    key: Some(key(&event).as_bytes().to_vec()),
                    value: Some(value.clone()),
                    headers: Vec::new(),
                }
            })
            .collect();
        let found = found(&newest(records), 100_000, true);
        prop_assert!(found.iter().all(|finding| finding.verdict != Verdict::Wrong), "{:#?}", found);
        let form = if is_protobuf { "protobuf" } else { "JSON" };
        let understood = found.iter().filter(|finding| finding.text.contains(" records are understood: "));
        prop_assert_eq!(understood.clone().count(), 3, "{:#?}", found);
        prop_assert!(understood.into_iter().all(|finding| finding.text.ends_with(form)), "{:#?}", found);
    }
}

#[test]
fn oddities_are_counted_with_the_first_of_each() {
    let created = r#""optimizationId":"opt-1","created":{"organizationId":"o","projectId":"p"}"#;
    let records = vec![
        record(Topic::Optimizations, 0, Some("opt-1"), &event(r#","sequence":"1""#, created)),
        record(Topic::Jobs, 5, Some("other"), &event("", r#""jobId":"job-1","pending":{}"#)),
        record(Topic::Jobs, 6, None, &event("", r#""jobId":"job-1","processing":{}"#)),
        record(
            Topic::Jobs,
            7,
            Some("job-1"),
            // Two fields that the contract does not have are one record with that oddity.
            &event("", r#""jobId":"job-1","waiting":{},"note":1,"by":2"#).replace("2026-03", "2126-03"),
        ),
    ];
    let found = found(&newest(records), 100, true);
    let texts: Vec<&str> = found
        .iter()
        .filter(|finding| finding.verdict == Verdict::Doubtful)
        .map(|finding| finding.text.as_str())
        .collect();
    for part in [
        "1 of its newest 3 records have the oddity future; the first is jobs/0@7: ",
        "1 of its newest 3 records have the oddity no_key; the first is jobs/0@6: ",
        "3 of its newest 3 records have the oddity no_sequence; the first is jobs/0@5: ",
        "1 of its newest 3 records have the oddity other_key; the first is jobs/0@5: ",
        "1 of its newest 3 records have the oddity unknown_field; the first is jobs/0@7: ",
        "no optimization links 1 of the jobs in the sample, so that they show nothing: `job-1`",
    ] {
        assert!(texts.iter().any(|text| text.starts_with(part)), "no {part}: {texts:#?}");
    }
    assert!(found.iter().all(|finding| finding.verdict != Verdict::Wrong), "{found:#?}");
}

#[test]
fn a_topic_of_which_much_is_not_understood_is_wrong_and_one_record_is_not() {
    let good = event(r#","sequence":"1""#, r#""jobId":"j","pending":{}"#);
    let bad = r#"{"jobId":"j"}"#;
    for (bads, verdict) in [(0, Verdict::Right), (1, Verdict::Doubtful), (3, Verdict::Wrong), (10, Verdict::Wrong)]
    {
        let records = (0..10).map(|offset| {
            let value = if offset < bads { bad } else { &good };
            record(Topic::Jobs, offset, Some("j"), value)
        });
        let found = found(&newest(records.collect()), 100, false);
        let of_jobs = found.iter().find(|finding| finding.subject.as_deref() == Some("jobs")).unwrap();
        assert_eq!(of_jobs.verdict, verdict, "{of_jobs:?}");
        assert_eq!(of_jobs.text.contains("(first jobs/0@0)"), bads > 0, "{of_jobs:?}");
    }
}

#[test]
fn only_the_newest_records_count_and_jobs_without_a_link_may_be_of_older_ones() {
    let jobs = (0..10).map(|offset| {
        let id = format!("job-{offset}");
        record(
            Topic::Jobs,
            offset,
            Some(&id),
            &event(r#","sequence":"1""#, &format!(r#""jobId":"{id}","pending":{{}}"#)),
        )
    });
    let found = found(&newest(jobs.collect()), 3, false);
    assert!(
        found.iter().any(|finding| finding.text.starts_with("its newest 3 records are understood: 3 JSON")),
        "{found:#?}"
    );
    let unlinked = found.iter().find(|finding| finding.text.contains("linked by no optimization")).unwrap();
    assert_eq!(unlinked.verdict, Verdict::Right);
    assert!(unlinked.text.ends_with("`job-7`, `job-8`, `job-9`"), "{unlinked:?}");
}
