//! One list, as it is asked for and as it was when it was asked for.

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
    /// The list that a query asks for, its page aside.
    pub fn list(&self, query: &ListQuery<'_>) -> List {
        let Some(order) = self.order_of(query.organization_id, query.project_id) else { return List::default() };
        let kind = match query.kind.map(|kind| self.kinds.find(kind)) {
            // No optimization has it.
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
    /// How many the filters let through.
    pub fn total(&self) -> u64 {
        self.order.counts().passing(self.filter)
    }

    /// The numbers of at most `most` optimizations, from the one at `offset` on.
    pub fn page(&self, offset: usize, most: usize) -> Vec<u32> {
        self.order.page(self.filter, offset, most)
    }
}
