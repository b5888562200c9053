//! Proves a store, while it is written or not: that each record is what its registers say, that catalog and records agree
//! both ways, and that nothing else in it fails to decode.
//!
//! Works in slices and holds the catalog's lock for none longer than a read of it does. What is compared is read at two
//! moments, between which it may change; so whatever does not agree is looked at again once the writer has ended what it
//! was at, and counts only if it is then still as it was. Changes nothing.

mod catalog;
mod dead_letters;
mod pieces;
mod records;

use std::any::Any;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use sled::{IVec, Tree};

use super::{Reader, StoreError};
use crate::domain::Gap;
pub use crate::domain::PartitionBounds;

/// How many records are looked at before the process gets a rest.
const SLICE: usize = 256;

/// How many problems are named; all are counted.
pub const NAMED: usize = 1_000;

/// How often something that does not agree is looked at again while it changes.
const TRIES: usize = 20;

/// How long what the broker said may take to be told anew.
const BOUNDS_AGAIN: Duration = Duration::from_millis(600);

/// What was checked, in numbers, and what is wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verified {
    /// Optimizations, each of which decoded, and whose response and registers were compared.
    pub records: u64,
    /// Of those, the ones that readers see.
    pub views: u64,
    pub parked_jobs: u64,
    pub dead_letters: u64,
    /// Entries of the catalog on disk that are current.
    pub catalog_entries: u64,
    /// Projects whose lists and totals were counted again.
    pub projects: u64,
    /// Pieces of large values.
    pub pieces: u64,
    /// Of those, the ones that a kill left and that nothing refers to. They do no harm.
    pub pieces_left_over: u64,
    /// Partitions of the checkpoint.
    pub partitions: u64,
    /// Of those, the ones that were compared with what the broker has.
    pub partitions_bounded: u64,
    /// What could not be compared because it would not stand still, or because a kill left it and the tail of the topics
    /// has not been read again yet. No problem: look again later.
    pub unsettled: u64,
    pub problems_found: u64,
    /// Of those, the ones of what cannot be read at all.
    pub unreadable: u64,
    /// The first thousand of them.
    pub problems: Vec<Problem>,
}

/// Something that is not as it must be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// Of what kind the thing is.
    pub of: String,
    /// Which one: an id, a key, a number.
    pub which: String,
    pub problem: String,
}

/// What the broker has of each partition, by the topic's name.
pub type Bounds = BTreeMap<(String, i32), PartitionBounds>;

/// Is told what is looked at, how much of it is done, and how much there is. `Break`: nobody wants to know any more.
pub type Watch<'a> = dyn FnMut(&str, u64, Option<u64>) -> ControlFlow<()> + 'a;

/// How to go about it.
pub struct Settings<'a> {
    /// Others need the processor too: rest as long as it worked.
    pub gently: bool,
    /// `None` where the broker is not asked. Called again where a position lies outside.
    pub bounds: &'a dyn Fn() -> Option<Bounds>,
    /// How far it is.
    pub watch: &'a mut Watch<'a>,
}

/// Proves the store. `None` where `watch` breaks.
pub fn verify<'a>(reader: &'a Reader, settings: Settings<'a>) -> Option<Verified> {
    let mut verifier = Verifier { reader, settings, phase: "", done: 0, total: None, found: Verified::default() };
    type OneStep<'a> = (&'static str, fn(&mut Verifier<'a>) -> Step);
    let steps: [OneStep<'a>; 6] = [
        ("records", Verifier::records),
        ("catalog", Verifier::catalog),
        ("pieces", Verifier::pieces),
        ("parked jobs", Verifier::parked_jobs),
        ("dead letters", Verifier::dead_letters),
        ("checkpoint", Verifier::checkpoint),
    ];
    for (phase, step) in steps {
        (verifier.phase, verifier.done, verifier.total) = (phase, 0, None);
        // sled tells of damage by a panic as often as by an error.
        let ended = catch_unwind(AssertUnwindSafe(|| step(&mut verifier)));
        match ended.unwrap_or_else(|panic| Err(Stop::Failed(format!("sled panicked: {}", text_of(&*panic))))) {
            Ok(()) => {}
            Err(Stop::NobodyWatches) => return None,
            Err(Stop::Failed(why)) => verifier.unreadable(phase, "all that follows", why),
        }
    }
    Some(verifier.found)
}

/// What is known of a store that cannot even be opened.
pub fn unopened(why: &StoreError) -> Verified {
    let problem = Problem { of: "store".to_owned(), which: "generation".to_owned(), problem: why.to_string() };
    Verified { problems_found: 1, unreadable: 1, problems: vec![problem], ..Verified::default() }
}

fn text_of(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no reason given")
}

/// Why a step ends before its end.
enum Stop {
    NobodyWatches,
    Failed(String),
}

type Step = Result<(), Stop>;

impl<E: Into<StoreError>> From<E> for Stop {
    fn from(error: E) -> Stop {
        Stop::Failed(error.into().to_string())
    }
}

/// Something that does not agree, as it was when it was looked at.
#[derive(PartialEq, Eq)]
struct Finding {
    problem: String,
    /// A hash of what was compared: another one shows that it has changed.
    seen: u64,
    /// A kill may have left it so, until the tail of the topics is read again.
    may_be_left: bool,
    unreadable: bool,
}

struct Verifier<'a> {
    reader: &'a Reader,
    settings: Settings<'a>,
    phase: &'static str,
    done: u64,
    total: Option<u64>,
    found: Verified,
}

impl Verifier<'_> {
    fn problem(&mut self, of: &str, which: impl Into<String>, problem: String) {
        self.found.problems_found += 1;
        if self.found.problems.len() < NAMED {
            self.found.problems.push(Problem { of: of.to_owned(), which: which.into(), problem });
        }
    }

    /// A problem of what cannot even be read.
    fn unreadable(&mut self, of: &str, which: impl Into<String>, problem: String) {
        self.found.unreadable += 1;
        self.problem(of, which, problem);
    }

    /// Gives each entry of a tree to `check`, slice by slice.
    fn each(
        &mut self,
        tree: &Tree,
        mut check: impl FnMut(&mut Self, &IVec, IVec) -> Result<(), StoreError>,
    ) -> Step {
        let mut from = Vec::new();
        loop {
            let slice: Vec<(IVec, IVec)> = tree.range(from.clone()..).take(SLICE).collect::<Result<_, _>>()?;
            let Some((last, _)) = slice.last() else { return Ok(()) };
            from.clear();
            from.extend_from_slice(last);
            // The least key above it.
            from.push(0);
            let len = slice.len();
            self.slice(len, |verifier| {
                slice.into_iter().try_for_each(|(key, value)| check(verifier, &key, value))
            })?;
        }
    }

    /// Does a slice's work, tells how far that is, and rests.
    fn slice(&mut self, len: usize, work: impl FnOnce(&mut Self) -> Result<(), StoreError>) -> Step {
        let begin = Instant::now();
        work(self)?;
        self.done += len as u64;
        if (self.settings.watch)(self.phase, self.done, self.total).is_break() {
            return Err(Stop::NobodyWatches);
        }
        if self.settings.gently {
            std::thread::sleep(begin.elapsed());
        }
        Ok(())
    }

    /// Notes what `check` finds, if that is still so when the writer has ended what it was at.
    fn settle(
        &mut self,
        of: &str,
        which: &str,
        check: impl Fn(&Self) -> Result<Option<Finding>, StoreError>,
    ) -> Result<bool, StoreError> {
        let Some(mut finding) = check(self)? else { return Ok(true) };
        for _ in 0..TRIES {
            // A writer that has failed changes nothing any more.
            self.reader.done.wait_for_parts();
            let Some(again) = check(self)? else { return Ok(true) };
            if again == finding {
                if finding.may_be_left && !self.reader.done.caught_up.load(Ordering::Acquire) {
                    self.found.unsettled += 1;
                } else if finding.unreadable {
                    self.unreadable(of, which, finding.problem);
                } else {
                    self.problem(of, which, finding.problem);
                }
                return Ok(false);
            }
            finding = again;
        }
        self.found.unsettled += 1;
        Ok(false)
    }

    fn checkpoint(&mut self) -> Step {
        let checkpoint = self.reader.checkpoint()?;
        self.found.partitions = checkpoint.len() as u64;
        let Some(mut bounds) = (self.settings.bounds)() else { return Ok(()) };
        let outside = |bounds: &Bounds| {
            let is = |(key, next): (&(String, i32), i64)| {
                bounds.get(key).is_none_or(|held| next < held.low || next > held.high)
            };
            checkpoint.iter().any(|(key, held)| is((key, held.next_offset)))
        };
        if outside(&bounds) {
            // It may be older than the checkpoint.
            std::thread::sleep(BOUNDS_AGAIN);
            bounds = (self.settings.bounds)().unwrap_or(bounds);
        }
        for ((topic, partition), held) in &checkpoint {
            let found = bounds.get(&(topic.clone(), *partition)).copied();
            self.found.partitions_bounded += u64::from(found.is_some());
            if let Some(gap) = Gap::find(held.next_offset, held.topic_id, found) {
                self.problem("checkpoint", format!("{topic}/{partition}"), gap.to_string());
            }
        }
        Ok(())
    }
}
