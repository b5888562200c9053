//! The names of the optimizations by number, as keys without regard to case (`domain::name_key`). They stand in pages, one after
//! the other, so that all are searched at the speed of memory. A name takes its length and four bytes.
//!
//! A clone is a snapshot and costs nothing: pages are shared until one of the two changes them.

use std::cmp::Ordering;
use std::ops::Range;
use std::sync::Arc;

use fixedbitset::FixedBitSet;
use memchr::memmem::Finder;

use super::maps::index;
use crate::domain::name_key::{is_key_of, name_key};

/// Number of names on a page. It is small in tests, so that few names make several pages.
const PAGE: usize = if cfg!(test) { 4 } else { 256 };

/// The bit of an end that is set if there is no name.
const NO_NAME: u32 = 1 << 31;

#[derive(Clone, Default)]
pub struct Names(Arc<Vec<Arc<Page>>>);

/// The names of [`PAGE`] numbers.
#[derive(Clone, Default)]
struct Page {
    /// All names, one after the other.
    text: String,
    /// The end of each name in the text, with [`NO_NAME`].
    ends: Vec<u32>,
}

impl Names {
    /// Builds the keys of names from the names themselves, by number.
    pub fn from_names<'a>(names: impl Iterator<Item = Option<&'a str>>) -> Names {
        let mut pages: Vec<Page> = Vec::new();
        for (number, name) in names.enumerate() {
            if number.is_multiple_of(PAGE) {
                pages.push(Page::default());
            }
            if let Some(page) = pages.last_mut() {
                page.push(name.map(name_key).as_deref());
            }
        }
        pages.iter_mut().for_each(|page| page.text.shrink_to_fit());
        Names(Arc::new(pages.into_iter().map(Arc::new).collect()))
    }

    /// Returns the key of an optimization's name; `None` if it has no name, or no such optimization is known.
    pub fn get(&self, number: u32) -> Option<&str> {
        self.0.get(number as usize / PAGE)?.get(number as usize % PAGE)
    }

    /// Returns true if a name, as it is written, has the key that is held.
    pub fn has(&self, number: u32, name: Option<&str>) -> bool {
        match (self.get(number), name) {
            (Some(key), Some(name)) => is_key_of(key, name),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        }
    }

    /// Sets the name of an optimization, as it is written.
    pub fn set(&mut self, number: u32, name: Option<&str>) {
        if self.has(number, name) {
            return;
        }
        let pages = Arc::make_mut(&mut self.0);
        let at = number as usize / PAGE;
        if pages.len() <= at {
            pages.resize_with(at + 1, Arc::default);
        }
        Arc::make_mut(&mut pages[at]).set(number as usize % PAGE, name.map(name_key).as_deref());
    }

    /// Compares the names of two optimizations: those without a name come last.
    pub fn compare(&self, one: u32, other: u32) -> Ordering {
        compare_keys(self.get(one), self.get(other))
    }

    /// Returns one more than the greatest number that may have a name.
    pub fn end(&self) -> usize {
        self.0.len() * PAGE
    }

    /// Returns the numbers whose names have `part`, a key itself, in them.
    pub fn with_part(&self, part: &str) -> FixedBitSet {
        let finder = Finder::new(part);
        let mut numbers = FixedBitSet::with_capacity(self.end());
        for (at, page) in self.0.iter().enumerate() {
            page.each_with_part(&finder, |number| numbers.insert(at * PAGE + number));
        }
        numbers
    }

    /// Returns the numbers whose names differ from those of another version.
    pub fn changed_since(&self, other: &Names) -> Vec<u32> {
        let empty = Arc::<Page>::default();
        let mut changed = Vec::new();
        for at in 0..self.0.len().max(other.0.len()) {
            let [new, old] = [self, other].map(|names| names.0.get(at).unwrap_or(&empty));
            if !Arc::ptr_eq(new, old) {
                let numbers = (0..PAGE).filter(|number| new.get(*number) != old.get(*number));
                changed.extend(numbers.map(|number| index(at * PAGE + number)));
            }
        }
        changed
    }

    /// Returns true if another version holds the same pages.
    pub fn is_same(&self, other: &Names) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// Compares two keys of names: no name comes last.
pub fn compare_keys(one: Option<&str>, other: Option<&str>) -> Ordering {
    one.is_none().cmp(&other.is_none()).then_with(|| one.cmp(&other))
}

impl Page {
    fn end(&self, at: usize) -> usize {
        (self.ends[at] & !NO_NAME) as usize
    }

    fn range(&self, at: usize) -> Range<usize> {
        let begin = at.checked_sub(1).map_or(0, |before| self.end(before));
        begin..self.end(at)
    }

    fn get(&self, at: usize) -> Option<&str> {
        let is_named = self.ends.get(at).is_some_and(|end| end & NO_NAME == 0);
        is_named.then(|| &self.text[self.range(at)])
    }

    fn push(&mut self, key: Option<&str>) {
        self.text.push_str(key.unwrap_or_default());
        self.ends.push(index(self.text.len()) | if key.is_none() { NO_NAME } else { 0 });
    }

    fn set(&mut self, at: usize, key: Option<&str>) {
        while self.ends.len() < at {
            self.push(None);
        }
        if self.ends.len() == at {
            return self.push(key);
        }
        let (held, new) = (self.range(at), key.unwrap_or_default());
        // A page has some hundred names of at most some hundred bytes.
        let (old_len, new_len) = (index(held.len()), index(new.len()));
        self.text.replace_range(held, new);
        self.ends[at..].iter_mut().for_each(|end| *end = *end - old_len + new_len);
        self.ends[at] = self.ends[at] & !NO_NAME | if key.is_none() { NO_NAME } else { 0 };
    }

    /// Calls `found` with each name that has the part in it.
    fn each_with_part(&self, part: &Finder<'_>, mut found: impl FnMut(usize)) {
        let (text, len) = (self.text.as_bytes(), part.needle().len());
        let (mut at, mut from) = (0, 0);
        while let Some(place) = part.find(&text[from..]) {
            let begin = from + place;
            while self.end(at) <= begin {
                at += 1;
            }
            let end = self.end(at);
            if begin + len <= end {
                found(at);
                from = end;
            } else {
                // The place begins in one name and ends in another.
                from = begin + 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn name() -> impl Strategy<Value = Option<String>> {
        proptest::option::of("[aAbBé]{0,5}")
    }

    fn check(names: &Names, model: &BTreeMap<u32, Option<String>>, part: &str) {
        let key =
            |number: u32| model.get(&number).and_then(Option::as_deref).map(|name| name_key(name).into_owned());
        let found = names.with_part(part);
        for number in 0..64 {
            assert_eq!(names.get(number).map(str::to_owned), key(number));
            let has_part = key(number).is_some_and(|key| key.contains(part));
            assert_eq!(found.contains(number as usize), has_part, "{:?} in {:?}", part, key(number));
        }
    }

    proptest! {
        #[test]
        fn names_are_what_was_set_and_a_snapshot_stays_as_it_was(
            built in proptest::collection::vec(name(), 0..30),
            changes in proptest::collection::vec((0..60_u32, name()), 0..60),
            snapshot_at in 0..60_usize,
            part in "[abé]{1,3}",
        ) {
            let mut names = Names::from_names(built.iter().map(Option::as_deref));
            let mut model: BTreeMap<u32, Option<String>> = (0..).zip(built).collect();
            let mut snapshot = (names.clone(), model.clone());
            for (at, (number, name)) in changes.into_iter().enumerate() {
                if at == snapshot_at {
                    snapshot = (names.clone(), model.clone());
                }
                names.set(number, name.as_deref());
                prop_assert!(names.has(number, name.as_deref()));
                model.insert(number, name);
            }
            check(&names, &model, &part);
            check(&snapshot.0, &snapshot.1, &part);
            let changed = names.changed_since(&snapshot.0);
            let expected: Vec<u32> = (0..64).filter(|number| names.get(*number) != snapshot.0.get(*number)).collect();
            prop_assert_eq!(snapshot.0.changed_since(&names), &changed[..]);
            prop_assert_eq!(changed, expected);
        }
    }
}
