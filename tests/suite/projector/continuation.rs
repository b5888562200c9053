//! An archive and then the topics beyond it: every record once, in order, wherever the archive ends, wherever the topics
//! begin, and wherever it is killed; and nothing at all where the two do not go together.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use optview::domain::{PartitionOffset, Record, TopicId, TopicPartition};
use optview::projector::{self, PauseHandle, Positions};
use optview::source::archive::{ArchiveSource, ArchiveThenTopics, Manifest};
use optview::source::{Source, SourceEvent, StopReason, Watermarks};
use optview::status::Status;
use optview::store::OpenStore;
use proptest::prelude::*;

use super::from_archive::archived;
use super::script::{self, KillPanic, Partition, Run, ScriptPlayer, partitions};
use super::{check, expected, history, room_for};
use crate::{archive, fixtures};

/// Percentages of each partition: what is archived, and what of that the topics have lost.
type Split = [(usize, usize); 6];

fn split() -> impl Strategy<Value = Split> {
    let percent = prop_oneof![Just(0), Just(100), 0..100usize];
    proptest::array::uniform6((percent.clone(), percent))
}

/// An archive of the partitions' beginnings, and what the topics have left.
fn divide(seed: u64, split: Split) -> (tempfile::TempDir, Vec<Partition>) {
    let mut first = partitions(&history(seed, 30));
    let mut left = partitions(&history(seed, 30));
    for ((first, left), (archived, lost)) in first.iter_mut().zip(&mut left).zip(split) {
        let archived = first.records.len() * archived / 100;
        first.records.truncate(archived);
        left.low = (archived * lost / 100) as i64;
    }
    (archived(&first), left)
}

/// Never ends by itself.
fn endless(seed: u64, most_in_a_batch: u64) -> Run {
    Run { most_in_a_batch, until: |_| false, ..Run::to_the_end(seed) }
}

fn continued<'a>(
    archive: &Path,
    topics: &'a [Partition],
    run: Run,
    next: &Positions,
) -> ArchiveThenTopics<ScriptPlayer<'a>> {
    let topics = ScriptPlayer::new(topics, run, Status::new(1), Arc::new(PauseHandle::default()));
    ArchiveThenTopics::new(ArchiveSource::open(archive).unwrap(), topics, next)
}

/// Reads until so many records were given, or to the end. From `next` on, or one record earlier, as who wants to know
/// whether that still is the one it was. An error is why a partition cannot be read.
fn read(
    source: &mut dyn Source,
    next: &Positions,
    most: usize,
    again: bool,
) -> Result<Vec<(PartitionOffset, Vec<u8>)>, String> {
    let (mut given, mut ended, mut reading) = (Vec::new(), 0, 0);
    let begin = Instant::now();
    while given.len() < most && !(source.is_complete() && ended == reading) {
        assert!(begin.elapsed() < Duration::from_secs(60), "it does not end: {} given", given.len());
        let (mut found, mut failed) = (Vec::new(), None);
        source.poll(Duration::from_millis(1), &mut |polled| match polled {
            SourceEvent::Found { partition, watermarks } => found.push((partition, watermarks)),
            SourceEvent::Records(records) => {
                let records = (0..records.len()).map(|at| records.record(at));
                given.extend(records.map(|Record { position, key, .. }| (position, key.unwrap().to_vec())));
            }
            SourceEvent::Ended { .. } => ended += 1,
            SourceEvent::Failed { reason, .. } => failed = Some(reason.text),
        });
        for (partition, Watermarks { low, .. }) in found {
            let from = next.get(&partition).copied();
            let from = from.map(|at| if again && at > low { at - 1 } else { at }).unwrap_or(low);
            reading += 1;
            source.assign(partition, from).map_err(|reason| reason.text)?;
        }
        failed.map_or(Ok(()), Err)?;
    }
    Ok(given)
}

/// The first offset of each partition that was given, and one past the last. All between them must have been given, in order.
fn runs(given: &[(PartitionOffset, Vec<u8>)]) -> BTreeMap<TopicPartition, (i64, i64)> {
    let mut runs = BTreeMap::new();
    for (position, _) in given {
        let (partition, offset) = (position.topic_partition(), position.offset);
        let (_, next) = runs.entry(partition).or_insert((offset, offset));
        assert_eq!(*next, offset, "{partition}");
        *next += 1;
    }
    runs
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, max_shrink_iters: 100, ..ProptestConfig::default() })]

    #[test]
    fn every_record_is_given_once_and_in_order_wherever_reading_stops(
        seed in any::<u64>(),
        split in split(),
        stops in proptest::collection::vec(1..300usize, 0..4),
        most_in_a_batch in 1..60u64,
        again in any::<bool>(),
    ) {
        let (archive, topics) = divide(seed, split);
        let mut next = Positions::new();
        for most in stops.into_iter().chain([usize::MAX]) {
            let mut source = continued(archive.path(), &topics, endless(seed ^ most as u64, most_in_a_batch), &next);
            let given = read(&mut source, &next, most, again).unwrap();
            for (partition, (first, end)) in runs(&given) {
                let held = next.entry(partition).or_default();
                prop_assert!(first == *held || (again && first + 1 == *held), "{:?} from {} after {}", partition, first, held);
                *held = end;
            }
            for (PartitionOffset { topic, partition, offset }, key) in &given {
                let held = topics.iter().find(|held| (held.topic, held.number) == (*topic, *partition)).unwrap();
                prop_assert_eq!(&held.records[*offset as usize].key, key);
            }
        }
        for held in &topics {
            let read = next.get(&held.topic_partition()).copied().unwrap_or(0);
            prop_assert_eq!(read, held.records.len() as i64, "{}", held.topic_partition());
        }
    }
}

/// Ends the process, as it were, after so many records.
struct KillingSource<S>(S, Option<usize>);

impl<S: Source> Source for KillingSource<S> {
    fn poll(&mut self, wait: Duration, take: &mut dyn FnMut(SourceEvent)) -> bool {
        let left = &mut self.1;
        self.0.poll(wait, &mut |polled| {
            if let (SourceEvent::Records(records), Some(left)) = (&polled, &mut *left) {
                *left = left.checked_sub(records.len()).unwrap_or_else(|| resume_unwind(Box::new(KillPanic)));
            }
            take(polled);
        })
    }

    fn assign(&mut self, partition: TopicPartition, offset: i64) -> Result<(), StopReason> {
        self.0.assign(partition, offset)
    }

    fn stop(&mut self, partition: TopicPartition) {
        self.0.stop(partition);
    }

    fn watermarks(&self, partition: TopicPartition) -> Option<Watermarks> {
        self.0.watermarks(partition)
    }

    fn trouble(&self) -> Option<String> {
        self.0.trouble()
    }

    fn is_complete(&self) -> bool {
        self.0.is_complete()
    }

    fn publish(&mut self, offsets: &[PartitionOffset]) {
        self.0.publish(offsets);
    }
}

/// Projects until live, or killed.
fn project(data: &Path, archive: &Path, topics: &[Partition], run: Run, killed_after: Option<usize>) {
    let OpenStore { writer, path, .. } = fixtures::open(data);
    let (status, control) = (Status::new(1), Arc::new(PauseHandle::default()));
    let names = optview::source::TopicNames::default();
    let next = writer
        .checkpoint_at_open()
        .iter()
        .map(|(partition, held)| (names.partition_of(partition).unwrap(), held.next_offset))
        .collect();
    let playing = ScriptPlayer::new(topics, run, status.clone(), control.clone());
    let source = ArchiveThenTopics::new(ArchiveSource::open(archive).unwrap(), playing, &next);
    let mut source = KillingSource(source, killed_after);
    let settings = script::settings(&path, room_for(20));
    let ended = catch_unwind(AssertUnwindSafe(|| {
        projector::run(&mut source, writer, settings, status.clone(), &control).unwrap();
    }));
    match ended {
        Ok(()) => assert_eq!(status.report().last_error, None),
        Err(panic) if panic.is::<KillPanic>() => {}
        Err(panic) => resume_unwind(panic),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, max_shrink_iters: 100, ..ProptestConfig::default() })]

    #[test]
    fn kills_while_the_archive_is_played_and_after_change_nothing(
        seed in any::<u64>(),
        split in split(),
        kills in proptest::collection::vec(1..400usize, 0..5),
        most_in_a_batch in 1..60u64,
    ) {
        let (archive, topics) = divide(seed, split);
        let data = tempfile::tempdir().unwrap();
        for (kill, at) in (1..).zip(kills) {
            let run = Run { most_in_a_batch, ..Run::to_the_end(seed ^ kill) };
            project(data.path(), archive.path(), &topics, run, Some(at));
        }
        project(data.path(), archive.path(), &topics, Run { most_in_a_batch, ..Run::to_the_end(seed) }, None);
        check(data.path(), &expected(&topics, |_, _| false));
        // From now on it does without.
        super::project(data.path(), &topics, Run::to_the_end(seed), |_| {});
        check(data.path(), &expected(&topics, |_, _| false));
    }
}

const HALF: Split = [(50, 50); 6];

/// Changes the topics after they were archived. Returns the reason for which they cannot be read.
fn refused(change: impl FnOnce(&mut Vec<Partition>)) -> String {
    let (archive, mut topics) = divide(3, HALF);
    change(&mut topics);
    let mut source = continued(archive.path(), &topics, endless(1, 20), &Positions::new());
    read(&mut source, &Positions::new(), usize::MAX, false).expect_err("they do not go together")
}

#[test]
fn what_the_cluster_says_of_the_topics_is_heard_through_the_archive() {
    let (archive, topics) = divide(3, HALF);
    let source = continued(archive.path(), &topics, endless(3, 10), &Positions::new());
    for held in &topics {
        let observation = source.observation(held.topic_partition()).expect("the topics have it");
        assert_eq!(observation.last_stable, held.records.len() as i64);
    }
}

#[test]
fn what_neither_has_is_not_passed_over() {
    let archived = |held: &Partition| held.records.len() as i64 / 2;
    let why = refused(|topics| topics[2].low = archived(&topics[2]) + 1);
    assert!(why.contains("were removed before they were read") && why.contains("--accept-loss"), "{why}");
    let why = refused(|topics| {
        let end = archived(&topics[2]) as usize - 1;
        topics[2].low = 0;
        topics[2].records.truncate(end);
    });
    assert!(why.contains("or created again") && why.contains("or none"), "{why}");
    let why = refused(|topics| drop(topics.remove(3)));
    assert!(why.contains("the cluster has no such partition now"), "{why}");
}

#[test]
fn a_topic_with_other_records_is_known_by_the_one_that_was_archived_last() {
    let last = |held: &Partition| held.records.len() / 2 - 1;
    let why = refused(|topics| {
        let last = last(&topics[4]);
        topics[4].records[last].value = None;
    });
    let (_, topics) = divide(3, HALF);
    let expected = format!("the record at {} is not the one that was read there before", last(&topics[4]));
    assert!(why.contains(&expected), "{why}");
}

#[test]
fn a_topic_with_another_id_than_the_archived_one_is_not_read() {
    let (archive, topics) = divide(3, HALF);
    let path = archive.path().join("MANIFEST.json");
    let mut manifest: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    let id = |number: i64| TopicId { most_significant: 1, least_significant: number };
    for topic in manifest["topics"].as_array_mut().unwrap() {
        topic["id"] = id(1).to_string().into();
    }
    std::fs::write(&path, manifest.to_string()).unwrap();
    let read_with = |topic_id| {
        let mut playing =
            ScriptPlayer::new(&topics, endless(1, 20), Status::new(1), Arc::new(PauseHandle::default()));
        playing.topic_id = topic_id;
        let next = Positions::new();
        let mut source = ArchiveThenTopics::new(ArchiveSource::open(archive.path()).unwrap(), playing, &next);
        read(&mut source, &next, usize::MAX, false)
    };
    let records = topics.iter().map(|held| held.records.len()).sum();
    for same in [None, Some(id(1))] {
        assert_eq!(read_with(same).map(|given| given.len()), Ok(records));
    }
    let why = read_with(Some(id(2))).unwrap_err();
    for part in [id(1).to_string(), id(2).to_string(), "created again".to_owned(), "or none".to_owned()] {
        assert!(why.contains(&part), "no {part}: {why}");
    }
}

#[test]
fn a_topic_that_reaches_further_back_than_the_archive_is_read_instead() {
    let whole = partitions(&history(3, 30));
    let directory = tempfile::tempdir().unwrap();
    let mut appender = archive::appender(directory.path());
    let later: Vec<_> = whole[0].records[7..12]
        .iter()
        .map(|record| optview::domain::OwnedRecord::from(&record.record()))
        .collect();
    // What was before is not in it, as if it had been gone by then.
    appender.begin(whole[0].topic_partition(), 7);
    archive::write(&mut appender, &later);
    appender.finish().unwrap();
    assert_eq!(Manifest::read(directory.path()).unwrap().spans()[&whole[0].topic_partition()].first, 7);
    let mut source = continued(directory.path(), &whole, endless(1, 20), &Positions::new());
    let given = read(&mut source, &Positions::new(), usize::MAX, false).unwrap();
    assert_eq!(runs(&given)[&whole[0].topic_partition()], (0, whole[0].records.len() as i64));
}

#[test]
fn offsets_at_its_end_that_are_no_records_are_not_missed() {
    let (archive, mut topics) = divide(3, HALF);
    let held = &mut topics[0];
    let at = held.records.len() as i64 / 2;
    let mut appender = archive::appender(archive.path());
    // Two that were there are gone from the topic, and from the archive as well.
    appender.begin(held.topic_partition(), 0);
    appender.ended(held.topic_partition(), at + 2);
    let more = &topics[1].records[topics[1].records.len() / 2..];
    let more: Vec<_> = more.iter().map(|record| optview::domain::OwnedRecord::from(&record.record())).collect();
    archive::write(&mut appender, &more);
    appender.finish().unwrap();
    topics[0].low = at + 2;
    let mut source = continued(archive.path(), &topics, endless(1, 20), &Positions::new());
    let given = read(&mut source, &Positions::new(), usize::MAX, false).unwrap();
    let of_it =
        |(position, _): &&(PartitionOffset, Vec<u8>)| position.topic_partition() == topics[0].topic_partition();
    let offsets: Vec<i64> = given.iter().filter(of_it).map(|(position, _)| position.offset).collect();
    let expected: Vec<i64> = (0..at).chain(at + 2..topics[0].records.len() as i64).collect();
    assert_eq!(offsets, expected);
}

#[test]
fn damage_stops_what_is_read_and_nothing_of_the_topics_is_given_instead() {
    let (archive, topics) = divide(3, HALF);
    let name = Manifest::read(archive.path()).unwrap().files[1].name.clone();
    let path = archive.path().join(&name);
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    let mut source = continued(archive.path(), &topics, endless(1, 20), &Positions::new());
    let why = read(&mut source, &Positions::new(), usize::MAX, false).unwrap_err();
    assert!(why.contains(&name) && why.contains("archive verify"), "{why}");
    source.poll(Duration::from_millis(1), &mut |_| panic!("nothing more comes"));
    assert!(!source.is_complete());

    bytes.truncate(middle);
    std::fs::write(&path, bytes).unwrap();
    let error = ArchiveSource::open(archive.path()).err().unwrap().to_string();
    assert!(error.contains(&name) && error.contains("it was cut"), "{error}");
    std::fs::remove_file(path).unwrap();
    assert!(ArchiveSource::open(archive.path()).err().unwrap().to_string().contains(&name));
}
