//! The format of stored records: a fixed head that a reader understands without decoding, the response ready to
//! send, the objectives, and the registers.
//!
//! | bytes | what |
//! |---|---|
//! | 0 | [`RECORD_LAYOUT`] |
//! | 1 | flags: 1 shown to readers, 2 objectives are set |
//! | 2..4 | length of the organization's id |
//! | 4..8 | length of the response |
//! | 8..12 | where in the response `null` stands for the objectives |
//! | 12..16 | length of the objectives |
//! | 16..24 | ETag: XXH3 of the response |
//! | 24.. | organization id, response, objectives, registers (postcard) |
//!
//! Numbers are little endian.
//!
//! Every version that knows the layout understands all of it except the registers and the states of parked jobs.
//! So a version with another fold can show what this one has folded.

mod filter;
mod replica_record;
mod response_fields;

use std::ops::Range;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use super::view_json::{self, push_response};
use crate::domain::{DeadLetter, FieldValue, Job, Optimization, View};
pub use filter::Filter;
pub use replica_record::{RecordOrigin, VIEWS_FORMAT, encode_replicated, origin_of};
pub use response_fields::{StatusFields, project_id, without_results};

/// The version of the layout of a record and of the store's own values, such as the checkpoint, which is their first byte. It
/// changes when this version could not show what another has written. The catalog's chunks have a version of their own, because
/// they can be made again from the records.
pub const RECORD_LAYOUT: u8 = 1;

/// The version of the fold: the encoding of registers, and their meaning in a view. It changes when another
/// version's registers cannot be decoded, or when the same events no longer give the same views. A store with
/// another fold format is shown as it is, and built anew.
pub const FORMAT: u8 = 3;

const HEAD_LEN: usize = 24;
const SHOWN_FLAG: u8 = 1;
const OBJECTIVES_FLAG: u8 = 2;

/// A stored value whose bytes are not what was written: the store is damaged, or of another version.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a stored {what} cannot be read: {reason}")]
pub struct CorruptValue {
    /// The kind of the stored value, as the message names it.
    pub what: &'static str,
    /// The defect, as the end of the message.
    pub reason: String,
}

impl CorruptValue {
    fn new(what: &'static str, reason: impl ToString) -> CorruptValue {
        CorruptValue { what, reason: reason.to_string() }
    }
}

/// The positions of the parts of a stored optimization.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// True if readers may see the optimization.
    pub shown: bool,
    /// The XXH3 hash of the response, from which its ETag is made.
    pub etag: u64,
    /// The position of the organization's id; empty if readers must not see the optimization.
    pub organization_id: Range<usize>,
    /// The position of the response, in which `null` stands for the objectives; empty if readers must not see the
    /// optimization.
    pub response: Range<usize>,
    /// The position of the objectives; `None` if they are not set.
    pub objectives: Option<Range<usize>>,
    /// The position of `null` in place of the objectives, counted from the beginning of the stored record.
    pub objectives_null: Range<usize>,
    registers: usize,
}

/// Returns true if readers of an organization (`None`: of any) may see a stored optimization, of which the head is enough, with the
/// organization's id that follows it.
pub fn is_shown_to(stored: &[u8], organization_id: Option<&str>) -> Result<bool, CorruptValue> {
    let damaged = |reason: &str| CorruptValue::new("optimization", reason);
    let head: &[u8; HEAD_LEN] = stored.first_chunk().ok_or_else(|| damaged("it is shorter than its head"))?;
    let [_, flags, org_low, org_high, ..] = head;
    let end = HEAD_LEN + usize::from(u16::from_le_bytes([*org_low, *org_high]));
    let own = stored.get(HEAD_LEN..end).ok_or_else(|| damaged("it is shorter than its organization's id"))?;
    Ok(flags & SHOWN_FLAG != 0 && organization_id.is_none_or(|wanted| wanted.as_bytes() == own))
}

/// Finds the parts of a stored optimization. Reads only the head.
pub fn layout(stored: &[u8]) -> Result<Layout, CorruptValue> {
    let damaged = |reason: &str| CorruptValue::new("optimization", reason);
    let head: &[u8; HEAD_LEN] = stored.first_chunk().ok_or_else(|| damaged("it is shorter than its head"))?;
    let [layout, flags, org_low, org_high, rest @ ..] = head;
    if *layout != RECORD_LAYOUT {
        return Err(damaged("its layout is not the one this version writes"));
    }
    let number = |at: usize| u32::from_le_bytes([rest[at], rest[at + 1], rest[at + 2], rest[at + 3]]) as usize;
    let organization_id = HEAD_LEN..HEAD_LEN + usize::from(u16::from_le_bytes([*org_low, *org_high]));
    let response = organization_id.end..organization_id.end + number(0);
    let objectives = response.end..response.end + number(8);
    let null = response.start + number(4);
    if objectives.end > stored.len() || null + 4 > stored.len() {
        return Err(damaged("it is shorter than its head says"));
    }
    let (etag, _) = head[16..].split_at(8);
    Ok(Layout {
        shown: flags & SHOWN_FLAG != 0,
        etag: etag.iter().rev().fold(0, |etag, byte| etag << 8 | u64::from(*byte)),
        organization_id,
        response,
        registers: objectives.end,
        objectives: (flags & OBJECTIVES_FLAG != 0).then_some(objectives),
        objectives_null: null..null + 4,
    })
}

/// Returns true if readers get the same from two stored optimizations, which may differ in what they keep beside. Of a value that is
/// none, as the reference of a large one, nothing is known.
pub fn shows_the_same(one: &[u8], other: &[u8]) -> bool {
    let shown = |stored| layout(stored).ok().map(|layout| layout.registers);
    match (shown(one), shown(other)) {
        (Some(end), Some(other_end)) => one[..end] == other[..other_end],
        _ => false,
    }
}

/// Encodes an optimization into `out`, whose content is replaced.
pub fn encode_optimization(optimization: &Optimization, out: &mut Vec<u8>) -> Result<(), CorruptValue> {
    let objectives = optimization.created.as_ref().and_then(|created| created.value.objectives.as_deref());
    encode_shown(View::of(optimization).as_ref(), objectives, out)?;
    append(optimization, out, "optimization")
}

/// Encodes all that readers get of an optimization into `out`, whose content is replaced. What the record keeps beside follows it.
fn encode_shown(view: Option<&View<'_>>, objectives: Option<&str>, out: &mut Vec<u8>) -> Result<(), CorruptValue> {
    out.clear();
    out.resize(HEAD_LEN, 0);
    let mut flags = 0;
    let (mut organization_len, mut response_len, mut null) = (0, 0, 0);
    if let Some(view) = view {
        flags |= SHOWN_FLAG;
        organization_len = view.organization_id.len();
        out.extend_from_slice(view.organization_id.as_bytes());
        let start = out.len();
        null = push_response(view, out) - start;
        response_len = out.len() - start;
    }
    let etag = xxh3_64(&out[HEAD_LEN + organization_len..]);
    if let Some(objectives) = objectives {
        flags |= OBJECTIVES_FLAG;
        out.extend_from_slice(objectives.as_bytes());
    }
    let objectives_len = objectives.map_or(0, str::len);
    out[0] = RECORD_LAYOUT;
    out[1] = flags;
    let too_long = |_| CorruptValue::new("optimization", "a part of it is longer than 4 GiB");
    out[2..4].copy_from_slice(&u16::try_from(organization_len).map_err(too_long)?.to_le_bytes());
    for (at, len) in [(4, response_len), (8, null), (12, objectives_len)] {
        out[at..at + 4].copy_from_slice(&u32::try_from(len).map_err(too_long)?.to_le_bytes());
    }
    out[16..24].copy_from_slice(&etag.to_le_bytes());
    Ok(())
}

/// Decodes an optimization.
pub fn decode_optimization(stored: &[u8]) -> Result<Optimization, CorruptValue> {
    let layout = layout(stored)?;
    let mut optimization: Optimization = read(&stored[layout.registers..], "optimization")?;
    if let (Some(created), Some(objectives)) = (&mut optimization.created, layout.objectives) {
        let text = std::str::from_utf8(&stored[objectives]);
        created.value.objectives = Some(text.map_err(|error| CorruptValue::new("optimization", error))?.into());
    }
    Ok(optimization)
}

/// Encodes the state of a parked job, with the layout's version before it.
pub fn encode_job(job: &Job) -> Result<Vec<u8>, CorruptValue> {
    encode(job, "job")
}

/// Decodes the state of a parked job, as [`encode_job`] writes it.
pub fn decode_job(stored: &[u8]) -> Result<Job, CorruptValue> {
    decode(stored, "job")
}

/// Encodes a dead letter, with the layout's version before it.
pub fn encode_dead_letter(dead_letter: &DeadLetter) -> Result<Vec<u8>, CorruptValue> {
    encode(dead_letter, "dead letter")
}

/// Decodes a dead letter, as [`encode_dead_letter`] writes it.
pub fn decode_dead_letter(stored: &[u8]) -> Result<DeadLetter, CorruptValue> {
    decode(stored, "dead letter")
}

/// Encodes one of the store's own values, such as a checkpoint, with the layout's version before it.
pub fn encode<T: Serialize>(value: &T, what: &'static str) -> Result<Vec<u8>, CorruptValue> {
    encode_versioned(RECORD_LAYOUT, value, what)
}

/// Encodes a value of the store's own with a version other than [`RECORD_LAYOUT`] before it, which belongs to this kind of values.
pub fn encode_versioned<T: Serialize>(
    version: u8,
    value: &T,
    what: &'static str,
) -> Result<Vec<u8>, CorruptValue> {
    let mut out = vec![version];
    append(value, &mut out, what)?;
    Ok(out)
}

/// Decodes a value that [`encode`] wrote.
pub fn decode<'a, T: Deserialize<'a>>(stored: &'a [u8], what: &'static str) -> Result<T, CorruptValue> {
    decode_versioned(RECORD_LAYOUT, stored, what)
}

/// Decodes a value that [`encode_versioned`] wrote with the same version.
pub fn decode_versioned<'a, T: Deserialize<'a>>(
    version: u8,
    stored: &'a [u8],
    what: &'static str,
) -> Result<T, CorruptValue> {
    match stored.split_first() {
        Some((&found, rest)) if found == version => read(rest, what),
        Some(_) => Err(CorruptValue::new(what, "its layout is not the one this version writes")),
        None => Err(CorruptValue::new(what, "it is empty")),
    }
}

fn append<T: Serialize>(value: &T, out: &mut Vec<u8>, what: &'static str) -> Result<(), CorruptValue> {
    let taken = std::mem::take(out);
    *out = postcard::to_extend(value, taken).map_err(|error| CorruptValue::new(what, error))?;
    Ok(())
}

fn read<'a, T: Deserialize<'a>>(stored: &'a [u8], what: &'static str) -> Result<T, CorruptValue> {
    match postcard::take_from_bytes(stored) {
        Ok((value, [])) => Ok(value),
        Ok((_, rest)) => Err(CorruptValue::new(what, format!("{} bytes too many", rest.len()))),
        Err(error) => Err(CorruptValue::new(what, error)),
    }
}

/// Returns a text as JSON, as responses contain it.
pub fn json_text(text: &str) -> Vec<u8> {
    view_json::value(FieldValue::Text(text)).into_bytes()
}
