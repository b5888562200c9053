//! A record: Kafka's bytes, before anything is understood of them.

use super::position::Position;

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
