//! How far each partition has been read: where to begin, what is next, when it has caught up, why it stopped.

mod identity;

use std::collections::VecDeque;

use super::health::{Health, Moment, Reading};
use super::pause::Positions;
use crate::domain::{Topic, TopicId};
use crate::source::{Continuity, TopicNames, Watermarks, remedies};
use crate::status::{PartitionReport, PartitionState};
use crate::store::{Anchor, Checkpoint, PartitionCheckpoint};

/// A partition that the source found.
#[derive(Clone, Copy, Debug)]
pub struct Found {
    pub topic: Topic,
    pub partition: i32,
    pub watermarks: Watermarks,
    /// The id of its topic, where the cluster has said it.
    pub topic_id: Option<TopicId>,
}

pub struct Partitions {
    /// What the store held at the start, and, since, what was written.
    checkpoint: Checkpoint,
    /// What was handed to the writer since and is perhaps not written yet, the oldest first.
    handed_over: VecDeque<Checkpoint>,
    topics: TopicNames,
    held: Vec<Partition>,
    newly_failed: Vec<(Topic, i32)>,
    /// Why nothing is read at all, for now, and for good.
    paused: Option<String>,
    refused: Option<String>,
}

struct Partition {
    topic: Topic,
    number: i32,
    next_offset: i64,
    anchor: Option<Anchor>,
    /// The record that was read last before the start: still to be seen again, to know the topic by.
    expected: Option<Anchor>,
    /// Whether the topic's id is known from before the start, and is the same.
    is_proven: bool,
    continuity: Continuity,
    watermarks: Watermarks,
    /// The high watermark when it was found.
    start_high: i64,
    caught_up: bool,
    /// Milliseconds since 1970, of the last record read.
    time: Option<i64>,
    stopped: Option<String>,
}

impl Partitions {
    pub fn new(checkpoint: Checkpoint, topics: TopicNames) -> Partitions {
        Partitions {
            checkpoint,
            handed_over: VecDeque::new(),
            topics,
            held: Vec::new(),
            newly_failed: Vec::new(),
            paused: None,
            refused: None,
        }
    }

    /// Whether nothing was ever read of it.
    pub fn is_new(&self, topic: Topic, partition: i32) -> bool {
        !self.checkpoint.contains_key(&(self.topics.get(topic).to_owned(), partition))
    }

    /// Takes a partition in. Gives the offset to read from; `None` where it must not be read.
    pub fn begin(&mut self, found: Found) -> Option<i64> {
        let Found { topic, partition, watermarks, topic_id } = found;
        let key = (self.topics.get(topic).to_owned(), partition);
        let held = self.checkpoint.get(&key).copied();
        let next_offset = held.map_or(watermarks.low, |held| held.next_offset);
        // The last record read is read again where it is still there, to tell whether the topic is still the same.
        let expected = held.and_then(|held| held.anchor).filter(|anchor| anchor.offset >= watermarks.low);
        let recreated = held.and_then(|held| identity::recreated(&held, topic_id));
        let recreated = recreated.map(|reason| format!("{}/{partition}: {reason}", key.0));
        let stopped = recreated.or_else(|| self.lost(&held?, watermarks, topic, partition));
        let read_id = held.and_then(|held| held.topic_id);
        let mut continuity = Continuity::new(read_id);
        if held.is_none() {
            continuity.adopt(topic_id);
        }
        if held.is_none() && watermarks.low > 0 {
            tracing::warn!(
                topic = self.topics.get(topic),
                partition,
                low = watermarks.low,
                "the oldest records are no longer in the topic: the views are built without them. `optview accept-loss` accepts that"
            );
        }
        if let Some(reason) = &stopped {
            tracing::error!("partition stopped: {reason}");
        }
        let reads = stopped.is_none();
        let mut begun = Partition {
            topic,
            number: partition,
            next_offset,
            anchor: held.and_then(|held| held.anchor),
            expected: held.and_then(|held| held.anchor),
            is_proven: read_id.is_some() && read_id == topic_id,
            continuity,
            watermarks,
            start_high: watermarks.high,
            caught_up: next_offset >= watermarks.high,
            time: None,
            stopped,
        };
        if reads && expected.is_none() {
            begun.note_no_anchor(&key.0);
        }
        self.held.push(begun);
        reads.then(|| expected.map_or(next_offset, |anchor| anchor.offset))
    }

    fn lost(&self, held: &PartitionCheckpoint, now: Watermarks, topic: Topic, partition: i32) -> Option<String> {
        let name = self.topics.get(topic);
        let next = held.next_offset;
        if next < now.low {
            let low = now.low;
            return Some(format!(
                "{name}/{partition}: the records from {next} to {low} were removed before they were read. {}",
                remedies::REMOVED
            ));
        }
        (next > now.high).then(|| {
            let high = now.high;
            format!(
                "{name}/{partition}: {next} is to be read next, but the topic ends at {high}: it was truncated or \
                 created again. {}",
                remedies::CREATED_AGAIN
            )
        })
    }

    /// Whether records of which this is the first are to be folded. They are not where their partition has stopped.
    pub fn accepts(&mut self, topic: Topic, number: i32, first: Anchor) -> bool {
        let name = self.topics.get(topic).to_owned();
        let Some(partition) = self.find(topic, number) else { return false };
        if partition.stopped.is_some() {
            return false;
        }
        let Some(expected) = partition.expected else { return true };
        if first.offset != expected.offset {
            partition.note_no_anchor(&name);
            return true;
        }
        partition.expected = None;
        if first == expected {
            return true;
        }
        let reason = format!(
            "the record at {} is not the one that was read there before: the topic was created again. {}",
            expected.offset,
            remedies::CREATED_AGAIN
        );
        self.fail(topic, number, reason);
        false
    }

    /// All records up to this one have been folded, or kept as dead letters. `time` is in milliseconds since 1970.
    pub fn advance(&mut self, topic: Topic, number: i32, last: Anchor, time: Option<i64>) {
        let Some(partition) = self.find(topic, number) else { return };
        // What is fetched anew may bring records that were read already.
        if last.offset + 1 >= partition.next_offset {
            partition.next_offset = last.offset + 1;
            partition.anchor = Some(last);
            partition.time = time;
        }
        partition.caught_up |= partition.next_offset >= partition.start_high;
    }

    /// All that there was has been read, up to `position`: what lies between the last record and there are no records.
    pub fn ended(&mut self, topic: Topic, partition: i32, position: i64) {
        self.passed(topic, partition, position);
        let name = self.topics.get(topic).to_owned();
        if let Some(partition) = self.find(topic, partition)
            && partition.stopped.is_none()
        {
            partition.note_no_anchor(&name);
            partition.caught_up = true;
            partition.time = None;
        }
    }

    /// No record that is not folded lies before `position`.
    pub fn passed(&mut self, topic: Topic, partition: i32, position: i64) {
        if let Some(partition) = self.find(topic, partition)
            && partition.stopped.is_none()
        {
            partition.next_offset = partition.next_offset.max(position);
            partition.caught_up |= partition.next_offset >= partition.start_high;
        }
    }

    /// `reason` need not say which partition it is.
    pub fn fail(&mut self, topic: Topic, partition: i32, reason: String) {
        let name = self.topics.get(topic).to_owned();
        if let Some(held) = self.find(topic, partition)
            && held.stopped.is_none()
        {
            let reason = format!("{name}/{partition}: {reason}");
            tracing::error!(next_offset = held.next_offset, "partition stopped: {reason}");
            held.stopped = Some(reason);
            self.newly_failed.push((topic, partition));
        }
    }

    /// Nothing is to be read of any.
    pub fn refuse(&mut self, reason: &str) {
        if self.refused.is_none() {
            tracing::error!("nothing is read: {reason}");
            self.refused = Some(reason.to_owned());
        }
        for held in self.held.iter_mut().filter(|held| held.stopped.is_none()) {
            held.stopped = Some(reason.to_owned());
            self.newly_failed.push((held.topic, held.number));
        }
    }

    /// Of each that has not stopped, the next offset to be read.
    pub fn positions(&self) -> Positions {
        let reads = self.held.iter().filter(|held| held.stopped.is_none());
        reads.map(|held| ((held.topic, held.number), held.next_offset)).collect()
    }

    /// Whether all up to these positions has been read; the error says why it never will be.
    pub fn have_reached(&self, positions: &Positions) -> Result<bool, String> {
        let mut all = true;
        for (&(topic, number), &position) in positions {
            let held = self.held.iter().find(|held| (held.topic, held.number) == (topic, number));
            match held {
                Some(held) if held.next_offset >= position => {}
                Some(Partition { stopped: Some(reason), .. }) => return Err(reason.clone()),
                Some(_) | None => all = false,
            }
        }
        Ok(all)
    }

    /// Those that failed since the last call.
    pub fn take_failed(&mut self) -> Vec<(Topic, i32)> {
        std::mem::take(&mut self.newly_failed)
    }

    /// Those that have stopped do not count: the others are to be as fresh as while all is well.
    pub fn are_caught_up(&self) -> bool {
        let is = |partition: &Partition| partition.caught_up || partition.stopped.is_some();
        !self.held.is_empty() && self.held.iter().all(is)
    }

    pub fn set_paused(&mut self, reason: Option<String>) {
        match (&self.paused, &reason) {
            (None, Some(reason)) => tracing::warn!("{reason}"),
            (Some(_), None) => tracing::info!("there is room on the disk again: reading goes on"),
            _ => {}
        }
        self.paused = reason;
    }

    pub fn is_paused(&self) -> bool {
        self.paused.is_some()
    }

    /// Why something is not read, or nothing at all.
    pub fn stopped_reason(&self) -> Option<String> {
        let stopped: Vec<&str> = self.held.iter().filter_map(|partition| partition.stopped.as_deref()).collect();
        self.refused
            .clone()
            .or_else(|| self.paused.clone())
            .or_else(|| (!stopped.is_empty()).then(|| stopped.join("; ")))
    }

    /// What to write, if anything has been read since the last one.
    pub fn take_checkpoint(&mut self) -> Option<Checkpoint> {
        let latest = self.handed_over.back().unwrap_or(&self.checkpoint);
        let mut checkpoint = latest.clone();
        for partition in &self.held {
            let key = (self.topics.get(partition.topic).to_owned(), partition.number);
            let Partition { next_offset, anchor, ref continuity, .. } = *partition;
            let now = PartitionCheckpoint { next_offset, anchor, topic_id: continuity.topic_id() };
            checkpoint.insert(key, now);
        }
        if checkpoint == *latest {
            return None;
        }
        self.handed_over.push_back(checkpoint.clone());
        Some(checkpoint)
    }

    /// Whether one was handed over and is not known to be written.
    pub fn awaits_checkpoint(&self) -> bool {
        !self.handed_over.is_empty()
    }

    /// `count` more of those handed over have been written. Gives the offsets in the last one written.
    pub fn checkpoints_written(&mut self, count: u64) -> Vec<(Topic, i32, i64)> {
        for _ in 0..count {
            let Some(written) = self.handed_over.pop_front() else { break };
            self.checkpoint = written;
        }
        let offset = |partition: &Partition| {
            let key = (self.topics.get(partition.topic).to_owned(), partition.number);
            let written = self.checkpoint.get(&key)?;
            Some((partition.topic, partition.number, written.next_offset))
        };
        self.held.iter().filter_map(offset).collect()
    }

    /// How far each has been read, in their order.
    pub fn readings(&mut self) -> impl Iterator<Item = Reading<'_>> {
        self.held.sort_by_key(|partition| (partition.topic, partition.number));
        self.held.iter().map(|held| Reading {
            topic: held.topic,
            partition: held.number,
            position: held.next_offset,
            time: held.time,
            stopped: held.stopped.as_deref(),
        })
    }

    /// Every partition as it is now.
    pub fn reports(
        &mut self,
        health: &Health,
        moment: Moment,
        watermarks: impl Fn(Topic, i32) -> Option<Watermarks>,
    ) -> Vec<PartitionReport> {
        for partition in &mut self.held {
            if let Some(told) = watermarks(partition.topic, partition.number) {
                partition.watermarks = told;
            }
            partition.watermarks.high = partition.watermarks.high.max(partition.next_offset);
        }
        self.held.iter().map(|partition| self.report(partition, health, moment)).collect()
    }

    fn report(&self, partition: &Partition, health: &Health, moment: Moment) -> PartitionReport {
        let topic = self.topics.get(partition.topic).to_owned();
        let Watermarks { low, high } = partition.watermarks;
        let (low, high) = health.bounds(partition.topic, partition.number).unwrap_or((low, high));
        // The cluster was asked a moment ago, and more has been read since. One that has stopped may have been cut short.
        let high = if partition.stopped.is_none() { high.max(partition.next_offset) } else { high };
        PartitionReport {
            checkpoint: self.checkpoint.get(&(topic.clone(), partition.number)).map(|held| held.next_offset),
            topic,
            partition: partition.number,
            position: partition.next_offset,
            low: Some(low),
            high: Some(high),
            lag_records: health.lag_records(partition.topic, partition.number),
            // Counted when somebody asks.
            lag_seconds: None,
            state: match (&partition.stopped, partition.caught_up) {
                (Some(_), _) => PartitionState::Stopped,
                (None, true) => PartitionState::Live,
                (None, false) => PartitionState::CatchingUp,
            },
            freshness: health.freshness(moment, partition.topic, partition.number),
        }
    }

    fn find(&mut self, topic: Topic, partition: i32) -> Option<&mut Partition> {
        self.held.iter_mut().find(|held| held.topic == topic && held.number == partition)
    }
}
