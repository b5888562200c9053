//! What an operator wants counted of the records.

use metrics::{Counter, counter};

use crate::domain::Topic;
use crate::domain::fold::Effects;

/// Registered once: counting a record must cost next to nothing.
pub struct Counters {
    records: [Counter; 3],
    pub dead_letters: Counter,
    pub loads: Counter,
    unlinked: Counter,
    mismatched: Counter,
    irregular: Counter,
}

impl Counters {
    pub fn new() -> Counters {
        Counters {
            records: Topic::ALL.map(|topic| counter!("optview_records_total", "topic" => topic.default_name())),
            dead_letters: counter!("optview_dead_letters_total"),
            loads: counter!("optview_store_loads_total"),
            unlinked: counter!("optview_unlinked_events_total"),
            mismatched: counter!("optview_job_link_mismatches_total"),
            irregular: counter!("optview_irregular_transitions_total"),
        }
    }

    /// Records that were understood.
    pub fn count_records(&self, topic: Topic, records: u64) {
        self.records[topic as usize].increment(records);
    }

    pub fn count_effects(&self, effects: Effects) {
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
