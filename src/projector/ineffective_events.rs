//! Events that changed nothing although somebody meant them to: those that lost although they are newer than what they lost to,
//! and deletions of what was not there. The fold follows the contract; such events are counted, logged and shown here.

use std::time::Instant;

use metrics::{Counter, counter, describe_counter};
use strum::VariantNames as _;

use super::finding_throttle::FindingThrottle;
use crate::domain::event::JobChange;
use crate::domain::outranking::explanation;
use crate::domain::{Envelope, OptimizationEvent, Outranking, Stamp, Topic};
use crate::source::TopicNames;
use crate::status::{EmptyDeletion, EventPlace, FindingCounter, OutrankedEvent};

/// Returns the kinds of events that can lose. No deletion can, and no event of a run, as the view shows only the number of runs.
fn kinds_that_can_lose() -> impl Iterator<Item = (Topic, &'static str)> {
    let optimizations = OptimizationEvent::VARIANTS.iter().map(|kind| (Topic::Optimizations, *kind));
    let deleted = (Topic::Optimizations, OptimizationEvent::Deleted.into());
    let jobs = JobChange::VARIANTS.iter().map(|kind| (Topic::Jobs, *kind));
    optimizations.filter(move |kind| *kind != deleted).chain(jobs)
}

/// Counts and logs ineffective events, and keeps those that are not in the status yet.
pub struct IneffectiveEvents {
    topics: TopicNames,
    outranked: Vec<((Topic, &'static str), Counter)>,
    deletions: Counter,
    outranked_log: FindingThrottle,
    deletions_log: FindingThrottle,
    new_outranked: UnpublishedFindings<Outranking>,
    new_deletions: UnpublishedFindings<DeletionEvent>,
}

/// The findings of one kind since the last report. An event costs no lock and no text, as there may be very many.
pub(super) struct UnpublishedFindings<T> {
    count: u64,
    newest: Option<T>,
}

impl<T> Default for UnpublishedFindings<T> {
    fn default() -> UnpublishedFindings<T> {
        UnpublishedFindings { count: 0, newest: None }
    }
}

impl<T> UnpublishedFindings<T> {
    pub fn add(&mut self, newest: T) {
        self.count += 1;
        self.newest = Some(newest);
    }

    /// Takes everything, with the newest in the form that the status shows.
    pub fn take<S>(&mut self, shown: impl FnOnce(T) -> S) -> FindingCounter<S> {
        let UnpublishedFindings { count, newest } = std::mem::take(self);
        FindingCounter { count, newest: newest.map(shown) }
    }
}

/// A deletion that deleted nothing.
struct DeletionEvent {
    id: String,
    event: Stamp,
}

impl IneffectiveEvents {
    pub fn new(topics: TopicNames) -> IneffectiveEvents {
        describe_counter!(
            "optview_outranked_events_total",
            "Events that changed nothing although they are newer than what they lost to, by stream and kind"
        );
        describe_counter!(
            "optview_deletions_without_effect_total",
            "Deletions of optimizations that were not there, by their id"
        );
        let outranked = kinds_that_can_lose().map(|(topic, kind)| {
            let stream = topic.default_name();
            ((topic, kind), counter!("optview_outranked_events_total", "stream" => stream, "kind" => kind))
        });
        IneffectiveEvents {
            topics,
            outranked: outranked.collect(),
            deletions: counter!("optview_deletions_without_effect_total"),
            outranked_log: FindingThrottle::default(),
            deletions_log: FindingThrottle::default(),
            new_outranked: UnpublishedFindings::default(),
            new_deletions: UnpublishedFindings::default(),
        }
    }

    /// Notes an event that lost although it is newer. If `is_quiet`, it is neither counted by the metrics nor logged.
    pub fn note_outranked(&mut self, outranked: Outranking, is_quiet: bool, now: Instant) {
        if !is_quiet {
            self.publish_outranked(&outranked, now);
        }
        self.new_outranked.add(outranked);
    }

    fn publish_outranked(&mut self, outranked: &Outranking, now: Instant) {
        let Outranking { topic, kind, ref id, ref event, ref winner } = *outranked;
        if let Some((_, counter)) = self.outranked.iter().find(|(known, _)| *known == (topic, kind)) {
            counter.increment(1);
        }
        if let Some(left_out) = self.outranked_log.is_due(now) {
            let (topic, partition, offset) = self.place(event);
            let why = explanation(event, winner);
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
    }

    /// Notes a deletion of what was not there. If `is_quiet`, it is neither counted by the metrics nor logged.
    pub fn note_deletion(&mut self, envelope: &Envelope<'_>, id: &str, is_quiet: bool, now: Instant) {
        let event = Stamp::new(&envelope.event.metadata, 0, envelope.position);
        if !is_quiet {
            self.deletions.increment(1);
            if let Some(left_out) = self.deletions_log.is_due(now) {
                let (topic, partition, offset) = self.place(&event);
                tracing::warn!(
                    topic,
                    partition,
                    offset,
                    ?id,
                    hint = hint(id, |_| false),
                    left_out,
                    "a deletion deleted nothing: no optimization has this id"
                );
            }
        }
        self.new_deletions.add(DeletionEvent { id: id.to_owned(), event });
    }

    /// Takes what was found since the last call. `is_known` returns true if there is an optimization of an id.
    pub fn take_news(
        &mut self,
        is_known: impl Fn(&str) -> bool,
    ) -> (FindingCounter<OutrankedEvent>, FindingCounter<EmptyDeletion>) {
        let (mut outranked, mut deletions) =
            (std::mem::take(&mut self.new_outranked), std::mem::take(&mut self.new_deletions));
        let outranked = outranked.take(|Outranking { kind, id, event, winner, .. }| OutrankedEvent {
            why: explanation(&event, &winner),
            id: id.into(),
            event: event_place(&self.topics, Some(kind), &event),
            lost_to: event_place(&self.topics, None, &winner),
        });
        let deletions = deletions.take(|DeletionEvent { id, event }| EmptyDeletion {
            hint: hint(&id, is_known),
            id,
            event: event_place(&self.topics, Some(OptimizationEvent::Deleted.into()), &event),
        });
        (outranked, deletions)
    }

    fn place(&self, event: &Stamp) -> (&str, i32, i64) {
        (self.topics.get(event.source.topic), event.source.partition, event.source.offset)
    }
}

/// Returns an event's place in the form that the status shows.
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

/// Returns a hint for an id that nothing has. `is_known` returns true if there is an optimization of another id.
fn hint(id: &str, is_known: impl Fn(&str) -> bool) -> Option<String> {
    let (oddity, meant) = odd_key(id)?;
    let known = if is_known(meant) { ", which is there, and stays shown" } else { "" };
    Some(format!("{oddity}: the bytes of the id alone are wanted, {meant:?}{known}"))
}

/// Returns what is odd about a key, and the id that was meant. Producers write keys as JSON, with a line's end, or behind the
/// header of a schema registry.
fn odd_key(id: &str) -> Option<(&'static str, &str)> {
    if let Some(framed) = id.strip_prefix('\0').and_then(|rest| rest.get(4..)) {
        Some(("the key is framed with the 5 bytes of a schema registry", framed))
    } else if let Some(quoted) = id.trim().strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        Some(("the key is in quotes", quoted))
    } else if id.trim() != id {
        Some(("the key has a line break or a space at an end", id.trim()))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hint_names_what_is_odd_about_a_key() {
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
