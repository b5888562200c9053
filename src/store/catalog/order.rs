//! The order of one list: a B+ tree whose nodes count their places by facet, so that an offset is found in logarithmic time
//! under any filter. Lists are sorted by creation, and some by name, too: a caller that changes an order passes the comparison of
//! its places.
//!
//! A clone is a snapshot and costs nothing: nodes are shared until one of the two orders changes them, and then only the path to
//! the change is copied. So a list is walked without a lock.

mod changes;
mod walk;

use std::cmp::Ordering;
use std::mem;
use std::sync::Arc;

use super::facets::{Facet, FacetCounts};

/// The most places in a leaf, and the most children of any other node. They are small in tests, so that few places make a deep tree.
const LEAF_MAX: usize = if cfg!(test) { 8 } else { 256 };
const CHILDREN_MAX: usize = if cfg!(test) { 4 } else { 64 };

/// The place of an optimization in a list. It holds the facet, so that a walk reads nothing else, and the time of creation, so
/// that most places are compared without a look elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    pub created_millis: i64,
    pub number: u32,
    pub facet: Facet,
}

#[derive(Clone, Default)]
pub struct Order(Arc<Node>);

#[derive(Clone, Default)]
struct Node {
    counts: FacetCounts,
    body: Body,
}

#[derive(Clone)]
enum Body {
    Leaf(Vec<Place>),
    /// Children, none of which is empty.
    Inner(Vec<Child>),
}

impl Default for Body {
    fn default() -> Body {
        Body::Leaf(Vec::new())
    }
}

#[derive(Clone)]
struct Child {
    /// The first place below it.
    first: Place,
    node: Arc<Node>,
}

impl Order {
    /// Builds an order from places that are sorted already.
    pub fn from_sorted(places: &[Place]) -> Order {
        let share = |max: usize| max - max / 4;
        let mut nodes: Vec<Node> =
            places.chunks(share(LEAF_MAX)).map(|places| Node::new(Body::Leaf(places.to_vec()))).collect();
        while nodes.len() > 1 {
            let mut children = nodes.into_iter().map(Child::new).peekable();
            nodes = Vec::new();
            while children.peek().is_some() {
                nodes.push(Node::new(Body::Inner(children.by_ref().take(share(CHILDREN_MAX)).collect())));
            }
        }
        Order(Arc::new(nodes.pop().unwrap_or_default()))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the number of places.
    pub fn len(&self) -> u64 {
        self.counts().all()
    }

    /// Returns the numbers of places by facet.
    pub fn counts(&self) -> &FacetCounts {
        &self.0.counts
    }

    /// Inserts a place.
    pub fn insert(&mut self, place: Place, compare: &impl Fn(&Place, &Place) -> Ordering) {
        if let Some(right) = Arc::make_mut(&mut self.0).insert(place, compare) {
            let left = Child { first: self.0.first(), node: mem::take(&mut self.0) };
            self.0 = Arc::new(Node::new(Body::Inner(vec![left, Child::new(right)])));
        }
    }

    /// Removes a place. `compare` must still compare it as it did at the insertion.
    pub fn remove(&mut self, place: Place, compare: &impl Fn(&Place, &Place) -> Ordering) {
        Arc::make_mut(&mut self.0).remove(place, compare);
        while let Body::Inner(children) = &self.0.body
            && let [only] = &children[..]
        {
            self.0 = only.node.clone();
        }
    }

    /// Changes the facet of a place, which keeps its position.
    pub fn set_facet(&mut self, place: Place, facet: Facet, compare: &impl Fn(&Place, &Place) -> Ordering) {
        Arc::make_mut(&mut self.0).set_facet(place, facet, compare);
    }

    /// Returns true if the order has exactly this place.
    pub fn contains(&self, place: Place, compare: &impl Fn(&Place, &Place) -> Ordering) -> bool {
        let mut node = &self.0;
        loop {
            match &node.body {
                Body::Inner(children) => node = &children[child_for(children, &place, compare)].node,
                Body::Leaf(places) => return places.get(position(places, &place, compare)) == Some(&place),
            }
        }
    }

    /// Returns some of the places that follow a point in the order, sorted. The slice is empty at the end.
    pub fn some_after(&self, is_after: &impl Fn(u32) -> bool) -> &[Place] {
        self.0.some_after(is_after).unwrap_or_default()
    }

    /// Returns true if the counts of every node are those of its places.
    pub fn is_counted_right(&self) -> bool {
        self.0.is_counted_right()
    }
}

impl Node {
    fn new(body: Body) -> Node {
        let counts = match &body {
            Body::Leaf(places) => FacetCounts::of(places.iter().map(|place| place.facet)),
            Body::Inner(children) => FacetCounts::sum(children.iter().map(|child| &child.node.counts)),
        };
        Node { counts, body }
    }

    fn is_empty(&self) -> bool {
        match &self.body {
            Body::Leaf(places) => places.is_empty(),
            Body::Inner(children) => children.is_empty(),
        }
    }

    /// Returns the first place of a node that is not empty.
    fn first(&self) -> Place {
        match &self.body {
            Body::Leaf(places) => places[0],
            Body::Inner(children) => children[0].first,
        }
    }

    /// Returns the fill of the node in sixteenths.
    fn fill(&self) -> usize {
        match &self.body {
            Body::Leaf(places) => 16 * places.len() / LEAF_MAX,
            Body::Inner(children) => 16 * children.len() / CHILDREN_MAX,
        }
    }

    /// Inserts a place below the node. Returns the node that is to stand right of it if it had to be split.
    fn insert(&mut self, place: Place, compare: &impl Fn(&Place, &Place) -> Ordering) -> Option<Node> {
        self.counts.add(place.facet, 1);
        let right = match &mut self.body {
            Body::Leaf(places) => {
                let at = position(places, &place, compare);
                places.insert(at, place);
                Body::Leaf(split_off(places, LEAF_MAX, at)?)
            }
            Body::Inner(children) => {
                let at = child_for(children, &place, compare);
                let child = &mut children[at];
                let split = Arc::make_mut(&mut child.node).insert(place, compare);
                child.first = child.node.first();
                children.insert(at + 1, Child::new(split?));
                Body::Inner(split_off(children, CHILDREN_MAX, at)?)
            }
        };
        let right = Node::new(right);
        self.counts.subtract_all(&right.counts);
        Some(right)
    }

    /// Removes a place below the node. Returns false if there is no such place.
    fn remove(&mut self, place: Place, compare: &impl Fn(&Place, &Place) -> Ordering) -> bool {
        let is_removed = match &mut self.body {
            Body::Leaf(places) => {
                let at = position(places, &place, compare);
                let is_there = places.get(at) == Some(&place);
                is_there.then(|| places.remove(at)).is_some()
            }
            Body::Inner(children) => {
                let at = child_for(children, &place, compare);
                let is_removed = Arc::make_mut(&mut children[at].node).remove(place, compare);
                tidy(children, at);
                is_removed
            }
        };
        if is_removed {
            self.counts.subtract(place.facet, 1);
        }
        is_removed
    }

    /// Sets the facet of a place below the node. Returns false if there is no such place.
    fn set_facet(&mut self, place: Place, facet: Facet, compare: &impl Fn(&Place, &Place) -> Ordering) -> bool {
        let is_set = match &mut self.body {
            Body::Leaf(places) => {
                let at = position(places, &place, compare);
                let held = places.get_mut(at).filter(|held| **held == place);
                held.map(|held| held.facet = facet).is_some()
            }
            Body::Inner(children) => {
                let at = child_for(children, &place, compare);
                let child = &mut children[at];
                let is_set = Arc::make_mut(&mut child.node).set_facet(place, facet, compare);
                child.first = child.node.first();
                is_set
            }
        };
        if is_set {
            self.counts.subtract(place.facet, 1);
            self.counts.add(facet, 1);
        }
        is_set
    }

    /// Appends the content of the node right of it.
    fn append(&mut self, right: Node) {
        self.counts.add_all(&right.counts);
        match (&mut self.body, right.body) {
            (Body::Leaf(places), Body::Leaf(more)) => places.extend(more),
            (Body::Inner(children), Body::Inner(more)) => children.extend(more),
            _ => unreachable!("all leaves are equally deep"),
        }
    }

    fn some_after(&self, is_after: &impl Fn(u32) -> bool) -> Option<&[Place]> {
        match &self.body {
            Body::Leaf(places) => {
                let after = &places[places.partition_point(|place| !is_after(place.number))..];
                (!after.is_empty()).then_some(after)
            }
            Body::Inner(children) => {
                let at = children.partition_point(|child| !is_after(child.first.number)).saturating_sub(1);
                children[at..].iter().find_map(|child| child.node.some_after(is_after))
            }
        }
    }

    fn is_counted_right(&self) -> bool {
        let is_below = match &self.body {
            Body::Leaf(_) => true,
            Body::Inner(children) => children.iter().all(|child| child.node.is_counted_right()),
        };
        is_below && self.counts == Node::new(self.body.clone()).counts
    }
}

impl Child {
    fn new(node: Node) -> Child {
        Child { first: node.first(), node: Arc::new(node) }
    }
}

/// Returns the index of the child below which a place stands, or belongs.
fn child_for(children: &[Child], place: &Place, compare: &impl Fn(&Place, &Place) -> Ordering) -> usize {
    leading(children, |child| compare(&child.first, place).is_le()).saturating_sub(1)
}

/// Returns the index at which a place stands in a leaf, or belongs.
fn position(places: &[Place], place: &Place, compare: &impl Fn(&Place, &Place) -> Ordering) -> usize {
    leading(places, |held| compare(held, place).is_lt())
}

/// Returns the number of items at the beginning for which `is_so` holds; it holds for no later one. The search begins in front,
/// because most changes are of new places, which stand there.
fn leading<T>(items: &[T], is_so: impl Fn(&T) -> bool) -> usize {
    let mut end = 1;
    while end <= items.len() && is_so(&items[end - 1]) {
        end *= 2;
    }
    let begin = end / 2;
    begin + items[begin..items.len().min(end)].partition_point(is_so)
}

/// Splits items that became more than `max`, and returns the right part. Items that always grow at one end leave full nodes behind.
fn split_off<T>(items: &mut Vec<T>, max: usize, grown_at: usize) -> Option<Vec<T>> {
    let len = items.len();
    if len <= max {
        return None;
    }
    let few = (len / 8).max(1);
    let left = match grown_at {
        0 => few,
        at if at + 2 >= len => len - few,
        _ => len / 2,
    };
    let right = items.split_off(left);
    items.shrink_to(max);
    Some(right)
}

/// Repairs the list of children after a place was removed below child `at`. A child that is nearly empty is merged with a neighbour.
fn tidy(children: &mut Vec<Child>, at: usize) {
    if children[at].node.is_empty() {
        children.remove(at);
        return;
    }
    children[at].first = children[at].node.first();
    if children[at].node.fill() > 4 {
        return;
    }
    let fits = |left: &usize| {
        let pair = children.get(*left..left + 2);
        pair.is_some_and(|pair| pair[0].node.fill() + pair[1].node.fill() <= 12)
    };
    if let Some(left) = [at, at.saturating_sub(1)].into_iter().find(fits) {
        let right = children.remove(left + 1);
        Arc::make_mut(&mut children[left].node).append(Arc::unwrap_or_clone(right.node));
    }
}

#[cfg(test)]
mod tests;
