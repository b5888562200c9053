//! The places by which two orders differ. Orders that share most of their nodes are compared in the time that the others take.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use foldhash::fast::RandomState;

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
        let old = unshared(older, &of_this);
        let mut old: HashMap<u32, &[Place], RandomState> =
            old.into_iter().filter_map(|leaf| Some((leaf.first()?.number, leaf))).collect();
        let mut changes = OrderChanges::default();
        let mut moved = Vec::new();
        for leaf in unshared(self, &of_older) {
            let Some(first) = leaf.first() else { continue };
            match old.remove(&first.number) {
                // Nearly every change is one of a status, after which each place stands where it stood.
                Some(held) if has_same_numbers(held, leaf) => changes.add_pairs(held, leaf),
                Some(held) => {
                    old.insert(first.number, held);
                    moved.extend_from_slice(leaf);
                }
                None => moved.extend_from_slice(leaf),
            }
        }
        let left: PlaceSet = old.into_values().flatten().copied().collect();
        let moved: PlaceSet = moved.into_iter().collect();
        changes.removed.extend(left.difference(&moved));
        changes.added.extend(moved.difference(&left));
        changes
    }
}

type PlaceSet = HashSet<Place, RandomState>;

type NodeSet = HashSet<*const Node, RandomState>;

impl OrderChanges {
    /// Adds the places by which two leaves with the same numbers differ.
    fn add_pairs(&mut self, old: &[Place], new: &[Place]) {
        for (old, new) in old.iter().zip(new).filter(|(old, new)| old != new) {
            self.removed.push(*old);
            self.added.push(*new);
        }
    }
}

fn has_same_numbers(one: &[Place], other: &[Place]) -> bool {
    one.len() == other.len() && one.iter().zip(other).all(|(one, other)| one.number == other.number)
}

/// Returns the addresses of all nodes of an order.
fn nodes(order: &Order) -> NodeSet {
    let mut addresses = NodeSet::default();
    let mut left = vec![&order.0];
    while let Some(node) = left.pop() {
        addresses.insert(Arc::as_ptr(node));
        if let Body::Inner(children) = &node.body {
            left.extend(children.iter().map(|child| &child.node));
        }
    }
    addresses
}

/// Returns the leaves of an order that another, whose nodes are given, does not have.
fn unshared<'a>(order: &'a Order, others: &NodeSet) -> Vec<&'a [Place]> {
    let mut leaves: Vec<&[Place]> = Vec::new();
    let mut left = vec![&order.0];
    while let Some(node) = left.pop() {
        if others.contains(&Arc::as_ptr(node)) {
            continue;
        }
        match &node.body {
            Body::Inner(children) => left.extend(children.iter().map(|child| &child.node)),
            Body::Leaf(held) => leaves.push(held),
        }
    }
    leaves
}
