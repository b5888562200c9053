//! The answer of `/status`. Ages are computed from instants at each report, so that they grow also while nothing is written
//! here. Values that are not known are `null`, never 0.

use std::time::Instant;

use serde::Serialize;

use super::credentials::CredentialsReport;
use super::findings::Findings;
use super::kafka::{KNOWN_FOR, KafkaReport, PartitionFreshness, PartitionInstants, STALE_AFTER, seconds};
use super::letter_topic::LetterTopicReport;
use super::missing_history::{self, MissingHistory};
use super::publication::PublicationReport;
use super::rebuild::{RebuildCounts, RebuildReport};
use super::replica::ReplicaReport;
use super::standstill::StageStall;
use super::state::State;
use super::topics::TopicReport;
use crate::version::{COMMIT, VERSION};

/// The state of one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PartitionState {
    /// The partition is read towards the end that it had at the start.
    CatchingUp,
    /// The partition has been read past the end that it had at the start.
    Live,
    /// The partition is not read any further in this generation.
    Frozen,
    /// The partition is not read any further before somebody intervenes; `last_error` has the reason.
    Stopped,
}

/// One partition, as `/status` shows it. `position` and `checkpoint` are the next offsets to be read.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PartitionReport {
    /// The topic's name in the cluster.
    pub topic: String,
    /// The number of the partition within its topic, counted from 0.
    pub partition: i32,
    /// The next offset to be read.
    pub position: i64,
    /// The position of the last checkpoint; `null` until one has been written.
    pub checkpoint: Option<i64>,
    /// The oldest offset that the broker still has; `null` until the broker has answered.
    pub low: Option<i64>,
    /// One past the newest offset, those of open transactions included; `null` until the broker has answered.
    pub high: Option<i64>,
    /// Number of records that can be read and have not been; `null` while the broker has not answered lately.
    pub lag_records: Option<i64>,
    /// The greatest possible age of an unread record, in seconds; 0 if the broker has just answered that there is none.
    pub lag_seconds: Option<f64>,
    /// The stage of the reading: how far the partition is read, and whether it is read on.
    pub state: PartitionState,
    /// The parts that `/status` shows among these about how current the partition is.
    #[serde(flatten)]
    pub freshness: PartitionFreshness,
}

/// The point at which a generation is frozen: it is shown, and cannot be kept up to date.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct FrozenAt {
    /// The fold format that the views were made with.
    pub format: u8,
    /// The fold format of this version.
    pub own_format: u8,
    /// The time at which the generation was last closed, RFC 3339; `null` if a kill left that unknown.
    pub closed_at: Option<String>,
    /// The positions up to which the records had been read by then, at the least.
    pub positions: Vec<ReportedPosition>,
    /// The time at which an operator requested the frozen generation, RFC 3339; absent if another version has folded it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asked_at: Option<String>,
}

/// The position of a partition, as `/status` shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReportedPosition {
    /// The topic's name in the cluster.
    pub topic: String,
    /// The number of the partition within its topic, counted from 0.
    pub partition: i32,
    /// The next offset to be read.
    pub next_offset: i64,
}

/// The answer of `/status`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// The version of the running program, without its commit.
    pub version: &'static str,
    /// The commit that was built; `null` if it is not known.
    pub commit: Option<&'static str>,
    /// The state of the projector as a whole.
    pub state: State,
    /// `events` if the views are made of the topics of events, and `views` if of a topic of views.
    pub reads_from: &'static str,
    /// The number of the generation that the report is about, which is the live one in `/status`.
    pub generation: u64,
    /// Number of optimizations that readers may see.
    pub views: u64,
    /// Number of dead letters in the store: records that could not be decoded.
    pub dead_letters: u64,
    /// Number of dead letters of which only this count is left, since newer ones took their place.
    pub dead_letters_replaced: u64,
    /// The state of the dead letter topic; `null` without `--dead-letter-topic`.
    pub dead_letter_topic: Option<LetterTopicReport>,
    /// The sum over the partitions; `null` if the lag of any is not known.
    pub lag_records: Option<i64>,
    /// The greatest lag of a partition; `null` if the lag of any is not known.
    pub lag_seconds: Option<f64>,
    /// All errors that stand now; never `null` while there is one.
    pub last_error: Option<String>,
    /// The begin of the time for which errors have stood without a break, RFC 3339.
    pub last_error_since: Option<String>,
    /// Facts that an operator should look into, though the views are right.
    pub warnings: Vec<String>,
    /// The cluster's answers; `null` if nothing asks it.
    pub kafka: Option<KafkaReport>,
    /// The moment at which `live` becomes `stale` unless every partition is confirmed before.
    #[serde(skip)]
    pub stale_from: Option<Instant>,
    /// The point at which the generation is frozen; only there if the state is `frozen`, or was before the process stopped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frozen_at: Option<FrozenAt>,
    /// The findings in the records, which `/status` shows among these.
    #[serde(flatten)]
    pub findings: Findings,
    /// The findings from the time at which readers did not see the generation.
    #[serde(skip)]
    pub rebuild_findings: Findings,
    /// The rebuild or rollback that is under way.
    pub rebuild: Option<RebuildReport>,
    /// The records that the views are built without, unless somebody has accepted that.
    pub missing_history: Vec<MissingHistory>,
    /// The stages of the projector that stand still; only there if there are any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub stalled_stages: Vec<StageStall>,
    /// The settings of each topic about the time for which it keeps its records; empty until the cluster was asked.
    pub topics: Vec<TopicReport>,
    /// The files of credentials; empty if access is open.
    pub credentials: Vec<CredentialsReport>,
    /// The publishing of views; `null` if no topic is given.
    pub publication: Option<PublicationReport>,
    /// The topic of views that the views are made of; `null` if they are made of events.
    pub replica: Option<ReplicaReport>,
    /// The partitions that are known, read or not; empty until the source has found one.
    pub partitions: Vec<PartitionReport>,
}

impl Report {
    /// Returns the report of a generation of which nothing is known yet.
    pub(super) fn new(generation: u64) -> Report {
        Report {
            version: VERSION,
            commit: COMMIT,
            state: State::Starting,
            reads_from: "events",
            generation,
            views: 0,
            dead_letters: 0,
            dead_letters_replaced: 0,
            dead_letter_topic: None,
            lag_records: None,
            lag_seconds: None,
            last_error: None,
            last_error_since: None,
            warnings: Vec::new(),
            kafka: None,
            stale_from: None,
            frozen_at: None,
            findings: Findings::default(),
            rebuild_findings: Findings::default(),
            rebuild: None,
            missing_history: Vec::new(),
            stalled_stages: Vec::new(),
            topics: Vec::new(),
            credentials: Vec::new(),
            publication: None,
            replica: None,
            partitions: Vec::new(),
        }
    }

    /// Computes the ages, and the state that follows from them, as of `now`.
    pub fn at(mut self, now: Instant) -> Report {
        self.partitions.iter_mut().for_each(|partition| partition.count_ages(now));
        if let Some(kafka) = &mut self.kafka {
            kafka.count_ages(now);
        }
        let is_any = !self.partitions.is_empty();
        self.lag_records =
            self.partitions.iter().map(|partition| partition.lag_records).sum::<Option<i64>>().filter(|_| is_any);
        self.lag_seconds = match &self.replica {
            // However little is unread of the topic of views, they are as old as their publisher says.
            Some(replica) => replica.as_of_instant.map(|as_of| seconds(now, as_of)),
            None => (self.partitions.iter())
                .try_fold(0.0, |lag: f64, partition| Some(lag.max(partition.lag_seconds?)))
                .filter(|_| is_any),
        };
        let state = self.state_at(now);
        if state != self.state && self.last_error.is_none() {
            self.last_error = Some(format!(
                "for {} s the projector has not confirmed that a partition is read to its end, so the views may be old: see \
                 `confirmed_at` of the partitions",
                STALE_AFTER.as_secs()
            ));
        }
        self.state = state;
        self
    }

    pub(super) fn state_at(&self, now: Instant) -> State {
        let is_stale = self.state == State::Live && self.stale_from.is_some_and(|from| now >= from);
        if is_stale { State::Stale } else { self.state }
    }

    /// Returns the counts of a generation that readers do not see yet.
    pub fn rebuild_counts(&self) -> RebuildCounts {
        let found = &self.rebuild_findings;
        RebuildCounts {
            views: self.views,
            dead_letters: self.dead_letters,
            outranked_events: found.outranked_events.count,
            deletions_without_effect: found.deletions_without_effect.count,
        }
    }

    /// Returns true if records are missing whose absence nobody has accepted.
    pub fn is_incomplete(&self) -> bool {
        !self.missing_history.is_empty()
    }

    /// Describes the missing records and the remedy; `None` if none are missing.
    pub fn missing_history_text(&self) -> Option<String> {
        missing_history::text(&self.missing_history)
    }
}

impl PartitionReport {
    fn count_ages(&mut self, now: Instant) {
        let PartitionInstants { asked, confirmed, oldest_unread, .. } = self.freshness.instants;
        if asked.is_none_or(|at| now.saturating_duration_since(at) > KNOWN_FOR) {
            self.lag_records = None;
        }
        self.freshness.confirmed_seconds_ago = confirmed.map(|at| seconds(now, at));
        self.lag_seconds = match self.lag_records {
            Some(0) if self.state != PartitionState::Frozen => Some(0.0),
            _ => oldest_unread.map(|since| seconds(now, since)),
        };
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::Status;
    use super::*;

    fn after(begin: Instant, seconds: u64) -> Instant {
        begin + Duration::from_secs(seconds)
    }

    fn partition(position: i64, instants: PartitionInstants) -> PartitionReport {
        PartitionReport {
            topic: "jobs".to_owned(),
            partition: 0,
            position,
            checkpoint: None,
            low: Some(0),
            high: Some(9),
            lag_records: Some(9 - position),
            lag_seconds: None,
            state: PartitionState::Live,
            freshness: PartitionFreshness { last_stable: Some(9), instants, ..PartitionFreshness::default() },
        }
    }

    #[test]
    fn ages_grow_while_nobody_writes_and_what_is_not_known_is_null() {
        let begin = Instant::now();
        let instants = PartitionInstants {
            found: Some(begin),
            asked: Some(begin),
            confirmed: Some(begin),
            oldest_unread: Some(begin),
            hidden: None,
        };
        let status = Status::new(1);
        status.set_progress(vec![partition(9, instants)], 0, 0);
        status.set_state(State::Live);
        status.lock().stale_from = Some(begin + STALE_AFTER);
        let at = |seconds| status.report().at(after(begin, seconds));
        let fresh = status.lock().clone().at(after(begin, 10));
        assert_eq!((fresh.lag_records, fresh.lag_seconds, fresh.state), (Some(0), Some(0.0), State::Live));
        let old = at(11);
        assert_eq!((old.lag_records, old.lag_seconds, old.state), (None, Some(11.0), State::Live));
        assert_eq!(old.partitions[0].freshness.confirmed_seconds_ago, Some(11.0));
        assert_eq!((at(29).state, at(29).last_error), (State::Live, None));
        assert_eq!(at(30).state, State::Stale);
        assert!(at(30).last_error.is_some_and(|error| error.contains("for 30 s")));
        let day = at(86_400);
        assert_eq!((day.lag_records, day.lag_seconds), (None, Some(86_400.0)));
    }

    #[test]
    fn the_sum_is_unknown_where_a_part_is() {
        let begin = Instant::now();
        let known = PartitionInstants { asked: Some(begin), ..PartitionInstants::default() };
        let mut report = Status::new(1).report();
        report.partitions = vec![partition(9, known), partition(9, PartitionInstants::default())];
        let report = report.at(begin);
        assert_eq!((report.partitions[0].lag_records, report.partitions[1].lag_records), (Some(0), None));
        assert_eq!((report.lag_records, report.lag_seconds), (None, None));
    }
}
