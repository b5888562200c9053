//! Letters that were kept while their topic was not written to: all of them are written once readers see their generation.

use super::*;

/// Turns until all has been read.
fn read_all(stepped: &mut SteppedProjector<'_, ScriptPlayer<'_>>) {
    while !stepped.source.is_over() {
        stepped.turn(A_REPORT);
        stepped.settle();
    }
    stepped.turn(A_REPORT);
    stepped.settle();
}

/// Turns so often that all letters are sent, and acknowledges them in the order of their numbers.
fn acknowledge_all(stepped: &mut SteppedProjector<'_, ScriptPlayer<'_>>, topic: &mut LetterTopic) {
    for _ in 0..20 {
        stepped.turn(A_REPORT);
        topic.acknowledge(&mut Random(1), 100);
    }
}

#[test]
fn a_generation_that_readers_come_to_see_writes_the_letters_that_it_has_kept() {
    let partitions = with_garbage(3, 20, 30);
    let all = garbage(&partitions, None);
    let directory = tempfile::tempdir().unwrap();
    // It is killed before all are acknowledged, so that the next start writes all of them.
    with_topic_in(directory.path(), &partitions, |mut stepped, mut topic| {
        stepped.source.control.set_quiet(true);
        read_all(&mut stepped);
        stepped.source.control.set_quiet(false);
        (0..20).for_each(|_| stepped.turn(A_REPORT));
        topic.acknowledge(&mut Random(1), 60);
        let count = topic.acknowledged.len() + topic.waiting.len();
        assert!(count == all.len() && topic.acknowledged.len() < count, "{} of {count}", topic.acknowledged.len());
    });
    for expected in [all.len(), 0] {
        with_topic_in(directory.path(), &partitions, |mut stepped, mut topic| {
            read_all(&mut stepped);
            acknowledge_all(&mut stepped, &mut topic);
            assert_eq!(topic.acknowledged.len(), expected);
            for letter in &topic.acknowledged {
                let at = letter.record.position;
                let partition =
                    partitions.iter().find(|held| held.topic_partition() == at.topic_partition()).unwrap();
                let record = partition.records[at.offset as usize].record();
                assert_eq!((&letter.record, letter.cut_from), (&OwnedRecord::from(&record), None));
            }
            stepped.finish();
        });
    }
}

/// Reads all with a topic of letters of this name, or without one, and checks how many letters were written to it.
fn check_written(name: Option<&str>, directory: &Path, partitions: &[Partition], expected: usize) {
    with_topic_of_name(name, directory, partitions, |mut stepped, mut topic| {
        read_all(&mut stepped);
        acknowledge_all(&mut stepped, &mut topic);
        stepped.finish();
        assert_eq!(topic.acknowledged.len(), expected, "{name:?}");
    });
}

#[test]
fn letters_of_a_time_without_the_topic_or_with_another_one_are_written_once_there_is_one() {
    let partitions = with_garbage(3, 5, 40);
    let all = garbage(&partitions, None).len();
    let directory = tempfile::tempdir().unwrap();
    for (name, expected) in [
        (None, 0),
        (Some("letters"), all),
        (None, 0),
        (Some("letters"), 0),
        (Some("others"), all),
        (Some("letters"), all),
    ] {
        check_written(name, directory.path(), &partitions, expected);
    }
}

#[test]
fn letters_of_which_only_the_count_is_left_are_not_written_and_the_status_says_how_many_after_a_restart_too() {
    let partitions = with_garbage(3, 5, 40);
    let all = garbage(&partitions, None).len() as u64;
    let kept = 4;
    assert!(all > 2 * kept, "{all}");
    let directory = tempfile::tempdir().unwrap();
    let bound = DeadLetterBound { count: kept, ..DeadLetterBound::default() };
    for (name, written, only_counted) in [
        (None, 0, None),
        (Some(TOPIC), kept, Some(all - kept)),
        (Some(TOPIC), 0, Some(all - kept)),
        (None, 0, None),
    ] {
        with_bound(bound, name, directory.path(), &partitions, |mut stepped, mut topic| {
            read_all(&mut stepped);
            acknowledge_all(&mut stepped, &mut topic);
            let report = stepped.report();
            assert_eq!((report.dead_letters, report.dead_letters_replaced), (kept, all - kept));
            assert_eq!(report.dead_letter_topic.map(|topic| topic.only_counted), only_counted, "{name:?}");
            assert_eq!(topic.acknowledged.len() as u64, written, "{name:?}");
            stepped.finish();
        });
    }
    // Those that are replaced while the topic is written to are on it.
    let directory = tempfile::tempdir().unwrap();
    with_bound(bound, Some(TOPIC), directory.path(), &partitions, |mut stepped, mut topic| {
        while !stepped.source.is_over() {
            stepped.turn(A_REPORT);
            topic.acknowledge(&mut Random(1), 100);
        }
        acknowledge_all(&mut stepped, &mut topic);
        let report = stepped.report();
        assert_eq!((report.dead_letters_replaced, topic.acknowledged.len() as u64), (all - kept, all));
        assert_eq!(report.dead_letter_topic.unwrap().only_counted, 0);
        stepped.finish();
    });
}

#[test]
fn a_letter_that_is_kept_without_the_topic_after_others_were_written_has_all_written_again() {
    let mut partitions = partitions(&history(3, 2));
    let directory = tempfile::tempdir().unwrap();
    for (name, expected) in [(Some(TOPIC), 1), (None, 0), (Some(TOPIC), 3), (Some(TOPIC), 1)] {
        let jobs = partitions.iter_mut().find(|held| held.topic == Topic::Jobs).unwrap();
        jobs.push(b"key".to_vec(), Some(GARBAGE.to_vec()));
        check_written(name, directory.path(), &partitions, expected);
    }
}

#[test]
fn what_was_put_aside_while_readers_came_to_see_the_generation_is_written_too() {
    let mut partitions = partitions(&history(3, 2));
    let jobs = partitions.iter_mut().find(|held| held.topic == Topic::Jobs).unwrap();
    (0..3).for_each(|_| jobs.push(b"key".to_vec(), Some(GARBAGE.to_vec())));
    let jobs = jobs.topic_partition();
    with_topic(&partitions, |mut stepped, mut topic| {
        let control = stepped.source.control.clone();
        control.set_quiet(true);
        // It comes to where nothing of the garbage is read.
        let mut target: Positions =
            partitions.iter().map(|held| (held.topic_partition(), held.records.len() as i64)).collect();
        *target.get_mut(&jobs).unwrap() -= 3;
        std::thread::scope(|scope| {
            let paused = scope.spawn(|| control.pause_at(target, Duration::from_secs(60)).unwrap());
            while !paused.is_finished() {
                stepped.turn(A_REPORT);
            }
        });
        // Nothing of it was looked at since.
        control.set_quiet(false);
        control.resume();
        acknowledge_all(&mut stepped, &mut topic);
        assert_eq!(topic.acknowledged.len(), 3);
        stepped.finish();
    });
}
