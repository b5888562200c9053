//! Reads the log for the records of one optimization's history: up to where each partition ended at the start, and
//! nothing twice without need. Decodes only what has one of the ids in it. Must never miss a record.
//!
//! The optimization's own events come first, since they name its jobs; then those of jobs and runs. Where these name a
//! job that the optimization never linked, that job's earlier events have gone by unseen, and jobs and runs are read once
//! more.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::ids::Ids;
use super::moment::Moment;
use crate::codec;
use crate::domain::{Gap, OwnedRecord, Position, Record, Topic};
use crate::progress::{Progress, Shown};
use crate::source::trouble;
use crate::source::{Continuity, ReadDeadline, ReadTimeout, Records, Source, SourceEvent, TopicNames, Watermarks};

/// How long a source may take to tell of its partitions, and how long it may then give nothing.
const FIND_DEADLINE: Duration = Duration::from_secs(15);
const READ_DEADLINE: Duration = Duration::from_secs(60);
const WAIT: Duration = Duration::from_millis(100);

/// What was found, and where it was looked for.
pub struct Scan {
    pub kept: BTreeMap<Position, OwnedRecord>,
    pub partitions: BTreeMap<(Topic, i32), Partition>,
    /// After the record that was asked for, or the last one before it.
    pub moment: Option<Moment>,
}

impl Scan {
    /// How many records were looked at.
    pub fn records(&self) -> u64 {
        self.partitions.values().map(|partition| partition.records).sum()
    }
}

pub struct Partition {
    /// At the start.
    pub watermarks: Watermarks,
    pub records: u64,
    /// Of the first record, in milliseconds since 1970.
    pub begin_millis: Option<i64>,
    continuity: Continuity,
}

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

/// Reads all that `id`'s history may be in, and finds the moment `after` a record.
pub fn scan(
    source: &mut dyn Source,
    names: &TopicNames,
    id: &str,
    after: Option<Position>,
    shown: &mut Shown,
) -> Result<Scan, ScanError> {
    let found = Scan { kept: BTreeMap::new(), partitions: BTreeMap::new(), moment: None };
    let mut scanner = Scanner { source, names, ids: Ids::new(id), after, found, read: 0, expected: 0, shown };
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
    scanner.check_moment()?;
    Ok(scanner.found)
}

struct Scanner<'a> {
    source: &'a mut dyn Source,
    names: &'a TopicNames,
    ids: Ids,
    after: Option<Position>,
    found: Scan,
    /// Records, those that are read a second time counted twice.
    read: u64,
    expected: u64,
    shown: &'a mut Shown,
}

impl Scanner<'_> {
    fn find_partitions(&mut self) -> Result<(), ScanError> {
        let begin = Instant::now();
        while !self.source.is_complete() {
            if begin.elapsed() > FIND_DEADLINE {
                return Err(ScanError::NotFound(trouble(self.source)));
            }
            let partitions = &mut self.found.partitions;
            self.source.poll(WAIT, &mut |polled| {
                if let SourceEvent::Found { topic, partition, watermarks } = polled {
                    let continuity = Continuity::default();
                    let found = Partition { watermarks, records: 0, begin_millis: None, continuity };
                    partitions.insert((topic, partition), found);
                }
            });
        }
        Ok(())
    }

    /// Before anything is read: whether the record that was asked for can be there.
    fn check_after(&self) -> Result<(), ScanError> {
        let Some(Position { topic, partition, offset }) = self.after else { return Ok(()) };
        let name = self.name(topic, partition);
        let Some(held) = self.found.partitions.get(&(topic, partition)) else {
            return Err(ScanError::NoPartition(name));
        };
        match held.watermarks {
            Watermarks { low, high } if (low..high).contains(&offset) => Ok(()),
            watermarks => Err(ScanError::NoRecord { partition: name, offset, watermarks }),
        }
    }

    /// An offset may be none of a record.
    fn check_moment(&self) -> Result<(), ScanError> {
        match self.after {
            Some(Position { topic, partition, offset }) if self.found.moment.is_none() => {
                let watermarks = self.found.partitions[&(topic, partition)].watermarks;
                Err(ScanError::NoRecord { partition: self.name(topic, partition), offset, watermarks })
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
            self.source.poll(WAIT, &mut |told| polled.push(told));
            if !polled.is_empty() {
                deadline.restart(Instant::now());
            }
            let overdue = deadline.check(self.source, reading.iter().copied(), Instant::now());
            overdue.map_or(Ok(()), |overdue| Err(self.end(overdue)))?;
            self.compare()?;
            for told in polled {
                if let Some((topic, partition)) = self.take(told)?
                    && reading.contains(&(topic, partition))
                {
                    reading.retain(|held| *held != (topic, partition));
                    self.source.stop(topic, partition);
                }
            }
        }
        Ok(())
    }

    /// Whether all that is read is of the topics that there were at the start.
    fn compare(&mut self) -> Result<(), ScanError> {
        for (&(topic, number), partition) in &mut self.found.partitions {
            let Some(observed) = self.source.observation(topic, number) else { continue };
            partition.continuity.adopt(observed.topic_id);
            let compared = partition.continuity.compare(partition.watermarks.high, &observed, Instant::now());
            if let Err(why) = compared {
                let partition = format!("{}/{number}", self.names.get(topic));
                return Err(ScanError::Another { partition, why });
            }
        }
        Ok(())
    }

    /// Assigns those that have something to be read.
    fn begin(&mut self, topics: &[Topic]) -> Result<Vec<(Topic, i32)>, ScanError> {
        let mut reading = Vec::new();
        for (&(topic, number), partition) in &mut self.found.partitions {
            let Watermarks { low, high } = partition.watermarks;
            if topics.contains(&topic) && low < high {
                partition.records = 0;
                self.source.assign(topic, number, low).map_err(|reason| ScanError::Failed {
                    partition: format!("{}/{number}", self.names.get(topic)),
                    reason: reason.text,
                })?;
                self.expected += u64::try_from(high - low).unwrap_or(0);
                reading.push((topic, number));
            }
        }
        Ok(reading)
    }

    /// Gives the partition where it has been read to its end.
    fn take(&mut self, polled: SourceEvent) -> Result<Option<(Topic, i32)>, ScanError> {
        match polled {
            // It came after the start.
            SourceEvent::Found { .. } => Ok(None),
            SourceEvent::Records(records) => Ok(self.look_through(&*records)),
            SourceEvent::Ended { topic, partition, .. } => Ok(Some((topic, partition))),
            SourceEvent::Failed { topic, partition, reason } => {
                Err(ScanError::Failed { partition: self.name(topic, partition), reason: reason.text })
            }
        }
    }

    fn look_through(&mut self, records: &dyn Records) -> Option<(Topic, i32)> {
        let Position { topic, partition, .. } = records.record(0).position;
        let high = self.found.partitions.get(&(topic, partition))?.watermarks.high;
        let (mut count, mut is_over) = (0, false);
        for at in 0..records.len() {
            let record = records.record(at);
            if record.position.offset >= high {
                is_over = true;
                break;
            }
            self.note_time(&record);
            self.look_at(&record);
            is_over = record.position.offset + 1 == high;
            count += 1;
        }
        if let Some(held) = self.found.partitions.get_mut(&(topic, partition)) {
            held.records += count;
            held.begin_millis = held.begin_millis.or(records.record(0).timestamp_millis);
        }
        self.read += count;
        self.shown.show(&Progress::new("reading", self.read, Some(self.expected)));
        is_over.then_some((topic, partition))
    }

    fn look_at(&mut self, record: &Record<'_>) {
        if !self.ids.occur_in(record) {
            return;
        }
        let is_of_it = match codec::decode(record) {
            Ok(envelope) => self.ids.take(&envelope.event.body),
            Err(_) => self.ids.are_mentioned_in(record),
        };
        if is_of_it {
            self.found.kept.insert(record.position, OwnedRecord::from(record));
        }
    }

    fn note_time(&mut self, record: &Record<'_>) {
        let Record { position, timestamp_millis, .. } = *record;
        if let Some(after) = self.after
            && (position.topic, position.partition) == (after.topic, after.partition)
            && position.offset <= after.offset
        {
            self.found.moment = Some(Moment::After { position, timestamp_millis });
        }
    }

    fn name(&self, topic: Topic, partition: i32) -> String {
        format!("{}/{partition}", self.names.get(topic))
    }

    fn end(&self, overdue: ReadTimeout) -> ScanError {
        match overdue {
            ReadTimeout::Partition { topic, partition, why } => {
                ScanError::Failed { partition: self.name(topic, partition), reason: why }
            }
            ReadTimeout::Silence { why } => ScanError::Silent { trouble: why },
        }
    }
}
