//! The layout of a snapshot file. No byte of a damaged file is ever delivered.
//!
//! | what | bytes |
//! |---|---|
//! | `optview-snapshot` | 16 |
//! | the layout's version, and the records' format | 2 |
//! | one zstd frame of entries: kind, length of the key, length of the value (4 bytes each), key, value | |
//! | `snapshot-ends-by`, the number of entries (8), the number of bytes before these (8) | 32 |
//! | SHA-256 of all before it, in hexadecimal digits | 64 |
//!
//! Numbers are little endian. The first entry is the [`SnapshotHead`]. The next ones are the cluster's id, if
//! known, the ids of the topics, the histories that the store was built without, and the mark of a generation that
//! has been live.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek as _, SeekFrom, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::SnapshotError;
use crate::codec::stored_record::FORMAT;
use crate::domain::NamedPartition;
use crate::progress::{Progress, ProgressSink};
use crate::source::archive::ChecksumStream;
use crate::store::Checkpoint;

pub const MAGIC: &[u8; 16] = b"optview-snapshot";
const END: &[u8; 16] = b"snapshot-ends-by";
const LAYOUT: u8 = 1;

const BEGIN_LEN: u64 = 18;
const COUNTS_LEN: u64 = 32;
const HASH_LEN: u64 = 64;

/// The compression level. At 3, zstd is still faster than a disk.
const LEVEL: i32 = 3;

/// Upper bound of the length of a stored value. Kafka's records are smaller.
const VALUE_LIMIT: u32 = 1 << 30;

/// The head of a snapshot, which describes the copy as a whole.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotHead {
    pub checkpoint: Checkpoint,
    pub origins: BTreeMap<NamedPartition, i64>,
    /// The topics' names, in the order of `Topic::ALL`.
    pub topics: [String; 3],
    /// Number of optimizations when the snapshot was begun.
    pub optimizations: u64,
    /// Size of the store on disk in bytes.
    pub store_bytes: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    Head = 1,
    Job = 2,
    Optimization = 3,
    DeadLetter = 4,
    /// The cluster's id. Snapshots of older versions have none.
    Cluster = 5,
    /// The ids of the topics of the checkpoint.
    TopicIds = 6,
    /// The records of one partition that the store was built without.
    MissingHistory = 7,
    /// The mark of a generation that has been live once.
    Live = 8,
}

impl EntryKind {
    fn of(byte: u8) -> Option<EntryKind> {
        let all = [
            EntryKind::Head,
            EntryKind::Job,
            EntryKind::Optimization,
            EntryKind::DeadLetter,
            EntryKind::Cluster,
            EntryKind::TopicIds,
            EntryKind::MissingHistory,
            EntryKind::Live,
        ];
        all.into_iter().find(|kind| *kind as u8 == byte)
    }
}

/// A writer of snapshot entries.
pub struct SnapshotWriter<'a> {
    file: zstd::Encoder<'static, BufWriter<ChecksumStream<&'a File>>>,
    count: u64,
}

impl<'a> SnapshotWriter<'a> {
    pub fn begin(file: &'a File) -> io::Result<SnapshotWriter<'a>> {
        let mut file = BufWriter::with_capacity(1 << 16, ChecksumStream::new(file));
        file.write_all(MAGIC)?;
        file.write_all(&[LAYOUT, FORMAT])?;
        Ok(SnapshotWriter { file: zstd::Encoder::new(file, LEVEL)?, count: 0 })
    }

    pub fn put(&mut self, kind: EntryKind, key: &[u8], value: &[u8]) -> io::Result<()> {
        let len = |part: &[u8]| u32::try_from(part.len()).map_err(io::Error::other);
        self.file.write_all(&[kind as u8])?;
        self.file.write_all(&len(key)?.to_le_bytes())?;
        self.file.write_all(&len(value)?.to_le_bytes())?;
        self.file.write_all(key)?;
        self.file.write_all(value)?;
        self.count += 1;
        Ok(())
    }

    /// Finishes the file. Returns its size in bytes.
    pub fn finish(self) -> io::Result<u64> {
        let mut file = self.file.finish()?;
        file.flush()?;
        let bytes = file.get_ref().bytes();
        file.write_all(END)?;
        file.write_all(&self.count.to_le_bytes())?;
        file.write_all(&bytes.to_le_bytes())?;
        file.flush()?;
        let hash = file.get_ref().sha256();
        file.write_all(hash.as_bytes())?;
        file.flush()?;
        Ok(file.get_ref().bytes())
    }
}

/// A snapshot file whose checksum is right.
pub struct SnapshotFile {
    entries: zstd::Decoder<'static, BufReader<io::Take<File>>>,
    left: u64,
    pub bytes: u64,
}

impl SnapshotFile {
    /// Opens a file and reads all of it once to check it. `watch` receives the progress and may end the check.
    pub fn open(path: &Path, watch: &mut ProgressSink<'_>) -> Result<SnapshotFile, SnapshotError> {
        let mut file = File::open(path).map_err(SnapshotError::io("open", path))?;
        let bytes = file.metadata().map_err(SnapshotError::io("read", path))?.len();
        check_begin(&mut file, path)?;
        let cut = || SnapshotError::Cut { path: path.to_owned() };
        let of_entries = bytes.checked_sub(BEGIN_LEN + COUNTS_LEN + HASH_LEN).ok_or_else(cut)?;
        let hash = hash(&mut file, bytes - HASH_LEN, path, watch)?;
        #[expect(clippy::cast_possible_truncation, reason = "a few bytes")]
        let mut end = [0; (COUNTS_LEN + HASH_LEN) as usize];
        let read = file.seek(SeekFrom::Start(BEGIN_LEN + of_entries)).and_then(|_| file.read_exact(&mut end));
        read.map_err(SnapshotError::io("read", path))?;
        if !end.starts_with(END) {
            return Err(cut());
        }
        let number = |at: usize| end[at..].first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        if number(24) != BEGIN_LEN + of_entries || hash.as_bytes() != &end[32..] {
            return Err(SnapshotError::Altered { path: path.to_owned() });
        }
        let entries = (|| {
            file.seek(SeekFrom::Start(BEGIN_LEN))?;
            zstd::Decoder::with_buffer(BufReader::with_capacity(1 << 16, file.take(of_entries)))
        })();
        Ok(SnapshotFile { entries: entries.map_err(SnapshotError::io("read", path))?, left: number(16), bytes })
    }

    /// Reads the next entry into `key` and `value`. `None` at the end.
    pub fn next(&mut self, key: &mut Vec<u8>, value: &mut Vec<u8>) -> io::Result<Option<EntryKind>> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        let mut head = [0; 9];
        self.entries.read_exact(&mut head)?;
        let [kind, a, b, c, d, rest @ ..] = head;
        let kind = EntryKind::of(kind).ok_or_else(|| io::Error::other("an entry is of no kind that there is"))?;
        for (part, len) in [(key, u32::from_le_bytes([a, b, c, d])), (value, u32::from_le_bytes(rest))] {
            if len > VALUE_LIMIT {
                return Err(io::Error::other("an entry is larger than any can be"));
            }
            part.resize(len as usize, 0);
            self.entries.read_exact(part)?;
        }
        Ok(Some(kind))
    }
}

fn check_begin(file: &mut File, path: &Path) -> Result<(), SnapshotError> {
    let mut begin = Vec::new();
    file.take(BEGIN_LEN).read_to_end(&mut begin).map_err(SnapshotError::io("read", path))?;
    let path = path.to_owned();
    match begin.strip_prefix(MAGIC) {
        Some(&[LAYOUT, FORMAT]) => Ok(()),
        Some(&[LAYOUT, found]) => Err(SnapshotError::Format { path, found }),
        Some(&[found, _]) => Err(SnapshotError::Layout { path, found }),
        Some(_) => Err(SnapshotError::Cut { path }),
        None => Err(SnapshotError::NoSnapshot { path }),
    }
}

fn hash(file: &mut File, bytes: u64, path: &Path, watch: &mut ProgressSink<'_>) -> Result<String, SnapshotError> {
    file.rewind().map_err(SnapshotError::io("read", path))?;
    let mut hashed = ChecksumStream::new(file.take(bytes));
    let (mut buffer, mut done) = (vec![0; 1 << 20], 0);
    loop {
        let read = hashed.read(&mut buffer).map_err(SnapshotError::io("read", path))?;
        if read == 0 {
            return Ok(hashed.sha256());
        }
        done += read as u64;
        if watch(Progress::new("checking", done, Some(bytes))).is_break() {
            return Err(SnapshotError::Interrupted);
        }
    }
}
