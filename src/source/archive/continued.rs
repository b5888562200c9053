//! An archive, and then the topics from where it ends, as one source: of each partition all records once, in order,
//! wherever the archive ends and wherever reading begins. Never passes over what neither has.
//!
//! The archive is played to its end before anything is read from the topics, so that partitions stay in step. Where a
//! topic still has the record that was archived last, it is read once more and compared: that is how a topic is known that
//! was created again since.

use std::collections::BTreeMap;
use std::time::Duration;

use super::manifest::Span;
use super::play::ArchiveSource;
use crate::domain::{Gap, OwnedRecord, PartitionBounds, Record, Topic, TopicId};
use crate::source::{
    ClusterHealth, PartitionObservation, Polled, Records, Source, StandingError, StopReason, Watermarks,
};

type Partition = (Topic, i32);

/// Returns what can be done about a topic that cannot be read on where its archive ends.
pub fn gap_remedy(gap: &Gap) -> &'static str {
    match gap {
        Gap::Removed { .. } => {
            "Give an archive that goes on to where the topics begin, or none: with --accept-loss it is built from what the \
             topics have"
        }
        Gap::Shorter { .. } | Gap::OtherRecord { .. } | Gap::Recreated { .. } | Gap::Missing { .. } => {
            "Give an archive of the topics that there are now, or none"
        }
    }
}

/// Returns the reason for which a partition stops that cannot be read on where its archive ends.
fn stop_after_archive(gap: &Gap) -> StopReason {
    let StopReason { code, text } = StopReason::of_gap(gap, gap_remedy(gap));
    StopReason { code, text: format!("the topic does not go on where the archive ends: {text}") }
}

pub struct Continued<S> {
    topics: S,
    /// Until it has been played.
    archive: Option<Playing>,
    /// Of each partition that is next to give the record that was archived last: that record.
    seams: BTreeMap<Partition, OwnedRecord>,
}

struct Playing {
    source: ArchiveSource,
    /// What is played, where the topics go on with it.
    spans: BTreeMap<Partition, Span>,
    /// What the topics had of each partition when it was found.
    found: BTreeMap<Partition, Watermarks>,
    /// Whether all partitions were given.
    all_found: bool,
    /// The partitions that cannot be read on where the archive ends.
    gaps: BTreeMap<Partition, Gap>,
    /// Where each that is read goes on in the topics.
    then: BTreeMap<Partition, i64>,
    /// The last that was given of each.
    last: BTreeMap<Partition, OwnedRecord>,
    /// It cannot be read on, so the topics must not be.
    failed: bool,
}

impl<S: Source> Continued<S> {
    /// `next` is where reading goes on of each partition that was read before: of those that are past the archive, nothing
    /// is played.
    pub fn new(mut archive: ArchiveSource, topics: S, next: &BTreeMap<Partition, i64>) -> Continued<S> {
        let is_wanted =
            |(partition, span): &(Partition, Span)| next.get(partition).is_none_or(|at| *at < span.next);
        let spans = archive.manifest().spans().into_iter().filter(is_wanted).collect();
        // The topics say which partitions there are.
        archive.poll(Duration::ZERO, &mut |_| {});
        let playing = Playing {
            source: archive,
            spans,
            found: BTreeMap::new(),
            all_found: false,
            gaps: BTreeMap::new(),
            then: BTreeMap::new(),
            last: BTreeMap::new(),
            failed: false,
        };
        Continued { topics, archive: Some(playing), seams: BTreeMap::new() }
    }

    /// Has the topics go on where the archive ended.
    fn hand_over(&mut self, playing: Playing, take: &mut dyn FnMut(Polled)) {
        let Playing { then, found, mut last, .. } = playing;
        for (key @ (topic, partition), next) in then {
            let is_there = |last: &OwnedRecord| found.get(&key).is_some_and(|at| last.position.offset >= at.low);
            let last = last.remove(&key).filter(is_there);
            let from = last.as_ref().map_or(next, |last| last.position.offset);
            match self.topics.assign(topic, partition, from) {
                Ok(()) => self.seams.extend(last.map(|last| (key, last))),
                Err(reason) => take(Polled::Failed { topic, partition, reason }),
            }
        }
    }
}

impl<S: Source> Source for Continued<S> {
    fn poll(&mut self, wait: Duration, take: &mut dyn FnMut(Polled)) {
        if let Some(playing) = self.archive.take_if(|playing| playing.is_played()) {
            self.hand_over(playing, take);
        }
        if let Some(playing) = &mut self.archive {
            return playing.poll(&mut self.topics, wait, take);
        }
        if self.seams.is_empty() {
            return self.topics.poll(wait, take);
        }
        let seams = &mut self.seams;
        self.topics.poll(wait, &mut |polled| cross(seams, polled).into_iter().for_each(&mut *take));
    }

    fn rest(&mut self, wait: Duration) {
        self.topics.rest(wait);
    }

    fn assign(&mut self, topic: Topic, partition: i32, offset: i64) -> Result<(), StopReason> {
        match &mut self.archive {
            Some(playing) => playing.assign((topic, partition), offset),
            None => self.topics.assign(topic, partition, offset),
        }
    }

    fn stop(&mut self, topic: Topic, partition: i32) {
        self.seams.remove(&(topic, partition));
        match &mut self.archive {
            Some(playing) => playing.stop((topic, partition)),
            None => self.topics.stop(topic, partition),
        }
    }

    /// While the archive is played, as told when the partition was found.
    fn watermarks(&self, topic: Topic, partition: i32) -> Option<Watermarks> {
        self.archive.is_none().then(|| self.topics.watermarks(topic, partition)).flatten()
    }

    fn trouble(&self) -> Option<String> {
        self.topics.trouble()
    }

    fn cluster_id(&self) -> Option<String> {
        self.topics.cluster_id()
    }

    fn observation(&self, topic: Topic, partition: i32) -> Option<PartitionObservation> {
        self.topics.observation(topic, partition)
    }

    fn partition_error(&self, topic: Topic, partition: i32) -> Option<StandingError> {
        self.topics.partition_error(topic, partition)
    }

    fn cluster_health(&self) -> ClusterHealth {
        self.topics.cluster_health()
    }

    /// Not before the topics are known to be those that were archived.
    fn is_complete(&self) -> bool {
        self.archive.is_none() && self.seams.is_empty() && self.topics.is_complete()
    }

    fn publish(&mut self, offsets: &[(Topic, i32, i64)]) {
        self.topics.publish(offsets);
    }
}

impl Playing {
    fn is_played(&self) -> bool {
        self.source.is_over() && !self.failed
    }

    fn poll(&mut self, topics: &mut dyn Source, wait: Duration, take: &mut dyn FnMut(Polled)) {
        // Nothing of them is assigned yet, but partitions are found at any time.
        let wait_for_topics = if self.all_found { Duration::ZERO } else { wait };
        let mut found = Vec::new();
        topics.poll(wait_for_topics, &mut |polled| match polled {
            Polled::Found { topic, partition, watermarks } => found.push(((topic, partition), watermarks)),
            polled => take(polled),
        });
        for (key @ (topic, partition), watermarks) in found {
            let observed = topics.observation(topic, partition);
            let id = observed.and_then(|observed| observed.topic_id);
            let watermarks = self.find(key, Some(watermarks), id);
            take(Polled::Found { topic, partition, watermarks });
        }
        if self.all_found {
            return self.play(wait, take);
        }
        if topics.is_complete() {
            self.all_found = true;
            let is_missing = |partition: &Partition| !self.found.contains_key(partition);
            let missing: Vec<Partition> = self.spans.keys().copied().filter(is_missing).collect();
            for key @ (topic, partition) in missing {
                take(Polled::Found { topic, partition, watermarks: self.find(key, None, None) });
            }
        }
    }

    /// What is there of a partition, here and in the topics together.
    fn find(&mut self, partition: Partition, there: Option<Watermarks>, id: Option<TopicId>) -> Watermarks {
        self.found.extend(there.map(|there| (partition, there)));
        let nothing = Watermarks { low: 0, high: 0 };
        // Where the topic has more, that is all there is to read.
        let is_of_use = |span: &&Span| there.is_none_or(|there| span.first <= there.low);
        let Some(span) = self.spans.get(&partition).filter(is_of_use) else {
            self.spans.remove(&partition);
            return there.unwrap_or(nothing);
        };
        let archived = self.source.manifest().topic_id(partition.0);
        let bounds = there.map(|Watermarks { low, high }| PartitionBounds { low, high, topic_id: id });
        if let Some(gap) = Gap::find(span.next, archived, bounds) {
            self.gaps.insert(partition, gap);
        }
        Watermarks { low: span.first, high: span.next.max(there.unwrap_or(nothing).high) }
    }

    fn assign(&mut self, partition: Partition, offset: i64) -> Result<(), StopReason> {
        if let Some(gap) = self.gaps.get(&partition) {
            return Err(stop_after_archive(gap));
        }
        let next = match self.spans.get(&partition).filter(|span| offset < span.next) {
            Some(span) => {
                self.source.assign(partition.0, partition.1, offset)?;
                span.next
            }
            None => offset,
        };
        self.then.insert(partition, next);
        Ok(())
    }

    fn stop(&mut self, partition: Partition) {
        self.source.stop(partition.0, partition.1);
        self.then.remove(&partition);
    }

    fn play(&mut self, wait: Duration, take: &mut dyn FnMut(Polled)) {
        let (last, failed) = (&mut self.last, &mut self.failed);
        self.source.poll(wait, &mut |polled| match polled {
            Polled::Records(records) => {
                let record = records.record(records.len() - 1);
                last.insert((record.position.topic, record.position.partition), OwnedRecord::from(&record));
                take(Polled::Records(records));
            }
            Polled::Failed { .. } => {
                *failed = true;
                take(polled);
            }
            // The topics have more, and tell of the end.
            Polled::Found { .. } | Polled::Ended { .. } => {}
        });
    }
}

/// What is left of what the topics tell, without what was read from the archive.
fn cross(seams: &mut BTreeMap<Partition, OwnedRecord>, polled: Polled) -> Option<Polled> {
    let records = match polled {
        Polled::Found { .. } => return Some(polled),
        // Where that record is no longer there, there is nothing to know the topic by.
        Polled::Ended { topic, partition, .. } | Polled::Failed { topic, partition, .. } => {
            seams.remove(&(topic, partition));
            return Some(polled);
        }
        Polled::Records(records) => records,
    };
    let first = records.record(0);
    let (topic, partition) = (first.position.topic, first.position.partition);
    match seams.remove(&(topic, partition)) {
        Some(last) if last.position == first.position => {
            if OwnedRecord::from(&first) != last {
                let reason = stop_after_archive(&Gap::OtherRecord { offset: last.position.offset });
                return Some(Polled::Failed { topic, partition, reason });
            }
            drop(first);
            (records.len() > 1).then(|| Polled::Records(Box::new(AllButTheFirst(records))))
        }
        Some(_) | None => {
            drop(first);
            Some(Polled::Records(records))
        }
    }
}

struct AllButTheFirst(Box<dyn Records>);

impl Records for AllButTheFirst {
    fn len(&self) -> usize {
        self.0.len() - 1
    }

    fn record(&self, at: usize) -> Record<'_> {
        self.0.record(at + 1)
    }

    fn cut_from(&self, at: usize) -> Option<u64> {
        self.0.cut_from(at + 1)
    }
}
