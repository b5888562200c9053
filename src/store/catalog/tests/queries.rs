//! Tests of lists under any query: pages by offset and by cursor are those of a naive model, and a walk by cursors meets what was
//! there all the time once, and nothing twice.

use std::collections::BTreeSet;

use super::*;
use crate::store::list_query::{Cursor, Sort};

/// A query that owns its texts.
#[derive(Clone, Debug)]
struct OwnedQuery {
    organization: Option<usize>,
    project: Option<usize>,
    statuses: StatusSet,
    kind: Option<usize>,
    ids: Option<Vec<String>>,
    name_part: Option<String>,
    created_from: Option<u32>,
    created_before: Option<u32>,
    sort: Sort,
}

impl OwnedQuery {
    fn query(&self) -> ListQuery<'_> {
        ListQuery {
            organization_id: self.organization.map(|at| ORGANIZATIONS[at]),
            project_id: self.project.map(|at| PROJECTS[at]),
            statuses: self.statuses,
            kind: self.kind.map(|at| KINDS[at]),
            ids: self.ids.as_deref(),
            name_part: self.name_part.as_deref(),
            created_from: self.created_from.map(time),
            created_before: self.created_before.map(time),
            sort: self.sort,
            ..ListQuery::default()
        }
    }
}

fn statuses() -> impl Strategy<Value = StatusSet> {
    proptest::collection::vec(proptest::option::of(0..5_usize), 0..3).prop_map(|some| {
        let mut statuses = StatusSet::ANY;
        some.into_iter().for_each(|status| statuses.insert(status.map(|at| Status::ALL[at])));
        statuses
    })
}

fn query() -> impl Strategy<Value = OwnedQuery> {
    let rare = |max: usize| proptest::option::weighted(0.3, 0..max);
    let ids = proptest::option::weighted(0.2, proptest::collection::vec((0..50_u32).prop_map(id), 0..20));
    let name_part = proptest::option::weighted(0.4, "[ce 1É]{0,2}");
    let time = || proptest::option::weighted(0.3, 0..10_u32);
    let sort = (any::<bool>(), any::<bool>()).prop_map(|(by_name, is_reversed)| Sort {
        key: if by_name { SortKey::Name } else { SortKey::Creation },
        is_reversed,
    });
    (rare(3), rare(3), statuses(), rare(3), ids, name_part, time(), time(), sort).prop_map(
        |(organization, project, statuses, kind, ids, name_part, created_from, created_before, sort)| OwnedQuery {
            organization,
            project,
            statuses,
            kind,
            ids,
            name_part,
            created_from,
            created_before,
            sort,
        },
    )
}

/// A catalog with everything that a page needs.
struct TestLists {
    catalog: RwLock<Catalog>,
    orders: NameOrders,
}

impl TestLists {
    /// Returns the next page of a walk by cursors, and the cursor after it.
    fn next(
        &self,
        query: &ListQuery<'_>,
        after: Option<&Cursor>,
        limit: usize,
    ) -> (Vec<u32>, Option<Cursor>, u64) {
        let start = after.map_or(PageStart::First, PageStart::After);
        let PagePlan { numbers, total, next } =
            plan(&self.catalog, &self.orders, &ListQuery { start, limit, ..query.clone() });
        (numbers, next, total)
    }
}

proptest! {
    #[test]
    fn pages_of_any_query_are_what_a_naive_model_says(
        steps in proptest::collection::vec(step(), 1..150),
        queries in proptest::collection::vec((query(), 0..30_usize, 1..9_usize), 1..12),
    ) {
        let (catalog, model) = after(steps);
        let lists = TestLists { catalog: RwLock::new(catalog), orders: NameOrders::default() };
        for (query, offset, limit) in &queries {
            let query = query.query();
            let expected = naive(&model, &query);
            let total = expected.len() as u64;
            let page = ListQuery { start: PageStart::Offset(*offset), limit: *limit, ..query.clone() };
            let page = plan(&lists.catalog, &lists.orders, &page);
            let part: Vec<u32> = expected.iter().copied().skip(*offset).take(*limit).collect();
            prop_assert_eq!((page.numbers, page.total), (part, total), "{:?}", query);
            let (mut met, mut cursor) = (Vec::new(), None);
            loop {
                let (numbers, next, total_then) = lists.next(&query, cursor.as_ref(), *limit);
                prop_assert!(numbers.len() <= *limit && total_then == total);
                met.extend(numbers);
                // A cursor is a text between two pages.
                cursor = next.map(|next| Cursor::from_text(&next.to_text()).unwrap());
                if cursor.is_none() {
                    break;
                }
            }
            prop_assert_eq!(met, expected, "{:?}", query);
        }
    }

    #[test]
    fn a_walk_by_cursors_meets_what_stays_once_and_nothing_twice(
        steps in proptest::collection::vec(step(), 20..150),
        query in query(),
        limit in 1..5_usize,
        between in proptest::collection::vec(proptest::collection::vec(step(), 0..6), 40),
    ) {
        // What a list is sorted by belongs to the optimization for good, as the time of creation does.
        let steadily = |step: Step| match step {
            Step::Put(number, Some(facts)) => Step::Put(number, Some(Facts {
                created_at: number % 9,
                name: NAMES.get(number as usize % 7).copied(),
                ..facts
            })),
            step => step,
        };
        let (catalog, mut model) = after(steps.into_iter().map(steadily).collect());
        let lists = TestLists { catalog: RwLock::new(catalog), orders: NameOrders::default() };
        let query = query.query();
        let mut steady: BTreeSet<u32> = naive(&model, &query).into_iter().collect();
        let (mut met, mut cursor, mut between) = (Vec::new(), None, between.into_iter());
        loop {
            let (numbers, next, _) = lists.next(&query, cursor.as_ref(), limit);
            met.extend(numbers);
            cursor = next;
            if cursor.is_none() {
                break;
            }
            for step in between.next().unwrap_or_default() {
                apply(&mut lists.catalog.write(), &mut model, steadily(step));
                let now: BTreeSet<u32> = naive(&model, &query).into_iter().collect();
                steady = &steady & &now;
            }
        }
        let once: BTreeSet<u32> = met.iter().copied().collect();
        prop_assert_eq!(once.len(), met.len(), "nothing is met twice");
        prop_assert!(once.is_superset(&steady), "nothing is missed");
    }
}

#[test]
fn a_search_that_would_look_at_too_many_is_refused() {
    let mut catalog = Catalog::default();
    let count = u32::try_from(list::SEARCH_MAX).unwrap();
    for number in 0..=count {
        let status = Some(if number == count { Status::Failed } else { Status::Queued });
        let facts = Facts { status, ..default_facts("a") };
        catalog.put(&entry(number, &format!("o{number}"), Some(&facts)), 0);
    }
    let catalog = RwLock::new(catalog);
    let orders = NameOrders::default();
    let page = |query: ListQuery<'_>| {
        let list = catalog.read().list(&query);
        list.page(&query, 0, &orders, &catalog)
    };
    let search = ListQuery { name_part: Some("x"), ..ListQuery::default() };
    let by_name = ListQuery { sort: Sort { key: SortKey::Name, is_reversed: false }, ..ListQuery::default() };
    for query in [search, by_name] {
        let refused = page(query.clone()).unwrap_err().to_string();
        assert!(refused.contains(&(count + 1).to_string()), "{refused}");
        assert!(page(ListQuery { statuses: Some(Status::Failed).into(), ..query }).is_ok());
    }
    assert_eq!(page(ListQuery::default()).unwrap().total, u64::from(count) + 1);
}
