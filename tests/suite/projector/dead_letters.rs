//! A topic of which too many records are not understood stops, and goes on when it is told to; and letters that are understood
//! later give the views of a fold that never refused them.

use std::collections::{BTreeSet, VecDeque};
use std::path::Path;
use std::sync::Arc;

use optview::codec::Framing;
use optview::domain::{DeadLetter, PartitionOffset, Topic};
use optview::projector::{self, LetterOutcome, LetterTask, Moment, PauseHandle};
use optview::status::{PartitionState, Report, State, Status};
use optview::store::OpenStore;
use proptest::prelude::*;

use super::script::{self, Partition, Run, ScriptPlayer, partitions, project};
use super::stepped_projector::{A_REPORT, Clock, SteppedProjector};
use super::{check, expected, history};
use crate::fixtures::{self, Random};
use crate::support::OwnedRecord;

const GARBAGE: &[u8] = b"{ no event";

/// Puts garbage at the end of both partitions of a topic.
fn with_garbage(partitions: &mut [Partition], topic: Topic, count: usize) {
    for partition in partitions.iter_mut().filter(|partition| partition.topic == topic) {
        (0..count).for_each(|_| partition.push(b"key".to_vec(), Some(GARBAGE.to_vec())));
    }
}

fn is_garbage(partition: &Partition, offset: i64) -> bool {
    partition.records[offset as usize].value.as_deref() == Some(GARBAGE)
}

fn stopped(report: &Report) -> Vec<(&str, i32, Option<&str>)> {
    let stopped = report.partitions.iter().filter(|held| held.state == PartitionState::Stopped);
    stopped.map(|held| (held.topic.as_str(), held.partition, held.freshness.stop_code)).collect()
}

const BOTH_STOPPED: [(&str, i32, Option<&str>); 2] =
    [("jobs", 0, Some("dead_letters")), ("jobs", 1, Some("dead_letters"))];

/// Runs a projector until it has read all that it may, and answered a request if one is made. Returns the status, and the answer.
fn run(
    directory: &Path,
    partitions: &[Partition],
    limit: u64,
    seed: u64,
    task: Option<LetterTask>,
) -> (Report, Option<LetterOutcome>) {
    let OpenStore { writer, path, .. } = fixtures::open(directory);
    let settings = projector::Settings { dead_letter_limit: limit, ..script::settings(&path, 0) };
    let (status, control, clock) = (Status::new(1), Arc::new(PauseHandle::default()), Clock::new());
    let run = Run { until: |_| false, ..Run::to_the_end(seed) };
    let mut source = ScriptPlayer::new(partitions, run, status.clone(), control.clone());
    source.clock = Some(clock.clone());
    let mut stepped = SteppedProjector::new(writer, settings, source, status.clone(), &control, clock);
    let outcome = std::thread::scope(|scope| {
        let asked = task.map(|task| scope.spawn(|| control.about_letters(task).unwrap()));
        while !stepped.source.is_over() || asked.as_ref().is_some_and(|asked| !asked.is_finished()) {
            stepped.turn(A_REPORT);
            stepped.settle();
        }
        asked.map(|asked| asked.join().unwrap())
    });
    // What was read last is folded, and reported.
    for _ in 0..4 {
        stepped.turn(A_REPORT);
        stepped.settle();
    }
    let report = stepped.report();
    stepped.finish();
    (report, outcome)
}

#[test]
fn a_topic_of_too_many_letters_stops_at_the_first_beyond_the_limit_and_the_others_go_on() {
    let mut partitions = partitions(&history(3, 20));
    with_garbage(&mut partitions, Topic::Jobs, 300);
    let directory = tempfile::tempdir().unwrap();
    let (report, _) = run(directory.path(), &partitions, 100, 1, None);
    assert_eq!((report.state, stopped(&report)), (State::Stalled, BOTH_STOPPED.to_vec()));
    assert_eq!(report.dead_letters, 101);
    let error = report.last_error.as_deref().unwrap();
    for part in
        ["101 could not be understood", "--dead-letter-limit", "`optview dead-letters resume --topic jobs`"]
    {
        assert!(error.contains(part), "no {part}: {error}");
    }
    let read = |partition: &Partition| {
        let of_topic = report.partitions.iter().find(|held| {
            (held.topic.as_str(), held.partition) == (partition.topic.default_name(), partition.number)
        });
        of_topic.unwrap().position
    };
    check(
        directory.path(),
        &expected(&partitions, |partition, offset| offset >= read(partition) || is_garbage(partition, offset)),
    );
    for partition in partitions.iter().filter(|partition| partition.topic != Topic::Jobs) {
        assert_eq!(read(partition), partition.records.len() as i64);
    }
}

#[test]
fn a_stop_outlasts_restarts_until_the_topic_is_to_be_read_on_or_the_limit_is_raised() {
    let mut partitions = partitions(&history(3, 20));
    with_garbage(&mut partitions, Topic::Jobs, 300);
    let directory = tempfile::tempdir().unwrap();
    for _ in 0..3 {
        let (report, _) = run(directory.path(), &partitions, 100, 1, None);
        assert_eq!((report.dead_letters, stopped(&report)), (101, BOTH_STOPPED.to_vec()));
    }
    let all = || LetterTask::Resume(Topic::ALL.to_vec());
    // Each time that it is told to go on it reads a hundred more.
    let (report, outcome) = run(directory.path(), &partitions, 100, 2, Some(all()));
    assert_eq!(outcome.unwrap().resumed.len(), 2);
    assert_eq!((report.dead_letters, stopped(&report)), (202, BOTH_STOPPED.to_vec()));
    // At rest, too.
    let OpenStore { writer, .. } = fixtures::open(directory.path());
    let outcome = projector::serve_letters_at_rest(writer, 1 << 20, Framing::Auto, all(), Moment::now()).unwrap();
    assert_eq!(outcome.resumed.len(), 2);
    let (report, _) = run(directory.path(), &partitions, 100, 3, None);
    assert_eq!((report.dead_letters, stopped(&report)), (303, BOTH_STOPPED.to_vec()));
    // A greater limit reads the rest.
    let (report, outcome) = run(directory.path(), &partitions, 1_000, 4, Some(all()));
    assert_eq!(outcome.unwrap().resumed, [], "nothing has stopped");
    assert_eq!((report.dead_letters, stopped(&report)), (600, Vec::new()));
    let error = report.last_error.unwrap_or_default();
    assert!(report.state == State::Live && !error.contains("--dead-letter-limit"), "{error}");
    check(directory.path(), &expected(&partitions, is_garbage));
    // What was read long ago stops nothing later.
    let (report, _) = run(directory.path(), &partitions, 1_000, 5, None);
    assert_eq!(stopped(&report), []);
}

#[test]
fn a_generation_that_readers_do_not_see_is_not_stopped() {
    let mut partitions = partitions(&history(3, 20));
    with_garbage(&mut partitions, Topic::Jobs, 300);
    let directory = tempfile::tempdir().unwrap();
    let OpenStore { writer, path, .. } = fixtures::open(directory.path());
    let settings = projector::Settings { dead_letter_limit: 100, ..script::settings(&path, 0) };
    let (status, control, clock) = (Status::new(1), Arc::new(PauseHandle::default()), Clock::new());
    control.set_quiet(true);
    let mut source = ScriptPlayer::new(&partitions, Run::to_the_end(1), status.clone(), control.clone());
    source.clock = Some(clock.clone());
    script::play(SteppedProjector::new(writer, settings, source, status.clone(), &control, clock));
    assert_eq!((status.report().dead_letters, stopped(&status.report())), (600, Vec::new()));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, max_shrink_iters: 50, ..ProptestConfig::default() })]

    /// Records of any kind lie among the garbage, the limit is any, and whatever has stopped goes on in the end.
    #[test]
    fn stops_resumptions_and_kills_skip_no_record(
        seed in any::<u64>(),
        limit in 5..80u64,
        kills in proptest::collection::vec(1..300usize, 0..4),
    ) {
        let mut events = partitions(&history(seed, 15));
        let mut random = Random(seed);
        for partition in &mut events {
            let records = std::mem::take(&mut partition.records);
            for record in records {
                while random.percent(40) {
                    partition.push(b"key".to_vec(), Some(GARBAGE.to_vec()));
                }
                partition.push(record.key, record.value);
            }
        }
        let directory = tempfile::tempdir().unwrap();
        for (kill, at) in (1..).zip(kills) {
            let killed = Run { killed_after: Some(at), until: |player| player.polls > 300, ..Run::to_the_end(seed ^ kill) };
            project(directory.path(), &events, killed, |settings| settings.dead_letter_limit = limit);
        }
        let mut rounds = 0;
        loop {
            let task = (rounds > 0).then(|| LetterTask::Resume(Topic::ALL.to_vec()));
            let (report, _) = run(directory.path(), &events, limit, seed ^ rounds, task);
            if stopped(&report).is_empty() {
                let garbage = events.iter().map(|partition| {
                    (0..partition.records.len() as i64).filter(|offset| is_garbage(partition, *offset)).count()
                });
                prop_assert_eq!(report.dead_letters as usize, garbage.sum::<usize>());
                break;
            }
            rounds += 1;
            prop_assert!(rounds < 1_000, "it does not come to the end");
        }
        check(directory.path(), &expected(&events, is_garbage));
    }

    /// A version that does not understand some records keeps them; a later one tries them again, in any order and more than once,
    /// with kills between.
    #[test]
    fn letters_that_are_understood_later_give_the_views_of_a_fold_that_never_refused_them(
        seed in any::<u64>(),
        refused in 5..60u64,
        rounds in proptest::collection::vec((any::<bool>(), 1..40usize), 1..5),
    ) {
        let whole = partitions(&history(seed, 12));
        let (mut random, mut letters) = (Random(seed), Vec::new());
        let mut read = partitions(&history(seed, 12));
        for partition in &mut read {
            // The last record of each is read again at a start, and its letter is written as the topic has it.
            let count = partition.records.len().saturating_sub(1);
            for record in partition.records.iter_mut().take(count).filter(|_| random.percent(refused)) {
                letters.push(replaced_by_garbage(record));
            }
        }
        let directory = tempfile::tempdir().unwrap();
        project(directory.path(), &read, Run::to_the_end(seed), |_| {}).expect("it is not killed");
        put(directory.path(), &letters);
        for (is_at_rest, count) in rounds {
            let some: VecDeque<PartitionOffset> = (0..count)
                .filter(|_| !letters.is_empty())
                .map(|_| letters[random.below(letters.len() as u64) as usize].position)
                .collect();
            retry(directory.path(), &read, some, is_at_rest, random.percent(30));
        }
        let all: VecDeque<PartitionOffset> = letters.iter().map(|letter| letter.position).collect();
        retry(directory.path(), &read, all.clone(), false, false);
        check(directory.path(), &expected(&whole, |_, _| false));
        // Once more changes nothing.
        let (report, outcome) = run(directory.path(), &read, 10_000, seed, Some(LetterTask::Retry(all.clone())));
        let outcome = outcome.unwrap();
        prop_assert_eq!((outcome.folded, outcome.gone as usize), (0, all.len()));
        prop_assert_eq!(report.dead_letters, 0);
        check(directory.path(), &expected(&whole, |_, _| false));
    }
}

/// Replaces the value of a record by garbage. Returns the letter of the record as it was.
fn replaced_by_garbage(record: &mut OwnedRecord) -> DeadLetter {
    let value = record.value.replace(GARBAGE.to_vec());
    DeadLetter {
        position: record.position,
        key: Some(record.key.clone()),
        timestamp_millis: record.record().timestamp_millis,
        value_len: value.as_ref().map_or(0, Vec::len) as u64,
        value,
        ..fixtures::dead_letter(0, Vec::new())
    }
}

/// Puts letters in the place of those that the store has of the same records.
fn put(directory: &Path, letters: &[DeadLetter]) {
    let OpenStore { writer, .. } = fixtures::open(directory);
    assert_eq!(writer.dead_letters(), letters.len() as u64);
    writer.commit(optview::domain::Commit::default(), letters.to_vec(), 1).unwrap();
    writer.finish().unwrap();
}

/// Tries letters again, by a projector or at rest. One that is killed loses all that it has in memory.
fn retry(
    directory: &Path,
    partitions: &[Partition],
    positions: VecDeque<PartitionOffset>,
    is_at_rest: bool,
    is_killed: bool,
) {
    if is_at_rest {
        let OpenStore { writer, .. } = fixtures::open(directory);
        let task = LetterTask::Retry(positions);
        let outcome =
            projector::serve_letters_at_rest(writer, 1 << 20, Framing::Auto, task, Moment::now()).unwrap();
        assert_eq!(outcome.refused, []);
        return;
    }
    if !is_killed {
        let (_, outcome) = run(directory, partitions, 10_000, 1, Some(LetterTask::Retry(positions.clone())));
        let outcome = outcome.unwrap();
        assert_eq!(outcome.refused, []);
        let different: BTreeSet<_> = positions.iter().collect();
        assert!(outcome.folded as usize <= different.len());
        return;
    }
    let OpenStore { writer, path, .. } = fixtures::open(directory);
    let (status, control, clock) = (Status::new(1), Arc::new(PauseHandle::default()), Clock::new());
    let run = Run { until: |_| false, ..Run::to_the_end(1) };
    let mut source = ScriptPlayer::new(partitions, run, status.clone(), control.clone());
    source.clock = Some(clock.clone());
    let mut stepped = SteppedProjector::new(writer, script::settings(&path, 0), source, status, &control, clock);
    std::thread::scope(|scope| {
        let asked = scope.spawn(|| control.about_letters(LetterTask::Retry(positions)));
        while !asked.is_finished() {
            stepped.turn(A_REPORT);
        }
        asked.join().unwrap().unwrap();
    });
    drop(stepped);
}

#[test]
fn letters_that_are_still_not_understood_stay_with_the_reason_of_this_version() {
    let mut partitions = partitions(&history(3, 5));
    with_garbage(&mut partitions, Topic::Jobs, 2);
    let directory = tempfile::tempdir().unwrap();
    run(directory.path(), &partitions, 100, 1, None);
    let OpenStore { writer, .. } = fixtures::open(directory.path());
    let mut letters = writer.reader().dead_letters_after(None, 10, usize::MAX).unwrap();
    assert_eq!(letters.len(), 4);
    letters[0].reason = "the reason of another version".to_owned();
    letters[2].value_len += 1;
    writer.commit(optview::domain::Commit::default(), letters.clone(), 1).unwrap();
    writer.finish().unwrap();
    let positions: Vec<PartitionOffset> = letters.iter().map(|letter| letter.position).collect();
    let (report, outcome) =
        run(directory.path(), &partitions, 100, 1, Some(LetterTask::Retry(positions.clone().into())));
    let outcome = outcome.unwrap();
    assert_eq!((outcome.folded, outcome.refused.len(), report.dead_letters), (0, 4, 4));
    let OpenStore { writer, .. } = fixtures::open(directory.path());
    let again = writer.reader().dead_letters_after(None, 10, usize::MAX).unwrap();
    assert!(again[0].reason.contains("the payload is not JSON"), "{}", again[0].reason);
    assert_eq!(again[2].value_len, letters[2].value_len, "only its beginning is kept");
    writer.finish().unwrap();
    // Discarded letters are gone, also after a restart.
    let (report, outcome) =
        run(directory.path(), &partitions, 100, 1, Some(LetterTask::Discard(positions[..3].to_vec())));
    assert_eq!((outcome.unwrap().discarded, report.dead_letters), (3, 1));
    for seed in 0..2 {
        assert_eq!(run(directory.path(), &partitions, 100, seed, None).0.dead_letters, 1);
    }
}

#[test]
fn letters_from_elsewhere_are_folded_and_remove_those_of_the_same_records_only() {
    let whole = partitions(&history(3, 8));
    let mut read = partitions(&history(3, 8));
    let mut taken = Vec::new();
    for partition in read.iter_mut().filter(|partition| partition.topic != Topic::Optimizations) {
        for record in partition.records.iter_mut().take(3) {
            taken.push(replaced_by_garbage(record));
        }
    }
    let directory = tempfile::tempdir().unwrap();
    project(directory.path(), &read, Run::to_the_end(3), |_| {}).expect("it is not killed");
    // The store has the letters of the first half as they are on the topics; of the second, other records at the same positions.
    let half = taken.len() / 2;
    let OpenStore { writer, .. } = fixtures::open(directory.path());
    writer.commit(optview::domain::Commit::default(), taken[..half].to_vec(), 1).unwrap();
    writer.finish().unwrap();
    for is_at_rest in [true, false] {
        let task = LetterTask::Fold(taken.clone().into());
        let outcome = if is_at_rest {
            let OpenStore { writer, .. } = fixtures::open(directory.path());
            projector::serve_letters_at_rest(writer, 1 << 20, Framing::Auto, task, Moment::now()).unwrap()
        } else {
            run(directory.path(), &read, 10_000, 3, Some(task)).1.unwrap()
        };
        assert_eq!((outcome.folded as usize, outcome.refused), (taken.len(), Vec::new()));
        check(directory.path(), &expected(&whole, |_, _| false));
        let OpenStore { writer, .. } = fixtures::open(directory.path());
        let left = writer.reader().dead_letters_after(None, usize::MAX, usize::MAX).unwrap();
        let positions: Vec<PartitionOffset> = left.iter().map(|letter| letter.position).collect();
        let mut others: Vec<PartitionOffset> = taken[half..].iter().map(|letter| letter.position).collect();
        others.sort();
        assert_eq!(positions, others);
        writer.finish().unwrap();
    }
    // What is refused changes nothing.
    let garbage =
        DeadLetter { value: Some(GARBAGE.to_vec()), value_len: GARBAGE.len() as u64, ..taken[0].clone() };
    let (report, outcome) = run(directory.path(), &read, 10_000, 3, Some(LetterTask::Fold(vec![garbage].into())));
    assert_eq!((outcome.unwrap().refused.len(), report.dead_letters as usize), (1, taken.len() - half));
}

#[test]
fn letters_from_before_a_topic_was_read_on_do_not_stop_it_after_a_restart() {
    let mut partitions = partitions(&history(3, 5));
    with_garbage(&mut partitions, Topic::Jobs, 80);
    let directory = tempfile::tempdir().unwrap();
    let (report, _) = run(directory.path(), &partitions, 100, 1, None);
    assert_eq!(stopped(&report), BOTH_STOPPED);
    // The 59 that are left are no reason to stop it again, with those before or without.
    let resume = LetterTask::Resume(vec![Topic::Jobs]);
    let (report, outcome) = run(directory.path(), &partitions, 100, 2, Some(resume));
    assert_eq!((outcome.unwrap().resumed.len(), report.dead_letters, stopped(&report)), (2, 160, Vec::new()));
    with_garbage(&mut partitions, Topic::Jobs, 5);
    let (report, _) = run(directory.path(), &partitions, 100, 3, None);
    assert_eq!((report.dead_letters, stopped(&report)), (170, Vec::new()));
}
