//! A source that plays a script: the partitions' records in some interleaving, what happens to them, and where the
//! process is killed.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use optview::codec::encode::{encode, key};
use optview::codec::{Encoding, Framing};
use optview::disk::DiskReserve;
use optview::domain::{Event, PartitionOffset, Record, Topic, TopicId, TopicPartition};
use optview::projector::{PauseHandle, Settings};
use optview::source::{
    PartitionObservation, Records, Source, SourceEvent, StopCode, StopReason, TopicNames, Watermarks,
};
use optview::status::{State, Status};
use optview::store::{DeadLetterBound, OpenStore};

use super::stepped_projector::{A_REPORT, Clock, SteppedProjector};
use crate::fixtures::{self, Random};
use crate::support::OwnedRecord;

pub struct Partition {
    pub topic: Topic,
    pub number: i32,
    pub records: Vec<OwnedRecord>,
    /// Below this, they are gone.
    pub low: i64,
    /// The offset at which it cannot be read any further.
    pub fails_at: Option<i64>,
}

impl Partition {
    fn new(topic: Topic, number: i32) -> Partition {
        Partition { topic, number, records: Vec::new(), low: 0, fails_at: None }
    }

    pub fn topic_partition(&self) -> TopicPartition {
        TopicPartition::new(self.topic, self.number)
    }

    pub fn push(&mut self, key: Vec<u8>, value: Option<Vec<u8>>) {
        let offset = self.records.len() as i64;
        let position = self.topic_partition().at(offset);
        self.records.push(OwnedRecord { position, key, value });
    }
}

/// Two partitions a topic, the events spread over them by their keys.
pub fn partitions(events: &[Event<'_>]) -> Vec<Partition> {
    let mut partitions: Vec<Partition> = Vec::new();
    for topic in Topic::ALL {
        partitions.extend((0..2).map(|number| Partition::new(topic, number)));
    }
    for event in events {
        let key = key(event).as_bytes().to_vec();
        let number = i32::from(key.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte)) % 2);
        let mut value = Vec::new();
        encode(event, Encoding::Json, &mut value);
        let topic = event.body.topic();
        let partition = partitions.iter_mut().find(|held| held.topic == topic && held.number == number);
        partition.expect("there are two a topic").push(key, Some(value));
    }
    partitions
}

/// The reason for which a partition of the script fails.
fn script_stop() -> StopReason {
    StopReason::new(StopCode::Unreadable, "the script says so")
}

/// The course of one run of the projector.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    /// The seed of the interleaving and of the sizes of the batches.
    pub seed: u64,
    pub most_in_a_batch: u64,
    /// The number of records after which the run is killed.
    pub killed_after: Option<usize>,
    /// True if partitions of all topics are there.
    pub complete: bool,
    /// The run goes on until this holds of the source and the status.
    pub until: fn(&ScriptPlayer<'_>) -> bool,
}

impl Run {
    pub fn to_the_end(seed: u64) -> Run {
        let until = |playing: &ScriptPlayer<'_>| playing.status.state() == State::Live;
        Run { seed, most_in_a_batch: 40, killed_after: None, complete: true, until }
    }
}

pub fn settings(store_path: &Path, memory_budget: u64) -> Settings {
    Settings {
        topics: TopicNames::default(),
        framing: Framing::Auto,
        sync_interval: Duration::from_millis(1),
        catch_up_sync_interval: Duration::from_millis(3),
        memory_budget,
        orphan_retention: Duration::from_secs(3600),
        dead_letter_limit: 10_000,
        dead_letters_max: DeadLetterBound::default(),
        dead_letter_outlet: None,
        store_path: store_path.to_owned(),
        disk_reserve: DiskReserve::default(),
    }
}

/// The step of the clock for a turn in which something is read: some of them pass between two checkpoints.
const A_READ: Duration = Duration::from_micros(300);

/// Opens the store, projects, and returns the status at the end; `None` if the run was killed.
pub fn project(
    directory: &Path,
    partitions: &[Partition],
    run: Run,
    change: impl FnOnce(&mut Settings),
) -> Option<Status> {
    let OpenStore { writer, path, moved_aside, .. } = fixtures::open(directory);
    assert_eq!(moved_aside, None);
    let mut settings = settings(&path, 0);
    change(&mut settings);
    let status = Status::new(1);
    let control = Arc::new(PauseHandle::default());
    let clock = Clock::new();
    let mut source = ScriptPlayer::new(partitions, run, status.clone(), control.clone());
    source.clock = Some(clock.clone());
    let ended = catch_unwind(AssertUnwindSafe(|| {
        play(SteppedProjector::new(writer, settings, source, status.clone(), &control, clock));
    }));
    match ended {
        Ok(()) => Some(status),
        Err(panic) if panic.is::<KillPanic>() => None,
        Err(panic) => resume_unwind(panic),
    }
}

/// Turns the projector until its script stops it, and ends it. Returns the source.
pub fn play<'a>(mut stepped: SteppedProjector<'_, ScriptPlayer<'a>>) -> ScriptPlayer<'a> {
    while !stepped.source.control.is_stopped() {
        if stepped.source.is_over() {
            stepped.settle();
            stepped.turn(A_REPORT);
        } else {
            stepped.turn(A_READ);
        }
    }
    stepped.finish()
}

/// The panic that unwinds a run that is killed: all that the projector has in memory is lost.
pub struct KillPanic;

pub struct ScriptPlayer<'a> {
    partitions: &'a [Partition],
    /// The offset at which each partition is read next; `None` if it is not read.
    next: Vec<Option<usize>>,
    run: Run,
    random: Random,
    pub status: Status,
    pub control: Arc<PauseHandle>,
    begin: Instant,
    /// The clock of a projector that the test turns itself.
    pub clock: Option<Clock>,
    found: bool,
    gave_end: Vec<bool>,
    pub delivered: usize,
    pub polls: usize,
    /// Number of times for which nothing was to be read.
    pub rests: usize,
    /// The time for which the last poll was to wait at most.
    pub last_wait: Duration,
    pub published: Vec<PartitionOffset>,
    /// The id that each topic has, where the cluster gives ids.
    pub topic_id: Option<TopicId>,
    /// True if each poll that leaves something reports that it has given as much as it may, however little that is.
    pub gives_full_polls: bool,
    /// Number of records that each partition has by now, if it is to get the others later.
    pub held_back_from: Option<usize>,
}

impl<'a> ScriptPlayer<'a> {
    pub fn new(
        partitions: &'a [Partition],
        run: Run,
        status: Status,
        control: Arc<PauseHandle>,
    ) -> ScriptPlayer<'a> {
        ScriptPlayer {
            next: vec![None; partitions.len()],
            partitions,
            run,
            random: Random(run.seed),
            status,
            control,
            begin: Instant::now(),
            clock: None,
            found: false,
            gave_end: vec![false; partitions.len()],
            delivered: 0,
            polls: 0,
            rests: 0,
            last_wait: Duration::ZERO,
            published: Vec::new(),
            topic_id: None,
            gives_full_polls: false,
            held_back_from: None,
        }
    }

    /// Returns true if nothing is left to be read.
    pub fn is_over(&self) -> bool {
        let mut partitions = self.partitions.iter().zip(&self.next);
        self.found && partitions.all(|(partition, next)| next.is_none_or(|next| next >= self.end_of(partition)))
    }

    /// Returns the number of records that a partition has by now.
    fn end_of(&self, partition: &Partition) -> usize {
        self.held_back_from.map_or(partition.records.len(), |end| end.min(partition.records.len()))
    }

    fn watermarks_of(&self, partition: &Partition) -> Watermarks {
        Watermarks { low: partition.low, high: self.end_of(partition) as i64 }
    }

    fn find(&self, partition: TopicPartition) -> usize {
        let found = self.partitions.iter().position(|held| held.topic_partition() == partition);
        found.expect("a partition that the source has given")
    }

    /// Some of a partition's next records, up to where it fails or the process is killed.
    fn give_some(&mut self, take: &mut dyn FnMut(SourceEvent)) {
        if self.partitions.is_empty() {
            return;
        }
        let at = self.random.below(self.partitions.len() as u64) as usize;
        let most = self.random.below(self.run.most_in_a_batch) as usize + 1;
        let partition = self.partitions[at].topic_partition();
        let Partition { ref records, fails_at, .. } = self.partitions[at];
        let Some(next) = self.next[at] else { return };
        if fails_at == Some(next as i64) {
            take(SourceEvent::Failed { partition, reason: script_stop() });
        }
        let end = self.end_of(&self.partitions[at]);
        if next >= end {
            if !std::mem::replace(&mut self.gave_end[at], true) {
                take(SourceEvent::Ended { partition, position: end as i64 });
            }
            return;
        }
        let fails_at = fails_at.map_or(usize::MAX, |offset| offset as usize);
        let until_it_fails = if next < fails_at { fails_at - next } else { usize::MAX };
        let until_the_kill = self.run.killed_after.map_or(usize::MAX, |at| at - self.delivered);
        self.gave_end[at] = false;
        let count = most.min(end - next).min(until_it_fails).min(until_the_kill);
        take(SourceEvent::Records(Box::new(GivenRecords(records[next..next + count].to_vec()))));
        self.next[at] = Some(next + count);
        self.delivered += count;
        if self.run.killed_after == Some(self.delivered) {
            resume_unwind(Box::new(KillPanic));
        }
    }
}

struct GivenRecords(Vec<OwnedRecord>);

impl Records for GivenRecords {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn record(&self, at: usize) -> Record<'_> {
        self.0[at].record()
    }
}

impl Source for ScriptPlayer<'_> {
    fn poll(&mut self, wait: Duration, take: &mut dyn FnMut(SourceEvent)) -> bool {
        assert!(self.begin.elapsed() < Duration::from_secs(60), "it does not end: {:?}", self.status.report());
        self.polls += 1;
        self.last_wait = wait;
        if (self.run.until)(self) {
            self.control.stop();
            return false;
        }
        if !std::mem::replace(&mut self.found, true) {
            for partition in self.partitions {
                let watermarks = self.watermarks_of(partition);
                take(SourceEvent::Found { partition: partition.topic_partition(), watermarks });
            }
            return false;
        }
        for _ in 0..self.random.below(6) + 1 {
            self.give_some(take);
        }
        if self.is_over() && self.clock.is_none() {
            std::thread::sleep(Duration::from_millis(1));
        }
        self.gives_full_polls && !self.is_over()
    }

    fn rest(&mut self, wait: Duration) {
        self.rests += 1;
        if self.clock.is_none() {
            std::thread::sleep(wait);
        }
    }

    fn assign(&mut self, partition: TopicPartition, offset: i64) -> Result<(), StopReason> {
        let at = self.find(partition);
        let Watermarks { low, high } = self.watermarks_of(&self.partitions[at]);
        assert!((low..=high).contains(&offset), "{partition} has {low} to {high}, and not {offset}");
        self.next[at] = Some(offset as usize);
        Ok(())
    }

    fn stop(&mut self, partition: TopicPartition) {
        let at = self.find(partition);
        self.next[at] = None;
    }

    fn watermarks(&self, partition: TopicPartition) -> Option<Watermarks> {
        Some(self.watermarks_of(&self.partitions[self.find(partition)]))
    }

    fn observation(&self, partition: TopicPartition) -> Option<PartitionObservation> {
        let Watermarks { low, high } = self.watermarks(partition)?;
        let asked_at = self.clock.as_ref().map_or_else(Instant::now, Clock::instant);
        let topic_id = self.topic_id;
        Some(PartitionObservation { topic_id, low, last_stable: high, high, asked_at })
    }

    fn trouble(&self) -> Option<String> {
        None
    }

    fn is_complete(&self) -> bool {
        self.run.complete && self.found
    }

    fn publish(&mut self, offsets: &[PartitionOffset]) {
        self.published = offsets.to_vec();
    }
}
