//! Tells of events that changed nothing where somebody meant them to: those that lost although they are newer than what they
//! lost to, and deletions of what was not there. The fold follows the contract; here is what is counted, logged and shown of
//! it.

use std::time::Instant;

use metrics::{Counter, counter, describe_counter};

use super::log_throttle::LogThrottle;
use crate::domain::outranked::why;
use crate::domain::{Envelope, Outranked, Stamp, Topic};
use crate::source::TopicNames;
use crate::status::{EmptyDeletion, EventPlace, OutrankedEvent, Status};

/// The kinds of events that can lose. Of runs the view shows only how many there are, so that none of their events can.
const KINDS: [(Topic, &str); 10] = [
    (Topic::Optimizations, "created"),
    (Topic::Optimizations, "details_changed"),
    (Topic::Optimizations, "display_names_changed"),
    (Topic::Optimizations, "job_linked"),
    (Topic::Jobs, "pending"),
    (Topic::Jobs, "processing"),
    (Topic::Jobs, "waiting"),
    (Topic::Jobs, "completed"),
    (Topic::Jobs, "failed"),
    (Topic::Jobs, "canceled"),
];

pub struct Losers {
    status: Status,
    topics: TopicNames,
    outranked: [Counter; KINDS.len()],
    deletions: Counter,
    outranked_log: LogThrottle,
    deletions_log: LogThrottle,
}

impl Losers {
    pub fn new(status: Status, topics: TopicNames) -> Losers {
        describe_counter!(
            "optview_outranked_events_total",
            "Events that changed nothing although they are newer than what they lost to, by stream and kind"
        );
        describe_counter!(
            "optview_deletions_without_effect_total",
            "Deletions of optimizations that were not there, by their id"
        );
        let outranked = KINDS.map(|(topic, kind)| {
            counter!("optview_outranked_events_total", "stream" => topic.default_name(), "kind" => kind)
        });
        Losers {
            status,
            topics,
            outranked,
            deletions: counter!("optview_deletions_without_effect_total"),
            outranked_log: LogThrottle::default(),
            deletions_log: LogThrottle::default(),
        }
    }

    pub fn report_outranked(&mut self, outranked: &Outranked, now: Instant) {
        let Outranked { topic, kind, ref id, ref event, ref winner } = *outranked;
        if let Some(at) = KINDS.iter().position(|known| *known == (topic, kind)) {
            self.outranked[at].increment(1);
        }
        let why = why(event, winner);
        if let Some(left_out) = self.outranked_log.is_due(now) {
            let (topic, partition, offset) = self.place(event);
            tracing::warn!(
                topic,
                partition,
                offset,
                kind,
                id = &**id,
                why,
                left_out,
                "an event changed nothing although it is newer than what it lost to: the view stays as it is until the \
                 producer is mended"
            );
        }
        let newest = OutrankedEvent {
            id: id.to_string(),
            event: event_place(&self.topics, Some(kind), event),
            lost_to: event_place(&self.topics, None, winner),
            why,
        };
        self.status.change_findings(|findings| findings.outranked_events.add(newest));
    }

    /// Reports a deletion of what was not there. `is_known` says whether there is an optimization of another id.
    pub fn report_deletion(
        &mut self,
        envelope: &Envelope<'_>,
        id: &str,
        is_known: impl Fn(&str) -> bool,
        now: Instant,
    ) {
        self.deletions.increment(1);
        let hint = hint(id, is_known);
        let event = Stamp::new(&envelope.event.metadata, 0, envelope.position);
        if let Some(left_out) = self.deletions_log.is_due(now) {
            let (topic, partition, offset) = self.place(&event);
            tracing::warn!(
                topic,
                partition,
                offset,
                ?id,
                hint,
                left_out,
                "a deletion deleted nothing: no optimization has this id"
            );
        }
        let newest =
            EmptyDeletion { id: id.to_owned(), event: event_place(&self.topics, Some("deleted"), &event), hint };
        self.status.change_findings(|findings| findings.deletions_without_effect.add(newest));
    }

    fn place(&self, event: &Stamp) -> (&str, i32, i64) {
        (self.topics.get(event.source.topic), event.source.partition, event.source.offset)
    }
}

/// An event as the status shows it.
pub(super) fn event_place(topics: &TopicNames, kind: Option<&'static str>, event: &Stamp) -> EventPlace {
    let position = event.source;
    EventPlace {
        kind,
        topic: topics.get(position.topic).to_owned(),
        partition: position.partition,
        offset: position.offset,
        occurred_at: event.version.occurred_at.to_string(),
        event_id: Some(&*event.version.event_id).filter(|id| !id.is_empty()).map(str::to_owned),
        sequence: event.version.sequence,
    }
}

/// What is odd about an id that nothing has, as producers write keys: as JSON, with a line's end, or behind the header of a
/// schema registry.
fn hint(id: &str, is_known: impl Fn(&str) -> bool) -> Option<String> {
    let (what, meant) = if let Some(framed) = id.strip_prefix('\0').and_then(|rest| rest.get(4..)) {
        ("the key is framed with the 5 bytes of a schema registry", framed)
    } else if let Some(quoted) = id.trim().strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        ("the key is in quotes", quoted)
    } else if id.trim() != id {
        ("the key has a line break or a space at an end", id.trim())
    } else {
        return None;
    };
    let known = if is_known(meant) { ", which is there, and stays shown" } else { "" };
    Some(format!("{what}: the bytes of the id alone are wanted, {meant:?}{known}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_odd_about_a_key_is_said() {
        let hinted = |id: &str| hint(id, |id| id == "o1");
        for (id, expected) in [
            ("\"o1\"", "in quotes: the bytes of the id alone are wanted, \"o1\", which is there, and stays shown"),
            (
                "\"o1\"\n",
                "in quotes: the bytes of the id alone are wanted, \"o1\", which is there, and stays shown",
            ),
            (
                "o1\r\n",
                "line break or a space at an end: the bytes of the id alone are wanted, \"o1\", which is there",
            ),
            (
                "\0\0\0\0\u{1}o1",
                "5 bytes of a schema registry: the bytes of the id alone are wanted, \"o1\", which is there",
            ),
            (" o2", "line break or a space at an end: the bytes of the id alone are wanted, \"o2\""),
        ] {
            let hint = hinted(id).expect("it is odd");
            assert!(hint.contains(expected), "{id:?}: {hint}");
        }
        for id in ["o2", "\0o", "\""] {
            assert_eq!(hinted(id), None, "{id:?}");
        }
    }
}
