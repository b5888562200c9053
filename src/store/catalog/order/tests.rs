//! Tests of orders: an order equals a sorted vector after any changes, the changes between two are found, and the cost of a
//! walk is bounded.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::changes::OrderChanges;
use super::*;
use crate::domain::{Status, StatusSet};
use crate::store::catalog::facets::FacetFilter;

/// The key of each number, by which places are compared. Several numbers have the same key.
type Keys = Vec<u8>;

/// An order beside the places that it must hold, unsorted.
#[derive(Clone, Default)]
struct ModelOrder {
    order: Order,
    places: Vec<Place>,
}

#[derive(Clone, Debug)]
enum Step {
    Insert { key: u8, facet: Facet },
    Remove(prop::sample::Index),
    SetFacet(prop::sample::Index, Facet),
}

fn compare_numbers(keys: &Keys) -> impl Fn(u32, u32) -> Ordering {
    |one, other| (keys[one as usize], one).cmp(&(keys[other as usize], other))
}

/// Compares places as lists do: the newest first, and those of one millisecond by what the place does not hold.
fn compare(keys: &Keys) -> impl Fn(&Place, &Place) -> Ordering {
    |one, other| {
        let by_time = other.created_millis.cmp(&one.created_millis);
        by_time.then_with(|| compare_numbers(keys)(one.number, other.number))
    }
}

fn page(order: &Order, filter: FacetFilter, offset: usize, most: usize) -> Vec<u32> {
    order.places(filter, offset as u64, most).iter().map(|place| place.number).collect()
}

/// The order's milliseconds are coarser than the keys, as they are coarser than what is compared after them.
fn place(keys: &Keys, number: u32, facet: Facet) -> Place {
    Place { created_millis: -i64::from(keys[number as usize] / 4), number, facet }
}

impl ModelOrder {
    fn apply(&mut self, step: Step, keys: &mut Keys) {
        match step {
            Step::Insert { key, facet } => {
                keys.push(key);
                let place = place(keys, u32::try_from(keys.len() - 1).unwrap(), facet);
                self.order.insert(place, &compare(keys));
                self.places.push(place);
            }
            Step::Remove(at) if !self.places.is_empty() => {
                let place = self.places.swap_remove(at.index(self.places.len()));
                self.order.remove(place, &compare(keys));
                // Removing an absent place changes nothing.
                self.order.remove(place, &compare(keys));
            }
            Step::SetFacet(at, facet) if !self.places.is_empty() => {
                let place = at.get_mut(&mut self.places);
                self.order.set_facet(*place, facet, &compare(keys));
                place.facet = facet;
            }
            Step::Remove(_) | Step::SetFacet(..) => {}
        }
    }

    fn check(&self, keys: &Keys) {
        let mut sorted = self.places.clone();
        sorted.sort_by(compare(keys));
        assert!(self.order.is_counted_right());
        assert_eq!(self.order.is_empty(), sorted.is_empty());
        check_shape(&self.order.0, true);
        for filter in filters() {
            let passing: Vec<u32> =
                sorted.iter().filter(|place| filter.passes(place.facet)).map(|place| place.number).collect();
            let len = passing.len();
            assert_eq!(self.order.counts().passing(filter), len as u64);
            for (offset, most) in
                [(0, usize::MAX), (0, 3), (len / 2, 5), (len.saturating_sub(1), 9), (len, 1), (len + 9, 1)]
            {
                let expected: Vec<u32> = passing.iter().copied().skip(offset).take(most).collect();
                assert_eq!(page(&self.order, filter, offset, most), expected, "{filter:?}, {offset}, {most}");
            }
            for number in (0..u32::try_from(keys.len()).unwrap()).step_by(keys.len() / 5 + 1) {
                let is_before = |other: &u32| compare_numbers(keys)(*other, number).is_lt();
                let expected = passing.iter().filter(|other| is_before(other)).count();
                let rank = self.order.rank(filter, |place| is_before(&place.number));
                assert_eq!(rank, expected as u64, "{filter:?}, {number}");
            }
        }
        for (number, filter) in (0..u32::try_from(keys.len()).unwrap())
            .flat_map(|number| filters().map(move |filter| (number, filter)))
        {
            let place = place(keys, number, Facet::new(only(filter), filter.kind));
            assert_eq!(self.order.contains(place, &compare(keys)), self.places.contains(&place));
        }
        assert_eq!(slices(&self.order, keys), sorted);
    }
}

fn check_changes(newer: &ModelOrder, older: &ModelOrder) {
    let OrderChanges { removed, added } = newer.order.changes_since(&older.order);
    let numbers =
        |places: &[Place]| places.iter().map(|place| (place.number, place.facet)).collect::<BTreeSet<_>>();
    let [new, old] = [&newer.places, &older.places].map(|places| numbers(places));
    assert_eq!(numbers(&removed), old.difference(&new).copied().collect());
    assert_eq!(numbers(&added), new.difference(&old).copied().collect());
    assert_eq!(removed.len() + added.len(), numbers(&removed).len() + numbers(&added).len());
}

/// Returns all places of an order, read a slice at a time.
fn slices(order: &Order, keys: &Keys) -> Vec<Place> {
    let mut met: Vec<Place> = Vec::new();
    loop {
        let some = order
            .some_after(&|number| met.last().is_none_or(|last| compare_numbers(keys)(number, last.number).is_gt()))
            .to_vec();
        if some.is_empty() {
            return met;
        }
        assert!(some.len() <= LEAF_MAX);
        met.extend(some);
    }
}

/// Checks the shape of a tree, and returns its depth.
fn check_shape(node: &Node, is_root: bool) -> usize {
    match &node.body {
        Body::Leaf(places) => {
            assert!(places.len() <= LEAF_MAX && (is_root || !places.is_empty()));
            1
        }
        Body::Inner(children) => {
            assert!(children.len() <= CHILDREN_MAX && children.len() > usize::from(is_root));
            let depths: Vec<usize> = children.iter().map(|child| check_shape(&child.node, false)).collect();
            assert!(depths.iter().all(|depth| *depth == depths[0]));
            assert!(children.iter().all(|child| child.first == child.node.first()));
            depths[0] + 1
        }
    }
}

fn filters() -> impl Iterator<Item = FacetFilter> {
    let mut failed_or_none = StatusSet::from(Some(Status::Failed));
    failed_or_none.insert(None);
    let single = [None].into_iter().chain(Status::ALL.map(Some)).map(StatusSet::from);
    single
        .chain([failed_or_none])
        .flat_map(|statuses| [None, Some(0), Some(1), Some(7)].map(|kind| FacetFilter { statuses, kind }))
}

/// Returns a status that the filter accepts; none if it accepts an optimization without one.
fn only(filter: FacetFilter) -> Option<Status> {
    Status::ALL.into_iter().find(|status| !filter.statuses.accepts(None) && filter.statuses.accepts(Some(*status)))
}

fn facet() -> impl Strategy<Value = Facet> {
    (proptest::option::of(0..5usize), proptest::option::of(0..2u32))
        .prop_map(|(status, kind)| Facet::new(status.map(|at| Status::ALL[at]), kind))
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (any::<u8>(), facet()).prop_map(|(key, facet)| Step::Insert { key, facet }),
        // New optimizations come at one end.
        2 => facet().prop_map(|facet| Step::Insert { key: 0, facet }),
        3 => any::<prop::sample::Index>().prop_map(Step::Remove),
        2 => (any::<prop::sample::Index>(), facet()).prop_map(|(at, facet)| Step::SetFacet(at, facet)),
    ]
}

proptest! {
    #[test]
    fn an_order_is_a_sorted_vector_and_a_snapshot_stays_as_it_was(
        built in proptest::collection::vec((any::<u8>(), facet()), 0..300),
        steps in proptest::collection::vec(step(), 0..300),
        snapshot_at in 0..300usize,
    ) {
        let mut keys: Keys = built.iter().map(|(key, _)| *key).collect();
        let mut places: Vec<Place> =
            built.iter().zip(0..).map(|((_, facet), number)| place(&keys, number, *facet)).collect();
        places.sort_by(compare(&keys));
        let mut modelled = ModelOrder { order: Order::from_sorted(&places), places };
        let mut snapshot = modelled.clone();
        for (at, step) in steps.into_iter().enumerate() {
            if at == snapshot_at {
                snapshot = modelled.clone();
            }
            modelled.apply(step, &mut keys);
        }
        modelled.check(&keys);
        snapshot.check(&keys);
        check_changes(&modelled, &snapshot);
        check_changes(&snapshot, &modelled);
        for place in std::mem::take(&mut modelled.places) {
            modelled.order.remove(place, &compare(&keys));
        }
        modelled.check(&keys);
    }
}

/// Returns an order of `count` places, every thousandth with the rare facet, half of them built at once and half inserted,
/// newest first; and the filter for the rare facet.
fn many(count: u32) -> (Order, FacetFilter) {
    let (rare, often) = (Facet::new(Some(Status::Failed), Some(1)), Facet::new(Some(Status::Queued), None));
    let place =
        |number: u32| Place { created_millis: 0, number, facet: if number % 1000 == 7 { rare } else { often } };
    let mut order = Order::from_sorted(&(count / 2..count).map(place).collect::<Vec<_>>());
    for number in (0..count / 2).rev() {
        order.insert(place(number), &|one: &Place, other: &Place| one.number.cmp(&other.number));
    }
    (order, FacetFilter { statuses: Some(Status::Failed).into(), kind: Some(1) })
}

#[test]
fn no_offset_and_no_filter_costs_more_than_the_way_to_each_place_of_the_page() {
    let (order, rare) = many(40_000);
    let depth = check_shape(&order.0, true);
    assert!(depth <= 12, "{depth}: a tree of 40,000 in leaves of 8 is no deeper");
    let only_status = FacetFilter { kind: None, ..rare };
    for (filter, total) in [(FacetFilter::default(), 40_000), (rare, 40), (only_status, 40)] {
        assert_eq!(order.counts().passing(filter), total as u64);
        for offset in (0..total).step_by(total / 40) {
            assert_eq!(order.visit(filter, offset as u64, 1, |_| true), depth, "{filter:?}, {offset}");
        }
        assert_eq!(order.visit(filter, total as u64, 1, |_| true), 0);
        let entered = order.visit(filter, 3, 30, |_| true);
        assert_eq!(order.places(filter, 3, 30).len(), 30);
        assert!(entered <= 30 * depth, "{filter:?}: {entered}");
    }
}

#[test]
fn what_grows_at_one_end_leaves_full_leaves_behind() {
    let (order, _) = many(40_000);
    let mut leaves = 0;
    let mut nodes = vec![&order.0];
    while let Some(node) = nodes.pop() {
        match &node.body {
            Body::Leaf(_) => leaves += 1,
            Body::Inner(children) => nodes.extend(children.iter().map(|child| &child.node)),
        }
    }
    assert!(leaves * LEAF_MAX * 4 < 40_000 * 5, "{leaves}: four places in five are taken");
}
