//! The places by which two orders differ. Orders that share most of their nodes are compared in the time that the others take.

use std::collections::HashSet;
use std::sync::Arc;

use super::{Body, Node, Order, Place};

/// The places by which one order differs from another.
#[derive(Debug, Default)]
pub struct OrderChanges {
    /// The places that only the older order has.
    pub removed: Vec<Place>,
    /// The places that only the newer order has.
    pub added: Vec<Place>,
}

impl Order {
    /// Returns true if another order is the same, and not only equal.
    pub fn is_same(&self, other: &Order) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Returns the places by which this order differs from an older one.
    pub fn changes_since(&self, older: &Order) -> OrderChanges {
        let (of_older, of_this) = (nodes(older), nodes(self));
        let [old, new] = [unshared(older, &of_this), unshared(self, &of_older)];
        let (is_old, is_new): (HashSet<Place>, HashSet<Place>) =
            (old.iter().copied().collect(), new.iter().copied().collect());
        OrderChanges {
            removed: old.into_iter().filter(|place| !is_new.contains(place)).collect(),
            added: new.into_iter().filter(|place| !is_old.contains(place)).collect(),
        }
    }
}

/// Returns the addresses of all nodes of an order.
fn nodes(order: &Order) -> HashSet<*const Node> {
    let mut addresses = HashSet::new();
    let mut left = vec![&order.0];
    while let Some(node) = left.pop() {
        addresses.insert(Arc::as_ptr(node));
        if let Body::Inner(children) = &node.body {
            left.extend(children.iter().map(|child| &child.node));
        }
    }
    addresses
}

/// Returns the places of an order that are in no node of another, whose nodes are given.
fn unshared(order: &Order, others: &HashSet<*const Node>) -> Vec<Place> {
    let mut places = Vec::new();
    let mut left = vec![&order.0];
    while let Some(node) = left.pop() {
        if others.contains(&Arc::as_ptr(node)) {
            continue;
        }
        match &node.body {
            Body::Inner(children) => left.extend(children.iter().map(|child| &child.node)),
            Body::Leaf(held) => places.extend(held),
        }
    }
    places
}
