//! The end of a partition and the topic that it is of, as the cluster answers: positions that no record has, and topics that were
//! created again.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use optview::domain::{NamedPartition, PartitionOffset, Record, Topic, TopicId, TopicPartition};
use optview::projector::{self, PauseHandle, Positions};
use optview::source::{PartitionObservation, Records, Source, SourceEvent, StopReason, Watermarks};
use optview::status::{Report, State, Status};
use optview::store::PartitionCheckpoint;

use super::script;
use super::stepped_projector::{Clock, SteppedProjector};
use crate::fixtures;
use crate::support::OwnedRecord;

const JOBS: TopicPartition = TopicPartition::new(Topic::Jobs, 0);

/// The result of one poll of the jobs.
#[derive(Clone)]
enum Step {
    Records(Vec<i64>),
    Ended(i64),
    /// From now on the cluster answers that the topic has this id, and ends here.
    Observed(Option<TopicId>, i64),
}

/// A topic of jobs that goes by a script; the other two are empty.
struct ScriptedTopic {
    watermarks: Watermarks,
    steps: VecDeque<Step>,
    observed: (Option<TopicId>, i64),
    found: bool,
    assigned: Vec<i64>,
    stopped: bool,
    /// The clock of a projector that the test turns itself.
    clock: Option<Clock>,
}

impl ScriptedTopic {
    fn new((low, high): (i64, i64), id: Option<TopicId>, steps: &[Step]) -> ScriptedTopic {
        ScriptedTopic {
            watermarks: Watermarks { low, high },
            steps: steps.iter().cloned().collect(),
            observed: (id, high),
            found: false,
            assigned: Vec::new(),
            stopped: false,
            clock: None,
        }
    }
}

struct Batch(Vec<OwnedRecord>);

impl Records for Batch {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn record(&self, at: usize) -> Record<'_> {
        self.0[at].record()
    }
}

fn batch(offsets: &[i64]) -> Batch {
    let record = |&offset: &i64| {
        let position = PartitionOffset { topic: Topic::Jobs, partition: 0, offset };
        OwnedRecord { position, key: b"key".to_vec(), value: Some(format!("record {offset}").into_bytes()) }
    };
    Batch(offsets.iter().map(record).collect())
}

impl Source for ScriptedTopic {
    fn poll(&mut self, _: Duration, take: &mut dyn FnMut(SourceEvent)) -> bool {
        if !std::mem::replace(&mut self.found, true) {
            for topic in Topic::ALL {
                let nothing = Watermarks { low: 0, high: 0 };
                let watermarks = if topic == JOBS.topic { self.watermarks } else { nothing };
                take(SourceEvent::Found { partition: TopicPartition { topic, ..JOBS }, watermarks });
            }
            return false;
        }
        if self.assigned.is_empty() || self.stopped {
            return false;
        }
        match self.steps.pop_front() {
            Some(Step::Records(offsets)) => take(SourceEvent::Records(Box::new(batch(&offsets)))),
            Some(Step::Ended(position)) => take(SourceEvent::Ended { partition: JOBS, position }),
            Some(Step::Observed(id, high)) => self.observed = (id, high),
            None => {}
        }
        false
    }

    fn assign(&mut self, TopicPartition { topic, .. }: TopicPartition, offset: i64) -> Result<(), StopReason> {
        if topic == JOBS.topic {
            self.assigned.push(offset);
        }
        Ok(())
    }

    fn stop(&mut self, TopicPartition { topic, .. }: TopicPartition) {
        self.stopped |= topic == JOBS.topic;
    }

    fn watermarks(&self, _: TopicPartition) -> Option<Watermarks> {
        None
    }

    fn trouble(&self) -> Option<String> {
        None
    }

    fn is_complete(&self) -> bool {
        self.found
    }

    fn observation(&self, TopicPartition { topic, .. }: TopicPartition) -> Option<PartitionObservation> {
        let (topic_id, high) = if topic == JOBS.topic { self.observed } else { (None, 0) };
        let asked_at = self.clock.as_ref().map_or_else(Instant::now, Clock::instant);
        Some(PartitionObservation { topic_id, low: 0, last_stable: high, high, asked_at })
    }

    fn publish(&mut self, _: &[PartitionOffset]) {}
}

fn id(number: i64) -> Option<TopicId> {
    Some(TopicId { most_significant: 3, least_significant: number })
}

/// Turns the projector until the report is as it should be, and ends it. Returns that report, and the source.
fn project(data: &Path, mut source: ScriptedTopic, until: impl Fn(&Report) -> bool) -> (Report, ScriptedTopic) {
    let opened = fixtures::open(data);
    let (status, control, clock) = (Status::new(1), PauseHandle::default(), Clock::new());
    let settings = script::settings(&opened.path, 1 << 20);
    source.clock = Some(clock.clone());
    let mut stepped = SteppedProjector::new(opened.writer, settings, source, status, &control, clock);
    let report = stepped.turn_until("the report", until);
    (report, stepped.finish())
}

fn position(report: &Report) -> Option<i64> {
    let jobs = report.partitions.iter().find(|held| held.topic == "jobs")?;
    Some(jobs.position)
}

fn is_live_at(at: i64) -> impl Fn(&Report) -> bool {
    move |report| report.state == State::Live && position(report) == Some(at)
}

fn stop_code(report: &Report) -> Option<&'static str> {
    report.partitions.iter().find(|held| held.topic == "jobs")?.freshness.stop_code
}

fn is_stalled(report: &Report) -> bool {
    report.state == State::Stalled
}

fn stored_checkpoint(data: &Path) -> PartitionCheckpoint {
    fixtures::open(data).writer.checkpoint_at_open()[&NamedPartition::new("jobs", 0)]
}

/// A store that has read offsets 0 and 1, and beyond them to 5, where a topic of this id ended.
fn read_to_5(id: Option<TopicId>) -> tempfile::TempDir {
    let data = tempfile::tempdir().unwrap();
    let source = ScriptedTopic::new((0, 5), id, &[Step::Records(vec![0, 1]), Step::Ended(5)]);
    project(data.path(), source, is_live_at(5));
    data
}

#[test]
fn the_position_at_which_a_partition_ends_is_kept_and_what_was_before_it_may_go() {
    let data = read_to_5(id(1));
    let held = stored_checkpoint(data.path());
    assert_eq!((held.next_offset, held.anchor.map(|anchor| anchor.offset)), (5, Some(1)));
    let (report, source) = project(data.path(), ScriptedTopic::new((5, 5), id(1), &[]), is_live_at(5));
    assert_eq!((report.last_error, source.assigned), (None, vec![5]));
}

#[test]
fn a_projector_holds_at_a_position_that_no_record_has_and_goes_on_from_there() {
    for beyond in [Step::Records(vec![7]), Step::Ended(8)] {
        let data = tempfile::tempdir().unwrap();
        let steps = [Step::Records(vec![0, 1]), Step::Ended(3), beyond, Step::Ended(9)];
        let source = ScriptedTopic::new((0, 3), None, &steps);
        let opened = fixtures::open(data.path());
        let (status, control) = (Status::new(1), Arc::new(PauseHandle::default()));
        let settings = script::settings(&opened.path, 1 << 20);
        let mut source = source;
        let within = Duration::from_secs(60);
        let others = Topic::ALL.map(|topic| (TopicPartition::new(topic, 0), 0));
        std::thread::scope(|scope| {
            // It is asked before anything is read.
            let asked = scope.spawn(|| {
                let at = Positions::from(others).into_iter().chain([(JOBS, 5)]).collect();
                let reached = control.pause_at(at, within).unwrap();
                assert_eq!(reached[&JOBS], 5);
                control.resume();
                let begin = Instant::now();
                while position(&status.report()) != Some(9) {
                    assert!(begin.elapsed() < within, "{:?}", status.report());
                    std::thread::sleep(Duration::from_millis(1));
                }
                control.stop();
            });
            // Waits until the question is there, as otherwise all would be read by then.
            while !control.was_used() {
                std::thread::sleep(Duration::from_millis(1));
            }
            projector::run(&mut source, opened.writer, settings, status.clone(), &control).unwrap();
            asked.join().unwrap();
        });
    }
}

#[test]
fn a_topic_with_another_id_is_not_read_whatever_it_has() {
    let data = read_to_5(id(1));
    assert_eq!(stored_checkpoint(data.path()).topic_id, id(1));
    for watermarks in [(0, 3), (0, 5), (0, 500), (400, 500)] {
        let (report, source) = project(data.path(), ScriptedTopic::new(watermarks, id(2), &[]), is_stalled);
        let why = report.last_error.expect("the report names it");
        for part in ["jobs/0", "deleted and created again", &id(1).unwrap().to_string(), "optview rebuild"] {
            assert!(why.contains(part), "no {part}: {why}");
        }
        assert!(source.assigned.is_empty(), "{watermarks:?}");
        assert_eq!(
            (stored_checkpoint(data.path()).topic_id, stored_checkpoint(data.path()).next_offset),
            (id(1), 5)
        );
    }
    // The one that it was is read on.
    project(data.path(), ScriptedTopic::new((0, 5), id(1), &[]), is_live_at(5));
}

#[test]
fn an_anchor_that_cannot_be_compared_leaves_it_to_the_id() {
    // Offset 1 is no record now.
    let steps = [Step::Records(vec![2, 6]), Step::Ended(7)];
    for (was, is) in [(id(1), id(1)), (None, id(1)), (id(1), None), (None, None)] {
        let data = read_to_5(was);
        let (report, _) = project(data.path(), ScriptedTopic::new((0, 7), is, &steps), is_live_at(7));
        assert_eq!(report.last_error, None, "{was:?}, {is:?}");
        assert_eq!(stored_checkpoint(data.path()).topic_id, was.or(is), "from now on it must be this one");
    }
}

#[test]
fn a_topic_that_is_created_again_while_it_is_read_stops_and_stays_so() {
    let data = tempfile::tempdir().unwrap();
    let steps =
        [Step::Records(vec![0, 1, 2]), Step::Ended(3), Step::Observed(id(2), 5), Step::Records(vec![3, 4])];
    let source = ScriptedTopic::new((0, 3), id(1), &steps);
    let (report, source) = project(data.path(), source, is_stalled);
    let stop_code = stop_code(&report);
    let why = report.last_error.expect("the report names it");
    assert!(why.contains("deleted and created again") && why.contains("optview rebuild"), "{why}");
    assert_eq!(stop_code, Some("recreated"));
    assert_eq!(stored_checkpoint(data.path()).topic_id, id(1));
    drop(source);
    project(data.path(), ScriptedTopic::new((0, 500), id(2), &[]), is_stalled);
}

#[test]
fn a_partition_that_is_shorter_than_what_was_read_stops_though_there_are_no_ids() {
    let data = tempfile::tempdir().unwrap();
    let steps = [Step::Records(vec![0, 1, 2]), Step::Ended(3), Step::Observed(None, 1)];
    let (report, _) = project(data.path(), ScriptedTopic::new((0, 3), None, &steps), is_stalled);
    assert_eq!(stop_code(&report), Some("shorter"));
    let why = report.last_error.expect("the report names it");
    assert!(why.contains("read up to 3, and ends at 1") && why.contains("optview rebuild"), "{why}");
}
