//! The ids by which a record belongs to one optimization's history: its own, and those of its jobs.
//!
//! Nearly all records of a log belong to other optimizations, and decoding them would take most of a scan's time. So each
//! record's bytes are first searched for the ids, and only a record that has one is decoded. JSON may write an id with escapes
//! (`"opt\u002d1"`), which hide it from that search: if there is a backslash, the text without its escapes is searched
//! too. The search may find too much, and must never find too little.

use std::collections::BTreeSet;

use memchr::memchr;
use memchr::memmem::Finder;

use super::escapes;
use crate::domain::{Body, Record};

/// The ids of one optimization and of its jobs, with a search for them.
pub struct HistoryIds {
    optimization: String,
    jobs: BTreeSet<String>,
    /// One finder for each id. There are few ids, and one search for one text is faster than a search for several at once,
    /// since ids are much alike.
    finders: Vec<Finder<'static>>,
    /// The value that was last searched, without its escapes.
    unescaped: Vec<u8>,
}

impl HistoryIds {
    /// Begins with the id of an optimization, which must not be empty.
    pub fn new(optimization: &str) -> HistoryIds {
        HistoryIds {
            optimization: optimization.to_owned(),
            jobs: BTreeSet::new(),
            finders: vec![Finder::new(optimization).into_owned()],
            unescaped: Vec::new(),
        }
    }

    /// The ids of the jobs that have been found to belong to the optimization.
    pub fn jobs(&self) -> &BTreeSet<String> {
        &self.jobs
    }

    /// Returns true if one of the ids stands anywhere in the record's key or value.
    pub fn occur_in(&mut self, record: &Record<'_>) -> bool {
        let Record { key, value, .. } = record;
        let HistoryIds { finders, unescaped, .. } = self;
        let occur = |bytes: &[u8]| finders.iter().any(|finder| finder.find(bytes).is_some());
        if [key, value].into_iter().flatten().any(|bytes| occur(bytes)) {
            return true;
        }
        let Some(value) = value.filter(|value| memchr(b'\\', value).is_some()) else { return false };
        escapes::resolve(value, unescaped);
        occur(unescaped)
    }

    /// Returns true if an event belongs to this history. Adds the job that the event links to the optimization, or that names
    /// the optimization as its own.
    pub fn take(&mut self, body: &Body<'_>) -> bool {
        match body {
            Body::Optimization { optimization_id, .. } => {
                let is_of_it = *optimization_id == *self.optimization;
                if is_of_it && let Some(job_id) = body.job_id() {
                    self.learn(job_id);
                }
                is_of_it
            }
            Body::Job { job_id, optimization_id, .. } | Body::Run { job_id, optimization_id, .. } => {
                if optimization_id.as_deref() == Some(&*self.optimization) {
                    self.learn(job_id);
                }
                self.jobs.contains(&**job_id)
            }
        }
    }

    /// Returns true if a record that is no event mentions one of the ids, as a whole word or as a protobuf field.
    pub fn are_mentioned_in(&mut self, record: &Record<'_>) -> bool {
        let HistoryIds { optimization, jobs, unescaped, .. } = self;
        escapes::resolve(record.value.unwrap_or_default(), unescaped);
        let places = [record.key, record.value, Some(unescaped)];
        let mut ids = jobs.iter().chain([&*optimization]);
        ids.any(|id| places.iter().flatten().any(|bytes| has_whole(bytes, id)))
    }

    fn learn(&mut self, job_id: &str) {
        if self.jobs.insert(job_id.to_owned()) {
            self.finders.push(Finder::new(job_id).into_owned());
        }
    }
}

/// Returns true if `id` stands in `bytes` other than as a part of a longer id.
fn has_whole(bytes: &[u8], id: &str) -> bool {
    let finder = Finder::new(id);
    let mut begin = 0;
    while let Some(at) = finder.find(&bytes[begin..]) {
        let at = begin + at;
        let before = at.checked_sub(1).map(|before| bytes[before]);
        let after = bytes.get(at + id.len()).copied();
        // Protobuf writes a text's length before it, and the next field's number, which may look like a letter, after it.
        let is_field = before.is_some_and(|before| usize::from(before) == id.len());
        if is_field || ![before, after].into_iter().flatten().any(is_of_id) {
            return true;
        }
        begin = at + 1;
    }
    false
}

fn is_of_id(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_' || !byte.is_ascii()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{PartitionOffset, Topic};

    fn record(value: &[u8]) -> Record<'_> {
        let position = PartitionOffset { topic: Topic::Jobs, partition: 0, offset: 0 };
        Record { position, timestamp_millis: None, key: Some(b"other"), value: Some(value), headers: Vec::new() }
    }

    #[test]
    fn an_id_is_found_however_json_writes_it() {
        let mut ids = HistoryIds::new("opt-1/ü😀");
        for text in [
            r#"{"optimizationId":"opt-1/ü😀"}"#,
            r#"{"optimizationId":"opt\u002d1\/\u00fc\ud83d\ude00"}"#,
            r#"{"optimizationId":"\u006fpt-1\/ü\uD83D\uDE00"}"#,
            r#"{"a":"\\","optimizationId":"\u006f\u0070\u0074\u002d\u0031\u002f\u00FC😀"}"#,
        ] {
            assert!(ids.occur_in(&record(text.as_bytes())), "{text}");
        }
        for text in [r#"{"optimizationId":"opt-2"}"#, r#"{"optimizationId":"opt\\u002d1/ü😀"}"#] {
            assert!(!ids.occur_in(&record(text.as_bytes())), "{text}");
        }
    }

    #[test]
    fn a_mention_is_a_whole_id() {
        let mut ids = HistoryIds::new("opt-1");
        for value in
            [&b"opt-1"[..], b"{\"x\": \"opt-1\"", b"\x12\x05opt-1B", b"opt-10 opt-1.", b"{\"opt\\u002d1\""]
        {
            assert!(ids.are_mentioned_in(&record(value)), "{value:?}");
        }
        for value in [&b"opt-10"[..], b"my-opt-1", b"\x06opt-1B", b""] {
            assert!(!ids.are_mentioned_in(&record(value)), "{value:?}");
        }
    }
}
