//! A list as a query selects it: a snapshot of its order, and a filter; and the choice of a page of it.
//!
//! Filters by status, kind and creation are answered from the counts of the order's nodes, in logarithmic time. A search in names, and
//! a filter by creation of a list that is sorted by name, look at each place that passes the others: a millisecond or two a hundred
//! thousand, without a lock. So there is a bound on their number.

use std::cmp::Ordering;
use std::ops::Range;
use std::sync::Arc;

use fixedbitset::FixedBitSet;
use memchr::memmem::Finder;
use parking_lot::RwLock;

use super::facets::{Facet, FacetFilter};
use super::name_orders::{ListKey, NameOrders};
use super::names::{Names, compare_keys};
use super::order::{Order, Place};
use super::window::{Direction, Stretch, Window};
use super::{Catalog, by_creation};
use crate::domain::name_key::caseless;
use crate::domain::{Status, Timestamp};
use crate::store::StoreError;
use crate::store::list_query::{Cursor, ListQuery, PageStart, Sort, SortKey};

/// The most places that a search looks at.
pub const SEARCH_MAX: u64 = if cfg!(test) { 200 } else { 1 << 21 };

/// A snapshot of one list, under a filter. It holds no lock, and does not change.
#[derive(Default)]
pub struct List {
    /// The list sorted by creation.
    order: Order,
    names: Names,
    filter: FacetFilter,
    /// The places that pass the filter and were created in time, by their ranks among those that pass the filter.
    in_time: Range<u64>,
    /// The rank of the query's cursor, if the list is sorted by creation.
    cursor_rank: Option<u64>,
    /// The list's ids; `None` if it was chosen by the ids of its optimizations.
    key: Option<ListKey>,
}

/// A page as it was chosen: the numbers of its optimizations, which are read after that.
#[derive(Debug, Default)]
pub struct PagePlan {
    pub numbers: Vec<u32>,
    /// Number of optimizations on all pages.
    pub total: u64,
    /// The position after which the next page begins, if there is one and the list is read by cursors.
    pub next: Option<Cursor>,
}

/// A number of optimizations of one status and one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusCount {
    /// The status; `None` for those without one.
    pub status: Option<Status>,
    /// The kind; `None` for those without one.
    pub kind: Option<Arc<str>>,
    /// Number of optimizations.
    pub count: u64,
}

impl Catalog {
    /// Returns the list that a query selects.
    pub fn list(&self, query: &ListQuery<'_>) -> List {
        let kind = match query.kind.map(|kind| self.kinds.find(kind)) {
            // No optimization has this kind.
            Some(None) => return List::default(),
            kind => kind.flatten(),
        };
        let filter = FacetFilter { statuses: query.statuses, kind };
        let order = match query.ids {
            Some(ids) => self.order_of_ids(ids, query),
            None => self.order_of(query.organization_id, query.project_id).cloned().unwrap_or_default(),
        };
        let key = || (query.organization_id.map(Box::from), query.project_id.map(Box::from));
        List {
            in_time: self.in_time(&order, filter, query),
            cursor_rank: self.cursor_rank(&order, filter, query),
            order,
            names: self.names.clone(),
            filter,
            key: query.ids.is_none().then(key),
        }
    }

    /// Returns the numbers of a list's optimizations by status and kind, those of one kind together. They are counted already.
    pub fn counts(&self, organization_id: Option<&str>, project_id: Option<&str>) -> Vec<StatusCount> {
        let counts = self.order_of(organization_id, project_id).map(|order| order.counts().by_facet());
        let count = |&(facet, count): &(Facet, u32)| StatusCount {
            status: facet.status(),
            kind: facet.kind().and_then(|kind| self.kinds.text(kind).cloned()),
            count: count.into(),
        };
        counts.unwrap_or_default().iter().map(count).collect()
    }

    pub(super) fn order_of(&self, organization_id: Option<&str>, project_id: Option<&str>) -> Option<&Order> {
        let scope = self.scopes.find(organization_id, project_id)?;
        self.scopes.get(scope).map(|scope| &scope.order)
    }

    /// Makes the order of the optimizations that have one of the ids, and belong to the list.
    fn order_of_ids(&self, ids: &[String], query: &ListQuery<'_>) -> Order {
        let Some(list) = self.scopes.find(query.organization_id, query.project_id) else {
            return Order::default();
        };
        let mut numbers: Vec<u32> = ids.iter().filter_map(|id| self.number(id)).collect();
        numbers.sort_unstable();
        numbers.dedup();
        let listed = numbers.into_iter().filter_map(|number| Some((number, self.slot(number)?.listed?)));
        let mut places: Vec<Place> = listed
            .filter(|(_, listed)| self.scopes.with_those_around(listed.project).contains(&list))
            .map(|(number, listed)| listed.place(number))
            .collect();
        places.sort_unstable_by(by_creation(&self.slots));
        Order::from_sorted(&places)
    }

    fn in_time(&self, order: &Order, filter: FacetFilter, query: &ListQuery<'_>) -> Range<u64> {
        // The newest come first.
        let is_from = |time: Timestamp| move |place: &Place| self.compare_creation(place, time).is_ge();
        let begin = query.created_before.map_or(0, |time| order.rank(filter, is_from(time)));
        let end = match query.created_from {
            Some(time) => order.rank(filter, is_from(time)),
            None => order.counts().passing(filter),
        };
        begin.min(end)..end
    }

    /// Compares the time at which a place was created.
    fn compare_creation(&self, place: &Place, time: Timestamp) -> Ordering {
        place.created_millis.cmp(&time.millis()).then_with(|| {
            let listed = self.slot(place.number).and_then(|slot| slot.listed);
            listed.map(|listed| listed.created_at).cmp(&Some(time))
        })
    }

    fn cursor_rank(&self, order: &Order, filter: FacetFilter, query: &ListQuery<'_>) -> Option<u64> {
        let PageStart::After(cursor) = query.start else { return None };
        let compare = |place: &Place| {
            let by_time = self.compare_creation(place, cursor.created_at).reverse();
            by_time.then_with(|| self.slot(place.number).map(|slot| &*slot.id).cmp(&Some(&cursor.id)))
        };
        (query.sort.key == SortKey::Creation).then(|| order.rank(filter, is_passed(query.sort, compare)))
    }

    /// Compares the ids of two numbers, which never change.
    fn compare_ids(&self, one: u32, other: u32) -> Ordering {
        self.slot(one).map(|slot| &slot.id).cmp(&self.slot(other).map(|slot| &slot.id))
    }

    /// Returns the position of a place, after which a next page begins.
    fn cursor_at(&self, place: &Place, sort: Sort, names: &Names) -> Option<Cursor> {
        let slot = self.slot(place.number)?;
        // A view whose creation has changed since the snapshot stays where the snapshot has it, to the millisecond.
        let created_at = slot.listed.map(|listed| listed.created_at);
        let created_at = created_at.filter(|time| time.millis() == place.created_millis);
        let name_key = (sort.key == SortKey::Name).then(|| names.get(place.number).map(str::to_owned)).flatten();
        Some(Cursor {
            sort,
            created_at: created_at.or_else(|| Timestamp::from_millis(place.created_millis))?,
            name_key,
            id: slot.id.to_string(),
        })
    }
}

/// Returns the test for places that a page after a cursor has passed. A list that is turned round goes on before the cursor, where
/// the cursor's own place is not one of those before it.
fn is_passed(sort: Sort, compare: impl Fn(&Place) -> Ordering) -> impl Fn(&Place) -> bool {
    move |place| if sort.is_reversed { compare(place).is_lt() } else { compare(place).is_le() }
}

impl List {
    /// Chooses a page, and `spare` optimizations that follow it.
    ///
    /// # Errors
    /// Fails if too many optimizations would have to be looked at.
    pub fn page(
        &self,
        query: &ListQuery<'_>,
        spare: usize,
        orders: &NameOrders,
        catalog: &RwLock<Catalog>,
    ) -> Result<PagePlan, StoreError> {
        let window = match query.start {
            PageStart::Offset(offset) => Window { offset, len: query.limit.saturating_add(spare) },
            PageStart::First | PageStart::After(_) => Window { offset: 0, len: query.limit },
        };
        let direction = if query.sort.is_reversed { Direction::Backward } else { Direction::Forward };
        let part = query.name_part.map(caseless).filter(|part| !part.is_empty());
        let by_name = query.sort.key == SortKey::Name;
        let is_searched = part.is_some() || by_name && self.is_bounded_in_time();
        if (is_searched || by_name) && self.looked_at() > SEARCH_MAX {
            return Err(StoreError::TooManyToSearch { count: self.looked_at(), most: SEARCH_MAX });
        }
        let search = part.as_deref().map(|part| self.search(part));
        let in_creation = Stretch { order: &self.order, filter: self.filter, range: self.in_time.clone() };
        let (total, page) = if by_name {
            let selected = is_searched.then(|| self.select(search.as_ref()));
            let order = orders.sorted(self.key.as_ref(), &self.order, &self.names, |one, other| {
                catalog.read().compare_ids(one, other)
            });
            let range = 0..order.counts().passing(self.filter);
            let stretch = Stretch { order: &order, filter: self.filter, range };
            let rank = self.name_rank(&order, query, catalog);
            stretch.page(
                window,
                direction,
                rank,
                selected.as_ref().map(|numbers| |place: &Place| numbers.contains(place.number as usize)),
            )
        } else {
            let test = search.as_ref().map(|search| |place: &Place| search.finds(&self.names, place));
            in_creation.page(window, direction, self.cursor_rank, test)
        };
        let by_cursor = !matches!(query.start, PageStart::Offset(_));
        let last = page.places.last().filter(|_| by_cursor && page.is_more);
        Ok(PagePlan {
            numbers: page.places.iter().map(|place| place.number).collect(),
            total,
            next: last.and_then(|place| catalog.read().cursor_at(place, query.sort, &self.names)),
        })
    }

    /// Returns the number of optimizations that pass the filters, apart from a search.
    #[cfg(test)]
    pub fn total(&self) -> u64 {
        self.looked_at()
    }

    fn looked_at(&self) -> u64 {
        self.in_time.end - self.in_time.start
    }

    fn is_bounded_in_time(&self) -> bool {
        self.looked_at() != self.order.counts().passing(self.filter)
    }

    fn search(&self, part: &str) -> Search {
        // A name that is looked up takes as long as some that are read one after the other.
        if self.looked_at().saturating_mul(8) < self.names.end() as u64 {
            return Search::Each(Box::new(Finder::new(part).into_owned()));
        }
        Search::All(self.names.with_part(part))
    }

    /// Returns the numbers of the places in time that the search finds.
    fn select(&self, search: Option<&Search>) -> FixedBitSet {
        let mut numbers = FixedBitSet::with_capacity(self.names.end());
        self.order.visit(self.filter, self.in_time.start, self.looked_at(), |place| {
            if search.is_none_or(|search| search.finds(&self.names, place)) {
                numbers.grow_and_insert(place.number as usize);
            }
            true
        });
        numbers
    }

    /// Returns the rank of the query's cursor in the order by name.
    fn name_rank(&self, order: &Order, query: &ListQuery<'_>, catalog: &RwLock<Catalog>) -> Option<u64> {
        let PageStart::After(cursor) = query.start else { return None };
        let compare = |place: &Place| {
            let by_name = compare_keys(self.names.get(place.number), cursor.name_key.as_deref());
            let by_time = by_name.then_with(|| cursor.created_at.millis().cmp(&place.created_millis));
            by_time.then_with(|| catalog.read().slot(place.number).map(|slot| &*slot.id).cmp(&Some(&cursor.id)))
        };
        Some(order.rank(self.filter, is_passed(query.sort, compare)))
    }
}

/// A search in names.
enum Search {
    /// Each name is looked up when its place is met.
    Each(Box<Finder<'static>>),
    /// All names have been searched: the numbers of those that were found.
    All(FixedBitSet),
}

impl Search {
    fn finds(&self, names: &Names, place: &Place) -> bool {
        match self {
            Search::Each(part) => names.get(place.number).is_some_and(|name| part.find(name.as_bytes()).is_some()),
            Search::All(numbers) => numbers.contains(place.number as usize),
        }
    }
}
