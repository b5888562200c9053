//! An explanation names for each field the event that set it, in whatever order the events came.

use std::sync::Arc;

use optview::codec::stored_record;
use optview::domain::{Commit, Envelope, View};
use optview::explain::{Explanation, explain};
use optview::source::TopicNames;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::fixtures;
use crate::fold::history;
use crate::support::{MapStore, OwnedRecord};

/// A store on disk that holds what `folded` holds.
fn stored(folded: &MapStore) -> (tempfile::TempDir, optview::store::Writer) {
    let directory = tempfile::tempdir().unwrap();
    let writer = fixtures::open(directory.path()).writer;
    let optimizations =
        folded.optimizations.values().map(|bytes| stored_record::decode_optimization(bytes).unwrap());
    let parked = folded
        .jobs
        .iter()
        .map(|(id, bytes)| (Arc::from(id.as_str()), Some(Arc::new(stored_record::decode_job(bytes).unwrap()))));
    let commit = Commit { optimizations: optimizations.map(Arc::new).collect(), jobs: parked.collect() };
    writer.commit(commit, Vec::new(), 1).unwrap();
    fixtures::wait_until_written(&writer, 1);
    (directory, writer)
}

fn folded(records: &[OwnedRecord]) -> MapStore {
    let mut store = MapStore::default();
    records.iter().for_each(|record| store.fold(&record.decode()));
    store.write();
    store
}

fn explained(records: &[OwnedRecord], id: &str) -> Option<Value> {
    let (_directory, writer) = stored(&folded(records));
    let topics = TopicNames::new("team.optimizations".into(), "team.jobs".into(), "team.runs".into());
    let explanation = explain(&writer.reader(), id, &topics).unwrap();
    let explanation = explanation.map(|explanation| serde_json::to_value(explanation).unwrap());
    writer.finish().unwrap();
    explanation
}

/// Events as they are on the topics, one offset after another.
fn records(events: &[(&str, Value)]) -> Vec<OwnedRecord> {
    use optview::domain::{PartitionOffset, Topic};
    let record = |(offset, (topic, event)): (i64, &(&str, Value))| {
        let mut event = event.clone();
        event["metadata"] = json!({
            "eventId": format!("e{offset}"), "sequence": offset, "occurredAt": format!("2026-03-01T09:00:{offset:02}Z"),
        });
        let topic = Topic::ALL.into_iter().find(|known| known.default_name() == *topic).unwrap();
        OwnedRecord {
            position: PartitionOffset { topic, partition: 3, offset },
            key: Vec::new(),
            value: Some(serde_json::to_vec(&event).unwrap()),
        }
    };
    (1..).zip(events).map(record).collect()
}

fn resubmitted() -> Vec<OwnedRecord> {
    let of = |change: &str, value: Value| json!({"optimizationId": "o1", change: value});
    let job = |id: &str, change: &str, value: Value| json!({"jobId": id, "optimizationId": "o1", change: value});
    records(&[
        (
            "optimizations",
            of("created", json!({"organizationId": "org", "projectId": "p", "name": "a", "jobId": "j1"})),
        ),
        ("jobs", job("j1", "processing", json!({}))),
        ("jobs", job("j1", "failed", json!({"error": "no", "errorCode": "SOLVER_ERROR"}))),
        ("multistart-runs", json!({"jobId": "j1", "runIndex": 7, "started": {}})),
        ("optimizations", of("detailsChanged", json!({"name": "b"}))),
        ("optimizations", of("jobLinked", json!({"jobId": "j2"}))),
        ("jobs", job("j2", "completed", json!({"metrics": {"Cycles": 3}}))),
        ("jobs", job("j2", "processing", json!({}))),
        ("jobs", job("j2", "failed", json!({"error": "again"}))),
        ("multistart-runs", json!({"jobId": "j2", "runIndex": 0, "started": {}})),
        ("multistart-runs", json!({"jobId": "j2", "runIndex": 1, "started": {}})),
        ("multistart-runs", json!({"jobId": "j2", "runIndex": 4, "optimizationId": "o9", "started": {}})),
    ])
}

#[test]
fn each_field_names_the_event_that_set_it() {
    let explained = explained(&resubmitted(), "o1").unwrap();
    assert_eq!(explained["id"], "o1");
    assert_eq!(explained["hidden"], Value::Null);
    let view = &explained["view"];
    assert_eq!((&view["name"], &view["error"], &view["run_count"]), (&json!("b"), &json!("again"), &json!(3)));
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(&explained["fields"]), keys(view), "the 19 keys");
    assert_eq!(keys(view).len(), View::hidden_fields().len());
    for (field, event, topic, offset) in [
        ("id", "created", "team.optimizations", 1),
        ("project_id", "created", "team.optimizations", 1),
        ("objectives", "created", "team.optimizations", 1),
        ("cell_name", "created", "team.optimizations", 1),
        ("name", "details_changed", "team.optimizations", 5),
        ("status", "failed", "team.jobs", 9),
        ("error", "failed", "team.jobs", 9),
        ("metrics", "failed", "team.jobs", 9),
        ("run_count", "started", "team.runs", 12),
    ] {
        let expected = json!({
            "event": event, "topic": topic, "partition": 3, "offset": offset, "event_id": format!("e{offset}"),
            "occurred_at": format!("2026-03-01T09:00:{offset:02}Z"), "sequence": offset,
        });
        assert_eq!(explained["fields"][field], expected, "{field}");
    }
}

#[test]
fn the_jobs_linked_before_are_shown_with_all_their_statuses() {
    let explained = explained(&resubmitted(), "o1").unwrap();
    let jobs = explained["jobs"].as_array().unwrap();
    let ids: Vec<_> = jobs.iter().map(|job| (&job["job_id"], &job["linked_now"])).collect();
    assert_eq!(ids, [(&json!("j2"), &json!(true)), (&json!("j1"), &json!(false))]);
    assert_eq!(
        (&jobs[0]["linked_by"]["event"], &jobs[1]["linked_by"]["event"]),
        (&json!("job_linked"), &json!("created"))
    );
    let statuses = |job: &Value| -> Vec<String> {
        job["transitions"].as_array().unwrap().iter().map(|at| at["status"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(statuses(&jobs[1]), ["running", "failed"]);
    assert_eq!(statuses(&jobs[0]), ["succeeded", "running", "failed"]);
    assert_eq!(explained["transitions"], jobs[0]["transitions"]);
    assert_eq!(jobs[1]["runs"], json!({"count": 1, "ranges": [[7, 7]]}));
    assert_eq!(explained["runs"], json!({"count": 3, "ranges": [[0, 1], [4, 4]]}));
}

#[test]
fn what_is_odd_is_flagged() {
    let explained = explained(&resubmitted(), "o1").unwrap();
    let odd: Vec<bool> =
        explained["transitions"].as_array().unwrap().iter().map(|at| !at["odd"].is_null()).collect();
    assert_eq!(odd, [false, true, false]);
    assert_eq!(explained["jobs"][0]["names_others"], json!(["o9"]));
    let odd = explained["odd"].as_array().unwrap();
    assert_eq!(odd.len(), 2, "{odd:?}");
    assert!(odd[0].as_str().unwrap().contains("team.jobs/3@8"), "{odd:?}");
}

#[test]
fn one_that_readers_do_not_see_is_explained_too() {
    let linked = ("optimizations", json!({"optimizationId": "o1", "jobLinked": {"jobId": "j1"}}));
    let early = explained(&records(std::slice::from_ref(&linked)), "o1").unwrap();
    assert_eq!((&early["view"], &early["hidden"]), (&Value::Null, &json!({"why": "not_created"})));
    assert_eq!(early["fields"]["status"]["event"], "job_linked");
    assert_eq!(early["fields"]["name"], Value::Null);
    let deleted = ("optimizations", json!({"optimizationId": "o1", "deleted": {}}));
    let gone = explained(&records(&[linked, deleted]), "o1").unwrap();
    assert_eq!(gone["view"], Value::Null);
    assert_eq!((&gone["hidden"]["why"], &gone["hidden"]["by"]["offset"]), (&json!("deleted"), &json!(2)));
}

#[test]
fn what_was_never_heard_of_is_not_explained() {
    assert_eq!(explained(&resubmitted(), "o2"), None);
    // A job is no optimization.
    assert_eq!(explained(&resubmitted(), "j1"), None);
}

/// Checks that each cause names the event that lies at its position.
fn check_against_history(explanation: &Explanation, history: &[Envelope<'_>]) -> Result<(), TestCaseError> {
    let causes = explanation.fields.values().flatten();
    let transitions = explanation.jobs.iter().flat_map(|job| &job.transitions).map(|at| &at.cause);
    for cause in causes.chain(transitions) {
        let at = |envelope: &&Envelope<'_>| envelope.position.offset == cause.offset;
        let envelope = history.iter().find(at).expect("an event at that offset");
        prop_assert_eq!(cause.event_id.as_deref(), Some(&*envelope.event.metadata.event_id));
        prop_assert_eq!(&cause.occurred_at, &envelope.event.metadata.occurred_at.to_string());
        prop_assert_eq!(&cause.topic, envelope.position.topic.default_name());
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn every_cause_is_the_event_at_its_position_and_reads_back(history in history(1..60)) {
        let mut folded = MapStore::default();
        history.iter().for_each(|envelope| folded.fold(envelope));
        folded.write();
        let (_directory, writer) = stored(&folded);
        for id in folded.optimizations.keys() {
            let explanation = explain(&writer.reader(), id, &TopicNames::default()).unwrap().unwrap();
            let text = serde_json::to_string(&explanation).unwrap();
            prop_assert_eq!(serde_json::to_string(&serde_json::from_str::<Explanation>(&text).unwrap()).unwrap(), text);
            let view = explanation.view.as_ref().map(|view| serde_json::from_str::<Value>(view.get()).unwrap());
            prop_assert_eq!(view.clone(), folded.response(id));
            prop_assert_eq!(explanation.view.is_none(), explanation.hidden.is_some());
            if let Some(view) = view {
                prop_assert_eq!(explanation.fields["status"].is_some(), !view["status"].is_null());
                prop_assert_eq!(&view["run_count"], &json!(explanation.runs.as_ref().map_or(0, |runs| runs.count)));
            }
            check_against_history(&explanation, &history)?;
        }
        writer.finish().unwrap();
    }
}
