//! The lists are what a naive filter, sort and cut of all optimizations gives, whatever changed in whatever batches, and
//! whether the catalog was built up or read back; and what the catalog keeps on the disk does not grow with changes.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use optview::domain::event::JobChange;
use optview::domain::{Optimization, Register, Status, Timestamp};
use optview::store::{ListQuery, OpenStore, PageStart, Reader, Writer};
use proptest::prelude::*;
use serde_json::Value;

use crate::fixtures;

/// The facts of an optimization that lists depend on. Each change sets all of them anew.
#[derive(Clone, Debug)]
struct Facts {
    id: u32,
    organization: u8,
    project: u8,
    kind: Option<u8>,
    status: Option<Status>,
    created_at: u8,
    /// `false`: nothing but its link is known.
    created: bool,
    deleted: bool,
}

#[derive(Clone, Debug)]
enum Step {
    Commit(Vec<Facts>),
    Reopen,
}

fn facts(ids: u32) -> impl Strategy<Value = Facts> {
    let status = prop_oneof![1 => Just(None), 5 => (0..5usize).prop_map(|at| Some(Status::ALL[at]))];
    let rare = || proptest::bool::weighted(0.1);
    let numbers = (0..ids, 0..2u8, 0..3u8, proptest::option::of(0..2u8), 0..4u8);
    (numbers, status, rare(), rare()).prop_map(
        |((id, organization, project, kind, created_at), status, unknown, deleted)| Facts {
            id,
            organization,
            project,
            kind,
            status,
            created_at,
            created: !unknown,
            deleted,
        },
    )
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => proptest::collection::vec(facts(30), 1..25).prop_map(Step::Commit),
        1 => Just(Step::Reopen),
    ]
}

impl Facts {
    /// Returns an id whose order differs from the order in which the optimizations come.
    fn id(&self) -> String {
        format!("optimization-{:02}", self.id * 37 % 100)
    }

    fn organization(&self) -> String {
        format!("org-{}", self.organization)
    }

    /// Projects of two organizations may have one name.
    fn project(&self) -> String {
        format!("project-{}", self.project)
    }

    fn kind(&self) -> Option<String> {
        self.kind.map(|kind| format!("kind-{kind}"))
    }

    fn is_listed(&self) -> bool {
        self.created && !self.deleted
    }

    fn optimization(&self) -> Optimization {
        let mut optimization = Optimization::new(Arc::from(self.id()));
        if self.created {
            let mut created = fixtures::created(1);
            created.value.organization_id = self.organization().into();
            created.value.project_id = self.project().into();
            created.value.kind = self.kind().map(String::into_boxed_str);
            created.value.created_at = Timestamp::new(self.created_at.into(), 0).unwrap();
            created.value.objectives = Some(format!(r#"{{"of":"{}"}}"#, self.id()).into());
            optimization.created = Some(created);
        }
        optimization.deleted = self.deleted.then(|| Register::new((), fixtures::stamp(2)));
        let Some(status) = self.status else { return optimization };
        optimization.link(&Arc::from(format!("job-of-{}", self.id())), fixtures::stamp(3));
        let change = match status {
            Status::Queued => JobChange::Pending,
            Status::Running => JobChange::Processing,
            Status::Succeeded => JobChange::Completed { metrics: None },
            Status::Failed => JobChange::Failed { error: None, error_code: None },
            Status::Canceled => JobChange::Canceled,
        };
        optimization.job.apply(&change, fixtures::stamp(4));
        optimization
    }

    fn passes(&self, query: &ListQuery<'_>) -> bool {
        self.is_listed()
            && query.organization_id.is_none_or(|id| *id == self.organization())
            && query.project_id.is_none_or(|id| *id == self.project())
            && query.statuses.accepts(self.status)
            && query.kind.is_none_or(|kind| Some(kind) == self.kind().as_deref())
    }
}

/// All optimizations by id, as they are now.
type Model = BTreeMap<String, Facts>;

struct Store {
    directory: tempfile::TempDir,
    writer: Writer,
    model: Model,
    commits: u64,
}

impl Store {
    fn new() -> Store {
        let directory = tempfile::tempdir().unwrap();
        let OpenStore { writer, .. } = fixtures::open(directory.path());
        Store { directory, writer, model: Model::new(), commits: 0 }
    }

    fn commit(&mut self, facts: Vec<Facts>) {
        // A commit holds each optimization once.
        let latest: Model = facts.into_iter().map(|facts| (facts.id(), facts)).collect();
        self.commits += 1;
        let commit = fixtures::commit_of(latest.values().map(Facts::optimization).collect());
        self.writer.commit(commit, Vec::new(), self.commits).unwrap();
        self.model.extend(latest);
    }

    fn wait(&self) {
        while self.writer.commits_written() < self.commits {
            self.writer.check().unwrap();
            std::thread::yield_now();
        }
    }

    fn reopen(self) -> Store {
        self.writer.finish().unwrap();
        let OpenStore { writer, moved_aside, .. } = fixtures::open(self.directory.path());
        assert_eq!(moved_aside, None);
        Store { writer, commits: 0, ..self }
    }

    /// Every combination of filters, and pages from the first to behind the last.
    fn check(&self) {
        self.wait();
        let reader = self.writer.reader();
        for organization_id in [None, Some("org-0"), Some("org-1"), Some("org-unknown")] {
            for project_id in [None, Some("project-0"), Some("project-2"), Some("project-unknown")] {
                for status in [None].into_iter().chain(Status::ALL.map(Some)) {
                    for kind in [None, Some("kind-0"), Some("kind-1"), Some("kind-unknown")] {
                        let statuses = status.into();
                        let query =
                            ListQuery { organization_id, project_id, statuses, kind, ..ListQuery::default() };
                        check_pages(&reader, &self.model, &query);
                    }
                }
            }
        }
        let listed = self.model.values().filter(|facts| facts.is_listed()).count();
        assert_eq!(self.writer.views(), listed as u64);
    }
}

fn check_pages(reader: &Reader, model: &Model, query: &ListQuery<'_>) {
    let mut expected: Vec<&Facts> = model.values().filter(|facts| facts.passes(query)).collect();
    expected.sort_by(|a, b| b.created_at.cmp(&a.created_at).then_with(|| a.id().cmp(&b.id())));
    let total = expected.len();
    for (limit, offset) in [(1000, 0), (3, 2), (1, total.saturating_sub(1)), (100, total), (5, total + 7)] {
        let query = ListQuery { limit, start: PageStart::Offset(offset), ..query.clone() };
        let page = reader.list(&query).unwrap();
        let body: Value = serde_json::from_slice(&page.body).unwrap();
        assert_eq!((page.total, &body["total"]), (total as u64, &Value::from(total)), "{query:?}");
        let shown = body["optimizations"].as_array().unwrap();
        let expected: Vec<_> = expected.iter().skip(offset).take(limit).collect();
        let ids = |view: &Value| view["id"].as_str().map(str::to_owned).unwrap();
        let expected_ids: Vec<String> = expected.iter().map(|facts| facts.id()).collect();
        assert_eq!(shown.iter().map(ids).collect::<Vec<_>>(), expected_ids, "{query:?}");
        for (view, facts) in shown.iter().zip(expected) {
            assert_eq!(view["status"].as_str(), facts.status.map(Status::as_str));
            assert_eq!(view["kind"].as_str(), facts.kind().as_deref());
            assert_eq!(view["project_id"], *facts.project());
            assert_eq!(view["objectives"]["of"], *facts.id());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn pages_are_those_of_a_naive_model(steps in proptest::collection::vec(step(), 1..16)) {
        let mut store = Store::new();
        for step in steps {
            match step {
                Step::Commit(facts) => store.commit(facts),
                Step::Reopen => store = store.reopen(),
            }
        }
        store.check();
        store.reopen().check();
    }
}

/// The chunks of the catalog on the disk, and their bytes.
fn chunks(directory: &Path) -> (usize, usize) {
    let db = fixtures::open_database(directory);
    let chunks = db.open_tree("catalog").unwrap();
    let bytes = chunks.iter().map(|chunk| chunk.unwrap().1.len()).sum();
    (chunks.len(), bytes)
}

#[test]
fn the_catalog_on_the_disk_does_not_grow_with_changes_and_none_is_lost() {
    let mut store = Store::new();
    let mut random = fixtures::Random(1);
    let facts = |id: u64, random: &mut fixtures::Random| Facts {
        id: id as u32,
        organization: random.below(2) as u8,
        project: random.below(3) as u8,
        kind: Some(random.below(2) as u8),
        status: Some(Status::ALL[random.below(5) as usize]),
        created_at: random.below(4) as u8,
        created: true,
        deleted: random.percent(5),
    };
    // Most optimizations are written once and never again: their entries must be copied from chunk to chunk.
    store.commit((0..99).map(|id| facts(id, &mut random)).collect());
    let mut most = (0, 0);
    for round in 0..6 {
        // Many small commits wear the number of chunks out, few large ones that of the entries.
        let (commits, changes) = if round % 2 == 0 { (700, 2) } else { (60, 60) };
        for _ in 0..commits {
            store.commit((0..changes).map(|_| facts(random.below(10), &mut random)).collect());
        }
        store.check();
        let Store { directory, writer, model, .. } = store;
        writer.finish().unwrap();
        let (count, bytes) = chunks(directory.path());
        most = (most.0.max(count), most.1.max(bytes));
        let OpenStore { writer, .. } = fixtures::open(directory.path());
        store = Store { directory, writer, model, commits: 0 };
        store.check();
    }
    // 5,800 commits, of which each wrote a chunk; an entry takes about 60 bytes.
    assert!(most.0 > 500, "{most:?}: no chunk had to be retired");
    assert!(most.0 <= 1_100 && most.1 < 500_000, "{most:?}");
}
