use std::thread::JoinHandle;

use parking_lot::{Condvar, Mutex};

use super::*;
use crate::disk::DiskReserve;
use crate::domain::{OwnedRecord, PartitionOffset, Record, Topic, TopicPartition};
use crate::generation::life::{Plan, RebuildKind, RebuildOptions};
use crate::generation::rebuild::exchange::RebuildState;
use crate::progress::Progress;
use crate::projector::{self, Settings};
use crate::source::{Records, Source, SourceEvent, StopReason, Watermarks};
use crate::store::{self, DeadLetterBound, OpenStore};

/// A source of one partition of jobs with so many records.
struct Few {
    records: i64,
    next: Option<i64>,
    is_found: bool,
    trouble: Option<String>,
}

struct One(OwnedRecord);

impl Records for One {
    fn len(&self) -> usize {
        1
    }

    fn record(&self, _: usize) -> Record<'_> {
        self.0.record()
    }
}

impl Source for Few {
    fn poll(&mut self, _: Duration, take: &mut dyn FnMut(SourceEvent)) -> bool {
        let watermarks = Watermarks { low: 0, high: self.records };
        if !std::mem::replace(&mut self.is_found, true) {
            take(SourceEvent::Found { partition: TopicPartition::new(Topic::Jobs, 0), watermarks });
        }
        match self.next {
            Some(offset) if offset < self.records => {
                self.next = Some(offset + 1);
                let position = PartitionOffset { topic: Topic::Jobs, partition: 0, offset };
                let (key, value, headers) = (None, Some(b"no event".to_vec()), Vec::new());
                let record = OwnedRecord { position, timestamp_millis: Some(offset), key, value, headers };
                take(SourceEvent::Records(Box::new(One(record))));
            }
            _ => std::thread::sleep(Duration::from_millis(1)),
        }
        false
    }

    fn assign(&mut self, _: TopicPartition, offset: i64) -> Result<(), StopReason> {
        self.next = Some(offset);
        Ok(())
    }

    fn stop(&mut self, _: TopicPartition) {
        self.next = None;
    }

    fn watermarks(&self, _: TopicPartition) -> Option<Watermarks> {
        Some(Watermarks { low: 0, high: self.records })
    }

    fn trouble(&self) -> Option<String> {
        self.trouble.clone()
    }

    fn is_complete(&self) -> bool {
        self.is_found
    }

    fn publish(&mut self, _: &[PartitionOffset]) {}
}

/// A generation that is kept up to date, in a directory of its own.
struct AtWork {
    control: Arc<PauseHandle>,
    status: Status,
    thread: Option<JoinHandle<()>>,
    _directory: tempfile::TempDir,
}

impl AtWork {
    /// Returns a generation that has read so many records and sees no more.
    fn with(records: i64, trouble: Option<&str>) -> AtWork {
        let directory = tempfile::tempdir().unwrap();
        let OpenStore { writer, path, .. } = store::open(directory.path(), 1 << 20).unwrap();
        let (control, status) = (Arc::new(PauseHandle::default()), Status::new(1));
        let settings = Settings {
            topics: TopicNames::default(),
            framing: Default::default(),
            sync_interval: Duration::from_millis(1),
            catch_up_sync_interval: Duration::from_millis(1),
            memory_budget: 1 << 20,
            orphan_retention: Duration::from_secs(3600),
            dead_letter_limit: 10_000,
            dead_letters_max: DeadLetterBound::default(),
            dead_letter_outlet: None,
            store_path: path,
            disk_reserve: DiskReserve::default(),
        };
        let mut source = Few { records, next: None, is_found: false, trouble: trouble.map(str::to_owned) };
        let thread = {
            let (control, status) = (control.clone(), status.clone());
            std::thread::spawn(move || projector::run(&mut source, writer, settings, status, &control).unwrap())
        };
        let thread = Some(thread);
        let at_work = AtWork { control, status, thread, _directory: directory };
        let begin = Instant::now();
        let has_read =
            |status: &Status| status.report().partitions.first().is_some_and(|held| held.position == records);
        while !has_read(&at_work.status) {
            assert!(begin.elapsed() < Duration::from_secs(120), "{:?}", at_work.status.report());
            std::thread::sleep(Duration::from_millis(1));
        }
        at_work
    }

    fn parts(&self) -> (Arc<PauseHandle>, Status) {
        (self.control.clone(), self.status.clone())
    }
}

impl Drop for AtWork {
    fn drop(&mut self) {
        self.control.stop();
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn shared() -> RebuildExchange {
    let progress = Progress::new("switching", 0, None);
    RebuildExchange {
        plan: Plan::new(2, RebuildKind::Build, RebuildOptions::default()),
        shown: Status::new(1),
        new: Mutex::new(None),
        state: Mutex::new(RebuildState { progress, ended: None }),
        ended: Condvar::new(),
        abort: false.into(),
        interrupt: false.into(),
    }
}

fn pair(live: &AtWork, new: &AtWork) -> PausedPair {
    PausedPair::new(Some(live.parts()), new.parts(), TopicNames::default())
}

const CHECKPOINT_WITHIN: Duration = Duration::from_secs(60);

#[test]
fn two_that_have_read_as_much_meet() {
    let (live, new) = (AtWork::with(5, None), AtWork::with(5, None));
    let pair = pair(&live, &new);
    let begin = Instant::now();
    let met = loop {
        match pair.meet(&shared(), Some(CHECKPOINT_WITHIN)).unwrap() {
            Answer::Paused(positions) => break positions,
            missed => assert!(begin.elapsed() < Duration::from_secs(120), "{missed:?}"),
        }
    };
    assert_eq!(met, Positions::from([(TopicPartition::new(Topic::Jobs, 0), 5)]));
}

#[test]
fn a_topic_that_ends_before_the_others_position_is_named_as_an_obstacle_for_good() {
    let (behind, ahead) = (AtWork::with(3, None), AtWork::with(9, None));
    for (live, new, side) in [(&ahead, &behind, "the new generation"), (&behind, &ahead, "the live generation")] {
        let shared = shared();
        let Answer::Missed { obstacle: Some(obstacle), .. } =
            pair(live, new).meet(&shared, Some(CHECKPOINT_WITHIN)).unwrap()
        else {
            panic!("they have met")
        };
        assert!(obstacle.is_for_good());
        let why = obstacle.to_string();
        for part in [format!("{side} is at jobs/0@3"), "read up to 9".to_owned(), "ends at 3".to_owned()] {
            assert!(why.contains(&part), "no {part}: {why}");
        }
        assert_eq!(shared.state.lock().progress.waiting_for, Some(why), "it is shown");
    }
}

#[test]
fn an_error_that_may_end_is_shown_while_it_is_waited_for() {
    let (live, new) = (AtWork::with(9, None), AtWork::with(3, Some("jobs: not authorized")));
    let shared = shared();
    let missed = pair(&live, &new).meet(&shared, None).unwrap();
    assert!(matches!(missed, Answer::Missed { obstacle: Some(_), .. }), "{missed:?}");
    let shown = shared.state.lock().progress.waiting_for.clone().unwrap();
    assert!(shown.contains("the new generation is at jobs/0@3"), "{shown}");
}
