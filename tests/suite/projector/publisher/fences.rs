//! A publisher that may write no more: another one has come, or a transaction took too long.

use super::*;

#[test]
fn a_fenced_publisher_takes_its_note_back_and_lets_checkpoints_pass() {
    let (directory, topic) = (tempfile::tempdir().unwrap(), FakeTopic::without_chances(PARTITIONS));
    let mut instance = Instance::start(directory.path(), &topic, 1);
    instance.write(&["a"], 1);
    instance.publish();
    assert!(instance.note().is_some());
    topic.take_over_by_another();
    let published = topic.raw_records();
    instance.write(&["a"], 2);
    // This one waits already, since what comes after it has been written.
    instance.writer.checkpoint(checkpoint(3)).unwrap();
    instance.write(&["b"], 3);
    instance.give_up();
    assert_eq!(instance.note(), None);
    assert_eq!(instance.publication.unpublished(), (0, None));
    // Nothing is published any more, nor by a generation that readers see from now on.
    let other = tempfile::tempdir().unwrap();
    let second = fixtures::open(other.path());
    instance.publication.attach(&second.writer.reader(), &second.path).unwrap();
    instance.step().unwrap();
    assert_eq!(topic.raw_records(), published);
    assert!(!second.writer.is_published());
    instance.end(4);
    assert_eq!(checkpoint_of(directory.path()), 4);
}

/// Nobody else has come, so that the same publisher goes on, and has nothing to compare.
#[test]
fn a_transaction_that_took_too_long_is_told_from_another_publisher_by_the_marks() {
    let (directory, topic) = (tempfile::tempdir().unwrap(), FakeTopic::without_chances(PARTITIONS));
    let mut instance = Instance::start(directory.path(), &topic, 1);
    instance.write(&["a"], 1);
    instance.publish();
    let note = instance.note();
    topic.plan_outcomes([Outcome::TimedOut]);
    instance.write(&["a"], 2);
    let begin = instance.now;
    let error = instance.step().unwrap_err();
    assert!(error.to_string().contains("unless that shows within 2 s, this one goes on"), "{error}");
    assert_eq!(instance.publisher.stage(), Stage::Starting);
    let errors = instance.publish();
    assert!(errors.iter().all(|again| *again == error), "{errors:?}");
    assert!(instance.now - begin >= TAKEOVER);
    assert_eq!((names(&topic)["a"], instance.note()), (Some(2), note));
    let published = instance.publisher.published();
    assert_eq!(published, 2, "nothing is published again but what failed");
    let scans = topic.scans();
    instance.write(&["a"], 3);
    instance.publish();
    assert_eq!(topic.scans(), scans, "the doubt is over");
    // The marks of another one end the doubt.
    topic.plan_outcomes([Outcome::TimedOut]);
    instance.write(&["a"], 4);
    instance.step().unwrap_err();
    topic.take_over_by_another();
    assert!(matches!(instance.step(), Err(ViewsTopicError::Fenced(_))));
    assert!(instance.note().is_some(), "it goes with the gate");
    instance.publisher.give_up().unwrap();
    assert_eq!(instance.note(), None);
}

/// The end of the topic is read again, and its own marks are there.
#[test]
fn a_publisher_that_takes_its_own_topic_over_again_has_nothing_to_compare() {
    let (directory, topic) = (tempfile::tempdir().unwrap(), FakeTopic::without_chances(PARTITIONS));
    let mut instance = Instance::start(directory.path(), &topic, 1);
    instance.write(&["a"], 1);
    instance.publish();
    let scans = topic.scans();
    topic.plan_outcomes([Outcome::CommittedWithoutAnswer]);
    instance.write(&["a"], 2);
    assert_eq!(instance.publish().len(), 1);
    assert_eq!(topic.scans() - scans, 1);
    check_equal_and_end(instance, directory.path(), &topic);
}

/// The publisher before this one is long gone, and its marks are the last when the first transaction of this one takes too long.
#[test]
fn marks_from_before_the_take_over_are_of_nobody_who_is_there() {
    let (directory, topic) = (tempfile::tempdir().unwrap(), FakeTopic::without_chances(PARTITIONS));
    let mut instance = Instance::start(directory.path(), &topic, 1);
    instance.write(&["a"], 1);
    instance.publish();
    topic.plan_outcomes([Outcome::CommittedWithoutAnswer, Outcome::TimedOut]);
    instance.write(&["a"], 2);
    instance.step().unwrap_err();
    let before = topic.raw_records().len();
    topic.take_over_by_another();
    assert!(topic.raw_records().len() > before);
    instance.publish();
    assert_eq!(names(&topic)["a"], Some(2));
    check_equal_and_end(instance, directory.path(), &topic);
}

/// A copy of the data directory has the publisher's id, too.
#[test]
fn a_copy_of_the_store_is_another_publisher() {
    let (directory, topic) = (tempfile::tempdir().unwrap(), FakeTopic::without_chances(PARTITIONS));
    let mut instance = Instance::start(directory.path(), &topic, 1);
    instance.write(&["a"], 1);
    instance.publish();
    instance.end(2);
    let copy = tempfile::tempdir().unwrap();
    super::super::publication::copy_all(directory.path(), copy.path());
    let mut instance = Instance::start(directory.path(), &topic, 2);
    instance.publish_until(|instance| instance.publisher.marked().is_some());
    let mut second = Instance::start(copy.path(), &topic, 2);
    second.publish();
    assert_eq!(instance.note().unwrap().publisher, second.note().unwrap().publisher);
    instance.write(&["a"], 2);
    instance.give_up();
    second.write(&["a"], 2);
    assert_eq!(second.publish(), []);
    check_equal_and_end(second, copy.path(), &topic);
}

/// While a note cannot be removed, no checkpoint is written that it would be wrong about.
#[test]
fn a_publisher_that_cannot_take_its_note_back_tries_again_and_holds_checkpoints_until_then() {
    for is_mended in [false, true] {
        let (directory, topic) = (tempfile::tempdir().unwrap(), FakeTopic::without_chances(PARTITIONS));
        let mut instance = Instance::start(directory.path(), &topic, 1);
        instance.write(&["a"], 1);
        instance.publish();
        topic.take_over_by_another();
        instance.write(&["a"], 2);
        let note = instance.path.join("published.json");
        fs::remove_file(&note).unwrap();
        fs::create_dir(&note).unwrap();
        assert!((0..STEPS_MAX).any(|_| matches!(instance.step(), Err(ViewsTopicError::Fenced(_)))));
        for _ in 0..2 {
            instance.publisher.give_up().unwrap_err();
        }
        if is_mended {
            fs::remove_dir(&note).unwrap();
            fs::write(&note, "{}").unwrap();
            instance.publisher.give_up().unwrap();
            assert!(!note.exists());
        }
        instance.end(3);
        fs::remove_dir(&note).ok();
        assert_eq!(checkpoint_of(directory.path()), if is_mended { 3 } else { 0 });
    }
}
