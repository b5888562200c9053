//! Reports events with numbers that JSON cannot say (NaN, infinities): the rest of such an event is folded, and readers are shown
//! null for the number.

use std::time::Instant;

use metrics::{Counter, counter, describe_counter};

use super::log_throttle::LogThrottle;
use super::losers::event_place;
use crate::domain::{Body, Envelope, Stamp};
use crate::source::TopicNames;
use crate::status::{NulledNumbers, Status};

pub struct NulledNumberReports {
    status: Status,
    topics: TopicNames,
    numbers: Counter,
    log: LogThrottle,
}

impl NulledNumberReports {
    pub fn new(status: Status, topics: TopicNames) -> NulledNumberReports {
        describe_counter!(
            "optview_nulled_numbers_total",
            "Numbers of events that are NaN, infinite or too large, and shown as null"
        );
        let numbers = counter!("optview_nulled_numbers_total");
        NulledNumberReports { status, topics, numbers, log: LogThrottle::default() }
    }

    pub fn report(&mut self, envelope: &Envelope<'_>, now: Instant) {
        let numbers = envelope.nulled_numbers;
        self.numbers.increment(u64::from(numbers));
        let body = &envelope.event.body;
        let id = match body {
            Body::Optimization { optimization_id, .. } => optimization_id,
            Body::Job { job_id, .. } | Body::Run { job_id, .. } => job_id,
        };
        let stamp = Stamp::new(&envelope.event.metadata, 0, envelope.position);
        if let Some(left_out) = self.log.is_due(now) {
            tracing::warn!(
                topic = self.topics.get(envelope.position.topic),
                partition = envelope.position.partition,
                offset = envelope.position.offset,
                kind = body.kind(),
                ?id,
                numbers,
                left_out,
                "an event has numbers that JSON cannot say (NaN, infinite or too large): they are shown as null, and the rest as \
                 it is"
            );
        }
        let event = event_place(&self.topics, Some(body.kind()), &stamp);
        let newest = NulledNumbers { id: id.to_string(), event, numbers };
        self.status.change_findings(|findings| findings.nulled_numbers.add(newest));
    }
}
