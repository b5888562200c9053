//! An archive as a source: gives each partition's records in the order in which they were archived, which is in step by
//! their time, and then says that the partition has ended. What is appended to the archive meanwhile is not seen.
//!
//! All that is assigned is read in one go, files that have nothing of it left out. Once all of that is stopped, more may be
//! assigned, for which the files are read anew.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use super::errors::{ArchiveError, ReadError};
use super::manifest::{FileEntry, Manifest, Span};
use super::reader::Reader;
use super::verify::look_over;
use crate::domain::{OwnedRecord, Record, Topic};
use crate::source::{Polled, Records, Source, StopCode, StopReason, Watermarks};

/// How many records are given at a time, at most.
const BATCH: usize = 512;
/// How many batches are read ahead.
const BATCHES_AHEAD: usize = 32;
/// How many batches are given by one poll, at most.
const BATCHES_A_POLL: usize = 8;

pub struct ArchiveSource {
    directory: PathBuf,
    manifest: Manifest,
    spans: BTreeMap<(Topic, i32), Span>,
    /// What is read of each partition that was assigned: from this offset on.
    next: BTreeMap<(Topic, i32), i64>,
    state: State,
}

enum State {
    New,
    /// The partitions were given.
    Found,
    Reading(Receiver<Read>),
    Over,
}

enum Read {
    Batch(Batch),
    Damaged(ReadError),
    End,
}

impl ArchiveSource {
    /// # Errors
    /// Where it is no archive, and where files of it are missing, as far as that can be told without reading them.
    pub fn open(directory: &Path) -> Result<ArchiveSource, ArchiveError> {
        let manifest = Manifest::read(directory)?;
        look_over(directory, &manifest)?;
        let spans = manifest.spans();
        let directory = directory.to_owned();
        Ok(ArchiveSource { directory, manifest, spans, next: BTreeMap::new(), state: State::New })
    }

    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Whether nothing comes any more of what was assigned: all of it was given, or it cannot be read on.
    pub fn is_over(&self) -> bool {
        matches!(self.state, State::Over)
    }

    /// Reads, on a thread of its own, the files that have something of what was assigned.
    fn start(&self) -> Receiver<Read> {
        let (send, reading) = sync_channel(BATCHES_AHEAD);
        let files: VecDeque<FileEntry> =
            self.manifest.files.iter().filter(|file| self.has_some(file)).cloned().collect();
        let reader = Reader::of(&self.directory, files);
        thread::spawn(move || read(reader, &send));
        reading
    }

    fn has_some(&self, file: &FileEntry) -> bool {
        let is_wanted = |span: &Span| {
            let next = self.next.get(&(span.stream, span.partition));
            next.is_some_and(|next| *next < span.next)
        };
        file.spans.iter().any(is_wanted)
    }

    /// Gives what is left of a batch without what was not asked for.
    fn give(&self, mut batch: Batch, take: &mut dyn FnMut(Polled)) {
        let Some(&next) = self.next.get(&batch.partition) else { return };
        batch.records.retain(|record| record.position.offset >= next);
        if !batch.records.is_empty() {
            take(Polled::Records(Box::new(batch)));
        }
    }
}

impl Source for ArchiveSource {
    fn poll(&mut self, wait: Duration, take: &mut dyn FnMut(Polled)) {
        let reading = match &self.state {
            State::New => {
                for (topic, partition) in self.manifest.partitions() {
                    let watermarks = watermarks(self.spans.get(&(topic, partition)));
                    take(Polled::Found { topic, partition, watermarks });
                }
                self.state = State::Found;
                return;
            }
            State::Found => {
                self.state = State::Reading(self.start());
                return;
            }
            State::Reading(reading) => reading,
            // Nothing comes any more.
            State::Over => return thread::sleep(wait),
        };
        let mut wait = wait;
        for _ in 0..BATCHES_A_POLL {
            match reading.recv_timeout(std::mem::take(&mut wait)) {
                Ok(Read::Batch(batch)) => self.give(batch, take),
                Err(RecvTimeoutError::Timeout) => return,
                Ok(Read::End) => {
                    for (&(topic, partition), &from) in &self.next {
                        let end = self.spans.get(&(topic, partition)).map_or(from, |span| span.next);
                        take(Polled::Ended { topic, partition, position: end.max(from) });
                    }
                    self.state = State::Over;
                    return;
                }
                Ok(Read::Damaged(error)) => return self.fail(&error.to_string(), take),
                Err(RecvTimeoutError::Disconnected) => return self.fail("the reading thread has ended", take),
            }
        }
    }

    fn assign(&mut self, topic: Topic, partition: i32, offset: i64) -> Result<(), StopReason> {
        if !matches!(self.state, State::New | State::Found) {
            if !self.next.is_empty() {
                let text = "what is read of an archive is read from its beginning to its end";
                return Err(StopReason::new(StopCode::Archive, text));
            }
            // Where it is still being read, that ends with the receiver.
            self.state = State::Found;
        }
        self.next.insert((topic, partition), offset);
        Ok(())
    }

    fn stop(&mut self, topic: Topic, partition: i32) {
        self.next.remove(&(topic, partition));
    }

    fn watermarks(&self, topic: Topic, partition: i32) -> Option<Watermarks> {
        let is_known = self.manifest.topic(topic).is_some_and(|held| (0..held.partitions).contains(&partition));
        is_known.then(|| watermarks(self.spans.get(&(topic, partition))))
    }

    fn trouble(&self) -> Option<String> {
        None
    }

    fn is_complete(&self) -> bool {
        !matches!(self.state, State::New)
    }

    fn publish(&mut self, _: &[(Topic, i32, i64)]) {}
}

impl ArchiveSource {
    /// What comes after damage may be of any partition, so none can go on.
    fn fail(&mut self, why: &str, take: &mut dyn FnMut(Polled)) {
        for &(topic, partition) in self.next.keys() {
            let text =
                format!("the archive cannot be read on: {why}; `optview archive verify` tells all that is wrong");
            take(Polled::Failed { topic, partition, reason: StopReason::new(StopCode::Archive, text) });
        }
        self.state = State::Over;
    }
}

fn watermarks(span: Option<&Span>) -> Watermarks {
    span.map_or(Watermarks { low: 0, high: 0 }, |span| Watermarks { low: span.first, high: span.next })
}

/// Records of one partition that followed one another.
struct Batch {
    partition: (Topic, i32),
    records: Vec<OwnedRecord>,
}

impl Records for Batch {
    fn len(&self) -> usize {
        self.records.len()
    }

    fn record(&self, at: usize) -> Record<'_> {
        self.records[at].record()
    }
}

/// Ends where nobody takes what is read.
fn read(reader: Reader, send: &SyncSender<Read>) {
    let mut batch = Batch { partition: (Topic::Optimizations, 0), records: Vec::new() };
    for record in reader {
        let record = match record {
            Ok(record) => record,
            Err(error) => {
                let _ = send.send(Read::Damaged(error));
                return;
            }
        };
        let partition = (record.position.topic, record.position.partition);
        if batch.partition != partition || batch.records.len() == BATCH {
            let next = Batch { partition, records: Vec::with_capacity(BATCH) };
            let full = std::mem::replace(&mut batch, next);
            if !full.records.is_empty() && send.send(Read::Batch(full)).is_err() {
                return;
            }
        }
        batch.records.push(record);
    }
    if !batch.records.is_empty() && send.send(Read::Batch(batch)).is_err() {
        return;
    }
    // The receiver is gone where nobody waits for the end.
    let _ = send.send(Read::End);
}
