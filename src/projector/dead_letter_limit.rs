//! The limit of dead letters. A topic of which more of the latest records are not understood than single mistakes explain is the
//! wrong topic, or its producers are wrong. It stops, so that it does not fill the disk, until somebody has it read on.

use std::collections::{BTreeMap, VecDeque};

use super::Moment;
use super::moment::shown;
use crate::domain::Topic;
use crate::source::{StopCode, StopReason, TopicNames};
use crate::store::{LetterStop, StoreError, Writer};

/// Number of a topic's latest records by which it is judged, unless a tenth of that is less than the limit.
const LATEST_RECORDS: u64 = 100_000;
/// A topic stops only if more than one in this many of its latest records is not understood.
const LETTERS_ONE_IN: u64 = 10;
/// Number of parts in which the latest records are counted and forgotten.
const PARTS: u64 = 100;

/// The limit, with the counts of the three streams.
pub struct DeadLetterLimit {
    topics: TopicNames,
    /// Number of dead letters among a topic's latest records that are never too many.
    limit: u64,
    streams: [StreamLimit; 3],
}

/// The state of one stream.
#[derive(Default)]
struct StreamLimit {
    latest: LatestRecords,
    stop: Option<LetterStop>,
}

/// The counts of the latest records.
#[derive(Default)]
struct LatestRecords {
    /// The counts in parts, the oldest first.
    parts: VecDeque<RecordCounts>,
    sum: RecordCounts,
}

#[derive(Clone, Copy, Default)]
struct RecordCounts {
    records: u64,
    letters: u64,
}

impl DeadLetterLimit {
    /// Begins with the dead letters that the store has of the last records of each partition, and with the stops that it notes,
    /// as far as the limit still gives them; the others are forgotten.
    pub fn new(writer: &Writer, topics: TopicNames, limit: u64) -> Result<DeadLetterLimit, StoreError> {
        let mut begun = DeadLetterLimit { topics, limit, streams: <[StreamLimit; 3]>::default() };
        let (reader, checkpoint) = (writer.reader(), writer.checkpoint_at_open());
        for topic in Topic::ALL {
            match reader.letter_stop(topic)? {
                Some(stop) if begun.is_exceeded(stop.records, stop.letters) => {
                    begun.streams[topic as usize].stop = Some(stop);
                }
                Some(_) => writer.note_letter_stop(topic, None)?,
                None => {}
            }
        }
        let (origins, counted_from) = (reader.origins()?, reader.letters_counted_from()?);
        let mut partitions_of = BTreeMap::new();
        for partition in checkpoint.keys() {
            *partitions_of.entry(&partition.topic).or_insert(0) += 1;
        }
        for (partition, held) in checkpoint {
            let Some(topic) = begun.topics.topic_of(&partition.topic) else { continue };
            let share = begun.window() / partitions_of[&partition.topic];
            let from = [&origins, &counted_from].map(|from| from.get(partition).copied().unwrap_or_default());
            let from = from[0].max(from[1]).max(held.next_offset - share.cast_signed());
            let offsets = from..held.next_offset.max(from);
            let records = u64::try_from(offsets.end - offsets.start).unwrap_or_default();
            let letters = reader.dead_letters_among(topic, partition.partition, offsets)?;
            begun.seed(topic, records, letters.min(records));
        }
        Ok(begun)
    }

    /// Counts records that were read before, evenly mixed.
    fn seed(&mut self, topic: Topic, records: u64, letters: u64) {
        let (window, mut left) = (self.window(), RecordCounts { records, letters });
        while left.records > 0 {
            let part = left.records.min(window / PARTS);
            let of_part = (left.letters * part).div_ceil(left.records);
            self.streams[topic as usize].latest.count(part, of_part, window);
            left = RecordCounts { records: left.records - part, letters: left.letters - of_part };
        }
    }

    /// Counts a record of a stream that was not understood, after so many that were. Returns true if it is one too many: then the
    /// topic is to stop.
    pub fn count_letter(&mut self, topic: Topic, understood_before: u64) -> bool {
        let window = self.window();
        let latest = &mut self.streams[topic as usize].latest;
        latest.count(understood_before, 0, window);
        latest.count(1, 1, window);
        let RecordCounts { records, letters } = latest.sum;
        self.is_exceeded(records, letters)
    }

    /// Counts records of a stream that were understood.
    pub fn count_understood(&mut self, topic: Topic, records: u64) {
        let window = self.window();
        self.streams[topic as usize].latest.count(records, 0, window);
    }

    /// Forgets what was read until now.
    pub fn count_anew(&mut self) {
        self.streams.iter_mut().for_each(|stream| stream.latest = LatestRecords::default());
    }

    /// Stops a stream's topic. Returns the note of it.
    pub fn stop(&mut self, topic: Topic, now: Moment) -> LetterStop {
        let stream = &mut self.streams[topic as usize];
        let RecordCounts { records, letters } = stream.latest.sum;
        stream.stop.insert(LetterStop { letters, records, since: shown(now.wall) }).clone()
    }

    /// Lets a stream's topic be read on, and counts anew. Returns true if it had stopped.
    pub fn resume(&mut self, topic: Topic) -> bool {
        std::mem::take(&mut self.streams[topic as usize]).stop.is_some()
    }

    /// Returns the reason for which a stream's topic has stopped, if it has.
    pub fn stop_reason(&self, topic: Topic) -> Option<StopReason> {
        let LetterStop { letters, records, since } = self.streams[topic as usize].stop.as_ref()?;
        let (name, stream) = (self.topics.get(topic), topic.default_name());
        let text = format!(
            "of the latest {records} records of the topic `{name}`, {letters} could not be understood as events of \
             {stream}, which is more than --dead-letter-limit, so that it is not read any further since {since}. `optview \
             dead-letters list` shows why. Correct --topic-{stream}, or mend the producer; then `optview dead-letters \
             resume --topic {name}` has it read on"
        );
        Some(StopReason::new(StopCode::DeadLetters, text))
    }

    fn is_exceeded(&self, records: u64, letters: u64) -> bool {
        letters > self.limit.max(records / LETTERS_ONE_IN)
    }

    /// Number of the latest records by which a topic is judged.
    fn window(&self) -> u64 {
        LATEST_RECORDS.max(self.limit.saturating_mul(LETTERS_ONE_IN))
    }
}

impl LatestRecords {
    /// Counts records, of which so many are dead letters, and forgets those before the last `window`.
    fn count(&mut self, mut records: u64, mut letters: u64, window: u64) {
        let part = window / PARTS;
        while records > 0 {
            if self.parts.back().is_none_or(|last| last.records >= part) {
                self.parts.push_back(RecordCounts::default());
            }
            let room = self.parts.back().map_or(0, |last| part - last.records);
            let taken = RecordCounts { records: records.min(room), letters };
            for counts in self.parts.back_mut().into_iter().chain([&mut self.sum]) {
                counts.records += taken.records;
                counts.letters += taken.letters;
            }
            (records, letters) = (records - taken.records, 0);
            self.forget_beyond(window);
        }
    }

    /// Forgets the oldest parts, as long as the rest are the last `window` records or more.
    fn forget_beyond(&mut self, window: u64) {
        while let Some(oldest) = self.parts.front()
            && self.sum.records - oldest.records >= window
        {
            self.sum.records -= oldest.records;
            self.sum.letters -= oldest.letters;
            self.parts.pop_front();
        }
    }
}

#[cfg(test)]
mod tests;
