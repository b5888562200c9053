//! The orders of lists by name. A list gets one when it is first sorted by name, so that lists which nobody sorts by name cost
//! neither memory nor the writer's time. The order is kept with the snapshot that it was made of, and brought up to a later
//! snapshot by the places in which the two differ.

use std::cmp::Ordering;
use std::sync::Arc;

use fixedbitset::FixedBitSet;
use parking_lot::Mutex;

use super::facets::FacetFilter;
use super::names::Names;
use super::order::{Order, Place};

/// Number of places up to which a list is sorted each time: it takes some milliseconds.
const SORTED_EACH_TIME: u64 = if cfg!(test) { 8 } else { 4096 };

/// Number of lists whose orders are kept. An order takes about 20 bytes a view, and what it holds of an older list as many.
const LISTS: usize = 8;

/// The organization and the project of a list.
pub type ListKey = (Option<Box<str>>, Option<Box<str>>);

/// The orders that are kept, those of the lists that were asked for last at the end.
#[derive(Default)]
pub struct NameOrders(Mutex<Vec<(ListKey, Arc<Mutex<NameOrder>>)>>);

/// A list sorted by name.
#[derive(Default)]
struct NameOrder {
    by_creation: Order,
    names: Names,
    by_name: Order,
}

impl NameOrders {
    /// Returns a list in its order by name. `compare_ids` compares the ids of two numbers. A caller that asks for a list whose order
    /// is being made waits for it.
    pub fn sorted(
        &self,
        list: Option<&ListKey>,
        by_creation: &Order,
        names: &Names,
        compare_ids: impl Fn(u32, u32) -> Ordering,
    ) -> Order {
        match list {
            Some(list) if by_creation.len() > SORTED_EACH_TIME => {
                let kept = self.kept(list);
                let mut kept = kept.lock();
                kept.bring_up_to(by_creation, names, &compare_ids);
                kept.by_name.clone()
            }
            _ => sort(by_creation, &by_name(names, &compare_ids)),
        }
    }

    fn kept(&self, list: &ListKey) -> Arc<Mutex<NameOrder>> {
        let mut orders = self.0.lock();
        let held = orders.iter().position(|(held, _)| held == list);
        let order = match held {
            Some(at) => orders.remove(at).1,
            None => Arc::default(),
        };
        if orders.len() == LISTS {
            orders.remove(0);
        }
        orders.push((list.clone(), order.clone()));
        order
    }
}

impl NameOrder {
    fn bring_up_to(&mut self, by_creation: &Order, names: &Names, compare_ids: &impl Fn(u32, u32) -> Ordering) {
        if self.by_creation.is_same(by_creation) && self.names.is_same(names) {
            return;
        }
        let mut changes = by_creation.changes_since(&self.by_creation);
        for place in self.renamed(by_creation, names, &changes.added) {
            changes.removed.push(place);
            changes.added.push(place);
        }
        // Each change takes as long as some places do that are sorted all at once.
        if (changes.removed.len() + changes.added.len()) as u64 > by_creation.len() / 8 {
            self.by_name = sort(by_creation, &by_name(names, compare_ids));
        } else {
            let compare = by_name(&self.names, compare_ids);
            changes.removed.iter().for_each(|place| self.by_name.remove(*place, &compare));
            let compare = by_name(names, compare_ids);
            changes.added.iter().for_each(|place| self.by_name.insert(*place, &compare));
        }
        (self.by_creation, self.names) = (by_creation.clone(), names.clone());
    }

    /// Returns the places of the list whose names have changed, and that are not in `added`.
    fn renamed(&self, by_creation: &Order, names: &Names, added: &[Place]) -> Vec<Place> {
        let changed = names.changed_since(&self.names);
        let mut numbers = FixedBitSet::with_capacity(names.end().max(self.names.end()));
        numbers.extend(changed.iter().map(|number| *number as usize));
        let known = added.iter().map(|place| place.number as usize).filter(|number| *number < numbers.len());
        known.collect::<Vec<_>>().into_iter().for_each(|number| numbers.set(number, false));
        let mut places = Vec::new();
        if numbers.is_clear() {
            return places;
        }
        by_creation.visit(FacetFilter::default(), 0, u64::MAX, |place| {
            if numbers.contains(place.number as usize) {
                places.push(*place);
            }
            true
        });
        places
    }
}

fn sort(order: &Order, compare: &impl Fn(&Place, &Place) -> Ordering) -> Order {
    let mut places = order.places(FacetFilter::default(), 0, usize::MAX);
    places.sort_unstable_by(compare);
    Order::from_sorted(&places)
}

/// Returns the comparison of places by name. Those of one name are sorted by creation, the newest first, and then by id.
fn by_name(names: &Names, compare_ids: &impl Fn(u32, u32) -> Ordering) -> impl Fn(&Place, &Place) -> Ordering {
    |one, other| {
        let by_name = names.compare(one.number, other.number);
        let by_time = by_name.then_with(|| other.created_millis.cmp(&one.created_millis));
        by_time.then_with(|| compare_ids(one.number, other.number))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::domain::Status;
    use crate::store::catalog::facets::Facet;

    /// The name, the creation and the status of one optimization.
    type Facts = (Option<String>, i64, usize);

    fn facts() -> impl Strategy<Value = Facts> {
        (proptest::option::of("[abA]{0,2}"), 0..3_i64, 0..5_usize)
    }

    fn place(number: u32, facts: &Facts) -> Place {
        Place { created_millis: facts.1, number, facet: Facet::new(Some(Status::ALL[facts.2]), None) }
    }

    fn by_creation(one: &Place, other: &Place) -> Ordering {
        other.created_millis.cmp(&one.created_millis).then_with(|| one.number.cmp(&other.number))
    }

    proptest! {
        #[test]
        fn an_order_that_is_brought_up_is_the_one_that_is_made_anew(
            steps in proptest::collection::vec((0..40_u32, proptest::option::weighted(0.8, facts()), any::<bool>()), 1..200),
        ) {
            let (mut order, mut names) = (Order::default(), Names::default());
            let (orders, key) = (NameOrders::default(), (None, None));
            let mut model = BTreeMap::new();
            for (number, facts, is_asked) in steps {
                if let Some(held) = model.remove(&number) {
                    order.remove(place(number, &held), &by_creation);
                }
                names.set(number, facts.as_ref().and_then(|(name, ..)| name.as_deref()));
                if let Some(facts) = facts {
                    order.insert(place(number, &facts), &by_creation);
                    model.insert(number, facts);
                }
                if is_asked {
                    let kept = orders.sorted(Some(&key), &order, &names, |one, other| one.cmp(&other));
                    let anew = sort(&order, &by_name(&names, &|one: u32, other: u32| one.cmp(&other)));
                    let all = |order: &Order| order.places(FacetFilter::default(), 0, usize::MAX);
                    prop_assert_eq!(all(&kept), all(&anew));
                    prop_assert!(kept.is_counted_right());
                }
            }
        }
    }

    #[test]
    fn no_more_than_some_lists_are_kept() {
        let orders = NameOrders::default();
        let places: Vec<Place> = (0..20).map(|number| place(number, &(None, 0, 0))).collect();
        let order = Order::from_sorted(&places);
        for list in 0..30 {
            let key = (None, Some(format!("project {list}").into()));
            orders.sorted(Some(&key), &order, &Names::default(), |one, other| one.cmp(&other));
        }
        assert_eq!(orders.0.lock().len(), LISTS);
    }
}
