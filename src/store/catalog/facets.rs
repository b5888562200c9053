//! Facets: the status and the kind of an optimization as one number, by which lists filter, and counts of optimizations by facet.

use std::sync::Arc;

use slab::Slab;

use super::maps::{Map, index};
use crate::domain::{Status, StatusSet};

/// The bits of a facet that hold the status.
const STATUS_BITS: u32 = 3;

/// One more than there are statuses: the first place is for optimizations without one.
const STATUSES: usize = Status::ALL.len() + 1;

/// The status and the kind of one optimization. The kind stands above the status, so that the facets of one kind are neighbours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Facet(u32);

impl Facet {
    pub fn new(status: Option<Status>, kind: Option<u32>) -> Facet {
        Facet(first_of_kind(kind).0 | status_code(status))
    }

    fn status_code(self) -> u32 {
        self.0 & ((1 << STATUS_BITS) - 1)
    }

    pub fn status(self) -> Option<Status> {
        status_of_code(self.status_code() as usize)
    }

    fn kind_code(self) -> u32 {
        self.0 >> STATUS_BITS
    }

    /// The number of the kind.
    pub fn kind(self) -> Option<u32> {
        self.kind_code().checked_sub(1)
    }
}

fn status_code(status: Option<Status>) -> u32 {
    status.map_or(0, |status| status as u32 + 1)
}

fn status_of_code(code: usize) -> Option<Status> {
    code.checked_sub(1).and_then(|at| Status::ALL.get(at).copied())
}

/// The least facet of a kind. Kinds number fewer than 2^28: each takes some sixteen bytes and more of memory.
fn first_of_kind(kind: Option<u32>) -> Facet {
    Facet(kind.map_or(0, |kind| kind + 1) << STATUS_BITS)
}

/// A filter of a list by facets.
#[derive(Clone, Copy, Debug, Default)]
pub struct FacetFilter {
    pub statuses: StatusSet,
    /// The number of the kind. `None` filters nothing.
    pub kind: Option<u32>,
}

impl FacetFilter {
    pub fn passes(self, facet: Facet) -> bool {
        self.statuses.accepts(facet.status()) && self.kind.is_none_or(|kind| facet.kind() == Some(kind))
    }
}

/// Numbers of optimizations by facet. No filter has to add up more than a few of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FacetCounts {
    by_status: [u32; STATUSES],
    /// Sorted by facet. No count is 0.
    by_facet: Vec<(Facet, u32)>,
}

impl FacetCounts {
    pub fn of(facets: impl Iterator<Item = Facet>) -> FacetCounts {
        let mut counts = FacetCounts::default();
        facets.for_each(|facet| counts.add(facet, 1));
        counts
    }

    pub fn sum<'a>(all: impl Iterator<Item = &'a FacetCounts>) -> FacetCounts {
        let mut sum = FacetCounts::default();
        all.for_each(|counts| sum.add_all(counts));
        sum
    }

    pub fn add(&mut self, facet: Facet, count: u32) {
        self.by_status[facet.status_code() as usize] += count;
        match self.by_facet.binary_search_by_key(&facet, |(held, _)| *held) {
            Ok(at) => self.by_facet[at].1 += count,
            Err(at) => self.by_facet.insert(at, (facet, count)),
        }
    }

    pub fn add_all(&mut self, other: &FacetCounts) {
        other.by_facet.iter().for_each(|&(facet, count)| self.add(facet, count));
    }

    pub fn subtract(&mut self, facet: Facet, count: u32) {
        self.by_status[facet.status_code() as usize] -= count;
        let at = self.by_facet.binary_search_by_key(&facet, |(held, _)| *held);
        let at = at.expect("only what was added is subtracted");
        self.by_facet[at].1 -= count;
        if self.by_facet[at].1 == 0 {
            self.by_facet.remove(at);
        }
    }

    pub fn subtract_all(&mut self, other: &FacetCounts) {
        other.by_facet.iter().for_each(|&(facet, count)| self.subtract(facet, count));
    }

    pub fn all(&self) -> u64 {
        self.by_status.iter().map(|&count| u64::from(count)).sum()
    }

    /// Returns the numbers by facet, those of one kind together.
    pub fn by_facet(&self) -> &[(Facet, u32)] {
        &self.by_facet
    }

    /// Returns the number of optimizations that pass a filter.
    pub fn passing(&self, filter: FacetFilter) -> u64 {
        let Some(kind) = filter.kind else {
            let counts = self.by_status.iter().enumerate();
            let accepted = counts.filter(|(code, _)| filter.statuses.accepts(status_of_code(*code)));
            return accepted.map(|(_, &count)| u64::from(count)).sum();
        };
        let first = self.by_facet.partition_point(|(held, _)| *held < first_of_kind(Some(kind)));
        let of_kind = self.by_facet[first..].iter().take_while(|(held, _)| held.kind() == Some(kind));
        of_kind.filter(|(held, _)| filter.passes(*held)).map(|&(_, count)| u64::from(count)).sum()
    }
}

/// The kinds of the optimizations, each with a number.
#[derive(Default)]
pub struct Kinds {
    texts: Slab<Arc<str>>,
    numbers: Map<Arc<str>, u32>,
}

impl Kinds {
    pub fn find(&self, kind: &str) -> Option<u32> {
        self.numbers.get(kind).copied()
    }

    pub fn text(&self, number: u32) -> Option<&Arc<str>> {
        self.texts.get(number as usize)
    }

    pub fn find_or_add(&mut self, kind: &str) -> u32 {
        if let Some(number) = self.find(kind) {
            return number;
        }
        let text = Arc::<str>::from(kind);
        let number = index(self.texts.insert(text.clone()));
        self.numbers.insert(text, number);
        number
    }

    /// Forgets a kind that no optimization has. Its number may be given to another.
    pub fn forget(&mut self, number: u32) {
        if let Some(text) = self.texts.try_remove(number as usize) {
            self.numbers.remove(&text);
        }
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.numbers.len()
    }
}
