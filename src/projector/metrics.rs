//! The counters of what the projector reads, loads and writes.

use metrics::{Counter, counter, describe_counter, describe_gauge};

use crate::domain::Topic;
use crate::domain::fold::Effects;

/// Handles of the counters, registered once: counting a record must cost next to nothing, and a counter must have been 0 before
/// it is 1, or Prometheus sees no increase.
pub struct RecordMetrics {
    records: [Counter; 3],
    dead_letters: Counter,
    loads: Counter,
    writes: Counter,
    unlinked: Counter,
    mismatched: Counter,
    irregular: Counter,
}

impl RecordMetrics {
    pub fn new() -> RecordMetrics {
        describe();
        RecordMetrics {
            records: Topic::ALL.map(|topic| counter!("optview_records_total", "topic" => topic.default_name())),
            dead_letters: counter!("optview_dead_letters_total"),
            loads: counter!("optview_store_loads_total"),
            writes: counter!("optview_store_writes_total"),
            unlinked: counter!("optview_unlinked_events_total"),
            mismatched: counter!("optview_job_link_mismatches_total"),
            irregular: counter!("optview_irregular_transitions_total"),
        }
    }

    /// Counts records of a topic: the number that were understood, and the number that were not.
    pub fn count_records(&self, topic: Topic, understood: u64, not_understood: u64) {
        self.records[topic as usize].increment(understood);
        self.dead_letters.increment(not_understood);
    }

    /// Counts records of the store: the number that were taken into memory, and the number that were written.
    pub fn count_store_records(&self, loads: u64, writes: u64) {
        self.loads.increment(loads);
        self.writes.increment(writes);
    }

    pub fn count_effects(&self, effects: &Effects) {
        for (counter, happened) in [
            (&self.unlinked, effects.unlinked),
            (&self.mismatched, effects.mismatched),
            (&self.irregular, effects.irregular),
        ] {
            if happened {
                counter.increment(1);
            }
        }
    }
}

fn describe() {
    describe_counter!("optview_records_total", "Records understood and folded, by topic");
    describe_counter!(
        "optview_dead_letters_total",
        "Records that could not be understood, each time they are read"
    );
    describe_counter!("optview_store_loads_total", "Records of the store taken into memory");
    describe_counter!("optview_store_writes_total", "Optimizations and parked jobs written to the store");
    describe_counter!("optview_unlinked_events_total", "Events of jobs that no optimization linked yet");
    describe_counter!(
        "optview_job_link_mismatches_total",
        "Events that named another optimization than the one that links their job"
    );
    describe_counter!("optview_irregular_transitions_total", "Statuses that a job should not have taken");
    describe_gauge!("optview_working_set_records", "Optimizations and parked jobs in memory");
    describe_gauge!("optview_working_set_bytes", "What optimizations and parked jobs in memory take, about");
}
