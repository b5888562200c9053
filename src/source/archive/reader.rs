//! Reads what an archive lists, in the order in which it was written: one file, or all of them.
//!
//! All of them are read only as far as they are sound: the first line or file that is not what the manifest says ends it.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Take};
use std::path::{Path, PathBuf};

use super::checksum::Checksummed;
use super::errors::ReadError;
use super::line::{self, ArchivedRecord};
use super::manifest::{FileEntry, Manifest};

type Bytes = Checksummed<Take<File>>;

/// The finished part of one file.
pub struct FileReader {
    name: String,
    lines: BufReader<zstd::Decoder<'static, BufReader<Bytes>>>,
    line: Vec<u8>,
    number: u64,
}

impl FileReader {
    pub fn open(directory: &Path, entry: &FileEntry) -> Result<FileReader, ReadError> {
        let name = entry.name.clone();
        let cannot = |error: std::io::Error| cannot_read(&entry.name, &error);
        let file = File::open(directory.join(&name)).map_err(cannot)?;
        let bytes = Checksummed::new(file.take(entry.bytes));
        let lines = BufReader::new(zstd::Decoder::new(bytes).map_err(cannot)?);
        Ok(FileReader { name, lines, line: Vec::new(), number: 0 })
    }

    /// The next record, and what its topic is called in the cluster. After a line that is not sound, others may follow;
    /// after a [`ReadError::File`], none do.
    pub fn next(&mut self) -> Option<Result<(ArchivedRecord, std::borrow::Cow<'_, str>), ReadError>> {
        self.line.clear();
        self.number += 1;
        match self.lines.read_until(b'\n', &mut self.line) {
            Ok(0) => None,
            Ok(_) if self.line.pop_if(|end| *end == b'\n').is_none() => {
                Some(Err(self.wrong("has no end".to_owned())))
            }
            Ok(_) => {
                let (file, line) = (&self.name, self.number);
                let wrong = |why| ReadError::Line { file: file.clone(), line, why };
                Some(line::decode(&self.line).map_err(wrong))
            }
            Err(error) => {
                let why = format!("cannot be read after line {}: {error}", self.number - 1);
                Some(Err(ReadError::File { file: self.name.clone(), why }))
            }
        }
    }

    /// The line that was read last is wrong.
    pub fn wrong(&self, why: String) -> ReadError {
        ReadError::Line { file: self.name.clone(), line: self.number, why }
    }

    /// Of what was read.
    fn bytes(&self) -> &Bytes {
        self.lines.get_ref().get_ref().get_ref()
    }
}

pub(super) fn cannot_read(name: &str, error: &std::io::Error) -> ReadError {
    ReadError::File { file: name.to_owned(), why: format!("cannot be read: {error}") }
}

/// All records of an archive.
pub struct Reader {
    directory: PathBuf,
    files: VecDeque<FileEntry>,
    open: Option<(FileEntry, FileReader, u64)>,
}

impl Reader {
    pub fn new(directory: &Path, manifest: &Manifest) -> Reader {
        Reader::of(directory, manifest.files.iter().cloned().collect())
    }

    /// Of some of its files.
    pub(super) fn of(directory: &Path, files: VecDeque<FileEntry>) -> Reader {
        Reader { directory: directory.to_owned(), files, open: None }
    }

    fn read(&mut self) -> Result<Option<ArchivedRecord>, ReadError> {
        loop {
            let (entry, file, records) = match &mut self.open {
                Some(open) => open,
                none => {
                    let Some(entry) = self.files.pop_front() else { return Ok(None) };
                    let file = FileReader::open(&self.directory, &entry)?;
                    none.insert((entry, file, 0))
                }
            };
            if let Some(read) = file.next() {
                *records += 1;
                return read.map(|(record, _)| Some(record));
            }
            check_whole(entry, file.bytes(), *records)?;
            self.open = None;
        }
    }
}

/// Ends after the first error.
impl Iterator for Reader {
    type Item = Result<ArchivedRecord, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        let read = self.read();
        if read.is_err() {
            self.files.clear();
            self.open = None;
        }
        read.transpose()
    }
}

fn check_whole(entry: &FileEntry, bytes: &Bytes, records: u64) -> Result<(), ReadError> {
    let wrong = |why| Err(ReadError::File { file: entry.name.clone(), why });
    if bytes.bytes() != entry.bytes {
        return wrong(format!("{} bytes, where the manifest lists {}", bytes.bytes(), entry.bytes));
    }
    if bytes.sha256() != entry.sha256 {
        return wrong("its checksum is not the one that the manifest lists".to_owned());
    }
    if records != entry.records {
        return wrong(format!("{records} records, where the manifest lists {}", entry.records));
    }
    Ok(())
}
