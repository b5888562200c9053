//! The answers of `history` agree with the projector: they have the same views, at the end and at every moment, from every event
//! of the optimization and from no other.

mod log;

use std::collections::BTreeSet;

use optview::codec::Encoding;
use optview::config::AsOf;
use optview::domain::event::OptimizationChange;
use optview::domain::{Body, Envelope, PartitionOffset, Timestamp, Topic};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::cases::cases;
use crate::fold::history;
use crate::support::MapStore;
use log::{FIRST_MILLIS, Log, LoggedRecord};

/// Folds the records as the projector does; `None` where there is no such view.
fn folded<'a>(records: impl IntoIterator<Item = &'a LoggedRecord>, id: &str) -> Option<Value> {
    let mut store = MapStore::default();
    records.into_iter().for_each(|written| store.fold(&written.record.decode()));
    store.write();
    store.response(id)
}

/// The events of an optimization, its jobs and their runs, by their event ids.
fn events_of(history: &[Envelope<'_>], id: &str) -> BTreeSet<String> {
    let job = |body: &Body<'_>| match body {
        Body::Optimization { optimization_id, change } if optimization_id == id => match change {
            OptimizationChange::Created(created) => created.job_id.as_deref().map(str::to_owned),
            OptimizationChange::JobLinked { job_id } => Some(job_id.to_string()),
            _ => None,
        },
        Body::Job { job_id, optimization_id: Some(named), .. }
        | Body::Run { job_id, optimization_id: Some(named), .. }
            if named == id =>
        {
            Some(job_id.to_string())
        }
        _ => None,
    };
    let jobs: BTreeSet<String> = history.iter().filter_map(|envelope| job(&envelope.event.body)).collect();
    let is_of_it = |body: &Body<'_>| match body {
        Body::Optimization { optimization_id, .. } => optimization_id == id,
        Body::Job { job_id, .. } | Body::Run { job_id, .. } => jobs.contains(&**job_id),
    };
    let events = history.iter().filter(|envelope| is_of_it(&envelope.event.body));
    events.map(|envelope| envelope.event.metadata.event_id.to_string()).collect()
}

const IDS: [&str; 3] = ["o1", "o2", "o3"];

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn it_shows_every_event_once_and_ends_with_the_view_that_the_projector_has(
        history in history(1..60),
        partitions in 1..4i32,
        protobuf in any::<bool>(),
        seed in any::<u64>(),
    ) {
        let encoding = if protobuf { Encoding::Protobuf } else { Encoding::Json };
        let log = Log::of(&history, encoding, partitions, seed);
        for id in IDS {
            let expected = events_of(&history, id);
            let Ok(answer) = log.history(id) else {
                prop_assert!(expected.is_empty(), "{}: {:?}", id, expected);
                continue;
            };
            let events = answer["events"].as_array().unwrap();
            let event_ids: BTreeSet<String> = events.iter().map(|event| event["event_id"].as_str().unwrap().to_owned()).collect();
            prop_assert_eq!(&event_ids, &expected, "{}", id);
            prop_assert_eq!(events.len(), expected.len(), "none twice");
            prop_assert_eq!(&answer["view"], &json!(folded(log.records(), id)), "{}", id);
            let reached = reached(events, &answer["view"]);
            prop_assert!(reached.is_ok(), "{}", reached.unwrap_err());
        }
    }

    #[test]
    fn as_of_each_position_it_shows_what_the_records_up_to_there_gave(
        history in history(1..30),
        partitions in 1..4i32,
        seed in any::<u64>(),
    ) {
        let log = Log::of(&history, Encoding::Json, partitions, seed);
        for (at, written) in log.records().enumerate() {
            for id in IDS {
                let expected = json!({"view": folded(log.records().take(at + 1), id)});
                let shown = log.as_of(id, AsOf::Position(written.record.position));
                prop_assert_eq!(shown.view, expected.clone(), "{} at {}", id, written.record.position);
                let next = Timestamp::from_millis(written.timestamp_millis + 1).unwrap();
                prop_assert_eq!(log.as_of(id, AsOf::Time(next)).view, expected, "{} before {}", id, next);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn an_archive_gives_the_answers_that_the_topics_give(history in history(1..60), partitions in 1..4i32, seed in any::<u64>()) {
        let log = Log::of(&history, Encoding::Json, partitions, seed);
        let archive = log.archived();
        let middle = log.records().nth(log.records().count() / 2).unwrap();
        let (position, time) = (middle.record.position, Timestamp::from_millis(middle.timestamp_millis).unwrap());
        for id in IDS {
            for as_of in [None, Some(AsOf::Position(position)), Some(AsOf::Time(time))] {
                prop_assert_eq!(log::of_archive(archive.path(), id, as_of), log.answer(id, as_of, true), "{}", id);
            }
        }
    }
}

#[test]
fn an_archive_is_read_once_more_for_a_job_that_is_named_late_and_damage_is_named() {
    let mut log = Log::new(1);
    log.put(Topic::Optimizations, "o", Some(&created("o", 1)));
    log.put(Topic::Jobs, "j-7", Some(&event("first", 2, &json!({"jobId": "j-7", "pending": {}}))));
    let names_it = json!({"jobId": "j-7", "optimizationId": "o", "processing": {}});
    log.put(Topic::Jobs, "j-7", Some(&event("last", 3, &names_it)));
    let archive = log.archived();
    let (bytes, ended) = log::of_archive(archive.path(), "o", None);
    assert_eq!(ended, Ok(()));
    let answer: Value = serde_json::from_slice(&bytes).unwrap();
    assert_eq!(
        unchanged_of(&answer),
        [("created", None), ("first", Some("not_linked")), ("last", Some("not_linked"))]
    );

    let path = archive.path().join("000002.ndjson.zst");
    let mut bytes = std::fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let (bytes, ended) = log::of_archive(archive.path(), "o", None);
    let error = ended.unwrap_err();
    assert!(bytes.is_empty() && error.contains("000002.ndjson.zst: its SHA-256 is"), "{error}");
    std::fs::remove_file(path).unwrap();
    let error = log::of_archive(archive.path(), "o", None).1.unwrap_err();
    assert!(error.contains("000002.ndjson.zst: cannot be read"), "{error}");
}

/// Checks that the changes of all events, one after another, lead from nothing to the last view, and that an event without changes
/// has a reason.
fn reached(events: &[Value], view: &Value) -> Result<(), String> {
    let mut fields = serde_json::Map::new();
    for event in events {
        let changes = event["changes"].as_object().unwrap();
        if changes.is_empty() == event["unchanged"].is_null() {
            return Err(format!("it is told of a change, and that there is none: {event}"));
        }
        for (field, change) in changes {
            let old = fields.insert(field.clone(), change["new"].clone()).unwrap_or_default();
            if old != change["old"] {
                return Err(format!("{field} was {old}: {event}"));
            }
        }
    }
    fields.retain(|_, value| !value.is_null());
    // A read by id never fills it in.
    fields.remove("objectives");
    let mut view = view.as_object().cloned().unwrap_or_default();
    view.retain(|_, value| !value.is_null());
    if fields == view { Ok(()) } else { Err(format!("{fields:?} is not {view:?}")) }
}

#[test]
fn every_golden_case_ends_with_its_view() {
    let mut log = Log::new(3);
    let cases = cases();
    for record in cases.iter().flat_map(|case| &case.records) {
        log.put(
            record.topic(),
            &record.key,
            (!record.value.is_null()).then(|| record.value.to_string()).as_deref(),
        );
    }
    assert!(cases.len() >= 14, "the cases are all there");
    for case in &cases {
        let shown = log.as_of(case.id(), AsOf::Time(Timestamp::parse("9999-01-01T00:00:00Z").unwrap()));
        assert_eq!(shown.view, json!({"view": case.view}), "{}", case.name);
        if case.view.is_some() {
            assert_eq!(log.history(case.id()).unwrap()["view"], json!(case.view), "{}", case.name);
        }
    }
}

/// Makes the JSON of an event whose sequence is its time.
fn event(event_id: &str, at: u64, of: &Value) -> String {
    let mut message = of.clone();
    let occurred_at = format!("2026-03-01T09:00:{at:02}Z");
    message["metadata"] = json!({"eventId": event_id, "occurredAt": occurred_at, "sequence": at});
    message.to_string()
}

fn created(id: &str, at: u64) -> String {
    let facts = json!({"organizationId": "org-1", "projectId": "prj-1", "name": "Fast charge", "jobId": "j-1"});
    event("created", at, &json!({"optimizationId": id, "created": facts}))
}

fn unchanged_of(answer: &Value) -> Vec<(&str, Option<&str>)> {
    let events = answer["events"].as_array().unwrap();
    events.iter().map(|event| (event["event_id"].as_str().unwrap(), event["unchanged"].as_str())).collect()
}

#[test]
fn an_event_that_changed_nothing_has_a_reason() {
    let job = |event_id: &str, job_id: &str, at: u64, became: &str| {
        (Topic::Jobs, event(event_id, at, &json!({"jobId": job_id, became: {}})))
    };
    let optimization = |event_id: &str, at: u64, change: &str, facts: Value| {
        (Topic::Optimizations, event(event_id, at, &json!({"optimizationId": "o", change: facts})))
    };
    let mut log = Log::new(1);
    let late = json!({"metadata": {"eventId": "late", "occurredAt": "2026-03-01T09:00:09Z", "sequence": 3}, "jobId": "j-1", "pending": {}});
    for (topic, value) in [
        job("early", "j-1", 0, "pending"),
        (Topic::Optimizations, created("o", 1)),
        (Topic::Jobs, event("other", 2, &json!({"jobId": "j-9", "optimizationId": "o", "pending": {}}))),
        job("runs", "j-1", 4, "waiting"),
        job("runs", "j-1", 4, "waiting"),
        job("same", "j-1", 5, "processing"),
        (Topic::Jobs, late.to_string()),
        optimization("again", 10, "jobLinked", json!({"jobId": "j-2"})),
        job("done", "j-1", 11, "completed"),
        optimization("named", 12, "detailsChanged", json!({"name": "Fast charge"})),
        optimization("gone", 13, "deleted", json!({})),
        optimization("renamed", 14, "detailsChanged", json!({"name": "x"})),
    ] {
        log.put(topic, "key", Some(&value));
    }
    let answer = log.history("o").unwrap();
    let expected = [
        ("early", Some("not_created")),
        ("created", None),
        ("other", Some("not_linked")),
        ("runs", None),
        ("runs", Some("repeated")),
        ("same", Some("same")),
        ("late", Some("older")),
        ("again", None),
        ("done", Some("no_longer_linked")),
        ("named", Some("same")),
        ("gone", None),
        ("renamed", Some("deleted")),
    ];
    assert_eq!(unchanged_of(&answer), expected);
    assert_eq!(answer["view"], Value::Null);
}

/// Writes every character of a JSON string as an escape, as a producer may.
fn escaped(text: &str) -> String {
    text.encode_utf16().map(|unit| format!("\\u{unit:04X}")).collect()
}

#[test]
fn an_id_that_json_hides_behind_escapes_is_found() {
    let mut log = Log::new(2);
    let id = "opt/1 \u{fc}\u{1f600}";
    let value = created("ID", 1).replace("ID", &escaped(id)).replace("j-1", "j\\u002d1");
    log.put(Topic::Optimizations, "nothing", Some(&value));
    let run = event("run", 2, &json!({"jobId": "JOB", "runIndex": 7, "started": {}}));
    log.put(Topic::MultistartRuns, "nothing", Some(&run.replace("JOB", &escaped("j-1"))));
    let other = event("other", 3, &json!({"jobId": "JOB", "failed": {"error": "a \"quoted\"\nreason \\ j-1"}}));
    log.put(Topic::Jobs, "nothing", Some(&other));
    let slash = event("slash", 4, &json!({"optimizationId": "ID", "detailsChanged": {"name": "renamed"}}));
    log.put(Topic::Optimizations, "nothing", Some(&slash.replace("ID", &id.replace('/', "\\/"))));
    let answer = log.history(id).unwrap();
    assert_eq!(unchanged_of(&answer), [("created", None), ("run", None), ("slash", None)]);
    assert_eq!((&answer["view"]["run_count"], &answer["view"]["name"]), (&json!(1), &json!("renamed")));
}

/// Jobs and runs are read once more if only the last of a job's events names the optimization.
#[test]
fn a_job_that_only_its_own_events_name_is_shown_from_its_first_event() {
    let mut log = Log::new(1);
    log.put(Topic::Optimizations, "o", Some(&created("o", 1)));
    log.put(Topic::Jobs, "j-7", Some(&event("first", 2, &json!({"jobId": "j-7", "pending": {}}))));
    log.put(Topic::MultistartRuns, "j-7", Some(&event("run", 3, &json!({"jobId": "j-7", "started": {}}))));
    let names_it = json!({"jobId": "j-7", "optimizationId": "o", "processing": {}});
    log.put(Topic::Jobs, "j-7", Some(&event("last", 4, &names_it)));
    let answer = log.history("o").unwrap();
    let expected = [
        ("created", None),
        ("first", Some("not_linked")),
        ("run", Some("not_linked")),
        ("last", Some("not_linked")),
    ];
    assert_eq!(unchanged_of(&answer), expected);
}

#[test]
fn a_record_that_mentions_an_id_and_cannot_be_understood_is_shown_with_the_reason() {
    let mut log = Log::new(1);
    log.put(Topic::Optimizations, "o-1", Some(&created("o-1", 1)));
    log.put(Topic::Jobs, "j-1", Some("{ no event"));
    log.put(Topic::Jobs, "nothing", Some(r#"{"jobId": "j\u002d1"}"#));
    log.put(Topic::MultistartRuns, "j-1", None);
    log.put(Topic::Jobs, "j-10", Some("{ no event of j-1's"));
    log.put(Topic::Jobs, "j-10", Some("{ no event of j-10's, which my-j-1 is not either"));
    log.put(Topic::Optimizations, "o-1-2", Some("neither"));
    let answer = log.history("o-1").unwrap();
    let dead_letters = answer["dead_letters"].as_array().unwrap();
    let places: Vec<_> = dead_letters
        .iter()
        .map(|dead| (dead["topic"].as_str().unwrap(), dead["offset"].as_i64().unwrap()))
        .collect();
    assert_eq!(places, [("jobs", 0), ("jobs", 1), ("jobs", 2), ("multistart-runs", 0)]);
    assert!(dead_letters[3]["reason"].as_str().unwrap().contains("the value is null"), "{answer}");
    assert_eq!(answer["events"].as_array().unwrap().len(), 1);
}

#[test]
fn an_id_that_nothing_mentions_is_an_error_that_names_the_searched_topics() {
    let mut log = Log::new(2);
    log.put(Topic::Optimizations, "o-1", Some(&created("o-1", 1)));
    let error = log.history("o").unwrap_err();
    for part in ["\"o\"", "1 records", "optimizations, jobs, multistart-runs"] {
        assert!(error.contains(part), "{error}");
    }
    let shown = log.as_of("o", AsOf::Time(Timestamp::default()));
    assert_eq!(shown.view, json!({"view": null}));
    assert!(shown.failed, "a program is told both");
    let shown = log.as_of("o-1", AsOf::Time(Timestamp::default()));
    assert_eq!(shown.view, json!({"view": null}));
    assert!(!shown.failed, "it was not there yet");
}

#[test]
fn a_history_whose_beginning_is_gone_has_a_warning() {
    let mut log = Log::new(1);
    for at in 0..3 {
        log.put(Topic::Jobs, "j-1", Some(&event(&format!("e{at}"), at, &json!({"jobId": "j-1", "pending": {}}))));
    }
    log.put(Topic::Optimizations, "o", Some(&created("o", 1)));
    log.remove_below(Topic::Jobs, 2);
    let answer = log.history("o").unwrap();
    assert_eq!(unchanged_of(&answer).len(), 2);
    let time = Timestamp::from_millis(FIRST_MILLIS + 2).unwrap();
    let expected = format!("the log of jobs/0 begins at 2, written at {time}; earlier events are gone");
    assert_eq!(answer["warnings"], json!([expected]));
    let shown = log.text("o");
    assert!(shown.starts_with(&format!("warning: {expected}\n")), "{shown}");
}

#[test]
fn a_position_that_holds_nothing_is_an_error() {
    let mut log = Log::new(1);
    log.put(Topic::Optimizations, "o", Some(&created("o", 1)));
    for (partition, offset, part) in
        [(0, 1, "begins at 0 and ends before 1"), (0, -1, "no record at -1"), (7, 0, "no partition")]
    {
        let position = PartitionOffset { topic: Topic::Optimizations, partition, offset };
        let error = log.try_as_of("o", AsOf::Position(position)).unwrap_err();
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn people_get_lines_and_a_table() {
    let mut log = Log::new(1);
    log.put(Topic::Optimizations, "o", Some(&created("o", 1)));
    let failed = json!({"jobId": "j-1", "optimizationId": "p", "failed": {"error": "diverged\u{1b}[0m"}});
    log.put(Topic::Jobs, "j-1", Some(&event("failed", 2, &failed)));
    log.put(Topic::Jobs, "j-1", Some(&event("odd", 3, &json!({"jobId": "j-1", "processing": {}}))));
    log.put(Topic::Optimizations, "o", Some(&event("gone", 4, &json!({"optimizationId": "o", "deleted": {}}))));
    let shown = log.text("o");
    for part in [
        "2026-03-01T09:00:01Z  created (job j-1)  (optimizations/0@0, event \"created\")\n    id: \"o\"\n",
        "\n2026-03-01T09:00:02Z  job j-1 failed  (jobs/0@0, event \"failed\")\n    status: \"queued\" -> \"failed\"\n",
        "    error: null -> \"diverged\\u001b[0m\"\n    odd: it names \"p\", which is another optimization\n",
        "    error: \"diverged\\u001b[0m\" -> null\n    odd: the job should not have taken this status",
        "deleted  (optimizations/0@1, event \"gone\")\n    the view is gone\n",
        "o: 4 events, of which 0 changed nothing; 0 dead letters. Looked through the 4 records of the topics",
    ] {
        assert!(shown.contains(part), "{part:?} is not in\n{shown}");
    }
    let position = PartitionOffset { topic: Topic::Jobs, partition: 0, offset: 0 };
    let shown = log.text_as_of("o", AsOf::Position(position));
    assert!(
        shown.starts_with("o after jobs/0@0 (") && shown.contains("  status                    \"failed\"\n"),
        "{shown}"
    );
    let shown = log.text_as_of("o", AsOf::Time(Timestamp::parse("9999-01-01T00:00:00Z").unwrap()));
    assert!(shown.ends_with("after 4 events:\n  no view: it was deleted\n"), "{shown}");
}
