//! The notes of a generation as published: when it has one, when it is compared with the topic, and which checkpoints pass meanwhile.

use super::*;

#[test]
fn a_view_whose_transaction_fails_holds_checkpoints_until_it_is_published() {
    let (directory, topic) = (tempfile::tempdir().unwrap(), FakeTopic::without_chances(PARTITIONS));
    for (outcome, covered) in [(Outcome::Aborted, 2), (Outcome::Committed, 3)] {
        let mut instance = Instance::start(directory.path(), &topic, 2);
        instance.write(&["a"], 1);
        instance.publish();
        instance.writer.checkpoint(checkpoint(2)).unwrap();
        while instance.writer.checkpoints_written() < 1 {
            std::thread::yield_now();
        }
        instance.write(&["a"], 2);
        topic.plan_outcomes([outcome]);
        assert_eq!(instance.step().is_ok(), outcome == Outcome::Committed);
        instance.end(3);
        assert_eq!(checkpoint_of(directory.path()), covered);
    }
}

/// Nothing of the other publisher shows but its marks and one record, in the partition of that.
#[test]
fn a_store_is_compared_again_after_another_one_was_published() {
    let (directory, topic) = (tempfile::tempdir().unwrap(), FakeTopic::without_chances(PARTITIONS));
    let mut instance = Instance::start(directory.path(), &topic, 1);
    instance.write(&["a", "b", "c", "d"], 2);
    instance.publish();
    instance.end(3);
    assert!(!is_comparing_needed(directory.path(), &topic), "nobody else has published");
    topic.take_over_by_another();
    topic.write([foreign_view("a", 3, 9_000)]);
    assert!(is_comparing_needed(directory.path(), &topic));
    assert!(!is_comparing_needed(directory.path(), &topic), "it was the last again");
}

#[test]
fn a_store_is_compared_again_where_its_note_is_of_another_topic_or_form() {
    let (directory, topic) = (tempfile::tempdir().unwrap(), FakeTopic::without_chances(PARTITIONS));
    topic.create_again(TopicId { most_significant: 0, least_significant: 1 }, PARTITIONS);
    let mut instance = Instance::start(directory.path(), &topic, 1);
    instance.write(&["a", "b", "c"], 2);
    instance.publish();
    instance.end(3);
    assert!(!is_comparing_needed(directory.path(), &topic));
    // The records and marks are there, and the id is another.
    let records = topic.raw_records();
    topic.create_again(TopicId { most_significant: 0, least_significant: 2 }, PARTITIONS);
    topic.write(records.clone());
    assert!(is_comparing_needed(directory.path(), &topic));
    assert!(!is_comparing_needed(directory.path(), &topic));
    let records = topic.raw_records();
    topic.create_again(TopicId { most_significant: 0, least_significant: 2 }, PARTITIONS - 1);
    topic.write(records.into_iter().filter(|record| record.partition < PARTITIONS - 1));
    assert!(is_comparing_needed(directory.path(), &topic));
    let other = Instance::open(directory.path(), &topic, ViewsFormat::Flat);
    assert_eq!(other.note(), None, "a note for another form is removed before anything is written");
    drop(other);
    assert!(is_comparing_needed(directory.path(), &topic));
    let OpenStore { writer, path, .. } = fixtures::open(directory.path());
    Publication::new("other views", ViewsFormat::Json).attach(&writer.reader(), &path).unwrap();
    assert_eq!(PublishedNote::read(&path).unwrap(), None, "and so is one for another topic");
}

/// A checkpoint that is asked for once the note is there waits, for the gate was closed before.
#[test]
fn a_generation_is_noted_only_once_no_checkpoint_passes_what_is_not_published() {
    let (directory, topic) = (tempfile::tempdir().unwrap(), FakeTopic::without_chances(PARTITIONS));
    let mut instance = Instance::start(directory.path(), &topic, 1);
    instance.write(&["a"], 1);
    while instance.note().is_none() {
        instance.step().unwrap();
    }
    instance.write(&["a"], 2);
    instance.end(3);
    assert_eq!(checkpoint_of(directory.path()), 0);
    let mut again = Instance::start(directory.path(), &topic, 3);
    again.write(&["a"], 2);
    again.publish();
    again.end(3);
    assert_eq!(checkpoint_of(directory.path()), 3);
}

/// The note promises whatever a checkpoint covers that passed before the gate was closed, though it is more than one transaction.
#[test]
fn a_generation_is_noted_and_marked_only_once_all_is_published_that_they_cover() {
    for (has_stray, is_written_before, is_written_during) in
        [(false, false, true), (false, true, false), (true, false, true), (true, true, true)]
    {
        let (directory, topic) = (tempfile::tempdir().unwrap(), FakeTopic::without_chances(PARTITIONS));
        // More than one slice of the comparison reads, and hardly anything that it finds.
        topic.write(has_stray.then(|| foreign_view("o-7", 1, 1)));
        let gone = (0..1_500).map(|number| foreign_view(&format!("gone-{number}"), 1, number + 2));
        topic.write(gone.map(|record| ViewsRecord { value: None, ..record }));
        let mut instance = Instance::start(directory.path(), &topic, 1);
        let ids: Vec<String> = (0..5_000).map(|number| format!("o-{number}")).collect();
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        if is_written_before {
            instance.write(&ids, 1);
        }
        assert_eq!(instance.publisher.step(instance.now), Ok(Step::Again), "the comparison goes on at once");
        if is_written_during {
            instance.write(&ids, 2);
        }
        while instance.note().is_none() {
            instance.step().unwrap();
        }
        assert_eq!(names(&topic).values().filter(|name| name.is_some()).count(), ids.len());
        assert_eq!(marks(&topic).len(), 1, "nothing was covered before but by the first");
        assert!(topic.transactions().iter().all(|records| *records <= 2_000), "{:?}", topic.transactions());
        instance.publish_until(|instance| instance.publisher.marked().is_some());
        instance.now += MARKS;
        instance.write(&ids, 3);
        while marks(&topic).last().unwrap().positions["optimizations/0"] < 4 {
            instance.step().unwrap();
        }
        assert_eq!(names(&topic).values().filter(|name| **name == Some(3)).count(), ids.len());
        check_equal_and_end(instance, directory.path(), &topic);
    }
}

/// The note goes before the gate is opened.
#[test]
fn a_generation_that_is_compared_again_holds_no_checkpoint_meanwhile() {
    let (directory, topic) = (tempfile::tempdir().unwrap(), FakeTopic::without_chances(PARTITIONS));
    let mut instance = Instance::start(directory.path(), &topic, 1);
    instance.write(&["a"], 1);
    instance.publish();
    instance.end(2);
    topic.take_over_by_another();
    topic.write((0..1_500).map(|number| foreign_view(&format!("stray-{number}"), 1, 9_000 + number)));
    let mut again = Instance::start(directory.path(), &topic, 2);
    again.step().unwrap();
    assert_eq!((again.publisher.stage(), again.note()), (Stage::Reconciling, None));
    again.write(&["a"], 2);
    again.end(3);
    assert_eq!(checkpoint_of(directory.path()), 3);
}

/// The note is there from the time before.
#[test]
fn a_generation_that_was_published_holds_checkpoints_from_its_opening_on() {
    let (directory, topic) = (tempfile::tempdir().unwrap(), FakeTopic::without_chances(PARTITIONS));
    let mut instance = Instance::start(directory.path(), &topic, 1);
    instance.write(&["a"], 1);
    instance.publish();
    instance.end(2);
    assert_eq!(checkpoint_of(directory.path()), 2);
    let mut again = Instance::start(directory.path(), &topic, 2);
    again.write(&["a"], 2);
    again.end(3);
    assert_eq!(checkpoint_of(directory.path()), 2);
}

/// The store is not noted while it is compared, and so its checkpoints wait for nothing.
#[test]
fn a_generation_that_is_not_noted_holds_no_checkpoint() {
    let (directory, topic) = (tempfile::tempdir().unwrap(), FakeTopic::without_chances(PARTITIONS));
    let mut instance = Instance::start(directory.path(), &topic, 1);
    instance.write(&["a"], 1);
    instance.step().unwrap();
    assert_eq!(instance.note(), None);
    instance.end(2);
    assert_eq!(checkpoint_of(directory.path()), 2);
}

/// A store that is noted goes on at once after a start, while one that is not is compared only once it has all that there was.
#[test]
fn a_store_is_compared_once_it_has_caught_up_and_published_on_before_if_it_is_noted() {
    let (directory, topic) = (tempfile::tempdir().unwrap(), FakeTopic::without_chances(PARTITIONS));
    let mut instance = Instance::open(directory.path(), &topic, ViewsFormat::Json);
    instance.write(&["a"], 1);
    for is_all_there in [false, true] {
        for _ in 0..20 {
            instance.step().unwrap();
        }
        assert_eq!(instance.publisher.stage(), Stage::Waiting);
        if !is_all_there {
            instance.writer.note_all_found();
        }
    }
    assert_eq!(names(&topic), BTreeMap::new());
    instance.writer.note_caught_up();
    instance.publish();
    assert_eq!(names(&topic), BTreeMap::from([("a".to_owned(), Some(1))]));
    instance.end(2);
    let mut again = Instance::open(directory.path(), &topic, ViewsFormat::Json);
    again.write(&["a"], 2);
    again.step().unwrap();
    assert_eq!(again.publisher.stage(), Stage::Waiting, "no view has a position before all partitions are found");
    again.writer.note_all_found();
    again.publish();
    assert_eq!(names(&topic), BTreeMap::from([("a".to_owned(), Some(2))]));
}

/// The slice that fails may be any of the comparison.
#[test]
fn a_comparison_that_fails_begins_anew() {
    for failing in 0..4 {
        let (directory, topic) = (tempfile::tempdir().unwrap(), FakeTopic::new(PARTITIONS));
        topic.write((0..40).map(|number| foreign_view(&format!("stray-{number}"), 1, number + 1)));
        let mut instance = Instance::start(directory.path(), &topic, 1);
        instance.write(&["a", "b"], 2);
        // The topic is taken over, and the comparison begun.
        while instance.publisher.stage() != Stage::Reconciling {
            instance.step().ok();
        }
        for _ in 0..failing {
            instance.step().ok();
        }
        topic.plan_failing_slices(1);
        instance.publish();
        check_equal_and_end(instance, directory.path(), &topic);
    }
}
