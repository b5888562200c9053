//! The health of each partition: it is known to be read to its end by the cluster's own word only. That nothing more has come is
//! believed only if the cluster was asked and answered so: a consumer that hears nothing proves nothing. Judges by what it is
//! given and by the time it is given, and asks nobody.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};

use super::moment::{Moment, shown};
use crate::domain::TopicPartition;
use crate::source::{ClusterHealth, PartitionObservation, StandingError, StopReason, TopicId};
use crate::status::{KNOWN_FOR, KafkaReport, PartitionFreshness, PartitionInstants, STALE_AFTER};

/// The most observations of one partition that wait until the end that they give has been read. Beyond that, every other one is
/// dropped.
const OBSERVATIONS_MAX: usize = 256;

/// The progress of the projector on one partition.
#[derive(Clone, Copy, Debug)]
pub struct PartitionReading<'a> {
    pub partition: TopicPartition,
    /// The next offset to be read.
    pub position: i64,
    /// The timestamp of the last record read, in milliseconds since 1970.
    pub time: Option<i64>,
    pub stopped: Option<&'a StopReason>,
}

/// The reason for which a partition that is read is not known to be read to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Doubt {
    /// The cluster has never answered where the partition ends.
    NeverAnswered,
    /// The cluster has not answered lately.
    NoAnswer,
    /// The partition has more than has been read, and nothing of it comes.
    StandsStill,
    /// The partition has more than has been read, and it comes too slowly.
    TooSlow,
    /// The partition ends before what has been read of it.
    Shorter,
    /// The cluster has another topic of the same name.
    OtherTopic,
}

/// Everything that is known of the partitions' and the cluster's health.
pub struct Health {
    tracks: BTreeMap<TopicPartition, PartitionTrack>,
    asked_since: Instant,
    live_since: Option<Instant>,
    pub cluster: ClusterHealth,
}

impl Health {
    pub fn new(now: Instant) -> Health {
        Health { tracks: BTreeMap::new(), asked_since: now, live_since: None, cluster: ClusterHealth::default() }
    }

    /// Takes in the cluster's health. From the first call with `is_live`, partitions have to be confirmed.
    pub fn observe_cluster(&mut self, moment: Moment, cluster: ClusterHealth, is_live: bool) {
        self.cluster = cluster;
        self.live_since = is_live.then(|| self.live_since.unwrap_or(moment.instant));
    }

    /// Takes in how far a partition has been read, and the cluster's last answer about it.
    pub fn observe(
        &mut self,
        moment: Moment,
        reading: PartitionReading<'_>,
        observation: Option<PartitionObservation>,
        error: Option<StandingError>,
    ) {
        let track = self.tracks.entry(reading.partition);
        let track = track.or_insert_with(|| PartitionTrack::new(moment.instant, reading.position));
        track.take_reading(moment, reading);
        track.take_error(moment, error);
        if let Some(observation) = observation {
            track.take_observation(observation);
        }
        if reading.stopped.is_none() {
            track.confirm();
        }
    }

    /// Returns what `/status` shows of a partition's freshness.
    pub fn freshness(&self, moment: Moment, partition: TopicPartition) -> PartitionFreshness {
        self.tracks.get(&partition).map_or_else(PartitionFreshness::default, |track| track.freshness(moment))
    }

    /// Returns the low watermark and the true high one of the cluster's last answer.
    pub fn bounds(&self, partition: TopicPartition) -> Option<(i64, i64)> {
        self.tracks.get(&partition)?.latest.map(|latest| (latest.low, latest.high))
    }

    /// Number of records that can be read and have not been, by the cluster's last answer. `None` if that answer proves nothing.
    pub fn lag_records(&self, partition: TopicPartition) -> Option<i64> {
        self.tracks.get(&partition)?.lag_records()
    }

    /// Returns what `/status` shows of the cluster.
    pub fn kafka(&self) -> KafkaReport {
        let ClusterHealth { last_answer, error, renewals, last_renewal } = &self.cluster;
        KafkaReport {
            error: error.as_ref().map(|error| error.text.clone()),
            error_code: error.as_ref().map(|error| error.code.clone()),
            error_since: error.as_ref().map(|error| shown(error.since)),
            renewals: *renewals,
            last_renewal_at: last_renewal.map(shown),
            last_answer: *last_answer,
            ..KafkaReport::unanswered(self.asked_since)
        }
    }

    /// Every error of a partition that stands, in the partitions' order.
    pub fn errors(&self) -> impl Iterator<Item = (TopicPartition, &StandingError)> {
        self.tracks
            .iter()
            .filter(|(_, track)| track.stopped.is_none())
            .filter_map(|(key, track)| track.error.as_ref().map(|(error, _)| (*key, error)))
    }

    /// The instant at which the first partition becomes stale unless it is confirmed until then. `None` before all is live.
    pub fn stale_from(&self) -> Option<Instant> {
        let live_since = self.live_since?;
        let tracks = self.tracks.values().filter(|track| track.stopped.is_none());
        tracks.map(|track| track.stale_from(live_since)).min()
    }

    /// The partitions whose views may be old, each with the reason and since when.
    pub fn doubts(&self, moment: Moment) -> Vec<(TopicPartition, Doubt, Instant)> {
        let Some(live_since) = self.live_since else { return Vec::new() };
        let read = self.tracks.iter().filter(|(_, track)| track.stopped.is_none());
        read.filter_map(|(key, track)| {
            let since = track.counts_from(live_since);
            let is_old = moment.instant.saturating_duration_since(since) >= STALE_AFTER;
            is_old.then(|| (*key, track.doubt(moment.instant), track.confirmed.unwrap_or(since)))
        })
        .collect()
    }

    /// The partitions of which one open transaction has hidden records for long, each with the number of records and since when.
    pub fn hidden(&self, moment: Moment) -> Vec<(TopicPartition, i64, Instant)> {
        let long = |since: Instant| moment.instant.saturating_duration_since(since) >= STALE_AFTER;
        self.tracks
            .iter()
            .filter_map(|(key, track)| {
                let hidden = track.hidden?;
                long(hidden.since).then_some((*key, hidden.records, hidden.since))
            })
            .collect()
    }
}

/// One partition's progress, and the cluster's answers about it.
struct PartitionTrack {
    found: Instant,
    position: i64,
    /// The instant at which the position was first seen.
    moved: Instant,
    /// The timestamp of the last record read.
    time: Option<i64>,
    stopped: Option<(StopReason, DateTime<Utc>)>,
    /// The id of the topic that is read, which is the first that the cluster gave.
    topic_id: Option<TopicId>,
    latest: Option<PartitionObservation>,
    /// The observations whose end has not been read yet, the oldest first.
    ahead: VecDeque<PartitionObservation>,
    confirmed: Option<Instant>,
    hidden: Option<HiddenRecords>,
    /// The error that stands, with the instant at which it was first seen here.
    error: Option<(StandingError, Instant)>,
}

/// The records behind a transaction that is open.
#[derive(Clone, Copy)]
struct HiddenRecords {
    last_stable: i64,
    records: i64,
    since: Instant,
}

impl PartitionTrack {
    fn new(now: Instant, position: i64) -> PartitionTrack {
        PartitionTrack {
            found: now,
            position,
            moved: now,
            time: None,
            stopped: None,
            topic_id: None,
            latest: None,
            ahead: VecDeque::new(),
            confirmed: None,
            hidden: None,
            error: None,
        }
    }

    fn take_reading(&mut self, moment: Moment, reading: PartitionReading<'_>) {
        if reading.position != self.position {
            (self.position, self.moved) = (reading.position, moment.instant);
        }
        self.time = reading.time.or(self.time);
        self.stopped = reading.stopped.map(|reason| match self.stopped.take() {
            Some((_, since)) => (reason.clone(), since),
            None => (reason.clone(), moment.wall),
        });
    }

    fn take_error(&mut self, moment: Moment, error: Option<StandingError>) {
        self.error = error.map(|error| {
            let seen = self.error.take().map_or(moment.instant, |(_, seen)| seen);
            (error, seen)
        });
    }

    fn take_observation(&mut self, observation: PartitionObservation) {
        if self.latest.is_some_and(|latest| latest.asked_at >= observation.asked_at) {
            return;
        }
        self.topic_id = self.topic_id.or(observation.topic_id);
        self.hidden = self.latest.and_then(|before| self.still_hidden(before, observation));
        self.latest = Some(observation);
        self.ahead.push_back(observation);
        if self.ahead.len() > OBSERVATIONS_MAX {
            let mut at = 0;
            self.ahead.retain(|_| {
                at += 1;
                at % 2 == 1
            });
        }
    }

    /// Returns the records that were there when the cluster was asked before, and cannot be read now. The two ends of one
    /// observation are asked for one after the other, so what comes between the two questions would look hidden.
    fn still_hidden(&self, before: PartitionObservation, now: PartitionObservation) -> Option<HiddenRecords> {
        let records = before.high.min(now.high) - now.last_stable;
        // If the last stable offset moves, another transaction is open.
        let is_same = |hidden: &HiddenRecords| hidden.last_stable == now.last_stable;
        let since = self.hidden.filter(is_same).map_or(now.asked_at, |hidden| hidden.since);
        (records > 0).then_some(HiddenRecords { last_stable: now.last_stable, records, since })
    }

    /// Confirms the partition by the latest observation of which everything has been read.
    fn confirm(&mut self) {
        let reached = self.ahead.iter().filter(|observation| self.is_reached(observation));
        let Some(confirmed) = reached.map(|observation| observation.asked_at).max() else { return };
        self.ahead.retain(|observation| observation.asked_at > confirmed);
        self.confirmed = self.confirmed.max(Some(confirmed));
    }

    /// Returns true if the partition was read to the end that an observation gives. An end before the position is no confirmation
    /// if it was asked for after the position had been read: the topic has lost something, or is another.
    fn is_reached(&self, observation: &PartitionObservation) -> bool {
        let PartitionObservation { last_stable, asked_at, .. } = *observation;
        let is_there = last_stable == self.position || last_stable < self.position && asked_at <= self.moved;
        is_there && self.is_same_topic(observation)
    }

    fn is_same_topic(&self, observation: &PartitionObservation) -> bool {
        observation.topic_id.is_none() || observation.topic_id == self.topic_id
    }

    fn lag_records(&self) -> Option<i64> {
        let latest = self.latest.filter(|latest| self.is_same_topic(latest))?;
        let lag = latest.last_stable - self.position;
        // What lies before the position of a stopped partition may be another topic's.
        let is_strange = lag <= 0 && self.stopped.is_some() || lag < 0 && latest.asked_at > self.moved;
        (!is_strange).then_some(lag.max(0))
    }

    fn doubt(&self, now: Instant) -> Doubt {
        let is_old = |at: Instant, limit: Duration| now.saturating_duration_since(at) > limit;
        match self.latest {
            None => Doubt::NeverAnswered,
            Some(latest) if is_old(latest.asked_at, KNOWN_FOR) => Doubt::NoAnswer,
            Some(latest) if !self.is_same_topic(&latest) => Doubt::OtherTopic,
            Some(latest) if latest.last_stable < self.position => Doubt::Shorter,
            Some(_) if is_old(self.moved, KNOWN_FOR) => Doubt::StandsStill,
            Some(_) => Doubt::TooSlow,
        }
    }

    /// The instant from which the partition's silence counts: its last confirmation, or, for a partition that was found while
    /// live and never confirmed, the instant at which it was found.
    fn counts_from(&self, live_since: Instant) -> Instant {
        self.confirmed.unwrap_or(self.found).max(live_since)
    }

    /// The instant at which the partition becomes stale unless it is confirmed until then, or its error ends.
    fn stale_from(&self, live_since: Instant) -> Instant {
        let unconfirmed = self.counts_from(live_since);
        let failing = self.error.as_ref().map(|(_, seen)| (*seen).max(live_since));
        failing.map_or(unconfirmed, |failing| failing.min(unconfirmed)) + STALE_AFTER
    }

    fn freshness(&self, moment: Moment) -> PartitionFreshness {
        let (error, error_code, error_since) = match (&self.stopped, &self.error) {
            (Some((reason, since)), _) => {
                (Some(reason.text.clone()), Some("Stopped".to_owned()), Some(shown(*since)))
            }
            (None, Some((error, _))) => {
                (Some(error.text.clone()), Some(error.code.clone()), Some(shown(error.since)))
            }
            (None, None) => (None, None, None),
        };
        // What is still to be read came after what has been read, and after the cluster answered that there was no more.
        let last_read = self.time.and_then(|millis| moment.instant_of(millis));
        PartitionFreshness {
            last_stable: self.latest.map(|latest| latest.last_stable),
            hidden_records: self.latest.map(|_| self.hidden.map_or(0, |hidden| hidden.records)),
            hidden_since: self.hidden.map(|hidden| shown(moment.wall_at(hidden.since))),
            confirmed_at: self.confirmed.map(|at| shown(moment.wall_at(at))),
            confirmed_seconds_ago: None,
            error,
            error_code,
            error_since,
            stop_code: self.stopped.as_ref().map(|(reason, _)| reason.code.as_str()),
            topic_id: self.latest.and_then(|latest| latest.topic_id).map(|id| id.to_string()),
            instants: PartitionInstants {
                found: Some(self.found),
                asked: self.latest.map(|latest| latest.asked_at),
                confirmed: self.confirmed,
                oldest_unread: self.confirmed.max(last_read),
                hidden: self.hidden.map(|hidden| hidden.since),
            },
        }
    }
}

#[cfg(test)]
#[path = "health/tests.rs"]
mod tests;
