//! What an operator wants counted of the records.

use metrics::{Counter, counter, describe_counter, describe_gauge};

use crate::domain::Topic;
use crate::domain::fold::Effects;

/// Registered once: counting a record must cost next to nothing, and what has happened for the first time must have been 0
/// before, or no increase is seen.
pub struct RecordMetrics {
    records: [Counter; 3],
    dead_letters: Counter,
    pub loads: Counter,
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
            unlinked: counter!("optview_unlinked_events_total"),
            mismatched: counter!("optview_job_link_mismatches_total"),
            irregular: counter!("optview_irregular_transitions_total"),
        }
    }

    /// Records of a topic: how many were understood, and how many were not.
    pub fn count_records(&self, topic: Topic, understood: u64, not_understood: u64) {
        self.records[topic as usize].increment(understood);
        self.dead_letters.increment(not_understood);
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
    describe_counter!("optview_unlinked_events_total", "Events of jobs that no optimization linked yet");
    describe_counter!(
        "optview_job_link_mismatches_total",
        "Events that named another optimization than the one that links their job"
    );
    describe_counter!("optview_irregular_transitions_total", "Statuses that a job should not have taken");
    describe_gauge!("optview_working_set_records", "Optimizations and parked jobs in memory");
    describe_gauge!("optview_working_set_bytes", "What optimizations and parked jobs in memory take, about");
}
