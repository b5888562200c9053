//! The promises of a topic of views, whatever is killed: no key goes back to an older state; everything that a checkpoint covers is on the
//! topic; and once all is read, the topic is the store.

use std::collections::BTreeMap;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use optview::codec::published_view::ViewsFormat;
use optview::projector::{PauseHandle, Settings};
use optview::publication::{Publication, Publisher, PublisherSettings, Stage};
use optview::source::views_topic::ViewsTopicError;
use optview::status::{State, Status};
use optview::store::OpenStore;
use proptest::prelude::*;

use super::publication_promises::{check_complete, check_equal, check_monotone};
use super::script::{KillPanic, Partition, Run, ScriptPlayer, partitions, settings};
use super::stepped_projector::{A_REPORT, Clock, SteppedProjector};
use super::views_topic::FakeTopic;
use crate::fixtures::{self, Random};

const OPTIMIZATIONS: usize = 12;
const NAMES: usize = 6;
const JOB_STATES: [&str; 3] = ["pending", "processing", "completed"];
const A_TURN: Duration = Duration::from_micros(300);

/// A history of optimizations that are created, linked, renamed, and some of them deleted; all events of one are in the partitions
/// that the script has for their keys.
fn history(random: &mut Random) -> Vec<Partition> {
    let mut topics = partitions(&[]);
    for at in 0..OPTIMIZATIONS {
        let number = i32::from(at % 2 == 1);
        let (optimization, job) = (format!("o-{at}"), format!("j-{at}"));
        let mut push = |topic: usize, key: &str, sequence: usize, event: String| {
            let value = format!(
                r#"{{"metadata":{{"eventId":"{key}-{topic}-{sequence}","occurredAt":"2026-03-01T09:00:00Z","sequence":{sequence}}},{event}}}"#
            );
            let index = 2 * topic + number as usize;
            topics[index].push(key.as_bytes().to_vec(), Some(value.into_bytes()));
        };
        let created = r#""created":{"organizationId":"o","projectId":"p","objectives":{"a":1e-3}}"#;
        push(0, &optimization, 1, format!(r#""optimizationId":"{optimization}",{created}"#));
        let linked = format!(r#""optimizationId":"{optimization}","jobLinked":{{"jobId":"{job}"}}"#);
        let link_at = random.below(NAMES as u64) as usize;
        for name in 0..NAMES {
            if name == link_at {
                push(0, &optimization, 2 * name + 2, linked.clone());
            }
            let renamed = format!(r#""detailsChanged":{{"name":"{}"}}"#, name + 1);
            push(0, &optimization, 2 * name + 3, format!(r#""optimizationId":"{optimization}",{renamed}"#));
        }
        if at % 5 == 4 {
            push(0, &optimization, 99, format!(r#""optimizationId":"{optimization}","deleted":{{}}"#));
        }
        for (sequence, state) in (1..).zip(JOB_STATES) {
            push(1, &job, sequence, format!(r#""jobId":"{job}","{state}":{{}}"#));
        }
        for run in 0..random.below(3) {
            push(2, &job, 1, format!(r#""jobId":"{job}","runIndex":{run},"started":{{}}"#));
        }
    }
    // The keys take turns, so that every checkpoint lies in the middle of some.
    for partition in &mut topics {
        let mut keyed: BTreeMap<Vec<u8>, Vec<_>> = BTreeMap::new();
        partition.records.drain(..).for_each(|record| keyed.entry(record.key.clone()).or_default().push(record));
        while !keyed.is_empty() {
            let at = random.below(keyed.len() as u64) as usize;
            let key = keyed.keys().nth(at).unwrap().clone();
            let record = keyed.get_mut(&key).unwrap().remove(0);
            partition.push(record.key, record.value);
            keyed.retain(|_, records| !records.is_empty());
        }
    }
    topics
}

/// The end of a life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LifeEnd {
    Killed,
    /// It was stopped once all was on the topic.
    Published,
    /// It was stopped, and published nothing since another one took the topic over.
    Fenced,
    /// It was stopped, and had no topic.
    Off,
}

/// Returns the first part of a history, of so many percent.
fn beginning(history: &[Partition], percent: usize) -> Vec<Partition> {
    history
        .iter()
        .map(|partition| Partition {
            topic: partition.topic,
            number: partition.number,
            records: partition.records[..partition.records.len() * percent / 100].to_vec(),
            low: 0,
            fails_at: None,
        })
        .collect()
}

/// One life of a process that publishes.
#[derive(Clone, Debug)]
struct Life {
    seed: u64,
    /// The store that it has: each has read on its own.
    store: usize,
    /// The store is deleted first, as where it is damaged.
    is_new: bool,
    /// The number of records after which the process is killed.
    killed_after: Option<usize>,
    /// The number of transactions after which the process is killed, and whether that one has been committed.
    killed_in: Option<(usize, bool)>,
    /// The machine is killed: nothing is on the disk that no checkpoint has synced, and none was written in this life.
    loses_disk: bool,
    /// The percentage of the history that is written since the life before.
    grows: usize,
    /// The percentage of the publisher's turns. With none, it was started without a topic.
    publishes: u64,
    /// The number of transactions after which another one takes the topic over.
    fenced_in: Option<usize>,
}

fn life() -> impl Strategy<Value = Life> {
    let kill = (
        proptest::option::weighted(0.6, 1..70_usize),
        proptest::option::weighted(0.4, (1..25_usize, any::<bool>())),
    );
    let publishes = prop_oneof![8 => 5..80_u64, 1 => Just(0_u64)];
    let fenced_in = proptest::option::weighted(0.15, 1..20_usize);
    let course = (proptest::bool::weighted(0.1), kill, proptest::bool::weighted(0.3), 0..50_usize);
    let store = prop_oneof![3 => Just(0_usize), 1 => Just(1)];
    (any::<u64>(), store, course, publishes, fenced_in).prop_map(
        |(seed, store, (is_new, (killed_after, killed_in), loses_disk, grows), publishes, fenced_in)| Life {
            seed,
            store,
            is_new,
            killed_after,
            killed_in,
            loses_disk,
            grows,
            publishes,
            fenced_in,
        },
    )
}

impl Life {
    /// A life in which all that there will be is read and published.
    fn to_the_end(seed: u64) -> Life {
        Life {
            seed,
            store: 0,
            is_new: false,
            killed_after: None,
            killed_in: None,
            loses_disk: false,
            grows: 100,
            publishes: 50,
            fenced_in: None,
        }
    }

    /// Lives until it is killed, or all is read and published.
    fn live(&self, directory: &Path, history: &[Partition], topic: &FakeTopic) -> LifeEnd {
        let OpenStore { writer, path, .. } = fixtures::open(directory);
        let publication = Publication::new("views", ViewsFormat::Json);
        if self.publishes > 0 {
            publication.attach(&writer.reader(), &path).unwrap();
        }
        topic.plan(self.killed_in, self.fenced_in);
        let marks =
            PublisherSettings { mark_interval: Duration::from_millis(2), takeover_time: Duration::from_millis(4) };
        let mut publisher = Publisher::new(topic.client(history), publication.clone(), marks);
        let (status, control, clock) = (Status::new(1), Arc::new(PauseHandle::default()), Clock::new());
        let run = Run {
            killed_after: self.killed_after,
            until: |_| false,
            most_in_a_batch: 7,
            ..Run::to_the_end(self.seed)
        };
        let mut source = ScriptPlayer::new(history, run, status.clone(), control.clone());
        source.clock = Some(clock.clone());
        let ended = catch_unwind(AssertUnwindSafe(|| {
            let mut stepped = SteppedProjector::new(writer, self.settings(&path), source, status, &control, clock);
            let mut random = Random(self.seed);
            let mut is_over = self.publishes == 0;
            while !(stepped.source.is_over()
                && stepped.status.state() == State::Live
                && (is_over || publisher.stage() == Stage::Publishing && publication.unpublished().0 == 0))
            {
                if is_over || !random.percent(self.publishes) {
                    stepped.turn(if stepped.source.is_over() { A_REPORT } else { A_TURN });
                } else if let Err(ViewsTopicError::Fenced(_)) = publisher.step(stepped.clock.instant()) {
                    // What fails in another way is tried again.
                    publisher.give_up().unwrap();
                    is_over = true;
                }
            }
            stepped.finish();
            match is_over {
                false => LifeEnd::Published,
                true if self.publishes == 0 => LifeEnd::Off,
                true => LifeEnd::Fenced,
            }
        }));
        publication.stop();
        match ended {
            Ok(end) => end,
            Err(panic) if panic.is::<KillPanic>() => LifeEnd::Killed,
            Err(panic) => resume_unwind(panic),
        }
    }

    fn settings(&self, path: &Path) -> Settings {
        // What memory cannot hold is on the disk before any checkpoint.
        let memory_budget = if self.loses_disk || !self.seed.is_multiple_of(3) { 5_000 } else { 1 << 20 };
        let mut settings = settings(path, memory_budget);
        if self.loses_disk {
            (settings.sync_interval, settings.catch_up_sync_interval) = (Duration::MAX, Duration::MAX);
        }
        settings
    }
}

/// Copies a directory with all that is in it.
pub fn copy_all(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let to = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy_all(&entry.path(), &to),
            false => drop(fs::copy(entry.path(), to)),
        }
    }
}

fn lives_change_nothing(seed: u64, lives: &[Life]) -> Result<(), TestCaseError> {
    let whole = history(&mut Random(seed));
    let mut written = 30;
    let directories = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let topic = FakeTopic::new(3);
    let last = Life::to_the_end(seed);
    for life in lives.iter().chain([&last, &Life { store: 1, ..last.clone() }]) {
        let directory = directories[life.store].path();
        written = (written + life.grows).min(100);
        let history = beginning(&whole, written);
        if life.is_new {
            wait_until_closed(directory);
            fs::remove_dir_all(directory).unwrap();
            fs::create_dir(directory).unwrap();
        }
        let image = tempfile::tempdir().unwrap();
        if life.loses_disk {
            wait_until_closed(directory);
            copy_all(directory, image.path());
        }
        let end = life.live(directory, &history, &topic);
        if end == LifeEnd::Published {
            check_equal(directory, &topic)?;
        } else if end == LifeEnd::Killed && life.loses_disk {
            wait_until_closed(directory);
            fs::remove_dir_all(directory).unwrap();
            copy_all(image.path(), directory);
        }
        check_monotone(&topic)?;
        let is_noted = check_complete(directory, &history, &topic)?;
        match end {
            LifeEnd::Published => prop_assert!(is_noted),
            LifeEnd::Fenced => prop_assert!(!is_noted, "a checkpoint may be ahead of the topic"),
            LifeEnd::Killed | LifeEnd::Off => {}
        }
    }
    Ok(())
}

/// Waits until nobody has the files of a store any more.
fn wait_until_closed(directory: &Path) {
    fixtures::open(directory).writer.finish().unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 60, ..ProptestConfig::default() })]

    #[test]
    fn kills_take_nothing_from_a_topic_of_views_and_bring_nothing_old_back(
        seed in any::<u64>(),
        lives in proptest::collection::vec(life(), 0..5),
    ) {
        lives_change_nothing(seed, &lives)?;
    }
}

/// The machine is killed after more was published than was synced, so that the store is behind its own topic.
#[test]
fn a_store_that_lost_what_it_had_published_publishes_nothing_older() {
    for seed in 0..6 {
        let begins = Life { grows: 0, ..Life::to_the_end(seed) };
        let is_lost = Life {
            grows: 60,
            killed_after: Some(60),
            killed_in: Some((30, true)),
            loses_disk: true,
            publishes: 60,
            ..Life::to_the_end(seed)
        };
        lives_change_nothing(seed, &[begins, is_lost]).unwrap();
    }
}

/// The process is killed with views on the disk that it has not published, and what it reads again does not change them.
#[test]
fn what_a_kill_left_unpublished_is_published_though_nothing_changes_it_again() {
    for seed in 0..24 {
        let begins = Life { grows: 0, ..Life::to_the_end(seed) };
        let is_behind =
            Life { grows: 60, killed_after: Some(10 + 2 * seed as usize), publishes: 3, ..Life::to_the_end(seed) };
        lives_change_nothing(seed, &[begins, is_behind]).unwrap();
    }
}
