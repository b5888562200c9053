//! A dead letter is a record that could not be decoded. It is kept whole unless it is very large.

use serde::{Deserialize, Serialize};

use super::position::PartitionOffset;
use super::record::Record;

/// Maximum number of bytes that are kept of a record's value: 1 MiB.
pub const VALUE_LIMIT: usize = 1 << 20;

/// Maximum number of bytes that are kept of a record's key, and of its headers together: 64 KiB each.
pub const KEY_LIMIT: usize = 64 << 10;
/// Maximum number of bytes that are kept of a record's headers, names and values together: 64 KiB.
pub const HEADERS_LIMIT: usize = 64 << 10;

/// Headers with fewer bytes than this were not cut: those that were reach [`HEADERS_LIMIT`], but for a part of a character.
const HEADERS_WHOLE: usize = HEADERS_LIMIT - 3;

/// Maximum number of bytes of a reason's kind, give or take a quotation.
const KIND_LIMIT: usize = 160;
/// The names in reasons after which a number is a part of the name.
const NUMBERED: [&str; 3] = ["UTF-", "utf-", "RFC "];
/// Maximum number of bytes of a quotation that is kept in a kind.
const WORD_LIMIT: usize = 40;

/// A record that could not be decoded, as the store keeps it, with the reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// The position of the record, which is also the dead letter's key in the store.
    pub position: PartitionOffset,
    /// The record's timestamp in milliseconds since 1970; `None` if it has none.
    pub timestamp_millis: Option<i64>,
    /// The first [`KEY_LIMIT`] bytes of the key; `None` for a null key.
    pub key: Option<Vec<u8>>,
    /// Names and values of the headers in the record's order, up to [`HEADERS_LIMIT`] bytes together. The last may be cut.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
    /// The first [`VALUE_LIMIT`] bytes of the value; `None` for a null value.
    pub value: Option<Vec<u8>>,
    /// The whole value's length in bytes.
    pub value_len: u64,
    /// The field that could not be decoded, and the reason.
    pub reason: String,
}

impl DeadLetter {
    /// Returns the record, as far as it is kept.
    pub fn record(&self) -> Record<'_> {
        Record {
            position: self.position,
            timestamp_millis: self.timestamp_millis,
            key: self.key.as_deref(),
            value: self.value.as_deref(),
            headers: self.headers.iter().map(|(name, value)| (name.as_str(), value.as_deref())).collect(),
        }
    }

    /// Returns true if the whole record is known to be kept, so that it can be decoded again.
    pub fn is_whole(&self) -> bool {
        let kept = self.value.as_ref().map_or(0, Vec::len) as u64;
        let headers = self.headers.iter().map(|(name, value)| name.len() + value.as_ref().map_or(0, Vec::len));
        kept == self.value_len
            && self.key.as_ref().is_none_or(|key| key.len() < KEY_LIMIT)
            && headers.sum::<usize>() < HEADERS_WHOLE
    }

    /// Returns true if this letter, of which only the beginning may be kept, is of the same record as one that is whole.
    pub fn is_of_record(&self, whole: &DeadLetter) -> bool {
        let is_beginning = |kept: &Option<Vec<u8>>, whole: &Option<Vec<u8>>| match (kept, whole) {
            (Some(kept), Some(whole)) => whole.starts_with(kept),
            (kept, whole) => kept.is_none() && whole.is_none(),
        };
        self.position == whole.position
            && self.timestamp_millis == whole.timestamp_millis
            && self.value_len == whole.value_len
            && is_beginning(&self.value, &whole.value)
            && is_beginning(&self.key, &whole.key)
    }

    /// Returns the kind of the reason: its text without numbers and quotations, by which letters of one cause are grouped.
    pub fn kind(&self) -> String {
        kind_of(&self.reason)
    }

    /// Returns true if the reason contains a text, or the kind of it, by which lists name it.
    pub fn has_reason(&self, text: &str) -> bool {
        self.reason.contains(text) || self.kind().contains(text)
    }

    /// Approximate size in memory in bytes.
    pub fn size(&self) -> usize {
        let len = |bytes: &Option<Vec<u8>>| bytes.as_ref().map_or(0, Vec::len);
        let headers = self.headers.iter().map(|(name, value)| name.len() + len(value));
        size_of::<DeadLetter>() + len(&self.key) + len(&self.value) + headers.sum::<usize>() + self.reason.len()
    }
}

/// Returns a reason without what differs between letters of one cause: each number becomes `N`, and a quotation `...` unless it is a
/// single word of letters, such as a field's name. Numbers that are parts of names stay.
fn kind_of(reason: &str) -> String {
    let mut kind = String::with_capacity(reason.len().min(KIND_LIMIT));
    let mut rest = reason;
    while let Some(character) = rest.chars().next() {
        rest = &rest[character.len_utf8()..];
        match character {
            '"' | '`' => {
                let (quotation, after) = rest.split_once(character).unwrap_or((rest, ""));
                kind.push(character);
                kind.push_str(if is_word(quotation) { quotation } else { "..." });
                kind.push(character);
                rest = after;
            }
            character if character.is_ascii_digit() && !is_of_name(&kind) => {
                if !kind.ends_with('N') {
                    kind.push('N');
                }
            }
            character => kind.push(character),
        }
        if kind.len() >= KIND_LIMIT {
            break;
        }
    }
    kind
}

/// Returns true if a number at the end of a text is a part of a name.
fn is_of_name(text: &str) -> bool {
    let before = text.trim_end_matches(|character: char| character.is_ascii_digit());
    NUMBERED.iter().any(|name| before.ends_with(name))
}

fn is_word(text: &str) -> bool {
    text.len() <= WORD_LIMIT && text.bytes().all(|byte| byte.is_ascii_alphabetic() || b"_.".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::kind_of;

    #[test]
    fn reasons_of_one_cause_have_one_kind() {
        for (one, other) in [
            (
                "the payload is not JSON: expected `,` at line 1 column 3",
                "the payload is not JSON: expected `:` at line 12 column 417",
            ),
            ("the record has 9000001 bytes, more than", "the record has 8388609 bytes, more than"),
            (
                "the content-type `a/b` is not supported",
                "the content-type `text/plain; charset=1` is not supported",
            ),
        ] {
            assert_eq!(kind_of(one), kind_of(other));
        }
    }

    #[test]
    fn a_kind_keeps_the_field_and_what_is_wrong_with_it() {
        assert_eq!(kind_of("created.project_id: is empty"), "created.project_id: is empty");
        assert_eq!(kind_of("sequence: `-1` is less than 0"), "sequence: `...` is less than N");
        assert_eq!(kind_of("text in UTF-16: send UTF-8"), "text in UTF-16: send UTF-8");
        assert_eq!(kind_of("invalid utf-8 sequence of 12 bytes"), "invalid utf-8 sequence of N bytes");
        assert_eq!(kind_of("is not an RFC 3339 time in the year -12"), "is not an RFC 3339 time in the year -N");
        assert_eq!(kind_of("there is `createdd`, which"), "there is `createdd`, which");
        assert_ne!(kind_of("there is `createdd`, which"), kind_of("there is `created_by_mail`, which"));
        assert_ne!(kind_of("job_id: is empty"), kind_of("created.project_id: is empty"));
        assert!(kind_of(&"x".repeat(5_000)).len() < 200);
    }
}
