//! A record is Kafka's bytes before they are decoded.

use super::position::PartitionOffset;

/// Maximum size in bytes of a record's key, value and headers together that is decoded: 8 MiB, eight times a Kafka
/// broker's default limit. Decoding a record takes several times its size in memory.
pub const RECORD_LIMIT: usize = 8 << 20;

/// A header's name and value. A name that is not UTF-8 is shown with replacement characters.
pub type Header<'a> = (&'a str, Option<&'a [u8]>);

/// One record of a topic, borrowed from the batch that it came in.
#[derive(Clone, Debug)]
pub struct Record<'a> {
    /// The position of the record.
    pub position: PartitionOffset,
    /// The timestamp in milliseconds since 1970; `None` if the record has none.
    pub timestamp_millis: Option<i64>,
    /// The key; `None` for null. Only that of a null value is decoded: it names the optimization that is deleted.
    pub key: Option<&'a [u8]>,
    /// The value; `None` for null, which differs from an empty value.
    pub value: Option<&'a [u8]>,
    /// The headers in the record's order.
    pub headers: Vec<Header<'a>>,
}

impl Record<'_> {
    /// Size in bytes of the key, the value and the headers together.
    pub fn size(&self) -> usize {
        let len = |bytes: Option<&[u8]>| bytes.map_or(0, <[u8]>::len);
        let headers = self.headers.iter().map(|(name, value)| name.len() + len(*value));
        len(self.key) + len(self.value) + headers.sum::<usize>()
    }
}

/// A record that is kept beyond the batch that it came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnedRecord {
    /// The position of the record.
    pub position: PartitionOffset,
    /// The timestamp in milliseconds since 1970; `None` if the record has none.
    pub timestamp_millis: Option<i64>,
    /// The key; `None` for null.
    pub key: Option<Vec<u8>>,
    /// The value; `None` for null, which differs from an empty value.
    pub value: Option<Vec<u8>>,
    /// Names and values of the headers in the record's order.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
}

impl OwnedRecord {
    /// Returns the same record, borrowed.
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
