//! The progress of each partition: where reading begins, what is next, when it has caught up, and why it stopped.

mod identity;
mod read_position;

use super::checkpoints::{CheckpointEntry, Checkpoints};
use super::health::{Health, PartitionReading};
use super::moment::Moment;
use super::pause::Positions;
use crate::domain::{Gap, PartitionBounds, PartitionOffset, Topic, TopicId, TopicPartition};
use crate::source::{Continuity, StopCode, StopReason, TopicNames, Watermarks};
use crate::status::{PartitionReport, PartitionState};
use crate::store::{Anchor, Checkpoint, PartitionCheckpoint};
pub use read_position::ViewPositions;

/// A partition that the source found.
#[derive(Clone, Copy, Debug)]
pub struct FoundPartition {
    pub partition: TopicPartition,
    pub watermarks: Watermarks,
    /// The id of its topic, if the cluster has given one.
    pub topic_id: Option<TopicId>,
}

/// All partitions that the source has found.
pub struct Partitions {
    topics: TopicNames,
    held: Vec<PartitionProgress>,
    newly_failed: Vec<TopicPartition>,
    /// True if a position has changed since it was last taken.
    have_moved: bool,
}

struct PartitionProgress {
    partition: TopicPartition,
    next_offset: i64,
    /// The anchor of the last record read.
    anchor: Option<Anchor>,
    /// The anchor of the last record read before the start. That record is still to be seen again, to prove the topic.
    expected: Option<Anchor>,
    /// True if the topic's id is known from before the start, and is the same now.
    is_proven: bool,
    continuity: Continuity,
    watermarks: Watermarks,
    /// The high watermark when the partition was found.
    start_high: i64,
    caught_up: bool,
    /// The timestamp of the last record read, in milliseconds since 1970.
    time: Option<i64>,
    stopped: Option<StopReason>,
}

impl Partitions {
    pub fn new(topics: TopicNames) -> Partitions {
        Partitions { topics, held: Vec::new(), newly_failed: Vec::new(), have_moved: false }
    }

    /// Takes a partition in. `read_before` is its entry in the checkpoint on the disk, and `stop` the reason for which its topic is
    /// not read, if there is one. Returns the offset to read from; `None` if the partition must not be read.
    pub fn begin(
        &mut self,
        found: FoundPartition,
        read_before: Option<PartitionCheckpoint>,
        stop: Option<StopReason>,
    ) -> Option<i64> {
        let FoundPartition { partition, watermarks, topic_id } = found;
        let name = self.topics.partition(partition);
        let next_offset = read_before.map_or(watermarks.low, |read| read.next_offset);
        let anchor = read_before.and_then(|read| read.anchor);
        // The last record read is read again if it is still there, to see whether the topic is still the same.
        let expected = anchor.filter(|anchor| anchor.offset >= watermarks.low);
        let Watermarks { low, high } = watermarks;
        let bounds = PartitionBounds { low, high, topic_id };
        let gap = read_before.and_then(|read| Gap::find(read.next_offset, read.topic_id, Some(bounds)));
        let stopped = gap.map(|gap| StopReason::from(gap).named(&name)).or(stop);
        let read_id = read_before.and_then(|read| read.topic_id);
        let mut continuity = Continuity::new(read_id);
        if read_before.is_none() {
            continuity.adopt(topic_id);
        }
        if read_before.is_none() && watermarks.low > 0 {
            tracing::warn!(
                topic = name.topic,
                partition = name.partition,
                low = watermarks.low,
                "the oldest records are no longer in the topic: the views are built without them. `optview accept-loss` accepts that"
            );
        }
        // Those of a topic that has stopped have one reason.
        if let Some(reason) = stopped.as_ref().filter(|_| !self.held.iter().any(|held| held.stopped == stopped)) {
            tracing::error!("partition stopped: {reason}");
        }
        let is_read = stopped.is_none();
        let mut begun = PartitionProgress {
            partition,
            next_offset,
            anchor,
            expected: anchor,
            is_proven: read_id.is_some() && read_id == topic_id,
            continuity,
            watermarks,
            start_high: watermarks.high,
            caught_up: next_offset >= watermarks.high,
            time: None,
            stopped,
        };
        if is_read && expected.is_none() {
            begun.note_no_anchor(&name);
        }
        self.held.push(begun);
        self.have_moved = true;
        is_read.then(|| expected.map_or(next_offset, |anchor| anchor.offset))
    }

    /// Returns true if records of which this is the first are to be folded. Those of a stopped partition are not.
    pub fn accepts(&mut self, partition: TopicPartition, first: Anchor) -> bool {
        let name = self.topics.partition(partition);
        let Some(held) = self.find(partition) else { return false };
        if held.stopped.is_some() {
            return false;
        }
        let Some(expected) = held.expected else { return true };
        if first.offset != expected.offset {
            held.note_no_anchor(&name);
            return true;
        }
        held.expected = None;
        if first == expected {
            return true;
        }
        self.fail(partition, Gap::OtherRecord { offset: expected.offset }.into());
        false
    }

    /// Takes note that all records up to `last` have been folded, or kept as dead letters. `time` is the last record's timestamp
    /// in milliseconds since 1970.
    pub fn advance(&mut self, partition: TopicPartition, last: Anchor, time: Option<i64>) {
        self.have_moved = true;
        let Some(partition) = self.find(partition) else { return };
        // What is fetched anew may bring records that were read already.
        if last.offset + 1 >= partition.next_offset {
            partition.next_offset = last.offset + 1;
            partition.anchor = Some(last);
            partition.time = time;
        }
        partition.caught_up |= partition.next_offset >= partition.start_high;
    }

    /// Takes note that everything up to the partition's end at `position` has been read. Offsets without records may lie between
    /// the last record and there.
    pub fn ended(&mut self, partition: TopicPartition, position: i64) {
        self.passed(partition, position);
        let name = self.topics.partition(partition);
        if let Some(partition) = self.find(partition)
            && partition.stopped.is_none()
        {
            partition.note_no_anchor(&name);
            partition.caught_up = true;
            partition.time = None;
        }
    }

    /// Takes note that every record before `position` is folded.
    pub fn passed(&mut self, partition: TopicPartition, position: i64) {
        if let Some(partition) = self.find(partition)
            && partition.stopped.is_none()
        {
            let before = partition.next_offset;
            partition.next_offset = before.max(position);
            partition.caught_up |= partition.next_offset >= partition.start_high;
            self.have_moved |= position > before;
        }
    }

    /// Stops a partition. `reason` need not name the partition.
    pub fn fail(&mut self, partition: TopicPartition, reason: StopReason) {
        let name = self.topics.partition(partition);
        if let Some(held) = self.find(partition)
            && held.stopped.is_none()
        {
            let reason = reason.named(&name);
            tracing::error!(next_offset = held.next_offset, "partition stopped: {reason}");
            held.stopped = Some(reason);
            self.newly_failed.push(partition);
        }
    }

    /// Stops the partitions of a stream.
    pub fn stop_topic(&mut self, topic: Topic, reason: &StopReason) {
        tracing::error!("the topic's partitions stopped: {reason}");
        let of_topic = self.held.iter_mut().filter(|held| held.partition.topic == topic);
        for held in of_topic.filter(|held| held.stopped.is_none()) {
            held.stopped = Some(reason.clone());
            self.newly_failed.push(held.partition);
        }
    }

    /// Lets those partitions of a stream be read on that stopped because of their dead letters. Returns each with the offset to
    /// read from.
    pub fn resume(&mut self, topic: Topic) -> Vec<(TopicPartition, i64)> {
        let mut resumed = Vec::new();
        for held in self.held.iter_mut().filter(|held| held.partition.topic == topic) {
            if held.stopped.as_ref().is_none_or(|reason| reason.code != StopCode::DeadLetters) {
                continue;
            }
            held.stopped = None;
            let name = self.topics.partition(held.partition);
            tracing::info!(
                topic = name.topic,
                partition = name.partition,
                next_offset = held.next_offset,
                "it is read on"
            );
            // One that was not read since the start is still to show that it is the same topic.
            let expected = held.expected.filter(|anchor| anchor.offset >= held.watermarks.low);
            if held.expected.is_some() && expected.is_none() {
                held.note_no_anchor(&name);
            }
            resumed.push((held.partition, expected.map_or(held.next_offset, |anchor| anchor.offset)));
        }
        resumed
    }

    /// The next offset to be read of a partition that was found.
    pub fn next_offset(&self, partition: TopicPartition) -> Option<i64> {
        self.held.iter().find(|held| held.partition == partition).map(|held| held.next_offset)
    }

    /// Stops every partition that is read.
    pub fn stop_all(&mut self, reason: &StopReason) {
        for held in self.held.iter_mut().filter(|held| held.stopped.is_none()) {
            held.stopped = Some(reason.clone());
            self.newly_failed.push(held.partition);
        }
    }

    /// The next offset to be read of each partition that has not stopped.
    pub fn positions(&self) -> Positions {
        let read = self.held.iter().filter(|held| held.stopped.is_none());
        read.map(|held| (held.partition, held.next_offset)).collect()
    }

    /// Returns true if everything up to these positions has been read. The error is the reason for which it never will be.
    pub fn have_reached(&self, positions: &Positions) -> Result<bool, String> {
        let mut all = true;
        for (&partition, &position) in positions {
            match self.held.iter().find(|held| held.partition == partition) {
                Some(held) if held.next_offset >= position => {}
                Some(PartitionProgress { stopped: Some(reason), .. }) => return Err(reason.text.clone()),
                Some(_) | None => all = false,
            }
        }
        Ok(all)
    }

    /// The partitions that have stopped since the last call.
    pub fn take_failed(&mut self) -> Vec<TopicPartition> {
        std::mem::take(&mut self.newly_failed)
    }

    /// Number of records that are to be read until every partition has caught up. Offsets without records count, too.
    pub fn records_to_come(&self) -> u64 {
        let behind = self.held.iter().filter(|held| !held.caught_up && held.stopped.is_none());
        behind.map(|held| (held.start_high - held.next_offset).max(0).unsigned_abs()).sum()
    }

    /// Returns true if every partition has caught up. Those that have stopped do not count: the others are to be as fresh as while
    /// all is well.
    pub fn are_caught_up(&self) -> bool {
        !self.held.is_empty() && self.held.iter().all(|held| held.caught_up || held.stopped.is_some())
    }

    /// The reasons of all partitions that have stopped, as one text.
    pub fn stop_text(&self) -> Option<String> {
        let mut texts: Vec<&str> = Vec::new();
        for reason in self.held.iter().filter_map(|held| held.stopped.as_ref()) {
            // The partitions of a topic may have one reason.
            if !texts.contains(&reason.text.as_str()) {
                texts.push(&reason.text);
            }
        }
        (!texts.is_empty()).then(|| texts.join("; "))
    }

    /// The entry that a checkpoint of this moment has for each partition.
    pub fn checkpoint_entries(&self) -> impl Iterator<Item = CheckpointEntry> {
        self.held.iter().map(|held| {
            let PartitionProgress { next_offset, anchor, ref continuity, .. } = *held;
            let entry = PartitionCheckpoint { next_offset, anchor, topic_id: continuity.topic_id() };
            (self.topics.partition(held.partition), entry)
        })
    }

    /// The offsets of all partitions in a checkpoint.
    pub fn offsets_in(&self, checkpoint: &Checkpoint) -> Vec<PartitionOffset> {
        let read = self.held.iter().map(|held| held.partition);
        read.filter_map(|partition| {
            Some(partition.at(checkpoint.get(&self.topics.partition(partition))?.next_offset))
        })
        .collect()
    }

    /// The reading of each partition, in their order.
    pub fn readings(&mut self) -> impl Iterator<Item = PartitionReading<'_>> {
        self.held.sort_by_key(|held| held.partition);
        self.held.iter().map(|held| PartitionReading {
            partition: held.partition,
            position: held.next_offset,
            time: held.time,
            stopped: held.stopped.as_ref(),
        })
    }

    /// The report of every partition as of `now`. `watermarks` returns what the source last heard of a partition.
    pub fn reports(
        &mut self,
        checkpoints: &Checkpoints,
        health: &Health,
        now: Moment,
        watermarks: impl Fn(TopicPartition) -> Option<Watermarks>,
    ) -> Vec<PartitionReport> {
        for held in &mut self.held {
            if let Some(heard) = watermarks(held.partition) {
                held.watermarks = heard;
            }
            held.watermarks.high = held.watermarks.high.max(held.next_offset);
        }
        self.held.iter().map(|held| self.report(held, checkpoints, health, now)).collect()
    }

    fn report(
        &self,
        held: &PartitionProgress,
        checkpoints: &Checkpoints,
        health: &Health,
        now: Moment,
    ) -> PartitionReport {
        let name = self.topics.partition(held.partition);
        let Watermarks { low, high } = held.watermarks;
        let (low, high) = health.bounds(held.partition).unwrap_or((low, high));
        // More may have been read since the cluster was asked. A partition that has stopped may have been cut short.
        let high = if held.stopped.is_none() { high.max(held.next_offset) } else { high };
        PartitionReport {
            checkpoint: checkpoints.of(&name).map(|written| written.next_offset),
            topic: name.topic,
            partition: name.partition,
            position: held.next_offset,
            low: Some(low),
            high: Some(high),
            lag_records: health.lag_records(held.partition),
            // Counted when somebody asks.
            lag_seconds: None,
            state: match (&held.stopped, held.caught_up) {
                (Some(_), _) => PartitionState::Stopped,
                (None, true) => PartitionState::Live,
                (None, false) => PartitionState::CatchingUp,
            },
            freshness: health.freshness(now, held.partition),
        }
    }

    fn find(&mut self, partition: TopicPartition) -> Option<&mut PartitionProgress> {
        self.held.iter_mut().find(|held| held.partition == partition)
    }
}
