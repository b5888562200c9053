//! Readers of the records that an archive lists, in the order in which they were written: of one file, or of all.
//!
//! A reader of all files delivers only sound records: it checks a file's checksum before it delivers the file's
//! first record, so that nobody acts on damaged data, and it ends at the first file that is not what the manifest
//! lists.

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _, Take};
use std::path::{Path, PathBuf};

use super::checksum::ChecksumStream;
use super::errors::ReadError;
use super::line;
use super::manifest::{FileEntry, Manifest};
use crate::domain::{OwnedRecord, TopicPartition};

/// A reader of the finished part of one file.
pub struct FileReader {
    name: String,
    lines: BufReader<zstd::Decoder<'static, BufReader<Take<File>>>>,
    line: Vec<u8>,
    number: u64,
}

impl FileReader {
    pub fn open(directory: &Path, entry: &FileEntry) -> Result<FileReader, ReadError> {
        let name = entry.name.clone();
        let cannot = |error: io::Error| read_error(&entry.name, &error);
        let file = File::open(directory.join(&name)).map_err(cannot)?;
        let lines = BufReader::new(zstd::Decoder::new(file.take(entry.bytes)).map_err(cannot)?);
        Ok(FileReader { name, lines, line: Vec::new(), number: 0 })
    }

    /// Returns the next record and its topic's name in the cluster. After an error in one line, more records may
    /// follow; after a [`ReadError::File`], none do.
    pub fn next(&mut self) -> Option<Result<(OwnedRecord, std::borrow::Cow<'_, str>), ReadError>> {
        self.line.clear();
        self.number += 1;
        match self.lines.read_until(b'\n', &mut self.line) {
            Ok(0) => None,
            Ok(_) if self.line.pop_if(|end| *end == b'\n').is_none() => {
                Some(Err(self.line_error("has no end".to_owned())))
            }
            Ok(_) => {
                let (file, line) = (&self.name, self.number);
                Some(line::decode(&self.line).map_err(|why| ReadError::Line { file: file.clone(), line, why }))
            }
            Err(error) => {
                let why = format!("cannot be read after line {}: {error}", self.number - 1);
                Some(Err(ReadError::File { file: self.name.clone(), why }))
            }
        }
    }

    /// Returns an error about the line that was read last.
    pub fn line_error(&self, why: String) -> ReadError {
        ReadError::Line { file: self.name.clone(), line: self.number, why }
    }
}

pub(super) fn read_error(name: &str, error: &io::Error) -> ReadError {
    ReadError::File { file: name.to_owned(), why: format!("cannot be read: {error}") }
}

/// An iterator over all records of an archive. It ends after the first error.
pub struct ArchiveReader {
    directory: PathBuf,
    files: VecDeque<FileEntry>,
    open: Option<(FileEntry, FileReader, u64)>,
}

impl ArchiveReader {
    /// Creates a reader of all files that the manifest lists. Nothing is opened before the first record is asked
    /// for.
    pub fn new(directory: &Path, manifest: &Manifest) -> ArchiveReader {
        ArchiveReader::of_files(directory, manifest.files.iter().cloned().collect())
    }

    /// Creates a reader of some of the archive's files.
    pub(super) fn of_files(directory: &Path, files: VecDeque<FileEntry>) -> ArchiveReader {
        ArchiveReader { directory: directory.to_owned(), files, open: None }
    }

    fn read(&mut self) -> Result<Option<OwnedRecord>, ReadError> {
        loop {
            let (entry, file, records) = match &mut self.open {
                Some(open) => open,
                none => {
                    let Some(entry) = self.files.pop_front() else { return Ok(None) };
                    check_bytes(&self.directory, &entry)?;
                    let file = FileReader::open(&self.directory, &entry)?;
                    none.insert((entry, file, 0))
                }
            };
            if let Some(read) = file.next() {
                *records += 1;
                return read.map(|(record, _)| Some(record));
            }
            check_count(entry, *records)?;
            self.open = None;
        }
    }
}

impl Iterator for ArchiveReader {
    type Item = Result<OwnedRecord, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        let read = self.read();
        if read.is_err() {
            self.files.clear();
            self.open = None;
        }
        read.transpose()
    }
}

/// Returns the last record of each partition that the last file has records of. A topic is recognized by that
/// record.
pub fn last_records(
    directory: &Path,
    manifest: &Manifest,
) -> Result<BTreeMap<TopicPartition, OwnedRecord>, ReadError> {
    let mut last = BTreeMap::new();
    for record in ArchiveReader::of_files(directory, manifest.files.last().cloned().into_iter().collect()) {
        let record = record?;
        last.insert(record.position.topic_partition(), record);
    }
    Ok(last)
}

/// Checks that the finished part of a file has the length and the checksum that the manifest lists.
pub(super) fn check_bytes(directory: &Path, entry: &FileEntry) -> Result<(), ReadError> {
    let cannot = |error| read_error(&entry.name, &error);
    let file = File::open(directory.join(&entry.name)).map_err(cannot)?;
    let mut bytes = ChecksumStream::new(file.take(entry.bytes));
    check_len(entry, io::copy(&mut bytes, &mut io::sink()).map_err(cannot)?)?;
    let found = bytes.sha256();
    if found == entry.sha256 {
        return Ok(());
    }
    let why = format!("its SHA-256 is {found}, where the manifest lists {}", entry.sha256);
    Err(ReadError::File { file: entry.name.clone(), why })
}

pub(super) fn check_len(entry: &FileEntry, len: u64) -> Result<(), ReadError> {
    if len >= entry.bytes {
        return Ok(());
    }
    let why = format!("it was cut: {len} bytes, where the manifest lists {}", entry.bytes);
    Err(ReadError::File { file: entry.name.clone(), why })
}

fn check_count(entry: &FileEntry, records: u64) -> Result<(), ReadError> {
    if records == entry.records {
        return Ok(());
    }
    let why = format!("{records} records, where the manifest lists {}", entry.records);
    Err(ReadError::File { file: entry.name.clone(), why })
}
