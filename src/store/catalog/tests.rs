//! Tests of the catalog: its lists equal those of a naive model after any changes, empty lists are forgotten, and no list holds
//! up a reader or the writer.

use std::collections::BTreeMap;

use parking_lot::RwLock;
use proptest::prelude::*;

use super::*;
use crate::store::reader::ListQuery;

/// The properties of one optimization that lists depend on.
#[derive(Clone, Debug, PartialEq)]
struct Facts {
    organization: &'static str,
    project: &'static str,
    kind: Option<&'static str>,
    status: Option<Status>,
    created_at: i64,
}

#[derive(Clone, Debug)]
enum Step {
    Put(u32, Option<Facts>),
    Unlist(u32),
    Reload,
}

const ORGANIZATIONS: [&str; 3] = ["org-1", "org-2", "org-3"];
const PROJECTS: [&str; 3] = ["default", "a", "b"];
const KINDS: [&str; 3] = ["optimize", "datafit", "simulate"];

fn facts() -> impl Strategy<Value = Facts> {
    let status = proptest::option::of((0..5usize).prop_map(|at| Status::ALL[at]));
    let parts = (0..3usize, 0..3usize, proptest::option::of(0..3usize), status, 0..4i64);
    parts.prop_map(|(organization, project, kind, status, created_at)| Facts {
        organization: ORGANIZATIONS[organization],
        project: PROJECTS[project],
        kind: kind.map(|kind| KINDS[kind]),
        status,
        created_at,
    })
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => (0..40u32, proptest::option::weighted(0.8, facts())).prop_map(|(number, facts)| Step::Put(number, facts)),
        2 => (0..40u32).prop_map(Step::Unlist),
        1 => Just(Step::Reload),
    ]
}

/// Returns an id. The ids sort in another order than the numbers.
fn id(number: u32) -> String {
    format!("optimization-{:02}", number * 37 % 100)
}

fn entry<'a>(number: u32, id: &'a str, facts: Option<&Facts>) -> super::Entry<'a> {
    let listed = facts.map(|facts| ListEntry {
        organization_id: facts.organization,
        project_id: facts.project,
        kind: facts.kind,
        status: facts.status,
        created_at: Timestamp::new(facts.created_at, 0).unwrap(),
    });
    super::Entry { number, id, listed, jobs: SmallVec::from([u64::from(number % 7)]) }
}

/// The properties of each optimization by its number; `None` if it is known and not listed.
type Model = BTreeMap<u32, Option<Facts>>;

fn put(catalog: &mut Catalog, model: &mut Model, number: u32, facts: Option<Facts>) {
    let id = id(number);
    let entry = entry(number, &id, facts.as_ref());
    assert_eq!(catalog.differs(&entry), model.get(&number) != Some(&facts));
    let organization = |facts: &Option<Facts>| facts.as_ref().map(|facts| facts.organization);
    let before = model.get(&number).and_then(organization);
    assert_eq!(catalog.leaves(&entry), before.is_some() && before != organization(&facts));
    catalog.put(&entry, 5);
    assert!(!catalog.differs(&entry));
    model.insert(number, facts);
}

fn reloaded(model: &Model) -> Catalog {
    let mut loading = CatalogLoader::default();
    for (number, facts) in model {
        loading.put(&entry(*number, &id(*number), facts.as_ref()), 5);
        // An older entry is ignored.
        loading.put(&entry(*number, &id(*number), None), 4);
    }
    loading.finish()
}

fn passes(facts: &Facts, query: &ListQuery<'_>) -> bool {
    query.organization_id.is_none_or(|id| id == facts.organization)
        && query.project_id.is_none_or(|id| id == facts.project)
        && query.status.is_none_or(|status| Some(status) == facts.status)
        && query.kind.is_none_or(|kind| Some(kind) == facts.kind)
}

fn queries() -> Vec<ListQuery<'static>> {
    let mut queries = Vec::new();
    for organization_id in [None, Some("org-1"), Some("org-3"), Some("nobody's")] {
        for project_id in [None, Some("default"), Some("b"), Some("unknown")] {
            for status in [None, Some(Status::Queued), Some(Status::Canceled)] {
                for kind in [None, Some("optimize"), Some("simulate"), Some("unknown")] {
                    queries.push(ListQuery { organization_id, project_id, status, kind, limit: 0, offset: 0 });
                }
            }
        }
    }
    queries
}

fn check(catalog: &Catalog, model: &Model) {
    let listed: Vec<(u32, &Facts)> =
        model.iter().filter_map(|(number, facts)| Some((*number, facts.as_ref()?))).collect();
    for query in queries() {
        let mut expected = listed.clone();
        expected.retain(|(_, facts)| passes(facts, &query));
        expected.sort_by(|(one, a), (other, b)| {
            b.created_at.cmp(&a.created_at).then_with(|| id(*one).cmp(&id(*other)))
        });
        let expected: Vec<u32> = expected.iter().map(|(number, _)| *number).collect();
        let list = catalog.list(&query);
        assert_eq!(list.total(), expected.len() as u64, "{query:?}");
        for (offset, most) in [(0, 100), (1, 3), (expected.len(), 5)] {
            let expected: Vec<u32> = expected.iter().copied().skip(offset).take(most).collect();
            assert_eq!(list.page(offset, most), expected, "{query:?}, {offset}, {most}");
        }
    }
    assert_eq!((catalog.listed(), catalog.len()), (listed.len() as u64, model.len()));
    let distinct = |of: &dyn Fn(&Facts) -> Option<String>| {
        listed.iter().filter_map(|(_, facts)| of(facts)).collect::<std::collections::BTreeSet<_>>().len()
    };
    let projects = distinct(&|facts| Some(format!("{} {}", facts.organization, facts.project)));
    let [organizations, names] = [
        distinct(&|facts| Some(facts.organization.to_owned())),
        distinct(&|facts| Some(facts.project.to_owned())),
    ];
    let scopes = projects + organizations + names + usize::from(!listed.is_empty());
    assert_eq!(catalog.scopes.len(), scopes, "no empty list is kept");
    assert_eq!(catalog.kinds.len(), distinct(&|facts| facts.kind.map(str::to_owned)), "no unused kind is kept");
    check_as_verify_does(catalog);
}

fn check_as_verify_does(catalog: &Catalog) {
    for number in 0..catalog.next_number() {
        assert_eq!(catalog.inconsistency(number), None);
    }
    for list in 0..catalog.lists_end() {
        assert!(catalog.snapshot(list).is_counted_right());
        let mut check = ListCheck::new(list);
        while catalog.check_list(&mut check).unwrap() {}
    }
}

proptest! {
    #[test]
    fn lists_are_what_a_naive_model_says(steps in proptest::collection::vec(step(), 1..120)) {
        let (mut catalog, mut model) = (Catalog::default(), Model::new());
        for step in steps {
            match step {
                Step::Put(number, facts) => put(&mut catalog, &mut model, number, facts),
                Step::Unlist(number) => {
                    if let Some(facts) = model.get_mut(&number) {
                        catalog.unlist(number);
                        *facts = None;
                    }
                }
                Step::Reload => catalog = reloaded(&model),
            }
        }
        check(&catalog, &model);
        check(&reloaded(&model), &model);
        for (number, facts) in &mut model {
            catalog.unlist(*number);
            *facts = None;
        }
        check(&catalog, &model);
    }
}

fn default_facts(project: &'static str) -> Facts {
    Facts { organization: "org-1", project, kind: None, status: Some(Status::Queued), created_at: 0 }
}

#[test]
fn a_list_that_somebody_walks_holds_up_neither_the_writer_nor_a_read_by_id() {
    let (mut catalog, mut model) = (Catalog::default(), Model::new());
    (0..40).for_each(|number| put(&mut catalog, &mut model, number, Some(default_facts("a"))));
    let ids = catalog.ids();
    let catalog = RwLock::new(catalog);
    let all = ListQuery::default();
    let list = catalog.read().list(&all);
    let mut writing = catalog.try_write().expect("a list that was asked for holds no lock");
    (0..39).for_each(|number| writing.unlist(number));
    assert_eq!(ids.get(&id(7)), Some(7), "an id is found while the writer has the lock");
    assert_eq!((list.total(), list.page(39, 5).len()), (40, 1), "the list is as it was");
    assert_eq!(writing.list(&all).total(), 1);
}

#[test]
fn a_job_that_nobody_links_any_more_is_forgotten() {
    let mut catalog = Catalog::default();
    let mut one = entry(0, "one", None);
    catalog.put(&one, 0);
    assert_eq!(catalog.jobs.len(), 1);
    one.jobs = SmallVec::new();
    catalog.put(&one, 0);
    assert_eq!(catalog.jobs.len(), 0);
}

#[test]
fn what_stands_wrong_in_a_list_is_found() {
    let (mut catalog, mut model) = (Catalog::default(), Model::new());
    (0..40).for_each(|number| put(&mut catalog, &mut model, number, Some(default_facts("a"))));
    let other = Some(ListSlot {
        facet: Facet::new(Some(Status::Failed), None),
        ..catalog.slot(9).unwrap().listed.unwrap()
    });
    catalog.set_listed(9, other);
    assert!(catalog.inconsistency(9).is_some());
    for list in 0..catalog.lists_end() {
        let mut check = ListCheck::new(list);
        let found = std::iter::repeat_with(|| catalog.check_list(&mut check)).find(|checked| *checked != Ok(true));
        let is_list = catalog.list_name(list).is_some();
        assert_eq!(found.unwrap().is_err(), is_list);
    }
}
