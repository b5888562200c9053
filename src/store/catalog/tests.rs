//! Tests of the catalog: its lists equal those of a naive model after any changes, empty lists are forgotten, and no list holds
//! up a reader or the writer. Queries with everything that they may have are in a file of their own.

mod queries;

use std::collections::BTreeMap;

use parking_lot::RwLock;
use proptest::prelude::*;

use super::list::PagePlan;
use super::*;
use crate::store::list_query::{ListQuery, PageStart, SortKey};

/// The properties of one optimization that lists depend on.
#[derive(Clone, Debug, PartialEq)]
struct Facts {
    organization: &'static str,
    project: &'static str,
    kind: Option<&'static str>,
    status: Option<Status>,
    /// Quarters of a millisecond.
    created_at: u32,
    name: Option<&'static str>,
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
const NAMES: [&str; 5] = ["Cell 1", "CELL 10", "cell é", "Éa", ""];

fn facts() -> impl Strategy<Value = Facts> {
    let status = proptest::option::of((0..5usize).prop_map(|at| Status::ALL[at]));
    let name = proptest::option::of(0..NAMES.len());
    let parts = (0..3usize, 0..3usize, proptest::option::of(0..3usize), status, 0..9_u32, name);
    parts.prop_map(|(organization, project, kind, status, created_at, name)| Facts {
        organization: ORGANIZATIONS[organization],
        project: PROJECTS[project],
        kind: kind.map(|kind| KINDS[kind]),
        status,
        created_at,
        name: name.map(|name| NAMES[name]),
    })
}

fn time(quarters: u32) -> Timestamp {
    Timestamp::new(0, quarters * 250_000).unwrap()
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
        created_at: time(facts.created_at),
        name: facts.name,
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
        && query.statuses.accepts(facts.status)
        && query.kind.is_none_or(|kind| Some(kind) == facts.kind)
        && query.created_from.is_none_or(|from| time(facts.created_at) >= from)
        && query.created_before.is_none_or(|before| time(facts.created_at) < before)
        && query.name_part.is_none_or(|part| {
            part.is_empty()
                || facts.name.is_some_and(|name| name_key::name_key(name).contains(&*name_key::caseless(part)))
        })
}

/// Returns the numbers of a list as a naive filter and sort gives them.
fn naive(model: &Model, query: &ListQuery<'_>) -> Vec<u32> {
    let listed = model.iter().filter_map(|(number, facts)| Some((*number, facts.as_ref()?)));
    let is_named = |number: u32| query.ids.is_none_or(|ids| ids.contains(&id(number)));
    let mut found: Vec<(u32, &Facts)> =
        listed.filter(|(number, facts)| passes(facts, query) && is_named(*number)).collect();
    let key = |facts: &Facts| facts.name.map(|name| name_key::name_key(name).into_owned());
    found.sort_by(|(one, a), (other, b)| {
        let by_name = key(a).is_none().cmp(&key(b).is_none()).then_with(|| key(a).cmp(&key(b)));
        let by_time = |a: &Facts, b: &Facts| b.created_at.cmp(&a.created_at);
        match query.sort.key {
            SortKey::Creation => by_time(a, b),
            // The time counts to the millisecond there.
            SortKey::Name => by_name.then_with(|| (b.created_at / 4).cmp(&(a.created_at / 4))),
        }
        .then_with(|| id(*one).cmp(&id(*other)))
    });
    if query.sort.is_reversed {
        found.reverse();
    }
    found.into_iter().map(|(number, _)| number).collect()
}

fn plan(catalog: &RwLock<Catalog>, orders: &NameOrders, query: &ListQuery<'_>) -> PagePlan {
    let list = catalog.read().list(query);
    list.page(query, 0, orders, catalog).unwrap()
}

fn queries() -> Vec<ListQuery<'static>> {
    let mut queries = Vec::new();
    for organization_id in [None, Some("org-1"), Some("org-3"), Some("nobody's")] {
        for project_id in [None, Some("default"), Some("b"), Some("unknown")] {
            for status in [None, Some(Status::Queued), Some(Status::Canceled)] {
                for kind in [None, Some("optimize"), Some("simulate"), Some("unknown")] {
                    let statuses = status.into();
                    queries.push(ListQuery {
                        organization_id,
                        project_id,
                        statuses,
                        kind,
                        ..ListQuery::default()
                    });
                }
            }
        }
    }
    queries
}

fn check(catalog: &RwLock<Catalog>, model: &Model) {
    let orders = NameOrders::default();
    for query in queries() {
        let expected = naive(model, &query);
        for (offset, limit) in [(0, 100), (1, 3), (expected.len(), 5)] {
            let query = ListQuery { start: PageStart::Offset(offset), limit, ..query.clone() };
            let PagePlan { numbers, total, next } = plan(catalog, &orders, &query);
            assert_eq!((total, next), (expected.len() as u64, None), "{query:?}");
            let expected: Vec<u32> = expected.iter().copied().skip(offset).take(limit).collect();
            assert_eq!(numbers, expected, "{query:?}");
        }
    }
    check_scopes(&catalog.read(), model);
}

fn check_scopes(catalog: &Catalog, model: &Model) {
    let listed: Vec<&Facts> = model.values().flatten().collect();
    assert_eq!((catalog.listed(), catalog.len()), (listed.len() as u64, model.len()));
    let distinct = |of: &dyn Fn(&Facts) -> Option<String>| {
        listed.iter().filter_map(|facts| of(facts)).collect::<std::collections::BTreeSet<_>>().len()
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
        let (catalog, mut model) = after(steps);
        let catalog = RwLock::new(catalog);
        check(&catalog, &model);
        check(&RwLock::new(reloaded(&model)), &model);
        for (number, facts) in &mut model {
            catalog.write().unlist(*number);
            *facts = None;
        }
        check(&catalog, &model);
    }
}

fn apply(catalog: &mut Catalog, model: &mut Model, step: Step) {
    match step {
        Step::Put(number, facts) => put(catalog, model, number, facts),
        Step::Unlist(number) => {
            if let Some(facts) = model.get_mut(&number) {
                catalog.unlist(number);
                *facts = None;
            }
        }
        Step::Reload => *catalog = reloaded(model),
    }
}

fn after(steps: Vec<Step>) -> (Catalog, Model) {
    let (mut catalog, mut model) = (Catalog::default(), Model::new());
    steps.into_iter().for_each(|step| apply(&mut catalog, &mut model, step));
    (catalog, model)
}

fn default_facts(project: &'static str) -> Facts {
    Facts { organization: "org-1", project, kind: None, status: Some(Status::Queued), created_at: 0, name: None }
}

#[test]
fn a_list_that_somebody_walks_holds_up_neither_the_writer_nor_a_read_by_id() {
    let (mut catalog, mut model) = (Catalog::default(), Model::new());
    (0..40).for_each(|number| put(&mut catalog, &mut model, number, Some(default_facts("a"))));
    let ids = catalog.ids();
    let catalog = RwLock::new(catalog);
    let all = ListQuery { start: PageStart::Offset(39), limit: 5, ..ListQuery::default() };
    let list = catalog.read().list(&all);
    let mut writing = catalog.try_write().expect("a list that was asked for holds no lock");
    (0..39).for_each(|number| writing.unlist(number));
    assert_eq!(ids.get(&id(7)), Some(7), "an id is found while the writer has the lock");
    assert_eq!(writing.list(&all).total(), 1);
    drop(writing);
    let page = list.page(&all, 0, &NameOrders::default(), &catalog).unwrap();
    assert_eq!((page.total, page.numbers.len()), (40, 1), "the list is as it was");
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
