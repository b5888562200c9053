//! The steps of a publisher, one at a time: what each answer of the topic leads to, what is left in the store's directory, and which
//! checkpoints pass. The store's writer is the test itself.

mod fences;
mod marks;
mod notes;

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
fn a_publisher_reports_what_it_has_published_and_rests_once_there_is_nothing_to_do() {
    let (directory, topic) = (tempfile::tempdir().unwrap(), FakeTopic::without_chances(PARTITIONS));
    let mut instance = Instance::start(directory.path(), &topic, 1);
    instance.write(&["a"], 1);
    assert_eq!(instance.publisher.step(instance.now), Ok(Step::Published));
    instance.publish_until(|instance| instance.publisher.marked().is_some());
    assert!(matches!(instance.publisher.step(instance.now), Ok(Step::Rest(_))));
    instance.write(&["a"], 2);
    assert_eq!(instance.publisher.step(instance.now), Ok(Step::Published));
    assert!(matches!(instance.publisher.step(instance.now), Ok(Step::Rest(_))));
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
