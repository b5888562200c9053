//! A record: Kafka's bytes, before anything is understood of them.

use super::position::Position;

/// How many bytes a record's key, value and headers may have together to be understood: 8 MiB, eight times what a Kafka
/// broker lets through by default. What is made of a record takes several times its size in memory.
pub const RECORD_LIMIT: usize = 8 << 20;

/// A header's name and value. A name that is not UTF-8 is shown with replacement characters.
pub type Header<'a> = (&'a str, Option<&'a [u8]>);

#[derive(Clone, Debug)]
pub struct Record<'a> {
    pub position: Position,
    /// Milliseconds since 1970; `None` where the record has no timestamp.
    pub timestamp_millis: Option<i64>,
    pub key: Option<&'a [u8]>,
    /// `None`: a null value, which is not an empty one.
    pub value: Option<&'a [u8]>,
    pub headers: Vec<Header<'a>>,
}

impl Record<'_> {
    /// How many bytes its key, its value and its headers have together.
    pub fn size(&self) -> usize {
        let len = |bytes: Option<&[u8]>| bytes.map_or(0, <[u8]>::len);
        let headers = self.headers.iter().map(|(name, value)| name.len() + len(*value));
        len(self.key) + len(self.value) + headers.sum::<usize>()
    }
}

/// A record that is kept beyond the batch that it came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnedRecord {
    pub position: Position,
    /// Milliseconds since 1970; `None` where the record has no timestamp.
    pub timestamp_millis: Option<i64>,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: Vec<(String, Option<Vec<u8>>)>,
}

impl OwnedRecord {
    pub fn record(&self) -> Record<'_> {
        Record {
            position: self.position,
            timestamp_millis: self.timestamp_millis,
            key: self.key.as_deref(),
            value: self.value.as_deref(),
            headers: self.headers.iter().map(|(name, value)| (name.as_str(), value.as_deref())).collect(),
        }
    }
}

impl From<&Record<'_>> for OwnedRecord {
    fn from(record: &Record<'_>) -> OwnedRecord {
        let owned = |bytes: Option<&[u8]>| bytes.map(<[u8]>::to_vec);
        OwnedRecord {
            position: record.position,
            timestamp_millis: record.timestamp_millis,
            key: owned(record.key),
            value: owned(record.value),
            headers: record.headers.iter().map(|(name, value)| ((*name).to_owned(), owned(*value))).collect(),
        }
    }
}
