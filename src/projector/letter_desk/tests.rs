use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use parking_lot::Mutex;

use super::*;
use crate::disk::DiskReserve;
use crate::domain::{OwnedRecord, Record};
use crate::projector::{PauseHandle, Settings};
use crate::source::{Records, SourceEvent, StopReason, TopicNames, Watermarks};
use crate::status::Status;
use crate::store::{self, DeadLetterBound, OpenStore};

const JOBS: TopicPartition = TopicPartition { topic: Topic::Jobs, partition: 0 };
/// Number of records of the partition, none of which is an event.
const RECORDS: i64 = 120;

/// Records of the partition from an offset on, which the decoder's thread gets only once a gate is open, if there is one.
struct Garbage {
    records: Vec<OwnedRecord>,
    gate: Option<Mutex<Receiver<()>>>,
}

impl Garbage {
    fn of(offsets: std::ops::Range<i64>, gate: Option<Receiver<()>>) -> Box<Garbage> {
        let records = offsets.map(|offset| OwnedRecord {
            position: JOBS.at(offset),
            timestamp_millis: Some(offset + 1),
            key: None,
            value: Some(b"no event".to_vec()),
            headers: Vec::new(),
        });
        Box::new(Garbage { records: records.collect(), gate: gate.map(Mutex::new) })
    }
}

impl Records for Garbage {
    fn len(&self) -> usize {
        self.records.len()
    }

    fn record(&self, at: usize) -> Record<'_> {
        if let Some(gate) = &self.gate {
            // An error is the open gate.
            let _ = gate.lock().recv();
        }
        self.records[at].record()
    }
}

/// A call that the projector makes of its source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SourceCall {
    Assign(i64),
    Stop,
}

/// A source that gives what the test puts into it.
#[derive(Default)]
struct PreparedSource {
    events: VecDeque<SourceEvent>,
    calls: Vec<SourceCall>,
}

impl Source for PreparedSource {
    fn poll(&mut self, _: Duration, take: &mut dyn FnMut(SourceEvent)) -> bool {
        self.events.drain(..).for_each(take);
        false
    }

    fn assign(&mut self, _: TopicPartition, offset: i64) -> Result<(), StopReason> {
        self.calls.push(SourceCall::Assign(offset));
        Ok(())
    }

    fn stop(&mut self, _: TopicPartition) {
        self.calls.push(SourceCall::Stop);
    }

    fn watermarks(&self, _: TopicPartition) -> Option<Watermarks> {
        Some(Watermarks { low: 0, high: RECORDS })
    }

    fn trouble(&self) -> Option<String> {
        None
    }

    fn is_complete(&self) -> bool {
        true
    }

    fn publish(&mut self, _: &[PartitionOffset]) {}
}

/// Runs a projector of one partition of jobs that has been found, by a clock that stands still.
fn with_projector(limit: u64, test: impl FnOnce(&mut Projector<'_>, &mut PreparedSource, Moment)) {
    let directory = tempfile::tempdir().unwrap();
    let OpenStore { writer, path, .. } = store::open(directory.path(), 1 << 20).unwrap();
    let settings = Settings {
        topics: TopicNames::default(),
        framing: Framing::Auto,
        sync_interval: Duration::from_secs(3600),
        catch_up_sync_interval: Duration::from_secs(3600),
        memory_budget: 1 << 30,
        orphan_retention: Duration::from_secs(3600),
        dead_letter_limit: limit,
        dead_letters_max: DeadLetterBound::default(),
        dead_letter_outlet: None,
        store_path: path,
        disk_reserve: DiskReserve::default(),
    };
    let (control, now) = (Arc::new(PauseHandle::default()), Moment::now());
    let mut projector = Projector::new(writer, settings, Status::new(1), &control, now).unwrap();
    let watermarks = Watermarks { low: 0, high: RECORDS };
    let mut source = PreparedSource::default();
    source.events.push_back(SourceEvent::Found { partition: JOBS, watermarks });
    projector.turn(now, &mut source).unwrap();
    assert_eq!(source.calls, [SourceCall::Assign(0)]);
    test(&mut projector, &mut source, now);
}

/// A batch from before the stop that is folded after the resumption would have the checkpoint pass the records between.
#[test]
fn what_was_read_beyond_a_stop_is_let_go_of_before_the_topic_is_read_on() {
    with_projector(10, |projector, source, now| {
        let (gate, closed) = channel();
        source.events.push_back(SourceEvent::Records(Garbage::of(0..40, None)));
        source.events.push_back(SourceEvent::Records(Garbage::of(40..RECORDS, Some(closed))));
        projector.turn(now, source).unwrap();
        assert_eq!(
            projector.partitions.next_offset(JOBS),
            Some(11),
            "it has stopped at the first beyond the limit"
        );
        assert!(!projector.decoder.is_idle(), "the other batch is under way");
        let (_, answered) = projector.control.letters.add(LetterTask::Resume(vec![Topic::Jobs]));
        drop(gate);
        projector.turn(now, source).unwrap();
        assert_eq!(answered.try_recv().unwrap().resumed, [(NamedPartition::new("jobs", 0), 11)]);
        assert_eq!(source.calls.last(), Some(&SourceCall::Assign(11)));
        assert_eq!(projector.partitions.next_offset(JOBS), Some(11));
    });
}

/// Has the projector read so far of the partition, and wait for another one that does not come.
fn limit_reading(projector: &Projector<'_>, until: i64) {
    let target = [(JOBS, until), (TopicPartition::new(Topic::MultistartRuns, 0), 1)];
    projector.control.pause_at(target.into(), Duration::ZERO).unwrap_err();
}

/// The source delivers it again once the topic is read on.
#[test]
fn what_was_put_aside_of_a_topic_is_let_go_of_when_it_is_read_on() {
    with_projector(10, |projector, source, now| {
        limit_reading(projector, 11);
        source.events.push_back(SourceEvent::Records(Garbage::of(0..40, None)));
        projector.turn(now, source).unwrap();
        assert_eq!((projector.partitions.next_offset(JOBS), projector.gate.aside.len()), (Some(11), 1));
        let (_, answered) = projector.control.letters.add(LetterTask::Resume(vec![Topic::Jobs]));
        projector.turn(now, source).unwrap();
        assert_eq!(answered.try_recv().unwrap().resumed, [(NamedPartition::new("jobs", 0), 11)]);
        assert_eq!((source.calls.last(), projector.gate.aside.len()), (Some(&SourceCall::Assign(11)), 0));
    });
}

/// The stop would be told to the source after it was told to read on.
#[test]
fn a_topic_that_stops_and_is_read_on_in_one_turn_is_read_on() {
    with_projector(10, |projector, source, now| {
        limit_reading(projector, 5);
        source.events.push_back(SourceEvent::Records(Garbage::of(0..40, None)));
        projector.turn(now, source).unwrap();
        assert_eq!(projector.partitions.next_offset(JOBS), Some(5));
        // What was put aside is folded now, which stops the topic.
        projector.control.resume();
        let (_, answered) = projector.control.letters.add(LetterTask::Resume(vec![Topic::Jobs]));
        projector.turn(now, source).unwrap();
        assert_eq!(answered.try_recv().unwrap().resumed, [(NamedPartition::new("jobs", 0), 11)]);
        assert_eq!(source.calls[1..], [SourceCall::Stop, SourceCall::Assign(11)]);
    });
}

#[test]
fn a_letter_that_waits_to_be_stored_can_be_discarded_and_stays_so() {
    with_projector(1_000, |projector, source, now| {
        source.events.push_back(SourceEvent::Records(Garbage::of(0..3, None)));
        projector.turn(now, source).unwrap();
        let reader = projector.write_back.writer().reader();
        assert_eq!(reader.dead_letter(JOBS.at(1)).unwrap(), None, "it is in memory still");
        let (_, answered) = projector.control.letters.add(LetterTask::Discard(vec![JOBS.at(1)]));
        projector.turn(now, source).unwrap();
        assert_eq!(answered.try_recv().unwrap().discarded, 1);
        projector.write_back.write_all(now.instant).unwrap();
        projector.write_back.wait_until_written().unwrap();
        let left = reader.dead_letters_after(None, 10, usize::MAX).unwrap();
        assert_eq!(left.iter().map(|letter| letter.position.offset).collect::<Vec<_>>(), [0, 2]);
    });
}
