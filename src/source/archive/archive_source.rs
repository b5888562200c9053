//! An archive as a source. It delivers the records in the order in which they were archived, which keeps the
//! partitions in step, and then reports the end of each partition. Records that are appended meanwhile are not
//! seen.
//!
//! All assigned partitions are read in one pass, which leaves out files that have none of them. Once all of them
//! are stopped, others may be assigned, and the files are read anew.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use super::errors::{ArchiveError, ReadError};
use super::manifest::{FileEntry, Manifest, Span};
use super::reader::ArchiveReader;
use super::verification::check_listing;
use crate::domain::{OwnedRecord, PartitionOffset, Record, Topic, TopicPartition};
use crate::source::{Records, Source, SourceEvent, StopCode, StopReason, Watermarks};

/// Maximum number of records of one event.
const BATCH: usize = 512;
/// Maximum number of batches that are read ahead.
const BATCHES_AHEAD: usize = 32;
/// Maximum number of batches that one poll delivers.
const BATCHES_A_POLL: usize = 8;

/// A source that plays an archive. It is over after the last archived record.
pub struct ArchiveSource {
    directory: PathBuf,
    manifest: Manifest,
    spans: BTreeMap<TopicPartition, Span>,
    /// The first offset to deliver of each assigned partition.
    next: BTreeMap<TopicPartition, i64>,
    state: PlaybackState,
}

enum PlaybackState {
    New,
    /// The partitions were delivered.
    Found,
    Reading(Receiver<ReaderMessage>),
    Over,
}

enum ReaderMessage {
    Batch(RecordBatch),
    Damaged(ReadError),
    End,
}

impl ArchiveSource {
    /// # Errors
    /// Returns an error if the directory is no archive, or if files are missing, as far as the manifest and the
    /// file sizes show it.
    pub fn open(directory: &Path) -> Result<ArchiveSource, ArchiveError> {
        let manifest = Manifest::read(directory)?;
        check_listing(directory, &manifest)?;
        let spans = manifest.spans();
        let directory = directory.to_owned();
        Ok(ArchiveSource { directory, manifest, spans, next: BTreeMap::new(), state: PlaybackState::New })
    }

    /// Returns the manifest as it was when the archive was opened.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Returns true once all assigned records were delivered, or if the archive cannot be read on.
    pub fn is_over(&self) -> bool {
        matches!(self.state, PlaybackState::Over)
    }

    /// Starts a thread that reads the files with records of assigned partitions.
    fn start(&self) -> Receiver<ReaderMessage> {
        let (send, reading) = sync_channel(BATCHES_AHEAD);
        let files: VecDeque<FileEntry> =
            self.manifest.files.iter().filter(|file| self.has_some(file)).cloned().collect();
        let reader = ArchiveReader::of_files(&self.directory, files);
        thread::spawn(move || read(reader, &send));
        reading
    }

    fn has_some(&self, file: &FileEntry) -> bool {
        file.spans.iter().any(|span| {
            let next = self.next.get(&TopicPartition::new(span.stream, span.partition));
            next.is_some_and(|next| *next < span.next)
        })
    }

    /// Delivers the records of a batch that were asked for.
    fn give(&self, mut batch: RecordBatch, take: &mut dyn FnMut(SourceEvent)) {
        let Some(&next) = self.next.get(&batch.partition) else { return };
        batch.records.retain(|record| record.position.offset >= next);
        if !batch.records.is_empty() {
            take(SourceEvent::Records(Box::new(batch)));
        }
    }
}

impl Source for ArchiveSource {
    fn poll(&mut self, wait: Duration, take: &mut dyn FnMut(SourceEvent)) -> bool {
        let reading = match &self.state {
            PlaybackState::New => {
                for partition in self.manifest.partitions() {
                    let watermarks = watermarks(self.spans.get(&partition));
                    take(SourceEvent::Found { partition, watermarks });
                }
                self.state = PlaybackState::Found;
                return false;
            }
            PlaybackState::Found => {
                self.state = PlaybackState::Reading(self.start());
                return false;
            }
            PlaybackState::Reading(reading) => reading,
            // Nothing more will come.
            PlaybackState::Over => {
                thread::sleep(wait);
                return false;
            }
        };
        let mut wait = wait;
        for _ in 0..BATCHES_A_POLL {
            match reading.recv_timeout(std::mem::take(&mut wait)) {
                Ok(ReaderMessage::Batch(batch)) => self.give(batch, take),
                Err(RecvTimeoutError::Timeout) => return false,
                Ok(ReaderMessage::End) => {
                    for (&partition, &from) in &self.next {
                        let end = self.spans.get(&partition).map_or(from, |span| span.next);
                        take(SourceEvent::Ended { partition, position: end.max(from) });
                    }
                    self.state = PlaybackState::Over;
                    return false;
                }
                Ok(ReaderMessage::Damaged(error)) => {
                    self.fail(&error.to_string(), take);
                    return false;
                }
                Err(RecvTimeoutError::Disconnected) => {
                    self.fail("the reading thread has ended", take);
                    return false;
                }
            }
        }
        true
    }

    fn assign(&mut self, partition: TopicPartition, offset: i64) -> Result<(), StopReason> {
        if !matches!(self.state, PlaybackState::New | PlaybackState::Found) {
            if !self.next.is_empty() {
                let text = "the archive is being read, and takes no more partitions until it is at its end";
                return Err(StopReason::new(StopCode::Archive, text));
            }
            // A thread that still reads ends when its receiver is dropped.
            self.state = PlaybackState::Found;
        }
        self.next.insert(partition, offset);
        Ok(())
    }

    fn stop(&mut self, partition: TopicPartition) {
        self.next.remove(&partition);
    }

    fn watermarks(&self, partition: TopicPartition) -> Option<Watermarks> {
        let archived = self.manifest.topic(partition.topic)?;
        let is_known = (0..archived.partitions).contains(&partition.partition);
        is_known.then(|| watermarks(self.spans.get(&partition)))
    }

    fn trouble(&self) -> Option<String> {
        None
    }

    fn is_complete(&self) -> bool {
        !matches!(self.state, PlaybackState::New)
    }

    fn publish(&mut self, _: &[PartitionOffset]) {}
}

impl ArchiveSource {
    /// Fails all partitions: records behind the damage may be of any of them.
    fn fail(&mut self, why: &str, take: &mut dyn FnMut(SourceEvent)) {
        for &partition in self.next.keys() {
            let text =
                format!("the archive cannot be read on: {why}; `optview archive verify` lists all problems");
            take(SourceEvent::Failed { partition, reason: StopReason::new(StopCode::Archive, text) });
        }
        self.state = PlaybackState::Over;
    }
}

fn watermarks(span: Option<&Span>) -> Watermarks {
    span.map_or(Watermarks { low: 0, high: 0 }, |span| Watermarks { low: span.first, high: span.next })
}

/// Consecutive records of one partition.
struct RecordBatch {
    partition: TopicPartition,
    records: Vec<OwnedRecord>,
}

impl Records for RecordBatch {
    fn len(&self) -> usize {
        self.records.len()
    }

    fn record(&self, at: usize) -> Record<'_> {
        self.records[at].record()
    }
}

/// Reads until the end, or until the receiver is dropped.
fn read(reader: ArchiveReader, send: &SyncSender<ReaderMessage>) {
    let mut batch = RecordBatch { partition: TopicPartition::new(Topic::Optimizations, 0), records: Vec::new() };
    for record in reader {
        let record = match record {
            Ok(record) => record,
            Err(error) => {
                let _ = send.send(ReaderMessage::Damaged(error));
                return;
            }
        };
        let partition = record.position.topic_partition();
        if batch.partition != partition || batch.records.len() == BATCH {
            let next = RecordBatch { partition, records: Vec::with_capacity(BATCH) };
            let full = std::mem::replace(&mut batch, next);
            if !full.records.is_empty() && send.send(ReaderMessage::Batch(full)).is_err() {
                return;
            }
        }
        batch.records.push(record);
    }
    if !batch.records.is_empty() && send.send(ReaderMessage::Batch(batch)).is_err() {
        return;
    }
    // The receiver may be gone by the end.
    let _ = send.send(ReaderMessage::End);
}
