//! Publishes what was found in the records, once a report: as the process's own where the generation is what readers see, and
//! else as what the rebuild has found, which no metric and no line of the log repeats.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use metrics::{Counter, counter, describe_counter};
use tracing::Span;

use super::orphan_sweep::OrphanSweep;
use super::{Projector, dead_letters};
use crate::domain::DeadLetter;
use crate::status::Findings;

/// Whether readers see the generation, as far as what is found in its records has been published by that.
pub struct Visibility {
    is_quiet: Arc<AtomicBool>,
    was_quiet: bool,
    /// How many records the store had written when that was published last.
    written: u64,
    writes: Counter,
}

impl Visibility {
    pub fn new(is_quiet: Arc<AtomicBool>) -> Visibility {
        describe_counter!("optview_store_writes_total", "Optimizations and parked jobs written to the store");
        let was_quiet = is_quiet.load(Ordering::Acquire);
        Visibility { is_quiet, was_quiet, written: 0, writes: counter!("optview_store_writes_total") }
    }
}

impl Projector {
    /// Whether nothing that is found is counted or logged: the projector of what readers see does that.
    pub(super) fn is_quiet(&self) -> bool {
        self.visibility.was_quiet
    }

    /// Looks whether readers see another generation now. What was found until then stays with what this one was: records that
    /// a rebuild has read were counted when they were read for the generation before.
    pub(super) fn notice_switch(&mut self) {
        let is_quiet = self.visibility.is_quiet.load(Ordering::Acquire);
        if is_quiet == self.visibility.was_quiet {
            return;
        }
        self.publish_findings();
        self.visibility.was_quiet = is_quiet;
        self.understanding.count_anew();
        self.orphans = OrphanSweep::default();
    }

    pub(super) fn publish_findings(&mut self) {
        let is_quiet = self.is_quiet();
        let written = self.writer.records_written();
        let newly_written = written - std::mem::replace(&mut self.visibility.written, written);
        if !is_quiet {
            self.visibility.writes.increment(newly_written);
        }
        let reader = self.writer.reader();
        let is_known = |id: &str| self.working.holds_optimization(id) || reader.holds(id);
        let (outranked, deletions) = self.losers.take_news(is_known);
        let nulled_numbers = self.nulled_numbers.take_news();
        let streams = self.understanding.report(!is_quiet);
        self.change_findings(|findings| {
            findings.outranked_events.add(outranked);
            findings.deletions_without_effect.add(deletions);
            findings.nulled_numbers.add(nulled_numbers);
            findings.set_streams(streams);
        });
    }

    /// Changes the findings that are the generation's: the process's own, or the rebuild's.
    pub(super) fn change_findings(&self, change: impl FnOnce(&mut Findings)) {
        match self.is_quiet() {
            true => self.status.change_rebuild_findings(change),
            false => self.status.change_findings(change),
        }
    }

    /// What a projector logs of a generation that readers do not see is said to be of the rebuild.
    pub(super) fn rebuild_span(&self) -> Span {
        tracing::error_span!("rebuild", store = %self.settings.store_path.display())
    }

    /// Keeps a record that could not be understood.
    pub(super) fn keep(&mut self, dead_letter: &DeadLetter) {
        if !self.is_quiet() {
            dead_letters::log(dead_letter, &self.settings.topics);
        }
        self.dead_letters.push(dead_letter.clone());
    }

    pub(super) fn count_load(&self, is_there: bool) {
        if is_there && !self.is_quiet() {
            self.counters.loads.increment(1);
        }
    }
}
