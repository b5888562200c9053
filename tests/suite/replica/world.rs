//! An instance that publishes its views, and a replica of them: both answer requests, and the test turns what each of them does.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::{Method, Request};
use optview::codec::published_view::ViewsFormat;
use optview::credentials::ApiKeys;
use optview::data_dir::PublishedNote;
use optview::disk::DiskReserve;
use optview::domain::{NamedPartition, Optimization, ReadPosition};
use optview::http::{Access, ReadApi, Readiness, read_api};
use optview::live_views::ReaderSource;
use optview::publication::{Publication, Publisher, PublisherSettings, Stage};
use optview::replica::{Keeper, ReplicaMoment, ReplicaSettings};
use optview::status::{Report, State, Status};
use optview::store::Writer;
use tower::ServiceExt as _;

use super::topic::{MemoryTopic, TopicFeed, TopicPublisher};
use crate::fixtures;
use crate::live_instance::{Answer, KEYS};

/// The most turns that a condition is tried for.
const TURNS_MAX: u32 = 20_000;
/// The time of the first moment, in milliseconds since 1970.
const BEGIN_MILLIS: i64 = 1_772_355_600_000;

/// An address that answers.
pub struct Site {
    pub reader: ReaderSource,
    pub status: Status,
    api: ReadApi,
}

impl Site {
    fn new() -> Site {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), KEYS).unwrap();
        let access = Access::with_keys(ApiKeys::from_file(file.path()).unwrap());
        let (reader, status) = (ReaderSource::default(), Status::new(0));
        let api = read_api(reader.clone(), status.clone(), access, Readiness::default());
        Site { reader, status, api }
    }

    pub async fn get(&self, path: &str, key: &str) -> Answer {
        self.send(Method::GET, path, key, String::new()).await
    }

    pub async fn send(&self, method: Method, path: &str, key: &str, body: String) -> Answer {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("x-api-key", key)
            .header("content-type", "application/json")
            .body(Body::from(body))
            .unwrap();
        let Ok(response) = self.api.clone().oneshot(request).await;
        Answer::of(response).await
    }
}

/// The instance that publishes. Its views are written by the test, one after the other: the position of each is the next one of a
/// partition.
pub struct PublishingInstance {
    pub site: Site,
    directory: tempfile::TempDir,
    writer: Writer,
    topic: MemoryTopic,
    publication: Publication,
    publisher: Publisher<TopicPublisher>,
    writes: u64,
    clock: Instant,
}

impl PublishingInstance {
    pub fn new(topic: &MemoryTopic, format: ViewsFormat) -> PublishingInstance {
        let directory = tempfile::tempdir().unwrap();
        let opened = fixtures::open(directory.path());
        let (site, writer) = (Site::new(), opened.writer);
        let status = Status::new(1);
        status.set_state(State::Live);
        site.status.set_state(State::Live);
        site.reader.set(writer.reader(), status);
        writer.note_caught_up();
        writer.note_all_found();
        writer.note_recovered().unwrap();
        let publication = Publication::new("views", format);
        publication.attach(&writer.reader(), &opened.path).unwrap();
        let publisher = publisher(topic, &publication);
        let topic = topic.clone();
        PublishingInstance {
            site,
            directory,
            writer,
            topic,
            publication,
            publisher,
            writes: 0,
            clock: Instant::now(),
        }
    }

    /// Kills the publisher, and begins another one, which may publish in another form. The store goes on, so that nothing is handed over
    /// again: the topic is compared with it first.
    pub fn kill_publisher(&mut self, format: ViewsFormat) {
        self.publication.stop();
        PublishedNote::forget(&self.directory.path().join("generations/000001")).unwrap();
        self.publication = Publication::new("views", format);
        self.publication.attach(&self.writer.reader(), &self.directory.path().join("generations/000001")).unwrap();
        self.publisher = publisher(&self.topic, &self.publication);
    }

    /// Writes views, which readers of this instance see when this returns. They are those of the next record; the other topics are empty.
    pub fn write(&mut self, optimizations: Vec<Optimization>) {
        self.writes += 1;
        let topics = [("optimizations", self.writes as i64), ("jobs", 0), ("multistart-runs", 0)];
        let next = topics.map(|(topic, next)| (NamedPartition::new(topic, 0), next)).into();
        let position = Arc::new(ReadPosition::new(next));
        self.writer.note_bound(position.clone());
        self.writer.commit(fixtures::commit_of(optimizations), Vec::new(), self.writes).unwrap();
        self.writer.note_position(position.clone()).unwrap();
        while *self.writer.reader().visible_position() != position {
            self.writer.check().unwrap();
            std::thread::yield_now();
        }
    }

    /// Does a step of the publisher's, which knows at this time that everything was read.
    pub fn publish_step(&mut self, now: ReplicaMoment) {
        self.publish_step_as_of(now, Some(Duration::ZERO));
    }

    /// Does a step of the publisher's, whose views are so old.
    fn publish_step_as_of(&mut self, now: ReplicaMoment, lag: Option<Duration>) {
        self.publication.note_lag(now.millis, lag);
        self.clock += Duration::from_millis(1);
        self.publisher.step(self.clock).unwrap();
    }

    /// Publishes every view, but no mark of its own beside the first, which covers nothing.
    pub fn publish_views(&mut self, now: ReplicaMoment) {
        for _ in 0..TURNS_MAX {
            self.publish_step(now);
            if self.publication.unpublished().0 == 0 && self.publisher.published() > 0 {
                return;
            }
        }
        panic!("not all is published: {:?}", self.publisher.stage());
    }

    /// Publishes everything, and a mark that covers it.
    pub fn publish_all(&mut self, now: ReplicaMoment) {
        self.publish_all_as_of(now, Some(Duration::ZERO));
    }

    /// Publishes everything, and some marks of an instance whose views are so old.
    pub fn publish_all_as_of(&mut self, now: ReplicaMoment, lag: Option<Duration>) {
        let goal = self.writer.reader().visible_position().text().to_owned();
        // What was captured for a mark before is of another time.
        for _ in 0..20 {
            self.publish_step_as_of(now, lag);
        }
        for _ in 0..TURNS_MAX {
            self.publish_step_as_of(now, lag);
            let marked =
                self.publisher.marked().map(|mark| mark.positions.get("optimizations/0").copied().unwrap_or(0));
            let is_all = self.publisher.stage() == Stage::Publishing && self.publication.unpublished().0 == 0;
            if is_all && marked == Some(self.writes as i64) {
                return;
            }
        }
        panic!("not all is published: {goal}, {:?}, {:?}", self.publisher.stage(), self.publisher.marked());
    }
}

fn publisher(topic: &MemoryTopic, publication: &Publication) -> Publisher<TopicPublisher> {
    let settings = PublisherSettings::new(Duration::from_millis(3));
    Publisher::new(topic.publisher(), publication.clone(), settings)
}

/// A replica, with the clock that it goes by.
pub struct ReplicaInstance {
    pub site: Site,
    directory: tempfile::TempDir,
    topic: MemoryTopic,
    keeper: Option<Keeper<TopicFeed>>,
    begin: Instant,
    passed: Duration,
}

impl ReplicaInstance {
    pub fn new(topic: &MemoryTopic) -> ReplicaInstance {
        let directory = tempfile::tempdir().unwrap();
        let mut replica = ReplicaInstance {
            site: Site::new(),
            directory,
            topic: topic.clone(),
            keeper: None,
            begin: Instant::now(),
            passed: Duration::ZERO,
        };
        replica.start();
        replica
    }

    /// Opens the store again, with readers that know nothing of the time before.
    pub fn start(&mut self) {
        self.site = Site::new();
        let keeper = open(self.directory.path(), &self.topic, &self.site);
        self.keeper = Some(keeper.unwrap());
    }

    /// Ends the replica: as it should, or without a note of how far it is.
    pub fn stop(&mut self, is_killed: bool) {
        let mut keeper = self.keeper.take().unwrap();
        if !is_killed {
            keeper.finish().unwrap();
        }
        drop(keeper);
        self.site = Site::new();
    }

    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    pub fn keeper(&mut self) -> &mut Keeper<TopicFeed> {
        self.keeper.as_mut().unwrap()
    }

    /// Returns the moment by its clock.
    pub fn now(&self) -> ReplicaMoment {
        let millis = BEGIN_MILLIS + i64::try_from(self.passed.as_millis()).unwrap();
        ReplicaMoment { instant: self.begin + self.passed, millis }
    }

    /// Lets time pass.
    pub fn pass(&mut self, time: Duration) {
        self.passed += time;
    }

    /// Does a step, and waits until readers see what it has read. Returns the number of records.
    pub fn step(&mut self) -> u64 {
        self.pass(Duration::from_millis(1));
        let now = self.now();
        let records = self.keeper().step(now).unwrap();
        while !self.keeper().is_visible().unwrap() {
            std::thread::yield_now();
        }
        records
    }

    /// Does steps until a report, as of its clock, is as it should be. Returns that.
    pub fn step_until(&mut self, what: &str, is: impl Fn(&Report) -> bool) -> Report {
        for _ in 0..TURNS_MAX {
            let report = self.report();
            if is(&report) {
                return report;
            }
            self.step();
            self.pass(Duration::from_millis(20));
        }
        panic!("still not: {what}: {:?}", self.report());
    }

    /// Does steps until it is live, and has read everything that there is.
    pub fn settle(&mut self) {
        let mut silent = 0;
        self.step_until("live", |report| report.state == State::Live);
        while silent < 3 {
            silent = if self.step() == 0 { silent + 1 } else { 0 };
        }
        self.pass(Duration::from_millis(300));
        self.step();
        self.step_until("live", |report| report.state == State::Live);
    }

    /// Returns the report as of its clock.
    pub fn report(&self) -> Report {
        self.site.reader.status(&self.site.status).report().at(self.now().instant)
    }
}

/// Opens a store in a directory, which a replica may just have closed.
pub fn open(directory: &Path, topic: &MemoryTopic, site: &Site) -> anyhow::Result<Keeper<TopicFeed>> {
    let settings = ReplicaSettings {
        topic: "views".to_owned(),
        data_dir: directory.to_owned(),
        store_cache_bytes: fixtures::CACHE_BYTES,
        sync_interval: Duration::from_millis(5),
        ask_interval: Duration::ZERO,
        disk_reserve: DiskReserve::default(),
    };
    let begin = Instant::now();
    loop {
        match Keeper::open(&settings, topic.feed(), site.reader.clone(), site.status.clone()) {
            Err(error)
                if error.to_string().contains("is held by another process") && begin.elapsed().as_secs() < 20 =>
            {
                std::thread::sleep(Duration::from_millis(1));
            }
            opened => return opened,
        }
    }
}
