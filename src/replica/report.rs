//! The judgement of a replica, and its report: how old its views are by the marks, and what keeps them from being younger.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use metrics::{counter, describe_counter, describe_gauge, gauge};

use super::intake::Intake;
use super::moment::{ReplicaMoment, text_of_millis};
use super::note::ReplicaNote;
use crate::source::Watermarks;
use crate::status::{
    Judgement, KafkaReport, PartitionFreshness, PartitionInstants, PartitionReport, PartitionState, ReplicaReport,
    STALE_AFTER, State, Status, UnreadableView,
};

/// The most records that could not be read and are named.
const NAMED: usize = 20;

/// Describes the metrics.
pub fn describe() {
    describe_counter!(
        "optview_replica_unreadable_records_total",
        "Records of the topic of views that a replica could not show"
    );
    describe_gauge!(
        "optview_replica_unreadable_views",
        "Number of ids whose last record on the topic of views could not be shown"
    );
    describe_counter!("optview_replica_records_total", "Records of the topic of views that a replica has read");
}

/// An error with the time since which it stands, RFC 3339.
type StandingText = (String, String);

/// The knowledge that a replica has of the cluster and of itself, beside its note.
pub struct Health {
    asked_since: Instant,
    last_answer: Option<Instant>,
    cluster_error: Option<StandingText>,
    /// Number of times that the reading client was replaced because it heard nothing any more.
    renewals: u64,
    /// The time of the last such replacement, RFC 3339.
    last_renewal_at: Option<String>,
    read_error: Option<StandingText>,
    /// The reason for which nothing is read at the moment, though it could be.
    pub rest: Option<String>,
    /// The reason for which nothing can be read on.
    pub stall: Option<String>,
    /// The last text that was logged.
    logged: Option<String>,
    found: Instant,
    unreadable_since: Option<String>,
}

/// The parts of a replica that a report shows.
pub struct ReportedReplica<'a> {
    pub note: &'a ReplicaNote,
    /// The time as of which readers see the views, in milliseconds since 1970; `None` if it is not known.
    pub as_of_millis: Option<i64>,
    /// The last moment of which it is known that all of the topic was read; `None` if there is none.
    pub complete_as_of: Option<Instant>,
    pub bounds: &'a BTreeMap<i32, Watermarks>,
    /// The partitions that have been read to their end.
    pub ended: &'a BTreeSet<i32>,
    /// The moments at which the cluster last answered that a partition has no more.
    pub confirmed: &'a BTreeMap<i32, Instant>,
    /// The next offset of each partition in the last note that is on the disk.
    pub on_disk: &'a BTreeMap<i32, i64>,
    /// Number of optimizations that readers may see.
    pub views: u64,
    /// True once the topic has been found.
    pub has_begun: bool,
    pub has_caught_up: bool,
    pub was_live: bool,
}

impl Health {
    pub fn new(now: ReplicaMoment) -> Health {
        Health {
            asked_since: now.instant,
            last_answer: None,
            cluster_error: None,
            renewals: 0,
            last_renewal_at: None,
            read_error: None,
            rest: None,
            stall: None,
            logged: None,
            found: now.instant,
            unreadable_since: None,
        }
    }

    pub fn set_cluster_answered(&mut self, now: ReplicaMoment) {
        self.last_answer = Some(now.instant);
        self.cluster_error = None;
    }

    pub fn set_cluster_error(&mut self, text: &str, now: ReplicaMoment) {
        stand(&mut self.cluster_error, text, now);
    }

    /// Takes note that the reading client is replaced because it hears nothing any more.
    pub fn count_renewal(&mut self, now: ReplicaMoment) {
        tracing::warn!("nothing comes of the topic of views though it has more: it is read by a new client");
        (self.renewals, self.last_renewal_at) = (self.renewals + 1, Some(text_of_millis(now.millis)));
    }

    pub fn set_read_error(&mut self, text: &str, now: ReplicaMoment) {
        stand(&mut self.read_error, text, now);
    }

    pub fn clear_read_error(&mut self) {
        self.read_error = None;
    }

    /// Counts what was read.
    pub fn count(&self, intake: &Intake) {
        counter!("optview_replica_records_total").increment(intake.records);
        counter!("optview_replica_unreadable_records_total").increment(intake.unreadable);
    }

    /// Writes the report. Returns true if the replica is live.
    pub fn report(&mut self, now: ReplicaMoment, status: &Status, replica: ReportedReplica<'_>) -> bool {
        let note = replica.note;
        let as_of = replica.as_of_millis;
        let as_of_instant = as_of.and_then(|millis| instant_of(millis, now));
        // Whoever has not heard of the end of the topic for so long may have missed something of it.
        let known = as_of_instant.and_then(|as_of| Some(as_of.min(replica.complete_as_of?)));
        let stale_from = known.map(|known| known + STALE_AFTER);
        let is_old = stale_from.is_none_or(|from| now.instant >= from);
        let state = match (&self.stall, replica.has_begun, replica.has_caught_up) {
            (Some(_), _, _) => State::Stalled,
            (None, false, _) if replica.was_live => State::Stale,
            (None, false, _) => State::Starting,
            (None, true, false) => State::CatchingUp,
            (None, true, true) if is_old || note.unreadable_count() > 0 => State::Stale,
            (None, true, true) => State::Live,
        };
        status.set_progress(self.partitions(now, &replica), replica.views, 0);
        let oldest = note.marks.oldest();
        status.set_replica(ReplicaReport {
            topic: note.topic.clone(),
            partitions: note.partitions,
            marked_at: oldest.map(|held| held.mark.written_at.clone()),
            marked_positions: oldest.map(|held| held.mark.positions.clone()),
            version: oldest.map(|held| held.mark.version),
            publisher: oldest.map(|held| held.publisher.clone()),
            as_of: as_of.map(text_of_millis),
            unreadable_views: note.unreadable_count(),
            unreadable: named(note),
            as_of_instant,
        });
        gauge!("optview_replica_unreadable_views").set(note.unreadable_count() as f64);
        let error = self.error(now, note, as_of, replica.has_caught_up && is_old);
        self.log(&error);
        status.judge(Judgement {
            state,
            error,
            warnings: Vec::new(),
            kafka: KafkaReport {
                cluster_id: note.cluster_id.clone(),
                renewals: self.renewals,
                last_renewal_at: self.last_renewal_at.clone(),
                error: self.cluster_error.as_ref().map(|(text, _)| text.clone()),
                error_since: self.cluster_error.as_ref().map(|(_, since)| since.clone()),
                last_answer: self.last_answer,
                ..KafkaReport::unanswered(self.asked_since)
            },
            stale_from: stale_from.filter(|_| state == State::Live),
        });
        state == State::Live
    }

    fn partitions(&self, now: ReplicaMoment, replica: &ReportedReplica<'_>) -> Vec<PartitionReport> {
        let note = replica.note;
        note.next.iter().map(|(partition, next)| self.partition(now, replica, *partition, *next)).collect()
    }

    fn partition(
        &self,
        now: ReplicaMoment,
        replica: &ReportedReplica<'_>,
        partition: i32,
        next: i64,
    ) -> PartitionReport {
        let note = replica.note;
        let bounds = replica.bounds.get(&partition);
        let confirmed = replica.confirmed.get(&partition).copied();
        // What lies behind the last record may be markers of transactions.
        let missing = match replica.ended.contains(&partition) {
            true => Some(0),
            false => bounds.map(|bounds| (bounds.high - next).max(0)),
        };
        PartitionReport {
            topic: note.topic.clone(),
            partition,
            position: next,
            checkpoint: replica.on_disk.get(&partition).copied(),
            low: bounds.map(|bounds| bounds.low),
            high: bounds.map(|bounds| bounds.high),
            lag_records: missing,
            lag_seconds: None,
            state: if missing == Some(0) { PartitionState::Live } else { PartitionState::CatchingUp },
            freshness: PartitionFreshness {
                instants: PartitionInstants {
                    found: Some(self.found),
                    asked: self.last_answer,
                    confirmed,
                    oldest_unread: replica.as_of_millis.and_then(|millis| instant_of(millis, now)),
                    ..PartitionInstants::default()
                },
                // The bounds end before what a transaction hides.
                last_stable: bounds.map(|bounds| bounds.high),
                confirmed_at: confirmed.map(|at| text_of_instant(at, now)),
                ..PartitionFreshness::default()
            },
        }
    }

    /// Returns all that keeps the views from being current, with the time since which something does.
    fn error(
        &mut self,
        now: ReplicaMoment,
        note: &ReplicaNote,
        as_of: Option<i64>,
        is_old: bool,
    ) -> Option<StandingText> {
        let mut texts: Vec<StandingText> = Vec::new();
        if let Some(text) = self.stall.as_ref().or(self.rest.as_ref()) {
            texts.push((text.clone(), text_of_millis(now.millis)));
        }
        texts.extend(self.cluster_error.clone().or_else(|| self.read_error.clone()));
        if is_old {
            let since = as_of.map_or_else(|| text_of_millis(now.millis), text_of_millis);
            let text = match as_of {
                Some(as_of) => format!(
                    "the marks of the topic {} cover what the topics of events held at {}: its publisher is dead, behind, or cut off",
                    note.topic,
                    text_of_millis(as_of)
                ),
                None => format!(
                    "the marks of the topic {} do not say how old the views are: its publisher has only begun, or does not know",
                    note.topic
                ),
            };
            texts.push((text, since));
        }
        let missing = note.marks.missing(note.partitions);
        if !missing.is_empty() && !note.next.is_empty() {
            let text = format!(
                "there is no mark in the partitions {missing:?} of the topic {}, so that nobody publishes there: if partitions were added, \
                 restart the instance that publishes",
                note.topic
            );
            texts.push((text, text_of_millis(now.millis)));
        }
        texts.extend(self.unreadable_text(now, note));
        let since = texts.iter().map(|(_, since)| since.clone()).min()?;
        Some((texts.into_iter().map(|(text, _)| text).collect::<Vec<_>>().join("; besides: "), since))
    }

    fn unreadable_text(&mut self, now: ReplicaMoment, note: &ReplicaNote) -> Option<StandingText> {
        if note.unreadable_count() == 0 {
            self.unreadable_since = None;
            return None;
        }
        let since = self.unreadable_since.get_or_insert_with(|| text_of_millis(now.millis)).clone();
        let (id, first) = note.unreadable.iter().next()?;
        let text = format!(
            "{} records of the topic {} cannot be shown, so that the views of their ids are as they were before. The first: `{id}`, \
             partition {} at {}: {}",
            note.unreadable_count(),
            note.topic,
            first.partition,
            first.offset,
            first.reason
        );
        Some((text, since))
    }

    fn log(&mut self, error: &Option<StandingText>) {
        let text = error.as_ref().map(|(text, _)| text);
        if text == self.logged.as_ref() {
            return;
        }
        match text {
            Some(text) => tracing::warn!("{text}"),
            None => tracing::info!("the views are up to date with their topic"),
        }
        self.logged = text.cloned();
    }
}

fn stand(place: &mut Option<StandingText>, text: &str, now: ReplicaMoment) {
    let since = place.take().map_or_else(|| text_of_millis(now.millis), |(_, since)| since);
    *place = Some((text.to_owned(), since));
}

fn named(note: &ReplicaNote) -> Vec<UnreadableView> {
    let first = note.unreadable.iter().take(NAMED);
    first
        .map(|(id, record)| UnreadableView {
            id: id.clone(),
            partition: record.partition,
            offset: record.offset,
            reason: record.reason.clone(),
        })
        .collect()
}

/// Returns the time of a moment as a text, RFC 3339.
fn text_of_instant(instant: Instant, now: ReplicaMoment) -> String {
    let age = now.instant.saturating_duration_since(instant).as_millis();
    text_of_millis(now.millis.saturating_sub(i64::try_from(age).unwrap_or(i64::MAX)))
}

/// Returns the moment of a time; `None` if this machine's clock does not go back so far. One that is to come, as where the publisher's clock
/// is ahead, counts as now.
fn instant_of(millis: i64, now: ReplicaMoment) -> Option<Instant> {
    let age = Duration::from_millis(u64::try_from(now.millis.saturating_sub(millis)).unwrap_or(0));
    now.instant.checked_sub(age)
}
