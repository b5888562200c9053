//! Verification of an archive against its manifest: every byte, every line, and the continuity of the files.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::errors::ReadError;
use super::manifest::{FileEntry, Manifest, Span};
use super::reader::{FileReader, check_bytes, check_len, read_error};
use crate::domain::{OwnedRecord, TopicPartition};

/// Maximum number of problems that are reported of one file: one wrong byte may spoil all lines after it.
const MOST_PROBLEMS_A_FILE: usize = 20;

/// The result of a verification.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VerificationReport {
    /// Number of files that were verified, sound or not.
    pub files: u64,
    /// Number of lines that are sound records.
    pub records: u64,
    /// Size of the verified files on the disk.
    pub bytes: u64,
    /// The problems, each with its file, and with its line if it has one.
    pub problems: Vec<String>,
}

/// Verifies all files, and calls `progress` after each of them.
pub fn verify(
    directory: &Path,
    manifest: &Manifest,
    mut progress: impl FnMut(&VerificationReport),
) -> VerificationReport {
    let mut verified = VerificationReport::default();
    let mut next: BTreeMap<TopicPartition, i64> = BTreeMap::new();
    for (at, entry) in manifest.files.iter().enumerate() {
        let mut problems = Problems::default();
        for span in &entry.spans {
            problems.extend(gap(
                entry,
                span,
                next.insert(TopicPartition::new(span.stream, span.partition), span.next),
            ));
            problems.extend(misplaced(manifest, entry, span));
        }
        let is_last = at + 1 == manifest.files.len();
        let end = || if is_last { Ok(()) } else { check_end(directory, entry) };
        problems.extend(check_bytes(directory, entry).and_then(|()| end()).err());
        verified.records += check_lines(directory, manifest, entry, &mut problems);
        verified.files += 1;
        verified.bytes += entry.bytes;
        verified.problems.extend(problems.into_messages(&entry.name));
        progress(&verified);
    }
    verified
}

/// Checks what can be seen without reading the files: that no records are missing between them, and that each is
/// at least as long as it is listed.
pub(super) fn check_listing(directory: &Path, manifest: &Manifest) -> Result<(), ReadError> {
    let mut next = BTreeMap::new();
    for entry in &manifest.files {
        for span in &entry.spans {
            let before = next.insert((span.stream, span.partition), span.next);
            gap(entry, span, before).or_else(|| misplaced(manifest, entry, span)).map_or(Ok(()), Err)?;
        }
        let found = fs::metadata(directory.join(&entry.name)).map_err(|error| read_error(&entry.name, &error))?;
        check_len(entry, found.len())?;
    }
    Ok(())
}

#[derive(Default)]
struct Problems {
    first: Vec<ReadError>,
    more: usize,
}

impl Extend<ReadError> for Problems {
    fn extend<I: IntoIterator<Item = ReadError>>(&mut self, problems: I) {
        for problem in problems {
            if self.first.len() < MOST_PROBLEMS_A_FILE { self.first.push(problem) } else { self.more += 1 }
        }
    }
}

impl Problems {
    fn into_messages(self, file: &str) -> impl Iterator<Item = String> {
        let more = (self.more > 0).then(|| format!("{file}: {} more problems", self.more));
        self.first.into_iter().map(|problem| problem.to_string()).chain(more)
    }
}

fn wrong(entry: &FileEntry, why: String) -> ReadError {
    ReadError::File { file: entry.name.clone(), why }
}

/// Returns an error if a file does not begin at the offset at which the one before it ended.
fn gap(entry: &FileEntry, span: &Span, before: Option<i64>) -> Option<ReadError> {
    let before = before.filter(|before| *before != span.first)?;
    let Span { stream, partition, first, .. } = *span;
    let what = if before < first { "records are missing between" } else { "files overlap between" };
    Some(wrong(
        entry,
        format!("{stream}/{partition}: {what} offsets {} and {}", before.min(first), before.max(first)),
    ))
}

fn misplaced(manifest: &Manifest, entry: &FileEntry, span: &Span) -> Option<ReadError> {
    let Span { stream, partition, first, next, .. } = *span;
    let known = manifest.topic(stream).is_some_and(|topic| (0..topic.partitions).contains(&partition));
    if !known {
        return Some(wrong(entry, format!("{stream}/{partition}: the manifest lists no such partition")));
    }
    (first > next)
        .then(|| wrong(entry, format!("{stream}/{partition}: it ends at {next}, before it begins at {first}")))
}

/// Returns an error if a file has grown. An export appends to the last file only.
fn check_end(directory: &Path, entry: &FileEntry) -> Result<(), ReadError> {
    let len = fs::metadata(directory.join(&entry.name)).map_err(|error| read_error(&entry.name, &error))?.len();
    if len <= entry.bytes {
        return Ok(());
    }
    Err(wrong(entry, format!("it has grown: {len} bytes, where the manifest lists {}", entry.bytes)))
}

/// Checks every line of a file, and returns the number of sound records.
fn check_lines(directory: &Path, manifest: &Manifest, entry: &FileEntry, problems: &mut Problems) -> u64 {
    let mut file = match FileReader::open(directory, entry) {
        Ok(file) => file,
        // The check of the bytes has reported that the file cannot be opened.
        Err(_) => return 0,
    };
    let mut found: BTreeMap<TopicPartition, Span> = BTreeMap::new();
    let mut sound = 0;
    loop {
        let read = match file.next() {
            None => break,
            Some(Err(error @ ReadError::File { .. })) => {
                problems.extend([error]);
                break;
            }
            Some(Err(error)) => Err(error),
            Some(Ok((record, topic))) => {
                let checked =
                    check_name(manifest, &record, &topic).and_then(|()| count_record(entry, &mut found, &record));
                checked.map_err(|why| file.line_error(why))
            }
        };
        sound += u64::from(read.is_ok());
        problems.extend(read.err());
    }
    problems.extend(entry.spans.iter().filter_map(|span| {
        let Span { stream, partition, records, .. } = *span;
        let there = found.get(&TopicPartition::new(stream, partition)).map_or(0, |span| span.records);
        let why = || format!("{stream}/{partition}: {there} sound records, where the manifest lists {records}");
        (there != records).then(|| wrong(entry, why()))
    }));
    let listed: u64 = entry.spans.iter().map(|span| span.records).sum();
    if listed != entry.records {
        problems
            .extend([wrong(entry, format!("{} records are listed, and {listed} by partition", entry.records))]);
    }
    sound
}

fn check_name(manifest: &Manifest, record: &OwnedRecord, topic: &str) -> Result<(), String> {
    match manifest.topic(record.position.topic) {
        Some(listed) if listed.topic == topic => Ok(()),
        Some(listed) => Err(format!("it is of the topic `{topic}`, where the manifest lists `{}`", listed.topic)),
        None => Err(format!("it is of `{}`, which the manifest does not list", record.position.topic)),
    }
}

/// Counts a record in the span that it belongs to.
fn count_record(
    entry: &FileEntry,
    found: &mut BTreeMap<TopicPartition, Span>,
    record: &OwnedRecord,
) -> Result<(), String> {
    let (position, offset) = (record.position, record.position.offset);
    let Some(listed) = entry.span(position.topic, position.partition) else {
        return Err(format!("{position} is of a partition that the manifest does not list for this file"));
    };
    if !(listed.first..listed.next).contains(&offset) {
        return Err(format!("{position} is not between offsets {} and {}", listed.first, listed.next));
    }
    let begin = Span { next: listed.first, records: 0, ..*listed };
    let span = found.entry(position.topic_partition()).or_insert(begin);
    if offset < span.next {
        return Err(format!("{position} comes after offset {}", span.next - 1));
    }
    (span.next, span.records) = (offset + 1, span.records + 1);
    Ok(())
}
