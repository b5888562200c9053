//! Reads the records of a decompressed batch (in Kafka's record format 2) and keeps them within a number of bytes.

use std::io::{self, BufReader, Read, Write};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::domain::record::Header;
use crate::domain::record::RECORD_LIMIT;

/// Number of bytes that are kept of the key and of the value of a record that is cut short.
const KEY_HEAD: usize = 1 << 10;
const VALUE_HEAD: usize = 64 << 10;
/// Number of bytes that are kept of the value if the batch has no room left.
const SHORT_HEAD: usize = 64;
/// Approximate memory that librdkafka uses for each record beside its bytes.
const RECORD_OVERHEAD: usize = 512;
/// The size of the first chunk and the largest size, in bytes.
const CHUNK_LEN: (usize, usize) = (16 << 10, 1 << 20);

/// The name of the only header of a record that was cut short. It differs in each process, so that no producer can
/// know it.
static MARK: LazyLock<String> = LazyLock::new(|| {
    use std::hash::{BuildHasher as _, RandomState};
    format!("optview-cut-{:016x}", RandomState::new().hash_one("mark"))
});

static ANY_IS_CUT: AtomicBool = AtomicBool::new(false);

/// Returns true if any record has been cut short in this process. Until then, no record's headers need be checked.
pub fn has_cut() -> bool {
    ANY_IS_CUT.load(Ordering::Relaxed)
}

/// Returns the number of bytes of the whole value if this record was cut short.
pub fn cut_from(headers: &[Header<'_>]) -> Option<u64> {
    match headers {
        [(name, Some(len))] if *name == *MARK => Some(u64::from_be_bytes((*len).try_into().ok()?)),
        _ => None,
    }
}

/// Bytes in chunks. They grow without being copied, and each chunk can be freed separately.
#[derive(Default)]
pub struct Chunks {
    chunks: Vec<Vec<u8>>,
    len: usize,
}

impl Chunks {
    pub fn len(&self) -> usize {
        self.len
    }

    /// Returns the last chunk, which has room left.
    fn last(&mut self) -> &mut Vec<u8> {
        if self.chunks.last().is_none_or(|chunk| chunk.len() == chunk.capacity()) {
            let (first, largest) = CHUNK_LEN;
            self.chunks.push(Vec::with_capacity(self.len.clamp(first, largest)));
        }
        let at = self.chunks.len() - 1;
        &mut self.chunks[at]
    }

    /// Reads to the end. Returns false if there are more than `limit` bytes.
    fn read_from(&mut self, mut source: impl Read, limit: usize) -> io::Result<bool> {
        loop {
            let chunk = self.last();
            let room = chunk.capacity() - chunk.len();
            let read = source.by_ref().take(room as u64).read_to_end(chunk)?;
            self.len += read;
            if self.len > limit {
                return Ok(false);
            }
            if read < room {
                return Ok(true);
            }
        }
    }
}

impl IntoIterator for Chunks {
    type Item = Vec<u8>;
    type IntoIter = std::vec::IntoIter<Vec<u8>>;

    fn into_iter(self) -> Self::IntoIter {
        self.chunks.into_iter()
    }
}

impl Write for Chunks {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let chunk = self.last();
        let taken = bytes.len().min(chunk.capacity() - chunk.len());
        chunk.extend_from_slice(&bytes[..taken]);
        self.len += taken;
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Reads records within a limit. `open` opens them, from their first byte at each call. Records are kept whole,
/// or, if they exceed the limit, as many as necessary are cut short.
///
/// # Errors
/// Returns the error of a read, an error for bytes that are no records, and an error for records that exceed twice
/// the limit even when cut short.
pub fn read_within<R: Read>(limit: usize, open: impl Fn() -> io::Result<R>) -> io::Result<Chunks> {
    let mut whole = Chunks::default();
    if whole.read_from(open()?, limit)? {
        return Ok(whole);
    }
    drop(whole);
    ANY_IS_CUT.store(true, Ordering::Relaxed);
    let mut source = BufReader::new(open()?);
    let (mut records, mut count) = (Chunks::default(), 0);
    while let Some(len) = first_varint(&mut source)? {
        count += 1;
        let len = usize::try_from(len).map_err(|_| no_record("its length is negative"))?;
        let taken = records.len() + count * RECORD_OVERHEAD;
        if taken > limit.saturating_mul(2) {
            return Err(io::Error::other(format!(
                "its {count} records and more take more than twice {limit} bytes"
            )));
        }
        let mut body = source.by_ref().take(len as u64);
        if len <= RECORD_LIMIT && taken + len <= limit {
            push_varint(&mut records, len as i64)?;
            io::copy(&mut body, &mut records)?;
        } else {
            cut_record(
                &mut body,
                if taken + VALUE_HEAD <= limit { VALUE_HEAD } else { SHORT_HEAD },
                &mut records,
            )?;
        }
        if body.limit() > 0 {
            return Err(no_record("it ends before its length says"));
        }
    }
    Ok(records)
}

/// Cuts a record short. It keeps its position, its timestamp, and the beginnings of its key and its value. Reads
/// the record to its end.
fn cut_record(body: &mut impl Read, value_head: usize, records: &mut Chunks) -> io::Result<()> {
    let mut cut = Vec::with_capacity(KEY_HEAD + value_head + 128);
    let mut attributes = [0];
    body.read_exact(&mut attributes)?;
    cut.extend_from_slice(&attributes);
    for _time_and_offset in 0..2 {
        push_varint(&mut cut, varint(body)?)?;
    }
    cut_bytes(body, KEY_HEAD, &mut cut)?;
    let value_len = cut_bytes(body, value_head, &mut cut)?;
    push_varint(&mut cut, 1)?;
    push_bytes(&mut cut, MARK.as_bytes())?;
    push_bytes(&mut cut, &value_len.to_be_bytes())?;
    // The record's own headers are dropped.
    io::copy(body, &mut io::sink())?;
    push_varint(records, cut.len() as i64)?;
    records.write_all(&cut)
}

/// Copies the beginning of a key or a value and skips the rest. Returns the whole length.
fn cut_bytes(body: &mut impl Read, head: usize, cut: &mut Vec<u8>) -> io::Result<u64> {
    let len = varint(body)?;
    let Ok(whole) = u64::try_from(len) else {
        push_varint(cut, len)?;
        return Ok(0);
    };
    let kept = whole.min(head as u64);
    push_varint(cut, kept as i64)?;
    let copied = io::copy(&mut body.take(kept), cut)?;
    let passed = io::copy(&mut body.take(whole - kept), &mut io::sink())?;
    if copied + passed < whole { Err(no_record("a part of it ends before its length says")) } else { Ok(whole) }
}

fn push_bytes(out: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    push_varint(out, bytes.len() as i64)?;
    out.write_all(bytes)
}

/// Writes a number in Kafka's encoding: zigzag, seven bits a byte.
fn push_varint(out: &mut impl Write, number: i64) -> io::Result<()> {
    let mut bits = ((number << 1) ^ (number >> 63)) as u64;
    while bits >= 0x80 {
        out.write_all(&[(bits & 0x7F) as u8 | 0x80])?;
        bits >>= 7;
    }
    out.write_all(&[(bits & 0x7F) as u8])
}

fn varint(source: &mut impl Read) -> io::Result<i64> {
    first_varint(source)?.ok_or_else(|| no_record("it ends within"))
}

/// Reads a number; `None` at the end of the source.
fn first_varint(source: &mut impl Read) -> io::Result<Option<i64>> {
    let mut bits = 0_u64;
    for shift in (0..64).step_by(7) {
        let mut byte = [0];
        if source.read(&mut byte)? == 0 {
            return if shift == 0 { Ok(None) } else { Err(no_record("it ends within a number")) };
        }
        bits |= u64::from(byte[0] & 0x7f) << shift;
        if byte[0] & 0x80 == 0 {
            return Ok(Some((bits >> 1) as i64 ^ -((bits & 1) as i64)));
        }
    }
    Err(no_record("a number of it is too long"))
}

fn no_record(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("what is in it is no record of format 2: {why}"))
}

#[cfg(test)]
mod tests;
