//! The marks, versions and positions of what a publisher writes, and the positions that it waits for.

use super::*;

/// Before anything else is published there is a mark in each partition, by which every publisher knows of this one. What was covered
/// before still is.
#[test]
fn a_publisher_begins_with_a_mark_in_each_partition_that_covers_what_was_covered() {
    let (directory, topic) = (tempfile::tempdir().unwrap(), FakeTopic::without_chances(PARTITIONS));
    let mut instance = Instance::start(directory.path(), &topic, 1);
    instance.write(&["a"], 1);
    instance.publish_until(|instance| instance.publisher.marked().is_some());
    instance.end(2);
    let before = topic.raw_records();
    let covered = marks(&topic).pop().unwrap();
    assert_eq!(covered.positions, BTreeMap::from([("optimizations/0".to_owned(), 2)]));
    let mut again = Instance::start(directory.path(), &topic, 2);
    again.write(&["a"], 2);
    again.step().unwrap();
    let new = topic.raw_records().split_off(before.len());
    let partitions: Vec<i32> = new[..PARTITIONS as usize].iter().map(|record| record.partition).collect();
    assert_eq!(partitions, [0, 1, 2]);
    for mark in &new[..PARTITIONS as usize] {
        assert_eq!(mark.key, PROGRESS_KEY);
        let value: Mark = serde_json::from_slice(mark.value.as_ref().unwrap()).unwrap();
        assert_eq!(value.positions, covered.positions);
        assert!(value.version > covered.version);
        assert_eq!(header(mark, "optview-version"), Some(value.version.to_string()));
        assert_eq!(header(mark, "optview-publisher"), Some(again.note().unwrap().publisher));
    }
    assert_eq!(new[PARTITIONS as usize].key, b"a", "the view comes after the marks");
}

#[test]
fn marks_come_once_an_interval_and_cover_what_is_before_them() {
    let (directory, topic) = (tempfile::tempdir().unwrap(), FakeTopic::without_chances(PARTITIONS));
    let mut instance = Instance::start(directory.path(), &topic, 1);
    instance.publish_until(|instance| instance.publisher.marked().is_some());
    let first = marks(&topic).len();
    let steps = 5 * (MARKS.as_millis() / A_STEP.as_millis()) as i64;
    for offset in 1..=steps {
        instance.write(&["a", "b"], offset);
        instance.step().unwrap();
    }
    instance.publish();
    let count = marks(&topic).len() - first;
    assert!((4..=5).contains(&count), "{count} marks in five intervals");
    // In the order of their commits: no mark is ahead of what stands before it, nor far behind.
    let mut last = 0;
    for record in topic.raw_records() {
        if record.key == PROGRESS_KEY {
            let mark: Mark = serde_json::from_slice(&record.value.unwrap()).unwrap();
            let covered = mark.positions.get("optimizations/0").copied().unwrap_or(0);
            assert!(covered <= last + 1 && covered + 3 > last, "the mark covers {covered}, and {last} is there");
        } else {
            let view: Value = serde_json::from_slice(&record.value.unwrap()).unwrap();
            last = view["name"].as_str().unwrap().parse().unwrap();
        }
    }
    assert_eq!(
        instance.publisher.marked().map(|mark| &mark.positions),
        marks(&topic).last().map(|mark| &mark.positions)
    );
}

/// A mark of its own would have the views behind it wait for another transaction.
#[test]
fn a_mark_that_is_due_goes_with_the_next_views_if_they_are_all_that_it_covers() {
    let (directory, topic) = (tempfile::tempdir().unwrap(), FakeTopic::without_chances(PARTITIONS));
    let mut instance = Instance::start(directory.path(), &topic, 1);
    // More than one transaction takes.
    let ids: Vec<String> = (0..2_500).map(|number| format!("o-{number}")).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    instance.write(&ids, 1);
    instance.publish_until(|instance| instance.publisher.marked().is_some());
    let covered = |instance: &Instance| instance.publisher.marked().unwrap().positions["optimizations/0"];
    instance.now += MARKS;
    instance.write(&["o-1"], 2);
    let (before, transactions) = (topic.raw_records().len(), topic.transactions().len());
    instance.step().unwrap();
    assert_eq!((covered(&instance), topic.transactions().len()), (3, transactions + 1));
    let new = topic.raw_records().split_off(before);
    assert_eq!(new.len(), 1 + PARTITIONS as usize);
    assert!(new[0].key == b"o-1" && new[1..].iter().all(|record| record.key == PROGRESS_KEY));
    instance.now += MARKS;
    instance.write(&ids, 3);
    instance.step().unwrap();
    assert_eq!(covered(&instance), 3, "500 views are not on the topic");
    instance.write(&["o-1"], 4);
    instance.step().unwrap();
    assert_eq!((covered(&instance), instance.publication.unpublished().0), (5, 0), "all are");
    instance.now += MARKS;
    topic.plan_outcomes([Outcome::Aborted]);
    instance.write(&["o-1"], 5);
    instance.step().unwrap_err();
    assert_eq!(covered(&instance), 5, "nothing is on the topic");
    instance.publish();
    check_equal_and_end(instance, directory.path(), &topic);
}

/// Whatever lies beyond the end of the topics that the views are made from does not exist any more.
#[test]
fn nothing_is_published_before_the_views_have_come_to_those_on_the_topic() {
    for (on_topic, awaited) in [(500, 500), (5_000, INPUT_END)] {
        let (directory, topic) = (tempfile::tempdir().unwrap(), FakeTopic::without_chances(PARTITIONS));
        topic.write([foreign_view("a", on_topic, 77)]);
        let mut instance = Instance::start(directory.path(), &topic, 1);
        instance.write(&["a"], awaited - 2);
        for _ in 0..20 {
            instance.step().unwrap();
        }
        assert_eq!(instance.publisher.stage(), Stage::Waiting);
        assert_eq!(instance.publisher.awaited_position().as_deref(), Some(position(awaited).text()));
        assert_eq!(names(&topic)["a"], Some(-1));
        instance.write(&["a"], awaited - 1);
        instance.publish();
        assert_eq!(names(&topic)["a"], Some(awaited - 1));
        assert_eq!(instance.publisher.awaited_position(), None);
        let versions = topic.raw_records().into_iter().map(|record| header(&record, "optview-version").unwrap());
        let versions: Vec<u64> = versions.map(|version| version.parse().unwrap()).collect();
        assert!(versions.is_sorted() && versions[1] > 77, "{versions:?}");
    }
}

/// Sinks compare versions, whatever becomes of the topic.
#[test]
fn versions_grow_although_the_topic_is_made_anew() {
    let (directory, topic) = (tempfile::tempdir().unwrap(), FakeTopic::without_chances(PARTITIONS));
    let mut instance = Instance::start(directory.path(), &topic, 1);
    for offset in 1..9 {
        instance.write(&["a"], offset);
        instance.publish();
    }
    let version = instance.publisher.version();
    topic.create_again(TopicId { most_significant: 1, least_significant: 1 }, PARTITIONS);
    topic.plan_outcomes([Outcome::CommittedWithoutAnswer]);
    instance.write(&["b"], 9);
    instance.publish();
    let versions = topic.raw_records().into_iter().map(|record| header(&record, "optview-version").unwrap());
    assert!(versions.map(|found| found.parse::<u64>().unwrap()).all(|found| found > version));
    check_equal_and_end(instance, directory.path(), &topic);
}

/// The view of a moment has no record beyond the position that goes with it, though the store goes on.
#[test]
fn no_view_is_beyond_the_position_of_its_record() {
    let (directory, topic) = (tempfile::tempdir().unwrap(), FakeTopic::without_chances(PARTITIONS));
    let ids: Vec<String> = (0..300).map(|number| format!("o-{number}")).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let mut instance = Instance::start(directory.path(), &topic, 1);
    instance.write(&ids, 1);
    instance.publish();
    let Instance { writer, path, publication, mut publisher, mut now, commits } = instance;
    let is_over = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for offset in 2..60 {
                writer.note_bound(position(offset + 1));
                let optimizations = ids
                    .iter()
                    .map(|id| fixtures::optimization(id, offset as u64, offset.to_string(), String::new()));
                let number = commits + offset as u64;
                writer.commit(fixtures::commit_of(optimizations.collect()), Vec::new(), number).unwrap();
                fixtures::wait_until_written(&writer, number);
            }
            is_over.store(true, std::sync::atomic::Ordering::Release);
        });
        while !is_over.load(std::sync::atomic::Ordering::Acquire) || publication.unpublished().0 > 0 {
            now += A_STEP;
            publisher.step(now).unwrap();
        }
    });
    let mut seen = 0;
    for record in topic.raw_records().iter().filter(|record| record.key != PROGRESS_KEY) {
        let view: Value = serde_json::from_slice(record.value.as_ref().unwrap()).unwrap();
        let offset: i64 = view["name"].as_str().unwrap().parse().unwrap();
        let bound = ReadPosition::of_text(&header(record, "optview-position").unwrap()).unwrap();
        assert!(bound.includes(&position(offset + 1)), "offset {offset} with the position {}", bound.text());
        seen += 1;
    }
    assert!(seen > ids.len() * 2, "{seen}");
    let instance = Instance { writer, path, publication, publisher, now, commits };
    check_equal_and_end(instance, directory.path(), &topic);
}
