//! A list as a query selects it: a snapshot of its order, and a filter.

use super::Catalog;
use super::facets::FacetFilter;
use super::order::Order;
use crate::store::reader::ListQuery;

/// A snapshot of one list, under a filter. It holds no lock, and does not change.
#[derive(Default)]
pub struct List {
    order: Order,
    filter: FacetFilter,
}

impl Catalog {
    /// Returns the list that a query selects. The page of the query is ignored.
    pub fn list(&self, query: &ListQuery<'_>) -> List {
        let Some(order) = self.order_of(query.organization_id, query.project_id) else { return List::default() };
        let kind = match query.kind.map(|kind| self.kinds.find(kind)) {
            // No optimization has this kind.
            Some(None) => return List::default(),
            kind => kind.flatten(),
        };
        List { order: order.clone(), filter: FacetFilter { status: query.status, kind } }
    }

    pub(super) fn order_of(&self, organization_id: Option<&str>, project_id: Option<&str>) -> Option<&Order> {
        let scope = self.scopes.find(organization_id, project_id)?;
        self.scopes.get(scope).map(|scope| &scope.order)
    }
}

impl List {
    /// Returns the number of optimizations that pass the filters.
    pub fn total(&self) -> u64 {
        self.order.counts().passing(self.filter)
    }

    /// Returns the numbers of at most `most` optimizations, from the one at `offset` on.
    pub fn page(&self, offset: usize, most: usize) -> Vec<u32> {
        self.order.page(self.filter, offset, most)
    }
}
