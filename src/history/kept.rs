//! Records of the history, kept beyond the batch that they came in.

use crate::domain::{Position, Record};

type Bytes = Box<[u8]>;

pub struct Kept {
    pub position: Position,
    /// Milliseconds since 1970, as Kafka has it; `None` where the record has none.
    pub timestamp_millis: Option<i64>,
    key: Option<Bytes>,
    value: Option<Bytes>,
    headers: Vec<(Box<str>, Option<Bytes>)>,
}

impl Kept {
    pub fn of(record: &Record<'_>) -> Kept {
        let headers = record.headers.iter().map(|(name, value)| (Box::from(*name), value.map(Box::from)));
        Kept {
            position: record.position,
            timestamp_millis: record.timestamp_millis,
            key: record.key.map(Box::from),
            value: record.value.map(Box::from),
            headers: headers.collect(),
        }
    }

    pub fn record(&self) -> Record<'_> {
        Record {
            position: self.position,
            timestamp_millis: self.timestamp_millis,
            key: self.key.as_deref(),
            value: self.value.as_deref(),
            headers: self.headers.iter().map(|(name, value)| (&**name, value.as_deref())).collect(),
        }
    }
}
