//! The quality of each stream: how much of it is understood. Each record that is not understood is a dead letter, and one more or
//! less is no problem. But a topic of which many records are no events of its stream is the wrong topic, or its producers are
//! wrong, and views stand still however live they look.

use crate::codec::{self, Framing};
use crate::domain::record::Header;
use crate::domain::{DeadLetter, Record, Topic};
use crate::source::TopicNames;
use crate::status::StreamReport;
use crate::store::{Checkpoint, Reader, StoreError};

/// About the number of the latest records that a stream is judged by.
const WINDOW: u64 = 200;
/// Below this number of records that are not understood, there is no problem.
const PROBLEM_RECORDS_MIN: u64 = 10;
/// The topic has a problem if one record in this many is not understood. A greater part of one stream's events can be understood
/// as another's.
const PROBLEM_ONE_IN: u64 = 4;
/// The most records that are not understood and are tried as events of the other streams.
const TRIED_MAX: u64 = 20;

/// The three streams' counts.
pub struct StreamQuality {
    topics: TopicNames,
    /// The frames that the values of records may have.
    framing: Framing,
    streams: [StreamCounts; 3],
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct StreamCounts {
    understood: u64,
    not_understood: u64,
    /// Numbers of the latest records: those that were understood, and those that were not.
    latest: [u64; 2],
    tried: u64,
    /// Number of the records that were tried that are events of each stream.
    belong_to: [u64; 3],
    has_problem: bool,
}

impl StreamQuality {
    /// Begins with the dead letters that the store has of the last records of each partition, so that a restart forgets no
    /// problem.
    pub fn new(
        reader: &Reader,
        checkpoint: &Checkpoint,
        topics: TopicNames,
        framing: Framing,
    ) -> Result<StreamQuality, StoreError> {
        let mut streams = [StreamCounts::default(); 3];
        let origins = reader.origins()?;
        for (partition, held) in checkpoint {
            let Some(topic) = topics.topic_of(&partition.topic) else { continue };
            let begin = origins.get(partition).copied().unwrap_or_default();
            let from = begin.max(held.next_offset - WINDOW.cast_signed());
            let offsets = from..held.next_offset.max(from);
            let records = u64::try_from(offsets.end - offsets.start).unwrap_or_default();
            let not_understood = reader.dead_letters_among(topic, partition.partition, offsets)?;
            streams[topic as usize].note([records.saturating_sub(not_understood), not_understood]);
        }
        Ok(StreamQuality { topics, framing, streams })
    }

    /// Counts some records of a stream: the number that were understood, and those that were not.
    pub fn count<'a>(
        &mut self,
        topic: Topic,
        understood: u64,
        dead_letters: impl Iterator<Item = &'a DeadLetter>,
    ) {
        let stream = &mut self.streams[topic as usize];
        let mut not_understood = 0;
        for dead_letter in dead_letters {
            not_understood += 1;
            if stream.tried < TRIED_MAX {
                stream.try_others(topic, dead_letter, self.framing);
            }
        }
        stream.understood += understood;
        stream.not_understood += not_understood;
        stream.note([understood, not_understood]);
    }

    /// Returns what `/status` shows of each stream. If `logs`, logs what has changed.
    pub fn report(&mut self, logs: bool) -> Vec<StreamReport> {
        let reports: Vec<StreamReport> = Topic::ALL.into_iter().map(|topic| self.stream_report(topic)).collect();
        for (stream, report) in self.streams.iter_mut().zip(&reports) {
            let had_problem = std::mem::replace(&mut stream.has_problem, report.problem.is_some());
            match &report.problem {
                Some(problem) if !had_problem && logs => tracing::error!(topic = report.topic, "{problem}"),
                None if had_problem && logs => {
                    tracing::info!(topic = report.topic, "nearly all records are understood again")
                }
                _ => {}
            }
        }
        reports
    }

    /// Counts from 0 from now on. The counts of the latest records stay.
    pub fn count_anew(&mut self) {
        for stream in &mut self.streams {
            (stream.understood, stream.not_understood) = (0, 0);
        }
    }

    /// The problem of the first stream that has one.
    pub fn problem(&self) -> Option<String> {
        Topic::ALL.into_iter().find_map(|topic| self.problem_of(topic))
    }

    fn stream_report(&self, topic: Topic) -> StreamReport {
        let StreamCounts { understood, not_understood, .. } = self.streams[topic as usize];
        StreamReport {
            stream: topic.default_name(),
            topic: self.topics.get(topic).to_owned(),
            understood,
            not_understood,
            problem: self.problem_of(topic),
        }
    }

    fn problem_of(&self, topic: Topic) -> Option<String> {
        let StreamCounts { latest: [understood, not_understood], tried, belong_to, .. } =
            self.streams[topic as usize];
        let records = understood + not_understood;
        if not_understood < PROBLEM_RECORDS_MIN || not_understood * PROBLEM_ONE_IN < records {
            return None;
        }
        let (name, stream) = (self.topics.get(topic), topic.default_name());
        let other = Topic::ALL.into_iter().find(|other| belong_to[*other as usize] * 2 > tried);
        let advice = match other {
            Some(other) => format!(
                "most of those that were tried are events of {}: is `{name}` the topic that was meant by --topic-{stream}, \
                 and `{}` by --topic-{}?",
                other.default_name(),
                self.topics.get(other),
                other.default_name()
            ),
            None => format!(
                "is it the topic that was meant by --topic-{stream}? The dead letters say what is wrong with each"
            ),
        };
        Some(format!(
            "of the latest {records} records of the topic `{name}`, {not_understood} cannot be understood as events of \
             {stream}; {advice}"
        ))
    }
}

impl StreamCounts {
    fn note(&mut self, counts: [u64; 2]) {
        self.latest = [self.latest[0] + counts[0], self.latest[1] + counts[1]];
        let sum: u64 = self.latest.iter().sum();
        if sum > 2 * WINDOW {
            self.latest = self.latest.map(|count| (count * WINDOW).div_ceil(sum));
        }
    }

    fn try_others(&mut self, topic: Topic, dead_letter: &DeadLetter, framing: Framing) {
        self.tried += 1;
        for other in Topic::ALL.into_iter().filter(|other| *other != topic) {
            if is_event_of(other, dead_letter, framing) {
                self.belong_to[other as usize] += 1;
            }
        }
    }
}

fn is_event_of(topic: Topic, dead_letter: &DeadLetter, framing: Framing) -> bool {
    let mut position = dead_letter.position;
    position.topic = topic;
    let headers: Vec<Header<'_>> =
        dead_letter.headers.iter().map(|(name, value)| (name.as_str(), value.as_deref())).collect();
    let value = dead_letter.value.as_deref();
    // A null value means something in one stream only, whatever its key is.
    let record = Record { position, timestamp_millis: dead_letter.timestamp_millis, key: None, value, headers };
    value.is_some() && codec::decode_framed(&record, framing).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::TopicPartition;

    // With frames that no other setting takes off, the letters of a wrong topic would be nobody's.
    #[test]
    fn letters_are_tried_as_events_of_other_streams_by_the_frames_that_are_configured() {
        let pending =
            br#"{"metadata":{"eventId":"e","occurredAt":"2026-03-01T09:00:00Z"},"jobId":"j","pending":{}}"#;
        // An id of 8 bytes that begins as Confluent's frame does.
        let value = [&[0, 0, 1, 0, 0, 0, 0, 0, 7][..], pending].concat();
        let letter = DeadLetter {
            position: TopicPartition::new(Topic::Optimizations, 0).at(1),
            timestamp_millis: None,
            key: None,
            headers: Vec::new(),
            value_len: value.len() as u64,
            value: Some(value),
            reason: String::new(),
        };
        assert!(is_event_of(Topic::Jobs, &letter, Framing::Apicurio));
        assert!(!is_event_of(Topic::Jobs, &letter, Framing::Auto));
        let (topics, streams) = (TopicNames::default(), [StreamCounts::default(); 3]);
        let mut quality = StreamQuality { topics, framing: Framing::Apicurio, streams };
        quality.count(Topic::Optimizations, 0, [&letter].into_iter());
        assert_eq!((quality.streams[0].tried, quality.streams[0].belong_to), (1, [0, 1, 0]));
    }
}
