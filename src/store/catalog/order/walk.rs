//! Walks along an order, and the search of a position in it. They enter no node without a place that they look for.

use super::{Body, Node, Order, Place};
use crate::store::catalog::facets::FacetFilter;

impl Order {
    /// Returns at most `most` places that pass the filter, from the one at `offset` among these.
    pub fn places(&self, filter: FacetFilter, offset: u64, most: usize) -> Vec<Place> {
        let passing = usize::try_from(self.counts().passing(filter).saturating_sub(offset)).unwrap_or(usize::MAX);
        let mut places = Vec::with_capacity(passing.min(most));
        self.visit(filter, offset, most as u64, |place| {
            places.push(*place);
            true
        });
        places
    }

    /// Visits at most `most` places that pass the filter, from the one at `offset` among these, as long as `visit` returns true.
    /// Returns the number of nodes that were entered, which is the cost of the walk.
    pub fn visit(&self, filter: FacetFilter, offset: u64, most: u64, visit: impl FnMut(&Place) -> bool) -> usize {
        let mut walk = Walk { filter, skip: offset, left: most, entered: 0, visit };
        walk.through(&self.0);
        walk.entered
    }

    /// Returns the number of places that pass the filter and for which `is_before` holds; it holds for no place after one for
    /// which it does not.
    pub fn rank(&self, filter: FacetFilter, is_before: impl Fn(&Place) -> bool) -> u64 {
        let (mut node, mut rank) = (&self.0, 0);
        loop {
            match &node.body {
                Body::Inner(children) => {
                    let at = children.partition_point(|child| is_before(&child.first)).saturating_sub(1);
                    rank += children[..at].iter().map(|child| child.node.counts.passing(filter)).sum::<u64>();
                    node = &children[at].node;
                }
                Body::Leaf(places) => {
                    let before = &places[..places.partition_point(is_before)];
                    return rank + before.iter().filter(|place| filter.passes(place.facet)).count() as u64;
                }
            }
        }
    }
}

struct Walk<V> {
    filter: FacetFilter,
    /// Number of passing places that are still to be skipped.
    skip: u64,
    /// Number of passing places that are still to be visited.
    left: u64,
    /// Number of nodes entered.
    entered: usize,
    visit: V,
}

impl<V: FnMut(&Place) -> bool> Walk<V> {
    fn through(&mut self, node: &Node) {
        if self.left == 0 {
            return;
        }
        let passing = node.counts.passing(self.filter);
        if passing <= self.skip {
            self.skip -= passing;
            return;
        }
        self.entered += 1;
        match &node.body {
            Body::Inner(children) => children.iter().for_each(|child| self.through(&child.node)),
            Body::Leaf(places) => self.along(places),
        }
    }

    fn along(&mut self, places: &[Place]) {
        for place in places.iter().filter(|place| self.filter.passes(place.facet)) {
            if self.skip > 0 {
                self.skip -= 1;
                continue;
            }
            self.left -= 1;
            if !(self.visit)(place) {
                self.left = 0;
            }
            if self.left == 0 {
                return;
            }
        }
    }
}
