//! The scan of the log for the records of one optimization's history: up to the end that each partition had at the start, and
//! nothing twice without need. It decodes only records that contain one of the ids, and must never miss a record.
//!
//! The optimization's own events come first, since they name its jobs; then those of jobs and runs. If these name a
//! job that the optimization never linked, that job's earlier events have been passed over, and jobs and runs are read once
//! more.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::as_of::LogCutoff;
use super::ids::HistoryIds;
use crate::codec::{self, Framing};
use crate::domain::{Gap, OwnedRecord, PartitionOffset, Record, Topic, TopicPartition};
use crate::progress::Progress;
use crate::progress_display::ProgressDisplay;
use crate::source::trouble;
use crate::source::{Continuity, ReadDeadline, ReadTimeout, Records, Source, SourceEvent, TopicNames, Watermarks};

/// The longest time that a source may take to list its partitions.
const FIND_DEADLINE: Duration = Duration::from_secs(15);
/// The longest time for which a source may deliver nothing while it is read.
const READ_DEADLINE: Duration = Duration::from_secs(60);
const WAIT: Duration = Duration::from_millis(100);

/// The records that a scan has found, and the partitions that it has searched.
pub struct Scan {
    pub found: BTreeMap<PartitionOffset, OwnedRecord>,
    pub partitions: BTreeMap<TopicPartition, ScannedPartition>,
    /// The cutoff after the record at the requested position, or after the last one before it.
    pub cutoff: Option<LogCutoff>,
}

impl Scan {
    /// Number of records that were searched.
    pub fn records(&self) -> u64 {
        self.partitions.values().map(|partition| partition.records).sum()
    }
}

/// A partition, as far as it has been searched.
pub struct ScannedPartition {
    /// The watermarks at the start of the scan.
    pub watermarks: Watermarks,
    pub records: u64,
    /// The timestamp of the first record, in milliseconds since 1970.
    pub begin_millis: Option<i64>,
    continuity: Continuity,
}

/// The reason for which a log could not be searched.
#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    #[error("the topics cannot be read: {0}; check --brokers and the topics' names")]
    NotFound(String),
    #[error("nothing came for {} s: {trouble}; try again when the cluster is well", READ_DEADLINE.as_secs())]
    Silent { trouble: String },
    #[error("{partition} cannot be read to its end: {reason}")]
    Failed { partition: String, reason: String },
    #[error("{partition}: {why}; ask again")]
    Another { partition: String, why: Gap },
    #[error("there is no partition {0}; check the number")]
    NoPartition(String),
    #[error("{partition} has no record at {offset} or before it: it begins at {} and ends before {}", watermarks.low, watermarks.high)]
    NoRecord { partition: String, offset: i64, watermarks: Watermarks },
}

/// Reads all partitions that may hold records of `id`'s history, and finds the cutoff after the record at `after`.
pub fn scan(
    source: &mut dyn Source,
    (names, framing): (&TopicNames, Framing),
    id: &str,
    after: Option<PartitionOffset>,
    progress: &mut ProgressDisplay,
) -> Result<Scan, ScanError> {
    let scan = Scan { found: BTreeMap::new(), partitions: BTreeMap::new(), cutoff: None };
    let ids = HistoryIds::new(id);
    let mut scanner = Scanner { source, names, framing, ids, after, scan, read: 0, expected: 0, progress };
    scanner.find_partitions()?;
    scanner.check_after()?;
    scanner.read(&[Topic::Optimizations])?;
    loop {
        let jobs = scanner.ids.jobs().len();
        scanner.read(&[Topic::Jobs, Topic::MultistartRuns])?;
        if scanner.ids.jobs().len() == jobs {
            break;
        }
    }
    scanner.check_cutoff()?;
    Ok(scanner.scan)
}

struct Scanner<'a> {
    source: &'a mut dyn Source,
    names: &'a TopicNames,
    framing: Framing,
    ids: HistoryIds,
    after: Option<PartitionOffset>,
    scan: Scan,
    /// Number of records that have been read; a record that is read a second time counts twice.
    read: u64,
    /// Number of records that are to be read in the passes that have begun.
    expected: u64,
    progress: &'a mut ProgressDisplay,
}

impl Scanner<'_> {
    fn find_partitions(&mut self) -> Result<(), ScanError> {
        let begin = Instant::now();
        while !self.source.is_complete() {
            if begin.elapsed() > FIND_DEADLINE {
                return Err(ScanError::NotFound(trouble(self.source)));
            }
            let partitions = &mut self.scan.partitions;
            self.source.poll(WAIT, &mut |polled| {
                if let SourceEvent::Found { partition, watermarks } = polled {
                    let continuity = Continuity::default();
                    let found = ScannedPartition { watermarks, records: 0, begin_millis: None, continuity };
                    partitions.insert(partition, found);
                }
            });
        }
        Ok(())
    }

    /// Checks, before anything is read, that the record at the requested position can exist.
    fn check_after(&self) -> Result<(), ScanError> {
        let Some(after) = self.after else { return Ok(()) };
        let (partition, offset) = (after.topic_partition(), after.offset);
        let name = self.name(partition);
        let Some(scanned) = self.scan.partitions.get(&partition) else {
            return Err(ScanError::NoPartition(name));
        };
        match scanned.watermarks {
            Watermarks { low, high } if (low..high).contains(&offset) => Ok(()),
            watermarks => Err(ScanError::NoRecord { partition: name, offset, watermarks }),
        }
    }

    /// Checks that a record was found at or before the requested position: an offset may belong to no record.
    fn check_cutoff(&self) -> Result<(), ScanError> {
        match self.after {
            Some(after) if self.scan.cutoff.is_none() => {
                let (partition, offset) = (after.topic_partition(), after.offset);
                let watermarks = self.scan.partitions[&partition].watermarks;
                Err(ScanError::NoRecord { partition: self.name(partition), offset, watermarks })
            }
            _ => Ok(()),
        }
    }

    /// Reads all partitions of these topics.
    fn read(&mut self, topics: &[Topic]) -> Result<(), ScanError> {
        let mut reading = self.begin(topics)?;
        let mut deadline = ReadDeadline::new(READ_DEADLINE, Instant::now());
        while !reading.is_empty() {
            let mut polled = Vec::new();
            self.source.poll(WAIT, &mut |event| polled.push(event));
            if !polled.is_empty() {
                deadline.restart(Instant::now());
            }
            let overdue = deadline.check(self.source, reading.iter().copied(), Instant::now());
            overdue.map_or(Ok(()), |overdue| Err(self.end(overdue)))?;
            self.compare()?;
            for event in polled {
                if let Some(partition) = self.take(event)?
                    && reading.contains(&partition)
                {
                    reading.retain(|one| *one != partition);
                    self.source.stop(partition);
                }
            }
        }
        Ok(())
    }

    /// Checks that every topic that is read is still the one that was there at the start.
    fn compare(&mut self) -> Result<(), ScanError> {
        for (key, partition) in &mut self.scan.partitions {
            let Some(observed) = self.source.observation(*key) else { continue };
            partition.continuity.adopt(observed.topic_id);
            let compared = partition.continuity.compare(partition.watermarks.high, &observed, Instant::now());
            if let Err(why) = compared {
                let partition = self.names.partition(*key).to_string();
                return Err(ScanError::Another { partition, why });
            }
        }
        Ok(())
    }

    /// Assigns the partitions of these topics that have something to be read, and returns them.
    fn begin(&mut self, topics: &[Topic]) -> Result<Vec<TopicPartition>, ScanError> {
        let mut reading = Vec::new();
        for (key, partition) in &mut self.scan.partitions {
            let Watermarks { low, high } = partition.watermarks;
            if topics.contains(&key.topic) && low < high {
                partition.records = 0;
                self.source.assign(*key, low).map_err(|reason| ScanError::Failed {
                    partition: self.names.partition(*key).to_string(),
                    reason: reason.text,
                })?;
                self.expected += u64::try_from(high - low).unwrap_or(0);
                reading.push(*key);
            }
        }
        Ok(reading)
    }

    /// Takes what the source delivers. Returns the partition if it has been read to its end.
    fn take(&mut self, polled: SourceEvent) -> Result<Option<TopicPartition>, ScanError> {
        match polled {
            // The partition was added after the start, so nothing of it counts.
            SourceEvent::Found { .. } => Ok(None),
            SourceEvent::Records(records) => Ok(self.look_through(&*records)),
            SourceEvent::Ended { partition, .. } => Ok(Some(partition)),
            SourceEvent::Failed { partition, reason } => {
                Err(ScanError::Failed { partition: self.name(partition), reason: reason.text })
            }
        }
    }

    fn look_through(&mut self, records: &dyn Records) -> Option<TopicPartition> {
        let partition = records.record(0).position.topic_partition();
        let high = self.scan.partitions.get(&partition)?.watermarks.high;
        let (mut count, mut is_over) = (0, false);
        for index in 0..records.len() {
            let record = records.record(index);
            if record.position.offset >= high {
                is_over = true;
                break;
            }
            self.note_time(&record);
            self.look_at(&record);
            is_over = record.position.offset + 1 == high;
            count += 1;
        }
        if let Some(scanned) = self.scan.partitions.get_mut(&partition) {
            scanned.records += count;
            scanned.begin_millis = scanned.begin_millis.or(records.record(0).timestamp_millis);
        }
        self.read += count;
        self.progress.show(&Progress::new("reading", self.read, Some(self.expected)));
        is_over.then_some(partition)
    }

    fn look_at(&mut self, record: &Record<'_>) {
        if !self.ids.occur_in(record) && !codec::hides_texts(record, self.framing) {
            return;
        }
        let is_of_it = match codec::decode_framed(record, self.framing) {
            Ok(envelope) => self.ids.take(&envelope.event.body),
            Err(_) => self.ids.are_mentioned_in(record),
        };
        if is_of_it {
            self.scan.found.insert(record.position, OwnedRecord::from(record));
        }
    }

    fn note_time(&mut self, record: &Record<'_>) {
        let Record { position, timestamp_millis, .. } = *record;
        if let Some(after) = self.after
            && position.topic_partition() == after.topic_partition()
            && position.offset <= after.offset
        {
            self.scan.cutoff = Some(LogCutoff::After { position, timestamp_millis });
        }
    }

    fn name(&self, partition: TopicPartition) -> String {
        self.names.partition(partition).to_string()
    }

    fn end(&self, overdue: ReadTimeout) -> ScanError {
        match overdue {
            ReadTimeout::Partition { partition, why } => {
                ScanError::Failed { partition: self.name(partition), reason: why }
            }
            ReadTimeout::Silence { why } => ScanError::Silent { trouble: why },
        }
    }
}
