//! Appends records to an archive. The caller's thread makes the lines; a thread of the appender's own compresses,
//! hashes and syncs them. A record counts only once it is committed: its frame is finished and synced, and then
//! the manifest lists it.

use std::collections::BTreeMap;
use std::fs::File;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::{self, JoinHandle};

use super::checksum::ChecksumStream;
use super::directory::Archive;
use super::errors::ArchiveError;
use super::line;
use super::manifest::{FileEntry, Manifest, Span, file_name, number_of, sync_directory};
use crate::domain::TopicPartition;
use crate::source::{Records, TopicNames};

/// Uncompressed size at which a file ends.
const FILE_BYTES: usize = 64 << 20;
/// Size of one chunk of lines that is handed to the thread.
const CHUNK_BYTES: usize = 1 << 20;
/// Number of chunks that may wait before the caller does.
const CHUNKS_WAITING: usize = 8;
/// The compression level, which is zstd's own default.
const LEVEL: i32 = 3;

/// The writer of new records into an archive. A thread of its own compresses and writes; whoever appends waits
/// while that has too much to do.
pub struct Appender {
    topics: TopicNames,
    lines: Vec<u8>,
    /// Uncompressed size of the current file, pending lines included.
    file_bytes: usize,
    /// The next offset of each partition.
    next: BTreeMap<TopicPartition, i64>,
    /// The records written since the last commit.
    spans: BTreeMap<TopicPartition, Span>,
    orders: SyncSender<AppenderCommand>,
    /// Compressed chunks that come back to be refilled.
    spare: Receiver<Vec<u8>>,
    /// The writing thread; `None` once it has ended.
    thread: Option<JoinHandle<Result<Manifest, ArchiveError>>>,
}

enum AppenderCommand {
    Lines(Vec<u8>),
    Commit { spans: Vec<Span>, file_ends: bool },
}

impl Appender {
    /// Starts the thread. `topics` has the names that each record's line gets, which are those in the cluster.
    pub fn new(archive: Archive, topics: TopicNames) -> Appender {
        let next = archive.manifest.spans().into_iter().map(|(partition, span)| (partition, span.next)).collect();
        let (orders, to_do) = sync_channel(CHUNKS_WAITING);
        let (done_with, spare) = channel();
        let thread = Some(thread::spawn(move || Compressor::new(archive).work(&to_do, &done_with)));
        let (lines, spans) = (Vec::new(), BTreeMap::new());
        Appender { topics, lines, file_bytes: 0, next, spans, orders, spare, thread }
    }

    /// Returns the offset at which the partition's records continue: `low` if the archive has none of the
    /// partition.
    pub fn begin(&mut self, partition: TopicPartition, low: i64) -> i64 {
        *self.next.entry(partition).or_insert(low)
    }

    /// Writes records of a partition that was begun, skips those that the archive has, and returns the number
    /// written.
    ///
    /// An error is final: nothing more can be written.
    pub fn write(&mut self, records: &dyn Records) -> Result<u64, ArchiveError> {
        let position = records.record(0).position;
        let partition = position.topic_partition();
        let first = self.begin(partition, position.offset);
        let (mut next, mut count) = (first, 0);
        let before = self.lines.len();
        for record in
            (0..records.len()).map(|at| records.record(at)).filter(|record| record.position.offset >= first)
        {
            line::encode(&record, self.topics.get(position.topic), &mut self.lines)
                .map_err(|error| ArchiveError::io("write a line to", "the archive".as_ref())(error.into()))?;
            (next, count) = (record.position.offset + 1, count + 1);
        }
        self.file_bytes += self.lines.len() - before;
        self.extend_span(partition, next, count);
        if self.lines.len() >= CHUNK_BYTES {
            self.hand_over()?;
        }
        Ok(count)
    }

    /// Returns true if it is time for a commit that ends the file.
    pub fn is_full(&self) -> bool {
        self.file_bytes >= FILE_BYTES
    }

    /// Notes that the partition has no records below offset `at` beyond those written.
    pub fn ended(&mut self, partition: TopicPartition, at: i64) {
        if self.next.get(&partition).is_some_and(|next| *next < at) {
            self.extend_span(partition, at, 0);
        }
    }

    /// Orders all that was written so far to be finished and listed, without waiting for it.
    pub fn commit(&mut self) -> Result<(), ArchiveError> {
        // The offset up to which a partition is known to have no more records is worth a commit too.
        if self.spans.is_empty() {
            return Ok(());
        }
        self.hand_over()?;
        let spans = std::mem::take(&mut self.spans).into_values().collect();
        let file_ends = self.is_full();
        if file_ends {
            self.file_bytes = 0;
        }
        self.order(AppenderCommand::Commit { spans, file_ends })
    }

    /// Commits and waits for the end of the thread. Dropping the appender instead loses all that is not committed.
    pub fn finish(mut self) -> Result<Manifest, ArchiveError> {
        self.commit()?;
        let Appender { orders, thread, .. } = self;
        drop(orders);
        ended(thread)
    }

    fn extend_span(&mut self, partition: TopicPartition, next: i64, records: u64) {
        let held = self.next.entry(partition).or_insert(next);
        let (stream, number) = (partition.topic, partition.partition);
        let passed = Span { stream, partition: number, first: *held, next, records };
        *held = next;
        self.spans.entry(partition).and_modify(|span| span.extend(&passed)).or_insert(passed);
    }

    fn hand_over(&mut self) -> Result<(), ArchiveError> {
        let empty = self.spare.try_recv().unwrap_or_else(|_| Vec::with_capacity(CHUNK_BYTES * 5 / 4));
        let lines = std::mem::replace(&mut self.lines, empty);
        self.order(AppenderCommand::Lines(lines))
    }

    fn order(&mut self, order: AppenderCommand) -> Result<(), ArchiveError> {
        if self.orders.send(order).is_ok() {
            return Ok(());
        }
        // The thread ends by itself only if it has failed.
        Err(ended(self.thread.take()).err().unwrap_or(ArchiveError::AppenderGone))
    }
}

/// Joins the thread and returns its result.
fn ended(thread: Option<JoinHandle<Result<Manifest, ArchiveError>>>) -> Result<Manifest, ArchiveError> {
    thread.and_then(|thread| thread.join().ok()).unwrap_or(Err(ArchiveError::AppenderGone))
}

/// The state of the writing thread, which compresses lines into files.
struct Compressor {
    archive: Archive,
    open: Option<OpenFile>,
    last_number: u32,
}

struct OpenFile {
    entry: FileEntry,
    encoder: zstd::Encoder<'static, ChecksumStream<File>>,
}

impl Compressor {
    fn new(archive: Archive) -> Compressor {
        let numbers = archive.manifest.files.iter().filter_map(|file| number_of(&file.name));
        let last_number = numbers.max().unwrap_or(0);
        Compressor { archive, open: None, last_number }
    }

    fn work(
        mut self,
        orders: &Receiver<AppenderCommand>,
        spare: &Sender<Vec<u8>>,
    ) -> Result<Manifest, ArchiveError> {
        for order in orders {
            match order {
                AppenderCommand::Lines(mut lines) => {
                    self.compress(&lines)?;
                    lines.clear();
                    // If the caller is gone, nobody needs the buffer.
                    let _ = spare.send(lines);
                }
                AppenderCommand::Commit { spans, file_ends } => self.commit(&spans, file_ends)?,
            }
        }
        Ok(self.archive.manifest)
    }

    fn compress(&mut self, lines: &[u8]) -> Result<(), ArchiveError> {
        if lines.is_empty() {
            return Ok(());
        }
        let OpenFile { entry, encoder } = match &mut self.open {
            Some(open) => open,
            none => none.insert(self.archive.create(self.last_number + 1)?),
        };
        std::io::Write::write_all(encoder, lines).map_err(self.archive.io("write", &entry.name))
    }

    fn commit(&mut self, spans: &[Span], file_ends: bool) -> Result<(), ArchiveError> {
        let Some(OpenFile { mut entry, encoder }) = self.open.take() else { return self.commit_ends(spans) };
        let failed = |doing| self.archive.io(doing, &entry.name);
        let written = encoder.finish().map_err(failed("write"))?;
        written.inner().sync_all().map_err(failed("sync"))?;
        (entry.bytes, entry.sha256) = (written.bytes(), written.sha256());
        entry.add(spans);
        self.archive.list(&entry)?;
        self.last_number = number_of(&entry.name).unwrap_or(self.last_number);
        if !file_ends {
            let encoder = frame(written).map_err(self.archive.io("write", &entry.name))?;
            self.open = Some(OpenFile { entry, encoder });
        }
        Ok(())
    }
}

impl Compressor {
    /// Lists the offsets up to which partitions are known to have no more records while no file is open: with the
    /// last file, or with a new, empty one.
    fn commit_ends(&mut self, spans: &[Span]) -> Result<(), ArchiveError> {
        let mut entry = match self.archive.manifest.files.last() {
            Some(last) => last.clone(),
            None => {
                let OpenFile { mut entry, encoder } = self.archive.create(self.last_number + 1)?;
                let written = encoder.finish().map_err(self.archive.io("write", &entry.name))?;
                written.inner().sync_all().map_err(self.archive.io("sync", &entry.name))?;
                (entry.bytes, entry.sha256) = (written.bytes(), written.sha256());
                self.last_number += 1;
                entry
            }
        };
        entry.add(spans);
        self.archive.list(&entry)
    }
}

impl Archive {
    fn create(&self, number: u32) -> Result<OpenFile, ArchiveError> {
        let name = file_name(number);
        let file = File::create_new(self.directory.join(&name)).map_err(self.io("create", &name))?;
        let encoder = frame(ChecksumStream::new(file)).map_err(self.io("write", &name))?;
        let entry = FileEntry { name, bytes: 0, sha256: String::new(), records: 0, spans: Vec::new() };
        Ok(OpenFile { entry, encoder })
    }

    /// Lists the state of a file whose listed bytes are on the disk.
    fn list(&mut self, entry: &FileEntry) -> Result<(), ArchiveError> {
        match self.manifest.files.last_mut().filter(|last| last.name == entry.name) {
            Some(last) => last.clone_from(entry),
            None => {
                sync_directory(&self.directory)?;
                self.manifest.files.push(entry.clone());
            }
        }
        self.manifest.extend_partitions(entry);
        self.manifest.write(&self.directory)
    }

    fn io(&self, doing: &'static str, name: &str) -> impl FnOnce(std::io::Error) -> ArchiveError + use<> {
        let path = self.directory.join(name);
        move |why| ArchiveError::Io { doing, path, why }
    }
}

impl FileEntry {
    /// Adds finished spans to the entry.
    fn add(&mut self, spans: &[Span]) {
        for added in spans {
            self.records += added.records;
            let same = |span: &&mut Span| (span.stream, span.partition) == (added.stream, added.partition);
            match self.spans.iter_mut().find(same) {
                Some(span) => span.extend(added),
                None => self.spans.push(*added),
            }
        }
    }
}

/// Begins a zstd frame. zstd reads consecutive frames as one file.
fn frame(file: ChecksumStream<File>) -> std::io::Result<zstd::Encoder<'static, ChecksumStream<File>>> {
    let mut encoder = zstd::Encoder::new(file, LEVEL)?;
    encoder.include_checksum(true)?;
    Ok(encoder)
}
