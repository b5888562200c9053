//! The steps of a publisher, one at a time: what each answer of the topic leads to, what is left in the store's directory, and which
//! checkpoints pass. The store's writer is the test itself.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use optview::codec::published_view::ViewsFormat;
use optview::data_dir::PublishedNote;
use optview::domain::{NamedPartition, ReadPosition, TopicId};
use optview::publication::{Mark, PROGRESS_KEY, Publication, Publisher, PublisherSettings, Stage, Step};
use optview::source::views_topic::{ViewsRecord, ViewsTopicError, partition_of};
use optview::store::{Checkpoint, OpenStore, PartitionCheckpoint, Writer};
use serde_json::Value;

use super::publication_promises::{check_equal, check_monotone};
use super::views_topic::{FakeTopic, Outcome, TopicClient};
use crate::fixtures;

const PARTITIONS: i32 = 3;
/// The most steps that a condition is tried for.
const STEPS_MAX: usize = 1_000;
const MARKS: Duration = Duration::from_secs(10);
/// The time that a publisher has to write its first marks.
const TAKEOVER: Duration = Duration::from_secs(2);
/// The time of a step on the test's clock.
const A_STEP: Duration = Duration::from_millis(50);
/// The offset at which the topic ends that the views are made from.
const INPUT_END: i64 = 1_000;

/// A process with a store, of which the test writes the views, and the publisher of it.
struct Instance {
    writer: Writer,
    path: PathBuf,
    publication: Publication,
    publisher: Publisher<TopicClient>,
    now: Instant,
    commits: u64,
}

fn input() -> NamedPartition {
    NamedPartition::new("optimizations", 0)
}

fn position(next_offset: i64) -> Arc<ReadPosition> {
    Arc::new(ReadPosition::new(BTreeMap::from([(input(), next_offset)])))
}

fn checkpoint(next_offset: i64) -> Checkpoint {
    Checkpoint::from([(input(), PartitionCheckpoint { next_offset, anchor: None, topic_id: None })])
}

/// Returns the offset that the checkpoint of a store has come to.
fn checkpoint_of(directory: &Path) -> i64 {
    let OpenStore { writer, .. } = fixtures::open(directory);
    writer.checkpoint_at_open().get(&input()).map_or(0, |held| held.next_offset)
}

impl Instance {
    /// Opens a store that has read all that there is up to an offset.
    fn start(directory: &Path, topic: &FakeTopic, read_to: i64) -> Instance {
        let instance = Instance::open(directory, topic, ViewsFormat::Json);
        instance.writer.note_bound(position(read_to));
        instance.writer.note_all_found();
        instance.writer.note_caught_up();
        instance.writer.note_recovered().unwrap();
        instance.show(read_to);
        instance
    }

    /// Opens a store whose topics nobody has looked at yet.
    fn open(directory: &Path, topic: &FakeTopic, format: ViewsFormat) -> Instance {
        let OpenStore { writer, path, .. } = fixtures::open(directory);
        let publication = Publication::new("views", format);
        publication.attach(&writer.reader(), &path).unwrap();
        let client = topic.client_with_ends(BTreeMap::from([(input(), INPUT_END)]));
        let settings = PublisherSettings { mark_interval: MARKS, takeover_time: TAKEOVER };
        let publisher = Publisher::new(client, publication.clone(), settings);
        Instance { writer, path, publication, publisher, now: Instant::now(), commits: 0 }
    }

    /// Has readers see a position.
    fn show(&self, next_offset: i64) {
        let shown = position(next_offset);
        self.writer.note_position(shown.clone()).unwrap();
        while **self.writer.reader().visible_position() != *shown {
            self.writer.check().unwrap();
            std::thread::yield_now();
        }
    }

    /// Writes views of these ids, each as it is after the record at an offset.
    fn write(&mut self, ids: &[&str], offset: i64) {
        self.writer.note_bound(position(offset + 1));
        let optimizations =
            ids.iter().map(|id| fixtures::optimization(id, offset as u64, offset.to_string(), String::new()));
        self.commits += 1;
        self.writer.commit(fixtures::commit_of(optimizations.collect()), Vec::new(), self.commits).unwrap();
        fixtures::wait_until_written(&self.writer, self.commits);
        self.show(offset + 1);
    }

    fn step(&mut self) -> Result<(), ViewsTopicError> {
        self.now += A_STEP;
        self.publisher.step(self.now).map(|_| ())
    }

    /// Goes on until everything is published and a condition holds. Returns the errors that were met.
    fn publish_until(&mut self, is: impl Fn(&Instance) -> bool) -> Vec<ViewsTopicError> {
        let mut errors = Vec::new();
        for _ in 0..STEPS_MAX {
            let is_published =
                self.publisher.stage() == Stage::Publishing && self.publication.unpublished().0 == 0;
            if is_published && is(self) {
                return errors;
            }
            errors.extend(self.step().err());
        }
        panic!("it does not come to an end in {:?}: {errors:?}", self.publisher.stage());
    }

    fn publish(&mut self) -> Vec<ViewsTopicError> {
        self.publish_until(|_| true)
    }

    /// Steps until the publisher is fenced, and gives up.
    fn give_up(&mut self) {
        for _ in 0..STEPS_MAX {
            if let Err(ViewsTopicError::Fenced(_)) = self.step() {
                return self.publisher.give_up().unwrap();
            }
        }
        panic!("it is not fenced");
    }

    fn note(&self) -> Option<PublishedNote> {
        PublishedNote::read(&self.path).unwrap()
    }

    /// Ends the process with a last checkpoint up to an offset, which does not wait for the topic.
    fn end(self, checkpoint_to: i64) {
        self.writer.checkpoint(checkpoint(checkpoint_to)).unwrap();
        self.publication.stop();
        self.writer.finish().unwrap();
    }
}

fn name_in(view: &[u8]) -> Option<i64> {
    serde_json::from_slice::<Value>(view).unwrap()["name"].as_str()?.parse().ok()
}

/// Returns the names of the views on the topic, which are the offsets of their last records; `None`: a tombstone.
fn names(topic: &FakeTopic) -> BTreeMap<String, Option<i64>> {
    let views = topic.compacted().into_iter();
    views.map(|(key, value)| (String::from_utf8(key).unwrap(), value.and_then(|value| name_in(&value)))).collect()
}

fn header(record: &ViewsRecord, name: &str) -> Option<String> {
    let value = record.headers.iter().find(|(held, _)| *held == name).map(|(_, value)| value.to_vec());
    value.map(|value| String::from_utf8(value).unwrap())
}

fn marks(topic: &FakeTopic) -> Vec<Mark> {
    let records = topic.raw_records().into_iter();
    let marks = records.filter(|record| record.key == PROGRESS_KEY && record.partition == 0);
    marks.map(|record| serde_json::from_slice(&record.value.unwrap()).unwrap()).collect()
}

/// A record of a view as another publisher would write it, which has read up to an offset.
fn foreign_view(id: &str, read_to: i64, version: u64) -> ViewsRecord {
    ViewsRecord {
        partition: partition_of(id.as_bytes(), PARTITIONS),
        key: id.as_bytes().to_vec(),
        value: Some(br#"{"name":"-1"}"#.to_vec()),
        headers: vec![
            ("optview-version", version.to_string().into()),
            ("optview-position", position(read_to).text().to_owned().into()),
        ],
    }
}

/// Starts a store again that was published. Returns true if the topic was compared with it.
fn is_comparing_needed(directory: &Path, topic: &FakeTopic) -> bool {
    let scans = topic.scans();
    let mut again = Instance::start(directory, topic, 3);
    // The topic is taken over by the first step.
    again.step().unwrap();
    let is_needed = again.note().is_none();
    again.publish();
    assert_eq!(
        topic.scans() - scans,
        1 + usize::from(is_needed),
        "the end is read, and the whole if it is compared"
    );
    check_equal_and_end(again, directory, topic);
    is_needed
}

fn check_equal_and_end(instance: Instance, directory: &Path, topic: &FakeTopic) {
    instance.end(3);
    check_equal(directory, topic).unwrap();
}

/// Each way in which a transaction may end, while the store is compared and afterwards.
#[test]
fn views_whose_transaction_is_not_known_to_be_committed_are_published_again() {
    for (outcome, failures) in [
        (Outcome::Aborted, 1),
        (Outcome::CommittedWithoutAnswer, 1),
        (Outcome::TimedOut, (TAKEOVER.as_millis() / A_STEP.as_millis()) as usize),
    ] {
        for committed in 0..4 {
            let (directory, topic) = (tempfile::tempdir().unwrap(), FakeTopic::without_chances(PARTITIONS));
            let mut instance = Instance::start(directory.path(), &topic, 1);
            instance.write(&["a", "b"], 1);
            topic.plan_outcomes(std::iter::repeat_n(Outcome::Committed, committed).chain([outcome]));
            let mut errors = instance.publish();
            for offset in 2..6 {
                instance.write(&["a"], offset);
                errors.extend(instance.publish());
            }
            assert_eq!(errors.len(), failures, "{outcome:?} {committed}: {errors:?}");
            assert_eq!(names(&topic), BTreeMap::from([("a".to_owned(), Some(5)), ("b".to_owned(), Some(1))]));
            check_monotone(&topic).unwrap();
            assert_eq!(instance.publication.unpublished(), (0, None));
            check_equal_and_end(instance, directory.path(), &topic);
        }
    }
}

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

#[test]
fn a_publisher_rests_once_there_is_nothing_to_do() {
    let (directory, topic) = (tempfile::tempdir().unwrap(), FakeTopic::without_chances(PARTITIONS));
    let mut instance = Instance::start(directory.path(), &topic, 1);
    instance.write(&["a"], 1);
    assert_eq!(instance.publisher.step(instance.now), Ok(Step::Again));
    instance.publish_until(|instance| instance.publisher.marked().is_some());
    assert!(matches!(instance.publisher.step(instance.now), Ok(Step::Rest(_))));
    instance.write(&["a"], 2);
    assert_eq!(instance.publisher.step(instance.now), Ok(Step::Again));
    assert!(matches!(instance.publisher.step(instance.now), Ok(Step::Rest(_))));
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
    super::publication::copy_all(directory.path(), copy.path());
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

/// More of them than are kept at a time.
#[test]
fn keys_of_a_topic_that_no_optimization_has_become_tombstones_however_many_they_are() {
    let (directory, topic) = (tempfile::tempdir().unwrap(), FakeTopic::without_chances(PARTITIONS));
    let ids: Vec<String> = (0..25_000).map(|number| format!("stray-{number}")).collect();
    topic.write(ids.iter().zip(1..).map(|(id, version)| foreign_view(id, 1, version)));
    let mut instance = Instance::start(directory.path(), &topic, 1);
    instance.write(&["a", "stray-7"], 2);
    // Nothing is taken while the comparison would go on, but for the first marks.
    topic.plan_outcomes(std::iter::once(Outcome::Committed).chain(std::iter::repeat_n(Outcome::Aborted, 40)));
    let mut most_left = 0;
    while instance.publisher.stage() != Stage::Publishing {
        instance.step().ok();
        most_left = most_left.max(instance.publisher.left());
    }
    assert!((1..=13_000).contains(&most_left), "{most_left} at a time");
    instance.publish();
    assert_eq!(instance.publisher.left(), 0);
    let transactions = topic.transactions();
    assert!(transactions.iter().all(|records| *records <= 2_000), "{transactions:?}");
    assert_eq!(names(&topic).values().filter(|name| name.is_some()).count(), 2);
    let versions = topic.raw_records().into_iter().filter(|record| record.key != PROGRESS_KEY);
    let versions: Vec<u64> =
        versions.map(|record| header(&record, "optview-version").unwrap().parse().unwrap()).collect();
    assert!(versions.is_sorted_by(|one, next| one < next), "tombstones have versions of their own");
    check_equal_and_end(instance, directory.path(), &topic);
}

#[test]
fn a_transaction_has_some_megabytes_at_the_most() {
    let (directory, topic) = (tempfile::tempdir().unwrap(), FakeTopic::without_chances(PARTITIONS));
    let mut instance = Instance::start(directory.path(), &topic, 1);
    instance.publish();
    let before = topic.raw_records().len();
    let count = 12;
    let optimizations = (0..count).map(|number| {
        fixtures::optimization(&format!("o-{number}"), 1, "1".to_owned(), fixtures::text(number, 1 << 20))
    });
    instance.commits += 1;
    instance.writer.commit(fixtures::commit_of(optimizations.collect()), Vec::new(), instance.commits).unwrap();
    fixtures::wait_until_written(&instance.writer, instance.commits);
    instance.publish();
    let records = topic.raw_records().split_off(before);
    assert_eq!(records.iter().filter(|record| record.key != PROGRESS_KEY).count(), count as usize);
    let transactions = topic.transactions().into_iter().filter(|records| *records != PARTITIONS as usize);
    assert_eq!(transactions.collect::<Vec<_>>(), [4, 4, 4], "without those of marks");
    check_equal_and_end(instance, directory.path(), &topic);
}

/// The generation before is let go first: its note is removed, and its checkpoints pass.
#[test]
fn another_generation_takes_the_place_of_the_one_that_is_published() {
    let (directory, topic) = (tempfile::tempdir().unwrap(), FakeTopic::without_chances(PARTITIONS));
    let other = tempfile::tempdir().unwrap();
    let mut instance = Instance::start(directory.path(), &topic, 1);
    instance.write(&["a", "b"], 1);
    instance.publish();
    instance.write(&["a"], 2);
    let before = std::mem::replace(&mut instance.writer, fixtures::open(other.path()).writer);
    let path = std::mem::replace(&mut instance.path, other.path().join("generations/000001"));
    // The same generation again changes nothing.
    instance.publication.attach(&before.reader(), &path).unwrap();
    assert!(PublishedNote::read(&path).unwrap().is_some());
    assert_eq!(instance.publication.unpublished().0, 1);
    instance.publication.attach(&instance.writer.reader(), &instance.path).unwrap();
    assert_eq!(PublishedNote::read(&path).unwrap(), None);
    assert!(!before.is_published());
    before.checkpoint(checkpoint(3)).unwrap();
    before.finish().unwrap();
    assert_eq!(checkpoint_of(directory.path()), 3);
    instance.writer.note_all_found();
    instance.writer.note_caught_up();
    (instance.commits, _) = (0, instance.writer.note_recovered().unwrap());
    instance.step().unwrap();
    let awaited = instance.publisher.awaited_position();
    assert_eq!(
        awaited.as_deref(),
        Some(position(2).text()),
        "it must not be older than what was published before it"
    );
    instance.write(&["a"], 3);
    instance.publish();
    assert_eq!(names(&topic), BTreeMap::from([("a".to_owned(), Some(3)), ("b".to_owned(), None)]));
    check_equal_and_end(instance, other.path(), &topic);
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
