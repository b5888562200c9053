//! The headers of a record on the dead letter topic: where the record comes from, and why it could not be understood. They are those
//! that Kafka Connect writes, whose values are texts that any tool shows (Kafka Streams has the same under its own prefix; those of
//! Spring are numbers in binary). They stand behind the record's own headers, which may have the same names.

use super::TopicNames;
use crate::domain::{DeadLetter, NamedPartition, OwnedRecord};

/// The first of the headers that are added.
const TOPIC: &str = "__connect.errors.topic";
const PARTITION: &str = "__connect.errors.partition";
const OFFSET: &str = "__connect.errors.offset";
const WRITER: &str = "__connect.errors.connector.name";
const STAGE: &str = "__connect.errors.stage";
const REASON: &str = "__connect.errors.exception.message";
/// The record's own timestamp in milliseconds: the topic may replace it by that of its own append. Connect has no such header.
const TIMESTAMP: &str = "optview.timestamp";
/// Number of bytes of the record's value, where only its beginning could be written.
const CUT_FROM: &str = "optview.cut-from";

/// The value of [`WRITER`], by which the dead letters of this program are known.
const OPTVIEW: &str = "optview";
/// The value of [`STAGE`]: Connect's name for decoding.
const DECODING: &str = "VALUE_CONVERTER";
/// The most bytes of a reason.
const REASON_MAX: usize = 4_096;
/// The most bytes that are left of a value, and of a key, that are cut because the topic takes no more.
const CUT_VALUE: usize = 64 << 10;
const CUT_KEY: usize = 1 << 10;

/// A dead letter on its way to the dead letter topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutgoingLetter {
    /// The name of the partition that the record was read from.
    pub partition: NamedPartition,
    /// The record.
    pub record: OwnedRecord,
    /// Number of bytes that the value had, if it is not whole.
    pub cut_from: Option<u64>,
    /// The reason for which the record could not be understood.
    pub reason: String,
}

impl OutgoingLetter {
    /// Returns the record's own headers, and those that say where it comes from.
    pub fn headers(&self) -> Vec<(String, Option<Vec<u8>>)> {
        let reason = &self.reason[..self.reason.floor_char_boundary(REASON_MAX)];
        let mut origin = vec![
            (TOPIC, self.partition.topic.clone()),
            (PARTITION, self.partition.partition.to_string()),
            (OFFSET, self.record.position.offset.to_string()),
            (WRITER, OPTVIEW.to_owned()),
            (STAGE, DECODING.to_owned()),
            (REASON, reason.to_owned()),
        ];
        origin.extend(self.record.timestamp_millis.map(|millis| (TIMESTAMP, millis.to_string())));
        origin.extend(self.cut_from.map(|bytes| (CUT_FROM, bytes.to_string())));
        let origin = origin.into_iter().map(|(name, value)| (name.to_owned(), Some(value.into_bytes())));
        self.record.headers.iter().cloned().chain(origin).collect()
    }

    /// Cuts the record down to what every topic takes. Returns false if nothing is left to be cut.
    pub fn cut(&mut self) -> bool {
        let record = &mut self.record;
        let value_len = record.value.as_ref().map_or(0, Vec::len);
        let key_len = record.key.as_ref().map_or(0, Vec::len);
        if value_len <= CUT_VALUE && key_len <= CUT_KEY && record.headers.is_empty() {
            return false;
        }
        self.cut_from.get_or_insert(value_len as u64);
        record.headers.clear();
        if let Some(value) = &mut record.value {
            value.truncate(CUT_VALUE);
        }
        if let Some(key) = &mut record.key {
            key.truncate(CUT_KEY);
        }
        true
    }

    /// About how many bytes it takes in memory.
    pub fn size(&self) -> u64 {
        (size_of::<OutgoingLetter>() + self.record.record().size() + self.reason.len()) as u64
    }
}

/// Takes a record of a dead letter topic for the letter that it was. The record's own position has no part in that.
///
/// # Errors
/// It is no dead letter of optview's, only its beginning was written, or it comes from a topic that is none of these.
pub fn returned_letter(mut record: OwnedRecord, topics: &TopicNames) -> Result<DeadLetter, String> {
    let begin = record.headers.iter().rposition(|(name, _)| name == TOPIC);
    let begin = begin.ok_or("it has no header `__connect.errors.topic`, so it is no dead letter of optview's")?;
    let origin = record.headers.split_off(begin);
    let text = |name: &str| {
        let value = origin.iter().find(|(held, _)| held == name).and_then(|(_, value)| value.as_deref());
        value.and_then(|value| std::str::from_utf8(value).ok())
    };
    if text(WRITER) != Some(OPTVIEW) {
        return Err(format!("its header `{WRITER}` is not `{OPTVIEW}`: another tool wrote it"));
    }
    let number = |name: &str| text(name).and_then(|text| text.parse::<i64>().ok()).filter(|number| *number >= 0);
    let (partition, offset) = (number(PARTITION).and_then(|number| i32::try_from(number).ok()), number(OFFSET));
    let (Some(topic), Some(partition), Some(offset)) = (text(TOPIC), partition, offset) else {
        return Err("its headers give no topic, partition and offset that it comes from".to_owned());
    };
    let Some(stream) = topics.partition_of(&NamedPartition::new(topic, partition)) else {
        return Err(format!(
            "it comes from the topic `{topic}`, which is none of those that the store is built from"
        ));
    };
    if text(CUT_FROM).is_some() {
        return Err(format!(
            "only its beginning was written: read the record where it comes from, {topic}/{partition}@{offset}"
        ));
    }
    Ok(DeadLetter {
        position: stream.at(offset),
        timestamp_millis: text(TIMESTAMP).and_then(|text| text.parse().ok()),
        value_len: record.value.as_ref().map_or(0, Vec::len) as u64,
        reason: text(REASON).unwrap_or_default().to_owned(),
        key: record.key,
        headers: record.headers,
        value: record.value,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::{Topic, TopicPartition};

    fn bytes(most: usize) -> impl Strategy<Value = Option<Vec<u8>>> {
        proptest::option::of(proptest::collection::vec(any::<u8>(), 0..most))
    }

    prop_compose! {
        fn letter()(
            topic in proptest::sample::select(Topic::ALL.to_vec()),
            partition in 0..i32::MAX,
            offset in 0..i64::MAX,
            timestamp_millis: Option<i64>,
            key in bytes(20),
            value in bytes(200),
            headers in proptest::collection::vec(
                (prop_oneof![".{0,9}", Just(TOPIC.to_owned()), Just(WRITER.to_owned())], bytes(9)), 0..5
            ),
            reason: String,
        ) -> OutgoingLetter {
            let position = TopicPartition::new(topic, partition).at(offset);
            let record = OwnedRecord { position, timestamp_millis, key, value, headers };
            let partition = TopicNames::default().partition(position.topic_partition());
            OutgoingLetter { partition, record, cut_from: None, reason }
        }
    }

    /// Returns the letter as the topic gives it back, at a position of its own.
    fn written(letter: &OutgoingLetter) -> OwnedRecord {
        let position = TopicPartition::new(Topic::Jobs, 0).at(77);
        OwnedRecord { position, timestamp_millis: Some(5), headers: letter.headers(), ..letter.record.clone() }
    }

    proptest! {
        #[test]
        fn a_letter_comes_back_as_the_record_that_it_was(letter in letter()) {
            let returned = returned_letter(written(&letter), &TopicNames::default()).unwrap();
            prop_assert_eq!(OwnedRecord::from(&returned.record()), letter.record.clone());
            prop_assert!(letter.reason.starts_with(&returned.reason));
        }

        #[test]
        fn no_record_makes_it_panic(mut letter in letter(), keep in 0..9_usize, value in bytes(30)) {
            letter.reason = String::new();
            let mut record = written(&letter);
            record.headers.truncate(keep);
            record.headers.push((OFFSET.to_owned(), value));
            let _ = returned_letter(record, &TopicNames::default());
        }

        #[test]
        fn a_letter_that_was_cut_is_small_and_comes_back_as_no_record(
            mut letter in letter(), bytes in 65_537..200_000_usize,
        ) {
            letter.record.value = Some(vec![b'x'; bytes]);
            prop_assert!(letter.cut());
            prop_assert!(!letter.cut(), "nothing is left to be cut");
            prop_assert!(letter.size() < 80_000 + letter.reason.len() as u64);
            let why = returned_letter(written(&letter), &TopicNames::default()).unwrap_err();
            prop_assert!(why.contains("only its beginning was written"), "{}", why);
        }
    }

    #[test]
    fn what_is_no_letter_of_ours_is_refused_by_its_reason() {
        let position = TopicPartition::new(Topic::Jobs, 3).at(4);
        let record = OwnedRecord { position, timestamp_millis: None, key: None, value: None, headers: Vec::new() };
        let topics = TopicNames::default();
        let letter = |topic: &str| OutgoingLetter {
            partition: NamedPartition::new(topic, 3),
            record: record.clone(),
            cut_from: None,
            reason: "r".repeat(9_000),
        };
        let changed = |name: &str, value: &str| {
            let mut changed = written(&letter("jobs"));
            let held = changed.headers.iter_mut().find(|(held, _)| held == name).unwrap();
            held.1 = Some(value.into());
            returned_letter(changed, &topics).unwrap_err()
        };
        assert!(returned_letter(record.clone(), &topics).unwrap_err().contains("is no dead letter"));
        assert!(returned_letter(written(&letter("other")), &topics).unwrap_err().contains("the topic `other`"));
        assert!(changed(WRITER, "a-sink").contains("another tool wrote it"));
        for (name, value) in [(OFFSET, "-1"), (PARTITION, "2147483648"), (OFFSET, "1e3"), (PARTITION, "")] {
            assert!(changed(name, value).contains("give no topic, partition and offset"), "{name} {value}");
        }
        assert_eq!(returned_letter(written(&letter("jobs")), &topics).unwrap().reason.len(), REASON_MAX);
    }
}
