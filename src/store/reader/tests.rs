//! Tests of lists while the records are ahead of the catalog, as they are for a moment at every write.

use serde_json::Value;
use sled::IVec;

use super::*;
use crate::domain::event::JobChange;
use crate::domain::{
    Commit, CreationFacts, Metadata, PartitionOffset, Register, Stamp, Status, StatusSet, Timestamp, Topic,
};
use crate::store::{ListQuery, OpenStore, PageStart, ViewForm};

#[derive(Clone, Copy)]
struct Facts {
    organization: &'static str,
    project: &'static str,
    kind: &'static str,
    name: &'static str,
    created_at: i64,
    is_processing: bool,
    is_deleted: bool,
}

const BEFORE: Facts = Facts {
    organization: "org-1",
    project: "prj-1",
    kind: "optimize",
    name: "Fit",
    created_at: 5,
    is_processing: false,
    is_deleted: false,
};

fn stamp(sequence: u64) -> Stamp {
    let metadata = Metadata { event_id: "event".into(), occurred_at: Timestamp::default(), sequence };
    Stamp::new(&metadata, 0, PartitionOffset { topic: Topic::Optimizations, partition: 0, offset: 0 })
}

fn optimization(number: u32, facts: &Facts) -> Optimization {
    let id = format!("opt-{number:03}");
    let mut optimization = Optimization::new(Arc::from(id.as_str()));
    let value = CreationFacts {
        organization_id: facts.organization.into(),
        project_id: facts.project.into(),
        kind: Some(facts.kind.into()),
        name: Some(facts.name.into()),
        created_at: Timestamp::new(facts.created_at, 0).unwrap(),
        ..CreationFacts::default()
    };
    optimization.created = Some(Register::new(value, stamp(1)));
    optimization.deleted = facts.is_deleted.then(|| Register::new((), stamp(2)));
    optimization.link(&Arc::from(format!("job-{number}")), stamp(3));
    let status = if facts.is_processing { JobChange::Processing } else { JobChange::Pending };
    optimization.job.apply(&status, stamp(4));
    optimization
}

/// Makes a store of `count` optimizations with the properties of [`BEFORE`].
fn store(count: u32) -> (tempfile::TempDir, OpenStore) {
    let directory = tempfile::tempdir().unwrap();
    let opened = crate::store::open(directory.path(), 1 << 20).unwrap();
    let optimizations = (0..count).map(|number| Arc::new(optimization(number, &BEFORE))).collect();
    opened.writer.commit(Commit { optimizations, jobs: Vec::new() }, Vec::new(), 1).unwrap();
    while opened.writer.commits_written() < 1 {
        opened.writer.check().unwrap();
        std::thread::yield_now();
    }
    (directory, opened)
}

/// Writes a record as the writer does, but leaves the catalog as it is.
fn put_ahead(reader: &Reader, number: u32, facts: &Facts) {
    let mut value = Vec::new();
    stored_record::encode_optimization(&optimization(number, facts), &mut value).unwrap();
    pieces::put(&reader.trees, &reader.trees.optimizations, &number.to_be_bytes(), &value).unwrap();
}

fn ids(page: &Page) -> Vec<String> {
    let body: Value = serde_json::from_slice(&page.body).unwrap();
    assert_eq!(body["total"], page.total);
    let views = body["optimizations"].as_array().unwrap().iter();
    views.map(|view| view["id"].as_str().unwrap().to_owned()).collect()
}

fn all() -> ListQuery<'static> {
    ListQuery { limit: 100, ..ListQuery::default() }
}

#[test]
fn what_no_longer_says_what_is_asked_for_is_in_no_list() {
    let of_organization = ListQuery { organization_id: Some("org-1"), ..all() };
    let mut queued_or_none = StatusSet::from(Some(Status::Queued));
    queued_or_none.insert(None);
    for (after, query) in [
        (Facts { organization: "org-2", ..BEFORE }, of_organization.clone()),
        (
            Facts { organization: "org-2", ..BEFORE },
            ListQuery { project_id: Some("prj-1"), ..of_organization.clone() },
        ),
        (
            Facts { organization: "org-2", ..BEFORE },
            ListQuery { statuses: Some(Status::Queued).into(), ..of_organization },
        ),
        (Facts { project: "prj-2", ..BEFORE }, ListQuery { project_id: Some("prj-1"), ..all() }),
        (Facts { kind: "datafit", ..BEFORE }, ListQuery { kind: Some("optimize"), ..all() }),
        (Facts { is_processing: true, ..BEFORE }, ListQuery { statuses: Some(Status::Queued).into(), ..all() }),
        (Facts { is_processing: true, ..BEFORE }, ListQuery { statuses: queued_or_none, ..all() }),
        (Facts { name: "Other", ..BEFORE }, ListQuery { name_part: Some("FI"), ..all() }),
        (Facts { created_at: 4, ..BEFORE }, ListQuery { created_from: Timestamp::new(5, 0), ..all() }),
        (Facts { created_at: 6, ..BEFORE }, ListQuery { created_before: Timestamp::new(6, 0), ..all() }),
        (Facts { is_deleted: true, ..BEFORE }, all()),
    ] {
        let (_directory, opened) = store(3);
        let reader = opened.writer.reader();
        put_ahead(&reader, 1, &after);
        let page = reader.list(&query).unwrap();
        assert_eq!(ids(&page), ["opt-000", "opt-002"], "{query:?}");
        assert_eq!(page.total, 2, "{query:?}");
        opened.writer.finish().unwrap();
    }
}

#[test]
fn what_changed_in_no_way_that_is_asked_for_stays_in_the_list() {
    let (_directory, opened) = store(3);
    let reader = opened.writer.reader();
    put_ahead(&reader, 1, &Facts { is_processing: true, project: "prj-2", ..BEFORE });
    let page =
        reader.list(&ListQuery { organization_id: Some("org-1"), kind: Some("optimize"), ..all() }).unwrap();
    assert_eq!((ids(&page).len(), page.total), (3, 3));
    opened.writer.finish().unwrap();
}

#[test]
fn those_that_follow_take_the_place_of_those_that_are_left_out() {
    let (_directory, opened) = store(200);
    let reader = opened.writer.reader();
    for number in (10..30).step_by(2) {
        put_ahead(&reader, number, &Facts { organization: "org-2", ..BEFORE });
    }
    let query = ListQuery { organization_id: Some("org-1"), limit: 20, start: PageStart::Offset(5), ..all() };
    let page = reader.list(&query).unwrap();
    let left_out = |number: &u32| (10..30).contains(number) && number.is_multiple_of(2);
    let expected = (5..).filter(|number| !left_out(number)).take(20);
    assert_eq!(ids(&page), expected.map(|number| format!("opt-{number:03}")).collect::<Vec<_>>());
    assert_eq!(page.total, 190);
    // Nothing follows the last page.
    let last = reader.list(&ListQuery { organization_id: Some("org-2"), ..all() }).unwrap();
    assert_eq!(
        (ids(&last).len(), last.total),
        (0, 0),
        "nor are they in a list yet that the catalog does not have"
    );
    opened.writer.finish().unwrap();
}

#[test]
fn a_page_by_cursor_is_shorter_instead_of_showing_what_the_next_one_shows() {
    let (_directory, opened) = store(30);
    let reader = opened.writer.reader();
    put_ahead(&reader, 3, &Facts { is_deleted: true, ..BEFORE });
    let first = ListQuery { limit: 10, start: PageStart::First, ..all() };
    let page = reader.list(&first).unwrap();
    assert_eq!(ids(&page).len(), 9);
    let cursor = page.next.as_ref().unwrap();
    let next = reader.list(&ListQuery { start: PageStart::After(cursor), ..first }).unwrap();
    assert_eq!(ids(&next)[0], "opt-010");
    opened.writer.finish().unwrap();
}

#[test]
fn a_view_that_is_looked_up_for_a_list_passes_all_that_the_list_asks_for() {
    let (_directory, opened) = store(3);
    let reader = opened.writer.reader();
    let named = ["opt-001".to_owned()];
    let view = |query: ListQuery<'_>| reader.listed_view("opt-001", &query).unwrap();
    let by_id = ListQuery { ids: Some(&named), ..all() };
    assert!(view(by_id.clone()).is_some());
    assert_eq!(reader.listed_view("opt-002", &by_id).unwrap(), None);
    assert_eq!(view(ListQuery { name_part: Some("x"), ..all() }), None);
    let summary = view(ListQuery { form: ViewForm::Summary, ..all() }).unwrap();
    let summary: Value = serde_json::from_slice(&summary).unwrap();
    assert!(summary.get("name").is_some() && summary.get("metrics").is_none());
    opened.writer.finish().unwrap();
}

/// The test leaves only the first piece of a large record: whoever may not see the record needs no more of it.
#[test]
fn a_large_record_is_not_put_together_for_another_organization() {
    let (_directory, opened) = store(1);
    let reader = opened.writer.reader();
    let mut large = optimization(0, &BEFORE);
    let description = "x".repeat(50_000);
    large.created.as_mut().unwrap().value.description = Some(description.as_str().into());
    let mut value = Vec::new();
    stored_record::encode_optimization(&large, &mut value).unwrap();
    pieces::put(&reader.trees, &reader.trees.optimizations, &0_u32.to_be_bytes(), &value).unwrap();
    assert!(reader.get("opt-000", Some("org-1")).unwrap().is_some());
    let keys: Vec<IVec> = reader.trees.pieces.iter().keys().map(Result::unwrap).collect();
    assert!(keys.len() > 5);
    for key in &keys[1..] {
        reader.trees.pieces.remove(key).unwrap();
    }
    assert_eq!(reader.get("opt-000", Some("org-2")).unwrap(), None);
    assert!(reader.get("opt-000", Some("org-1")).is_err());
}

#[test]
fn a_read_by_id_waits_for_no_change_of_the_lists() {
    let (_directory, opened) = store(3);
    let reader = opened.writer.reader();
    let catalog = reader.catalog.clone();
    let changing = catalog.write();
    let (sender, received) = std::sync::mpsc::channel();
    std::thread::spawn(move || sender.send(reader.get("opt-001", Some("org-1")).unwrap().is_some()));
    let found = received.recv_timeout(std::time::Duration::from_secs(20));
    assert_eq!(found, Ok(true), "it is answered while the lists are locked");
    drop(changing);
    opened.writer.finish().unwrap();
}

/// Returns the name in a view that a reader of an organization (`None`: of any) gets by its id.
fn name(reader: &Reader, organization_id: Option<&str>) -> Option<String> {
    let view: Value = serde_json::from_slice(&reader.get("opt-000", organization_id).unwrap()?.body).unwrap();
    Some(view["name"].as_str().unwrap().to_owned())
}

#[test]
fn a_view_that_is_read_again_comes_from_memory_until_a_part_of_a_commit_begins() {
    let (_directory, opened) = store(1);
    let reader = opened.writer.reader();
    let read = || name(&reader, None).unwrap();
    // What is put into the store behind the writer's back shows where a read comes from.
    for (in_store, expected) in [("1", "1"), ("2", "2"), ("3", "2"), ("4", "2")] {
        put_ahead(&reader, 0, &Facts { name: in_store, ..BEFORE });
        assert_eq!(read(), expected);
    }
    assert_eq!(name(&reader, Some("org-1")).unwrap(), "2");
    assert_eq!(name(&reader, Some("org-2")), None);
    reader.progress.begin_part();
    for in_store in ["5", "6", "7", "8"] {
        put_ahead(&reader, 0, &Facts { name: in_store, ..BEFORE });
        assert_eq!(read(), in_store, "while a part is written, each read is of the store");
    }
    reader.progress.end_part();
    for (in_store, expected) in [("9", "9"), ("10", "10"), ("11", "10")] {
        put_ahead(&reader, 0, &Facts { name: in_store, ..BEFORE });
        assert_eq!(read(), expected);
    }
}

#[test]
fn a_view_that_is_read_once_between_two_parts_and_one_of_a_large_record_come_from_the_store() {
    let (_directory, opened) = store(1);
    let reader = opened.writer.reader();
    let large: &str = Box::leak("n".repeat(5_000).into_boxed_str());
    for in_store in ["1", "2", "3"] {
        put_ahead(&reader, 0, &Facts { name: in_store, ..BEFORE });
        assert_eq!(name(&reader, None).unwrap(), in_store);
        reader.progress.begin_part();
        reader.progress.end_part();
    }
    put_ahead(&reader, 0, &Facts { name: large, ..BEFORE });
    (0..3).for_each(|_| assert_eq!(name(&reader, None).unwrap(), large));
    put_ahead(&reader, 0, &BEFORE);
    assert_eq!(name(&reader, None).unwrap(), "Fit");
}
