//! Events with numbers that JSON cannot express (NaN, infinities). The rest of such an event is folded, and readers are shown null
//! for the number.

use std::time::Instant;

use metrics::{Counter, counter, describe_counter};

use super::finding_throttle::FindingThrottle;
use super::ineffective_events::{UnpublishedFindings, event_place};
use crate::domain::{Body, Envelope, Stamp};
use crate::source::TopicNames;
use crate::status::{FindingCounter, NulledNumbers};

/// Counts and logs such numbers, and keeps what is not in the status yet.
pub struct NulledNumberReports {
    topics: TopicNames,
    numbers: Counter,
    log: FindingThrottle,
    new: UnpublishedFindings<NulledEvent>,
}

/// An event with such numbers.
struct NulledEvent {
    id: String,
    kind: &'static str,
    stamp: Stamp,
    numbers: u32,
}

impl NulledNumberReports {
    pub fn new(topics: TopicNames) -> NulledNumberReports {
        describe_counter!(
            "optview_nulled_numbers_total",
            "Numbers of events that are NaN, infinite or too large, and shown as null"
        );
        let numbers = counter!("optview_nulled_numbers_total");
        NulledNumberReports {
            topics,
            numbers,
            log: FindingThrottle::default(),
            new: UnpublishedFindings::default(),
        }
    }

    /// Notes an event that has such numbers. If `is_quiet`, it is neither counted by the metrics nor logged.
    pub fn note(&mut self, envelope: &Envelope<'_>, is_quiet: bool, now: Instant) {
        let numbers = envelope.nulled_numbers;
        let body = &envelope.event.body;
        let id = match body {
            Body::Optimization { optimization_id, .. } => optimization_id,
            Body::Job { job_id, .. } | Body::Run { job_id, .. } => job_id,
        };
        if !is_quiet {
            self.numbers.increment(u64::from(numbers));
            if let Some(left_out) = self.log.is_due(now) {
                tracing::warn!(
                    topic = self.topics.get(envelope.position.topic),
                    partition = envelope.position.partition,
                    offset = envelope.position.offset,
                    kind = body.kind(),
                    ?id,
                    numbers,
                    left_out,
                    "an event has numbers that JSON cannot say (NaN, infinite or too large): they are shown as null, and the rest \
                     as it is"
                );
            }
        }
        let stamp = Stamp::new(&envelope.event.metadata, 0, envelope.position);
        self.new.add(NulledEvent { id: id.to_string(), kind: body.kind(), stamp, numbers });
    }

    /// Takes what was found since the last call.
    pub fn take_news(&mut self) -> FindingCounter<NulledNumbers> {
        self.new.take(|NulledEvent { id, kind, stamp, numbers }| NulledNumbers {
            id,
            event: event_place(&self.topics, Some(kind), &stamp),
            numbers,
        })
    }
}
