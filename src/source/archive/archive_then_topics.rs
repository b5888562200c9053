//! One source of an archive followed by the topics. It delivers all records of each partition once and in order,
//! wherever the archive ends and wherever reading begins, and never skips records that neither of them has.
//!
//! The archive is played to its end before anything is read from the topics, so that partitions stay in step. If a
//! topic still has the last archived record, that record is read again and compared: this reveals a topic that was
//! created again.

use std::collections::BTreeMap;
use std::time::Duration;

use super::archive_source::ArchiveSource;
use super::manifest::Span;
use crate::domain::{Gap, OwnedRecord, PartitionBounds, PartitionOffset, Record, TopicId, TopicPartition};
use crate::source::{
    ClusterHealth, PartitionObservation, Records, Source, SourceEvent, StandingError, StopReason, Watermarks,
};

/// Returns the instruction for a topic that does not continue its archive.
pub fn gap_remedy(gap: &Gap) -> &'static str {
    match gap {
        Gap::Removed { .. } => {
            "Give an archive that reaches to where the topics begin, or give none and --accept-loss to build from what the \
             topics have"
        }
        Gap::Shorter { .. } | Gap::OtherRecord { .. } | Gap::Recreated { .. } | Gap::Missing { .. } => {
            "Give an archive of the present topics, or none"
        }
    }
}

/// Returns the reason for which a partition stops if its topic does not continue its archive.
fn stop_after_archive(gap: &Gap) -> StopReason {
    let StopReason { code, text } = StopReason::of_gap(gap, gap_remedy(gap));
    StopReason { code, text: format!("the topic does not go on where the archive ends: {text}") }
}

/// A source that plays an archive and then goes on with the topics, as the module's documentation describes it.
pub struct ArchiveThenTopics<S> {
    topics: S,
    /// The playback of the archive; `None` once it is over.
    archive: Option<Playback>,
    /// The last archived record of each partition whose topic must deliver that record first.
    seams: BTreeMap<TopicPartition, OwnedRecord>,
}

struct Playback {
    source: ArchiveSource,
    /// The archived spans that are played and that the topics continue.
    spans: BTreeMap<TopicPartition, Span>,
    /// The topics' bounds of each partition at the time when it was found.
    found: BTreeMap<TopicPartition, Watermarks>,
    /// True once all partitions were delivered.
    all_found: bool,
    /// The partitions whose topics do not continue the archive.
    gaps: BTreeMap<TopicPartition, Gap>,
    /// The offset at which the topic continues, for each partition that is read.
    resume_offsets: BTreeMap<TopicPartition, i64>,
    /// The last record that was delivered of each partition.
    last_records: BTreeMap<TopicPartition, OwnedRecord>,
    /// True if the archive failed, after which the topics must not be read.
    failed: bool,
}

impl<S: Source> ArchiveThenTopics<S> {
    /// `next` holds the next offset of each partition that was read before. Nothing is played of a partition whose
    /// next offset lies past the archive.
    pub fn new(
        mut archive: ArchiveSource,
        topics: S,
        next: &BTreeMap<TopicPartition, i64>,
    ) -> ArchiveThenTopics<S> {
        let spans = archive
            .manifest()
            .spans()
            .into_iter()
            .filter(|(partition, span)| next.get(partition).is_none_or(|at| *at < span.next))
            .collect();
        // The archive's own list of partitions is dropped, because the topics define which partitions there are.
        archive.poll(Duration::ZERO, &mut |_| {});
        let playing = Playback {
            source: archive,
            spans,
            found: BTreeMap::new(),
            all_found: false,
            gaps: BTreeMap::new(),
            resume_offsets: BTreeMap::new(),
            last_records: BTreeMap::new(),
            failed: false,
        };
        ArchiveThenTopics { topics, archive: Some(playing), seams: BTreeMap::new() }
    }

    /// Assigns the topics' partitions from the offsets at which the archive ended.
    fn switch_to_topics(&mut self, playing: Playback, take: &mut dyn FnMut(SourceEvent)) {
        let Playback { resume_offsets: then, found, last_records: mut last, .. } = playing;
        for (partition, next) in then {
            let last = last
                .remove(&partition)
                .filter(|last| found.get(&partition).is_some_and(|at| last.position.offset >= at.low));
            let from = last.as_ref().map_or(next, |last| last.position.offset);
            match self.topics.assign(partition, from) {
                Ok(()) => self.seams.extend(last.map(|last| (partition, last))),
                Err(reason) => take(SourceEvent::Failed { partition, reason }),
            }
        }
    }
}

impl<S: Source> Source for ArchiveThenTopics<S> {
    fn poll(&mut self, wait: Duration, take: &mut dyn FnMut(SourceEvent)) -> bool {
        if let Some(playing) = self.archive.take_if(|playing| playing.is_played()) {
            self.switch_to_topics(playing, take);
        }
        if let Some(playing) = &mut self.archive {
            return playing.poll(&mut self.topics, wait, take);
        }
        if self.seams.is_empty() {
            return self.topics.poll(wait, take);
        }
        let seams = &mut self.seams;
        self.topics.poll(wait, &mut |polled| strip_seam(seams, polled).into_iter().for_each(&mut *take))
    }

    fn rest(&mut self, wait: Duration) {
        self.topics.rest(wait);
    }

    fn assign(&mut self, partition: TopicPartition, offset: i64) -> Result<(), StopReason> {
        match &mut self.archive {
            Some(playing) => playing.assign(partition, offset),
            None => self.topics.assign(partition, offset),
        }
    }

    fn stop(&mut self, partition: TopicPartition) {
        self.seams.remove(&partition);
        match &mut self.archive {
            Some(playing) => playing.stop(partition),
            None => self.topics.stop(partition),
        }
    }

    /// Returns `None` while the archive is played: the bounds given when the partition was found still hold then.
    fn watermarks(&self, partition: TopicPartition) -> Option<Watermarks> {
        self.archive.is_none().then(|| self.topics.watermarks(partition)).flatten()
    }

    fn trouble(&self) -> Option<String> {
        self.topics.trouble()
    }

    fn cluster_id(&self) -> Option<String> {
        self.topics.cluster_id()
    }

    fn observation(&self, partition: TopicPartition) -> Option<PartitionObservation> {
        self.topics.observation(partition)
    }

    fn partition_error(&self, partition: TopicPartition) -> Option<StandingError> {
        self.topics.partition_error(partition)
    }

    fn cluster_health(&self) -> ClusterHealth {
        self.topics.cluster_health()
    }

    /// Becomes true only when the topics are known to be those that were archived.
    fn is_complete(&self) -> bool {
        self.archive.is_none() && self.seams.is_empty() && self.topics.is_complete()
    }

    fn publish(&mut self, offsets: &[PartitionOffset]) {
        self.topics.publish(offsets);
    }
}

impl Playback {
    fn is_played(&self) -> bool {
        self.source.is_over() && !self.failed
    }

    fn poll(&mut self, topics: &mut dyn Source, wait: Duration, take: &mut dyn FnMut(SourceEvent)) -> bool {
        // No partition of the topics is assigned yet, but new partitions may be found at any time.
        let wait_for_topics = if self.all_found { Duration::ZERO } else { wait };
        let mut found = Vec::new();
        topics.poll(wait_for_topics, &mut |polled| match polled {
            SourceEvent::Found { partition, watermarks } => found.push((partition, watermarks)),
            polled => take(polled),
        });
        for (partition, watermarks) in found {
            let observed = topics.observation(partition);
            let id = observed.and_then(|observed| observed.topic_id);
            let watermarks = self.find(partition, Some(watermarks), id);
            take(SourceEvent::Found { partition, watermarks });
        }
        if self.all_found {
            return self.play(wait, take);
        }
        if topics.is_complete() {
            self.all_found = true;
            let missing: Vec<TopicPartition> =
                self.spans.keys().copied().filter(|partition| !self.found.contains_key(partition)).collect();
            for partition in missing {
                take(SourceEvent::Found { partition, watermarks: self.find(partition, None, None) });
            }
        }
        false
    }

    /// Returns the bounds of a partition over the archive and the topic together.
    fn find(&mut self, partition: TopicPartition, there: Option<Watermarks>, id: Option<TopicId>) -> Watermarks {
        self.found.extend(there.map(|there| (partition, there)));
        let nothing = Watermarks { low: 0, high: 0 };
        // A topic that has older records than the archive is all that must be read.
        let is_of_use = |span: &&Span| there.is_none_or(|there| span.first <= there.low);
        let Some(span) = self.spans.get(&partition).filter(is_of_use) else {
            self.spans.remove(&partition);
            return there.unwrap_or(nothing);
        };
        let archived = self.source.manifest().topic_id(partition.topic);
        let bounds = there.map(|Watermarks { low, high }| PartitionBounds { low, high, topic_id: id });
        if let Some(gap) = Gap::find(span.next, archived, bounds) {
            self.gaps.insert(partition, gap);
        }
        Watermarks { low: span.first, high: span.next.max(there.unwrap_or(nothing).high) }
    }

    fn assign(&mut self, partition: TopicPartition, offset: i64) -> Result<(), StopReason> {
        if let Some(gap) = self.gaps.get(&partition) {
            return Err(stop_after_archive(gap));
        }
        let next = match self.spans.get(&partition).filter(|span| offset < span.next) {
            Some(span) => {
                self.source.assign(partition, offset)?;
                span.next
            }
            None => offset,
        };
        self.resume_offsets.insert(partition, next);
        Ok(())
    }

    fn stop(&mut self, partition: TopicPartition) {
        self.source.stop(partition);
        self.resume_offsets.remove(&partition);
    }

    fn play(&mut self, wait: Duration, take: &mut dyn FnMut(SourceEvent)) -> bool {
        let (last, failed) = (&mut self.last_records, &mut self.failed);
        self.source.poll(wait, &mut |polled| match polled {
            SourceEvent::Records(records) => {
                let record = records.record(records.len() - 1);
                last.insert(record.position.topic_partition(), OwnedRecord::from(&record));
                take(SourceEvent::Records(records));
            }
            SourceEvent::Failed { .. } => {
                *failed = true;
                take(polled);
            }
            // The topics have more records, and they report the end.
            SourceEvent::Found { .. } | SourceEvent::Ended { .. } => {}
        })
    }
}

/// Removes from an event of the topics the record that the archive has delivered already.
fn strip_seam(seams: &mut BTreeMap<TopicPartition, OwnedRecord>, polled: SourceEvent) -> Option<SourceEvent> {
    let records = match polled {
        SourceEvent::Found { .. } => return Some(polled),
        // Without that record, there is nothing to recognize the topic by.
        SourceEvent::Ended { partition, .. } | SourceEvent::Failed { partition, .. } => {
            seams.remove(&partition);
            return Some(polled);
        }
        SourceEvent::Records(records) => records,
    };
    let first = records.record(0);
    let partition = first.position.topic_partition();
    match seams.remove(&partition) {
        Some(last) if last.position == first.position => {
            if OwnedRecord::from(&first) != last {
                let reason = stop_after_archive(&Gap::OtherRecord { offset: last.position.offset });
                return Some(SourceEvent::Failed { partition, reason });
            }
            drop(first);
            (records.len() > 1).then(|| SourceEvent::Records(Box::new(RecordsAfterFirst(records))))
        }
        Some(_) | None => {
            drop(first);
            Some(SourceEvent::Records(records))
        }
    }
}

struct RecordsAfterFirst(Box<dyn Records>);

impl Records for RecordsAfterFirst {
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
