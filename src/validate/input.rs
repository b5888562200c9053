//! The records in a file of events: an archive's lines, events as lines of JSON, or one event.

use crate::domain::{OwnedRecord, Topic, TopicPartition};
use crate::source::archive;

/// The settings of the records that a file without keys and headers stands for.
#[derive(Clone, Copy, Debug)]
pub struct InputForm<'a> {
    /// The stream of the events; `None` if nobody has given it.
    pub topic: Option<Topic>,
    /// The key of the only record.
    pub key: Option<&'a str>,
    /// The header `content-type`.
    pub content_type: Option<&'a str>,
}

/// A record with the number of the line that it begins in.
#[derive(Debug, PartialEq, Eq)]
pub struct InputRecord {
    /// The number of the line, counted from 1.
    pub line: usize,
    /// The record, or the reason for which the line is none.
    pub record: Result<OwnedRecord, String>,
    /// True if the file gives the record's key, or that it has none.
    pub has_key: bool,
}

/// The reason for which a file cannot be split into records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InputError {
    /// The file has no byte but white space.
    #[error("there is no event in it")]
    Empty,
    /// Nobody has given the topic, and the file does not name it.
    #[error("give the topic that the events are for: --topic optimizations, jobs or multistart-runs")]
    NoTopic,
    /// A key was given for a file of several events.
    #[error("--key is for a file with one event; records with keys are given as an archive has them")]
    KeyOfSeveral,
}

/// Splits a file into records. If its first line is a whole JSON object, each line is a record of its own; else the file is one.
///
/// # Errors
/// Fails if the file is empty or its topic is unknown.
pub fn records(file: &[u8], form: InputForm<'_>) -> Result<Vec<InputRecord>, InputError> {
    let lines: Vec<(usize, &[u8])> = file
        .split(|byte| *byte == b'\n')
        .enumerate()
        .map(|(at, line)| (at + 1, line.trim_ascii()))
        .filter(|(_, line)| !line.is_empty())
        .collect();
    let Some((_, first)) = lines.first() else { return Err(InputError::Empty) };
    if archive::decode_line(first).is_ok() {
        return Ok(lines.into_iter().map(|(number, line)| of_archive(number, line)).collect());
    }
    let topic = form.topic.ok_or(InputError::NoTopic)?;
    let values = match is_object(first) {
        true => lines,
        false => vec![(1, file)],
    };
    if values.len() > 1 && form.key.is_some() {
        return Err(InputError::KeyOfSeveral);
    }
    let header = form.content_type.map(|value| ("content-type".to_owned(), Some(value.as_bytes().to_vec())));
    let records = values.into_iter().enumerate().map(|(at, (line, value))| InputRecord {
        line,
        record: Ok(OwnedRecord {
            position: TopicPartition::new(topic, 0).at(i64::try_from(at).unwrap_or(i64::MAX)),
            timestamp_millis: None,
            key: form.key.map(|key| key.as_bytes().to_vec()),
            value: Some(value.to_vec()),
            headers: header.iter().cloned().collect(),
        }),
        has_key: form.key.is_some(),
    });
    Ok(records.collect())
}

fn of_archive(number: usize, line: &[u8]) -> InputRecord {
    InputRecord { line: number, record: archive::decode_line(line).map(|(record, _)| record), has_key: true }
}

/// Returns true if a line could be a whole JSON object. The first line of one object over several lines is not.
fn is_object(line: &[u8]) -> bool {
    line.starts_with(b"{") && line.ends_with(b"}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORM: InputForm<'static> = InputForm { topic: Some(Topic::Jobs), key: None, content_type: None };

    fn values(file: &[u8]) -> Vec<(usize, Vec<u8>)> {
        let records = records(file, FORM).unwrap();
        records.into_iter().map(|input| (input.line, input.record.unwrap().value.unwrap())).collect()
    }

    #[test]
    fn lines_are_events_of_their_own_and_all_else_is_one() {
        assert_eq!(
            values(b"{\"a\":1}\n\n {\"b\":2}\r\n"),
            [(1, b"{\"a\":1}".to_vec()), (3, b"{\"b\":2}".to_vec())]
        );
        for one in [&b"{\n \"a\": 1\n}\n"[..], b"\x0a\x02ab", b"\0\0\0\0\x01\0\x0a", b"no JSON"] {
            assert_eq!(values(one), [(1, one.to_vec())]);
        }
    }

    #[test]
    fn what_is_missing_is_an_error() {
        assert_eq!(records(b" \n\n", FORM), Err(InputError::Empty));
        assert_eq!(records(b"{}", InputForm { topic: None, ..FORM }), Err(InputError::NoTopic));
        let of_one = InputForm { key: Some("k"), ..FORM };
        assert_eq!(records(b"{}\n{}", of_one), Err(InputError::KeyOfSeveral));
        assert_eq!(records(b"{}", of_one).unwrap().len(), 1);
    }

    #[test]
    fn lines_of_an_archive_bring_topic_and_key() {
        let line = br#"{"stream":"jobs","topic":"prod.jobs","partition":2,"offset":7,"timestamp_millis":5,"key":"k","value":null,"headers":[]}"#;
        let file = [&line[..], b"{\"stream\":\"jobs\"}"].join(&b'\n');
        let found = records(&file, InputForm { topic: None, ..FORM }).unwrap();
        let first = found[0].record.as_ref().unwrap();
        assert_eq!(
            (first.position, first.key.as_deref()),
            (TopicPartition::new(Topic::Jobs, 2).at(7), Some(&b"k"[..]))
        );
        assert!(found[1].record.as_ref().unwrap_err().contains("missing field"), "{:?}", found[1]);
    }
}
