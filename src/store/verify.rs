//! The verification of a store, which may be written meanwhile. It proves that each record is what its registers give, that the
//! catalog and the records agree both ways, and that everything else in the store can be decoded. It changes nothing.
//!
//! The work is done in slices, none of which holds the catalog's lock longer than a read does. Two things that are compared are
//! read at two moments, between which they may change; so a disagreement is looked at again once the writer has ended what it
//! was doing, and counts only if it is then unchanged.

mod catalog;
mod dead_letters;
mod pieces;
mod records;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use sled::{IVec, Tree};

use super::{OpenError, Reader, StoreError};
pub use crate::domain::PartitionBounds;
use crate::domain::{Gap, NamedPartition};
use crate::panic_text::panic_text;
use crate::progress::{Progress, ProgressSink};

/// Number of records in a slice, after which the process gets a rest.
const SLICE: usize = 256;

/// Most problems that are named. All are counted.
pub const NAMED: usize = 1_000;

/// Number of times that a disagreement is looked at again while it changes.
const TRIES: usize = 20;

/// Time after which the broker's bounds are newer than at the first look.
const BOUNDS_AGAIN: Duration = Duration::from_millis(600);

/// The result of a verification: numbers of the things checked, and the problems found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifyReport {
    /// Number of optimizations. Each was decoded, and its response was compared with its registers.
    pub records: u64,
    /// Number of optimizations that readers see.
    pub views: u64,
    /// Number of parked jobs, each of which was decoded.
    pub parked_jobs: u64,
    /// Number of dead letters, each of which was decoded.
    pub dead_letters: u64,
    /// Number of current entries of the catalog on disk.
    pub catalog_entries: u64,
    /// Number of projects whose lists and totals were counted again.
    pub projects: u64,
    /// Number of pieces of large values.
    pub pieces: u64,
    /// Number of pieces that a kill left and that nothing refers to. They do no harm.
    pub pieces_left_over: u64,
    /// Number of partitions of the checkpoint.
    pub partitions: u64,
    /// Number of partitions that were compared with the broker's bounds.
    pub partitions_bounded: u64,
    /// Number of things that could not be compared, because they kept changing, or because a kill left them and the tail of the
    /// topics has not been read again yet. They are no problems: a later verification can compare them.
    pub unsettled: u64,
    /// Number of all problems, those that are not named included.
    pub problems_found: u64,
    /// Number of problems of things that cannot be read at all.
    pub unreadable: u64,
    /// The first [`NAMED`] problems.
    pub problems: Vec<Problem>,
}

/// A thing in the store that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// The kind of the thing.
    pub of: String,
    /// The name of the thing: an id, a key or a number.
    pub which: String,
    /// The defect, in words.
    pub problem: String,
}

/// The broker's bounds of each partition, by the topic's name.
pub type TopicBounds = BTreeMap<NamedPartition, PartitionBounds>;

/// The settings of a verification.
pub struct VerifySettings<'a> {
    /// True if the process has other work: then each slice is followed by a rest of the same length.
    pub gently: bool,
    /// Reads the bounds of the partitions; `None` if the broker is not asked. It is called again if a position lies outside.
    pub bounds: &'a dyn Fn() -> Option<TopicBounds>,
    /// The receiver of the progress.
    pub watch: &'a mut ProgressSink<'a>,
}

/// Verifies a store. Returns `None` if `watch` breaks.
pub fn verify<'a>(reader: &'a Reader, settings: VerifySettings<'a>) -> Option<VerifyReport> {
    let mut verifier =
        Verifier { reader, settings, phase: "", done: 0, total: None, report: VerifyReport::default() };
    type Phase<'a> = (&'static str, fn(&mut Verifier<'a>) -> Step);
    let steps: [Phase<'a>; 6] = [
        ("records", Verifier::records),
        ("catalog", Verifier::catalog),
        ("pieces", Verifier::pieces),
        ("parked jobs", Verifier::parked_jobs),
        ("dead letters", Verifier::dead_letters),
        ("checkpoint", Verifier::checkpoint),
    ];
    for (phase, step) in steps {
        (verifier.phase, verifier.done, verifier.total) = (phase, 0, None);
        // sled reports damage by a panic as often as by an error.
        let ended = catch_unwind(AssertUnwindSafe(|| step(&mut verifier)));
        match ended
            .unwrap_or_else(|panic| Err(Interruption::Failed(format!("sled panicked: {}", panic_text(&*panic)))))
        {
            Ok(()) => {}
            Err(Interruption::NobodyWatches) => return None,
            Err(Interruption::Failed(why)) => verifier.unreadable(phase, "all that follows", why),
        }
    }
    Some(verifier.report)
}

/// Returns the report of a store that cannot be opened.
pub fn report_unopenable(why: &OpenError) -> VerifyReport {
    let problem = Problem { of: "store".to_owned(), which: "generation".to_owned(), problem: why.to_string() };
    VerifyReport { problems_found: 1, unreadable: 1, problems: vec![problem], ..VerifyReport::default() }
}

/// The reason for which a step ends before its end.
enum Interruption {
    NobodyWatches,
    Failed(String),
}

type Step = Result<(), Interruption>;

impl<E: Into<StoreError>> From<E> for Interruption {
    fn from(error: E) -> Interruption {
        Interruption::Failed(error.into().to_string())
    }
}

/// A disagreement, as it was at one look.
#[derive(PartialEq, Eq)]
struct Finding {
    problem: String,
    /// Hash of the compared bytes: another hash shows that they have changed.
    content_hash: u64,
    /// True if a kill may have left it, and the tail of the topics will repair it.
    may_be_crash_remnant: bool,
    unreadable: bool,
}

struct Verifier<'a> {
    reader: &'a Reader,
    settings: VerifySettings<'a>,
    phase: &'static str,
    done: u64,
    total: Option<u64>,
    report: VerifyReport,
}

impl Verifier<'_> {
    fn problem(&mut self, of: &str, which: impl Into<String>, problem: String) {
        self.report.problems_found += 1;
        if self.report.problems.len() < NAMED {
            self.report.problems.push(Problem { of: of.to_owned(), which: which.into(), problem });
        }
    }

    /// Notes a problem of a thing that cannot be read.
    fn unreadable(&mut self, of: &str, which: impl Into<String>, problem: String) {
        self.report.unreadable += 1;
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
            // The least key above the last one.
            from.push(0);
            let len = slice.len();
            self.slice(len, |verifier| {
                slice.into_iter().try_for_each(|(key, value)| check(verifier, &key, value))
            })?;
        }
    }

    /// Does the work of a slice, reports the progress, and rests.
    fn slice(&mut self, len: usize, work: impl FnOnce(&mut Self) -> Result<(), StoreError>) -> Step {
        let begin = Instant::now();
        work(self)?;
        self.done += len as u64;
        if (self.settings.watch)(Progress::new(self.phase, self.done, self.total)).is_break() {
            return Err(Interruption::NobodyWatches);
        }
        if self.settings.gently {
            std::thread::sleep(begin.elapsed());
        }
        Ok(())
    }

    /// Notes the finding of `check`, if it is unchanged once the writer has ended what it was doing. Returns true if there is none.
    fn settle(
        &mut self,
        of: &str,
        which: &str,
        check: impl Fn(&Self) -> Result<Option<Finding>, StoreError>,
    ) -> Result<bool, StoreError> {
        let Some(mut finding) = check(self)? else { return Ok(true) };
        for _ in 0..TRIES {
            // The wait also ends if the writer has failed: then nothing changes any more.
            self.reader.progress.wait_for_parts();
            let Some(again) = check(self)? else { return Ok(true) };
            if again == finding {
                if finding.may_be_crash_remnant && !self.reader.progress.caught_up.load(Ordering::Acquire) {
                    self.report.unsettled += 1;
                } else if finding.unreadable {
                    self.unreadable(of, which, finding.problem);
                } else {
                    self.problem(of, which, finding.problem);
                }
                return Ok(false);
            }
            finding = again;
        }
        self.report.unsettled += 1;
        Ok(false)
    }

    fn checkpoint(&mut self) -> Step {
        let checkpoint = self.reader.checkpoint()?;
        self.report.partitions = checkpoint.len() as u64;
        let Some(mut bounds) = (self.settings.bounds)() else { return Ok(()) };
        let outside = |bounds: &TopicBounds| {
            let is = |(key, next): (&NamedPartition, i64)| {
                bounds.get(key).is_none_or(|held| next < held.low || next > held.high)
            };
            checkpoint.iter().any(|(key, held)| is((key, held.next_offset)))
        };
        if outside(&bounds) {
            // The bounds may be older than the checkpoint.
            std::thread::sleep(BOUNDS_AGAIN);
            bounds = (self.settings.bounds)().unwrap_or(bounds);
        }
        for (partition, held) in &checkpoint {
            let found = bounds.get(partition).copied();
            self.report.partitions_bounded += u64::from(found.is_some());
            if let Some(gap) = Gap::find(held.next_offset, held.topic_id, found) {
                self.problem("checkpoint", partition.to_string(), gap.to_string());
            }
        }
        Ok(())
    }
}
