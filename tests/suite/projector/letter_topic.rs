//! No checkpoint passes a dead letter that its topic has not acknowledged: whatever is killed, none is lost.

mod kept_letters;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use optview::domain::{NamedPartition, OwnedRecord, PartitionOffset, Topic};
use optview::projector::{PauseHandle, Positions, Settings};
use optview::source::{Acknowledgments, LetterInbox, OutgoingLetter, letter_outlet};
use optview::status::{Report, Status};
use optview::store::{Checkpoint, DeadLetterBound, OpenStore};
use proptest::prelude::*;

use super::script::{self, Partition, Run, ScriptPlayer, partitions};
use super::stepped_projector::{A_REPORT, Clock, SteppedProjector};
use super::{check, expected, history};
use crate::fixtures::{self, Random};

const GARBAGE: &[u8] = b"{ no event";
const TOPIC: &str = "letters";

/// A dead letter topic that acknowledges what it is told to.
struct LetterTopic {
    letters: Receiver<(u64, OutgoingLetter)>,
    acknowledgments: Acknowledgments,
    waiting: Vec<(u64, OutgoingLetter)>,
    acknowledged: Vec<OutgoingLetter>,
}

impl LetterTopic {
    /// Returns the topic, and the settings of a projector that writes to it.
    fn of(path: &Path, name: &str) -> (LetterTopic, Settings) {
        let (outlet, LetterInbox { letters, acknowledgments }) = letter_outlet(name);
        let settings = Settings { dead_letter_outlet: Some(outlet), ..script::settings(path, 0) };
        (LetterTopic { letters, acknowledgments, waiting: Vec::new(), acknowledged: Vec::new() }, settings)
    }

    /// Acknowledges some of the letters, in any order.
    fn acknowledge(&mut self, random: &mut Random, percent: u64) {
        self.waiting.extend(self.letters.try_iter());
        while !self.waiting.is_empty() && random.percent(percent) {
            let at = random.below(self.waiting.len() as u64) as usize;
            let (number, letter) = self.waiting.swap_remove(at);
            self.acknowledgments.note(number, letter.size());
            self.acknowledged.push(letter);
        }
    }

    fn positions(&self) -> impl Iterator<Item = PartitionOffset> {
        self.acknowledged.iter().map(|letter| letter.record.position)
    }
}

/// Puts garbage among the records.
fn with_garbage(seed: u64, optimizations: u64, percent: u64) -> Vec<Partition> {
    let (mut partitions, mut random) = (partitions(&history(seed, optimizations)), Random(seed));
    for partition in &mut partitions {
        for record in std::mem::take(&mut partition.records) {
            while random.percent(percent) {
                partition.push(b"key".to_vec(), Some(GARBAGE.to_vec()));
            }
            partition.push(record.key, record.value);
        }
    }
    partitions
}

fn is_garbage(partition: &Partition, offset: i64) -> bool {
    partition.records[offset as usize].value.as_deref() == Some(GARBAGE)
}

/// Returns the positions of the garbage before a checkpoint; `None` for all.
fn garbage(partitions: &[Partition], before: Option<&Checkpoint>) -> BTreeSet<PartitionOffset> {
    let mut positions = BTreeSet::new();
    for partition in partitions {
        let name = NamedPartition::new(partition.topic.default_name(), partition.number);
        let end = before.map_or(i64::MAX, |before| before.get(&name).map_or(0, |held| held.next_offset));
        let offsets = (0..partition.records.len() as i64).filter(|offset| *offset < end);
        positions.extend(
            offsets.filter(|offset| is_garbage(partition, *offset)).map(|at| partition.topic_partition().at(at)),
        );
    }
    positions
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 50, ..ProptestConfig::default() })]

    #[test]
    fn no_kill_loses_a_letter_and_each_is_the_record_that_it_was(
        seed in any::<u64>(),
        percent in 5..60u64,
        runs in proptest::collection::vec((1..150usize, 0..100u64), 0..5),
    ) {
        let partitions = with_garbage(seed, 10, percent);
        let directory = tempfile::tempdir().unwrap();
        let mut random = Random(seed);
        let mut acknowledged = BTreeSet::new();
        let last = runs.len();
        for (number, (turns, percent)) in runs.into_iter().chain([(usize::MAX, 70)]).enumerate() {
            let OpenStore { writer, path, .. } = fixtures::open(directory.path());
            let before = garbage(&partitions, Some(writer.checkpoint_at_open()));
            prop_assert!(before.is_subset(&acknowledged), "lost: {:?}", before.difference(&acknowledged));
            let (mut topic, settings) = LetterTopic::of(&path, TOPIC);
            let (status, control, clock) = (Status::new(1), Arc::new(PauseHandle::default()), Clock::new());
            let run = Run { until: |_| false, ..Run::to_the_end(seed ^ number as u64) };
            let mut source = ScriptPlayer::new(&partitions, run, status.clone(), control.clone());
            source.clock = Some(clock.clone());
            let mut stepped = SteppedProjector::new(writer, settings, source, status, &control, clock);
            let mut turn = 0;
            while turn < turns && !(number == last && stepped.source.is_over()) {
                turn += 1;
                stepped.turn(Duration::from_micros(300));
                topic.acknowledge(&mut random, percent);
                if random.percent(20) {
                    stepped.settle();
                }
            }
            if number == last {
                stepped.turn(A_REPORT);
                topic.acknowledge(&mut random, 100);
                stepped.finish();
            }
            acknowledged.extend(topic.positions());
            for letter in topic.acknowledged {
                let at = letter.record.position;
                let partition = partitions.iter().find(|held| held.topic_partition() == at.topic_partition()).unwrap();
                let record = partition.records[at.offset as usize].record();
                prop_assert_eq!(letter.record, OwnedRecord::from(&record));
            }
        }
        prop_assert_eq!(&acknowledged, &garbage(&partitions, None));
        let OpenStore { writer, .. } = fixtures::open(directory.path());
        let passed = garbage(&partitions, Some(writer.checkpoint_at_open()));
        prop_assert_eq!(&passed, &acknowledged, "the last checkpoint passes all of them");
        writer.finish().unwrap();
        check(directory.path(), &expected(&partitions, is_garbage));
    }
}

/// Runs a projector with a topic and a new store, in turns of a report each.
fn with_topic(partitions: &[Partition], test: impl FnOnce(SteppedProjector<'_, ScriptPlayer<'_>>, LetterTopic)) {
    with_topic_in(tempfile::tempdir().unwrap().path(), partitions, test);
}

/// Runs a projector with a topic and the store of a directory, in turns of a report each.
fn with_topic_in(
    directory: &Path,
    partitions: &[Partition],
    test: impl FnOnce(SteppedProjector<'_, ScriptPlayer<'_>>, LetterTopic),
) {
    with_topic_of_name(Some(TOPIC), directory, partitions, test);
}

/// Runs a projector with the topic of this name, or without one, and the store of a directory, in turns of a report each.
fn with_topic_of_name(
    name: Option<&str>,
    directory: &Path,
    partitions: &[Partition],
    test: impl FnOnce(SteppedProjector<'_, ScriptPlayer<'_>>, LetterTopic),
) {
    with_bound(DeadLetterBound::default(), name, directory, partitions, test);
}

/// Runs a projector of which the store keeps no more letters than the bound allows.
fn with_bound(
    bound: DeadLetterBound,
    name: Option<&str>,
    directory: &Path,
    partitions: &[Partition],
    test: impl FnOnce(SteppedProjector<'_, ScriptPlayer<'_>>, LetterTopic),
) {
    let OpenStore { writer, path, .. } = fixtures::open(directory);
    let (topic, mut settings) = LetterTopic::of(&path, name.unwrap_or_default());
    settings.dead_letters_max = bound;
    settings.dead_letter_outlet.take_if(|_| name.is_none());
    let (status, control, clock) = (Status::new(1), Arc::new(PauseHandle::default()), Clock::new());
    let run = Run { until: |_| false, ..Run::to_the_end(1) };
    let mut source = ScriptPlayer::new(partitions, run, status.clone(), control.clone());
    source.clock = Some(clock.clone());
    test(SteppedProjector::new(writer, settings, source, status, &control, clock), topic);
}

fn checkpoints(report: &Report) -> Vec<Option<i64>> {
    report.partitions.iter().map(|held| held.checkpoint).collect()
}

#[test]
fn reading_and_folding_go_on_while_the_topic_takes_nothing_and_the_status_says_what_waits() {
    let partitions = with_garbage(3, 20, 20);
    with_topic(&partitions, |mut stepped, mut topic| {
        topic.acknowledgments.set_trouble(Some("no broker".to_owned()));
        let ends: Vec<i64> = partitions.iter().map(|held| held.records.len() as i64).collect();
        let report = stepped.turn_until("all is read and shown", |report| {
            report.views == 20 && report.partitions.iter().map(|held| held.position).eq(ends.iter().copied())
        });
        let letters = report.dead_letter_topic.clone().unwrap();
        let count = garbage(&partitions, None).len() as u64;
        assert_eq!((letters.topic.as_str(), letters.acknowledged, letters.waiting), ("letters", 0, count));
        let error = report.last_error.clone().unwrap();
        for part in ["dead letters wait for the topic `letters`", "no broker", "No checkpoint passes them"] {
            assert!(error.contains(part), "no {part}: {error}");
        }
        assert!(checkpoints(&report).iter().zip(&ends).any(|(held, end)| held.is_none_or(|held| held < *end)));
        topic.acknowledgments.set_trouble(None);
        topic.acknowledge(&mut Random(1), 100);
        let report = stepped.turn_until("a checkpoint passes them", |report| {
            checkpoints(report).into_iter().eq(ends.iter().copied().map(Some))
        });
        assert_eq!(report.dead_letter_topic.unwrap().waiting, 0);
        assert!(!report.last_error.unwrap_or_default().contains("dead letters wait"));
        stepped.finish();
    });
}

#[test]
fn checkpoints_go_on_although_some_letter_waits_at_any_time() {
    let partitions = with_garbage(3, 60, 40);
    with_topic(&partitions, |mut stepped, mut topic| {
        let (mut passed, mut before) = (0, Vec::new());
        while !stepped.source.is_over() {
            stepped.turn(A_REPORT);
            stepped.settle();
            // All but the newest.
            topic.waiting.extend(topic.letters.try_iter());
            while topic.waiting.len() > 1 {
                let (number, letter) = topic.waiting.remove(0);
                topic.acknowledgments.note(number, letter.size());
            }
            let now = checkpoints(&stepped.report());
            passed += usize::from(now != before);
            before = now;
        }
        assert!(passed >= 5, "{passed}");
        topic.acknowledge(&mut Random(1), 100);
        stepped.finish();
    });
}

#[test]
fn too_many_bytes_of_waiting_letters_let_nothing_more_be_read() {
    let mut partitions = partitions(&history(3, 2));
    let jobs = partitions.iter_mut().find(|held| held.topic == Topic::Jobs).unwrap();
    (0..12).for_each(|_| jobs.push(b"key".to_vec(), Some(vec![b'x'; 8 << 20])));
    with_topic(&partitions, |mut stepped, mut topic| {
        (0..40).for_each(|_| stepped.turn(A_REPORT));
        let first = stepped.source.delivered;
        topic.waiting.extend(topic.letters.try_iter());
        // A batch that was read already is folded whole.
        if topic.waiting.len() < 12 {
            assert!(!stepped.source.is_over() && topic.waiting.len() > 7, "{}", topic.waiting.len());
        }
        topic.acknowledgments.set_trouble(Some("no broker".to_owned()));
        stepped.turn(A_REPORT);
        assert!(stepped.report().last_error.unwrap().contains("nothing more is read"));
        assert_eq!(stepped.source.delivered, first);
        while !stepped.source.is_over() {
            topic.acknowledge(&mut Random(1), 100);
            stepped.turn(A_REPORT);
        }
        stepped.turn(A_REPORT);
        topic.acknowledge(&mut Random(1), 100);
        stepped.finish();
    });
}

#[test]
fn a_projector_pauses_only_once_its_letters_are_acknowledged() {
    let partitions = with_garbage(3, 5, 40);
    with_topic(&partitions, |mut stepped, mut topic| {
        while !stepped.source.is_over() {
            stepped.turn(A_REPORT);
        }
        let control = stepped.source.control.clone();
        std::thread::scope(|scope| {
            let paused = scope.spawn(|| control.pause_here(Duration::from_secs(60)).unwrap());
            while !control.was_used() {
                std::thread::yield_now();
            }
            (0..20).for_each(|_| stepped.turn(A_REPORT));
            assert!(!paused.is_finished(), "another generation's checkpoint may pass them");
            topic.acknowledge(&mut Random(1), 100);
            while !paused.is_finished() {
                stepped.turn(A_REPORT);
            }
            let ends = partitions.iter().map(|held| (held.topic_partition(), held.records.len() as i64));
            assert_eq!(paused.join().unwrap(), ends.collect());
        });
        control.resume();
        stepped.turn(A_REPORT);
        stepped.finish();
    });
}

#[test]
fn a_generation_that_readers_do_not_see_writes_no_letter() {
    let partitions = with_garbage(3, 5, 40);
    with_topic(&partitions, |mut stepped, topic| {
        stepped.source.control.set_quiet(true);
        while !stepped.source.is_over() {
            stepped.turn(A_REPORT);
        }
        stepped.turn(A_REPORT);
        assert_eq!(stepped.report().dead_letters as usize, garbage(&partitions, None).len());
        stepped.finish();
        assert_eq!(topic.letters.try_iter().count(), 0);
    });
}

#[test]
fn a_restart_writes_no_letter_again_that_a_checkpoint_has_passed() {
    let mut partitions = partitions(&history(3, 2));
    let jobs = partitions.iter_mut().find(|held| held.topic == Topic::Jobs).unwrap();
    // The last record read is read again at a start.
    (0..3).for_each(|_| jobs.push(b"key".to_vec(), Some(GARBAGE.to_vec())));
    let directory = tempfile::tempdir().unwrap();
    for expected in [3, 0, 0] {
        with_topic_in(directory.path(), &partitions, |mut stepped, mut topic| {
            while !stepped.source.is_over() {
                stepped.turn(A_REPORT);
            }
            stepped.turn(A_REPORT);
            topic.acknowledge(&mut Random(1), 100);
            stepped.finish();
            assert_eq!(topic.acknowledged.len(), expected);
        });
    }
}

#[test]
fn the_end_of_a_projector_waits_for_the_last_acknowledgments() {
    let partitions = with_garbage(3, 5, 40);
    let directory = tempfile::tempdir().unwrap();
    with_topic_in(directory.path(), &partitions, |mut stepped, mut topic| {
        while !stepped.source.is_over() {
            stepped.turn(A_REPORT);
        }
        stepped.turn(A_REPORT);
        std::thread::scope(|scope| {
            scope.spawn(move || {
                // The projector is on its way by then.
                std::thread::sleep(Duration::from_millis(200));
                topic.acknowledge(&mut Random(1), 100);
            });
            stepped.finish();
        });
    });
    let OpenStore { writer, .. } = fixtures::open(directory.path());
    let passed = garbage(&partitions, Some(writer.checkpoint_at_open()));
    assert_eq!(passed, garbage(&partitions, None));
    writer.finish().unwrap();
}
