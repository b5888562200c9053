//! An instance whose store a test writes to while clients read: the store's writer, what requests are answered from, and the read API.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Method, Request};
use http_body_util::BodyExt as _;
use optview::credentials::ApiKeys;
use optview::domain::{NamedPartition, Optimization, ReadPosition, Register};
use optview::http::{Access, ReadApi, Readiness, read_api_that_waits};
use optview::live_views::ReaderSource;
use optview::status::{State, Status};
use optview::store::Writer;
use serde_json::Value;
use tower::ServiceExt as _;

use crate::fixtures;

/// The keys of the callers `own` and `foreign`, of an organization each.
pub const KEYS: &str = "
[[keys]]
key = \"own\"
organizations = [\"org-1\"]
[[keys]]
key = \"foreign\"
organizations = [\"org-2\"]
";

pub const OWN: (&str, &str) = ("x-api-key", "own");
pub const FOREIGN: (&str, &str) = ("x-api-key", "foreign");

/// The time within which everything happens that a test waits for.
pub const SOON: Duration = Duration::from_secs(20);

/// A generation that a test writes to.
pub struct Generation {
    _directory: tempfile::TempDir,
    pub writer: Writer,
    pub status: Status,
    commits: AtomicU64,
}

impl Generation {
    pub fn new() -> Generation {
        let generation = Generation::catching_up();
        generation.status.set_state(State::Live);
        generation
    }

    /// Makes one that was never live.
    pub fn catching_up() -> Generation {
        let directory = tempfile::tempdir().unwrap();
        let writer = fixtures::open(directory.path()).writer;
        let status = Status::new(1);
        status.set_state(State::CatchingUp);
        Generation { _directory: directory, writer, status, commits: AtomicU64::new(0) }
    }

    /// Writes records, which readers see when this returns.
    pub fn write(&self, optimizations: Vec<Optimization>) {
        let number = self.commits.fetch_add(1, Ordering::AcqRel) + 1;
        self.writer.commit(fixtures::commit_of(optimizations), Vec::new(), number).unwrap();
        fixtures::wait_until_written(&self.writer, number);
    }

    /// Writes records as the projector does that has read up to `next` of the only partition, and has not noted yet that they are
    /// written.
    pub fn write_ahead(&self, next: i64, optimizations: Vec<Optimization>) {
        self.writer.note_bound(Arc::new(position(next)));
        self.write(optimizations);
    }

    /// Writes records as the projector does that has read up to `next` of the only partition.
    pub fn write_at(&self, next: i64, optimizations: Vec<Optimization>) {
        let position = Arc::new(position(next));
        self.write_ahead(next, optimizations);
        self.writer.note_position(position.clone()).unwrap();
        while *self.writer.reader().visible_position() != position {
            std::thread::yield_now();
        }
    }
}

fn position(next: i64) -> ReadPosition {
    ReadPosition::new(BTreeMap::from([(NamedPartition::new("optimizations", 0), next)]))
}

/// An optimization of `org-1` that was named `version` at that sequence.
pub fn view(id: &str, version: u64) -> Optimization {
    fixtures::optimization(id, version, version.to_string(), String::new())
}

/// The same, deleted.
pub fn deleted(id: &str, version: u64) -> Optimization {
    let mut optimization = view(id, version);
    optimization.deleted = Some(Register::new((), fixtures::stamp(version)));
    optimization
}

/// The same, of another organization.
pub fn of_organization(organization_id: &str, id: &str, version: u64) -> Optimization {
    let mut optimization = view(id, version);
    let mut created = fixtures::created(version);
    created.value.organization_id = organization_id.into();
    optimization.created = Some(created);
    optimization
}

/// An instance that answers, with the generation that it answers from.
pub struct Instance {
    pub generation: Generation,
    pub reader: ReaderSource,
    api: ReadApi,
}

impl Instance {
    /// Makes an instance that is live, whose reads of unknown ids wait so long.
    pub fn new(missing_wait: Duration) -> Instance {
        Instance::with_keys(missing_wait, KEYS)
    }

    /// Makes one whose callers have the keys of a file with this text.
    pub fn with_keys(missing_wait: Duration, keys: &str) -> Instance {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), keys).unwrap();
        Instance::with_access(missing_wait, Access::with_keys(ApiKeys::from_file(file.path()).unwrap()))
    }

    /// Makes one whose callers are recognized in this way.
    pub fn with_access(missing_wait: Duration, access: Access) -> Instance {
        let (generation, reader, status) = (Generation::new(), ReaderSource::default(), Status::new(1));
        reader.set(generation.writer.reader(), generation.status.clone());
        status.set_state(State::Live);
        let api = read_api_that_waits(reader.clone(), status, access, Readiness::default(), missing_wait);
        Instance { generation, reader, api }
    }

    /// Lets readers see another generation. Returns the one that they saw.
    pub fn switch_to(&mut self, generation: Generation) -> Generation {
        self.reader.set(generation.writer.reader(), generation.status.clone());
        std::mem::replace(&mut self.generation, generation)
    }

    pub async fn send(&self, path: &str, headers: &[(&str, &str)]) -> axum::response::Response {
        send(self.api.clone(), Method::GET, path, headers).await
    }

    pub async fn send_as(&self, method: Method, path: &str, headers: &[(&str, &str)]) -> Answer {
        Answer::of(send(self.api.clone(), method, path, headers).await).await
    }

    pub async fn get(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        Answer::of(self.send(path, headers).await).await
    }

    /// Sends a request from a task of its own, which waits for the answer.
    pub fn spawn_get(&self, path: &str, headers: &'static [(&'static str, &'static str)]) -> PendingAnswer {
        let (api, path) = (self.api.clone(), path.to_owned());
        PendingAnswer(tokio::spawn(async move { Answer::of(send(api, Method::GET, &path, headers).await).await }))
    }

    /// Opens a stream.
    pub async fn stream(&self, path: &str, headers: &[(&str, &str)]) -> EventReader {
        let response = self.send(path, headers).await;
        assert_eq!(response.status(), 200, "{path}");
        EventReader::new(response)
    }
}

async fn send(api: ReadApi, method: Method, path: &str, headers: &[(&str, &str)]) -> axum::response::Response {
    let builder = Request::builder().method(method).uri(path);
    let builder = headers.iter().fold(builder, |builder, (name, value)| builder.header(*name, *value));
    let Ok(response) = api.oneshot(builder.body(Body::empty()).unwrap()).await;
    response
}

pub struct PendingAnswer(tokio::task::JoinHandle<Answer>);

impl PendingAnswer {
    pub async fn answer(self) -> Answer {
        tokio::time::timeout(SOON, self.0).await.expect("an answer").unwrap()
    }

    /// Waits until the request has begun to wait, which shows in the registry.
    pub async fn begun(self, instance: &Instance) -> PendingAnswer {
        while instance.reader.changes().id_watches() == 0 {
            tokio::task::yield_now().await;
        }
        self
    }
}

pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    pub async fn of(response: axum::response::Response) -> Answer {
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Answer { status: parts.status.as_u16(), headers: parts.headers, body }
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
    }
}

/// An event as a client gets it.
#[derive(Clone, Debug, PartialEq)]
pub struct StreamEvent {
    /// The event's name; empty for a message.
    pub name: String,
    /// The id that a client would go on with.
    pub id: String,
    pub data: Value,
}

impl StreamEvent {
    /// Returns the version of the view that the event carries.
    pub fn version(&self) -> u64 {
        assert_eq!(self.name, "", "{self:?}");
        self.data["name"].as_str().unwrap().parse().unwrap()
    }
}

/// A client of a stream.
pub struct EventReader {
    pub headers: HeaderMap,
    body: Body,
    text: String,
    last_id: String,
}

impl EventReader {
    fn new(response: axum::response::Response) -> EventReader {
        let (parts, body) = response.into_parts();
        EventReader { headers: parts.headers, body, text: String::new(), last_id: String::new() }
    }

    /// Returns the next event but those of the instance's state; `None` at the end of the stream.
    pub async fn next(&mut self) -> Option<StreamEvent> {
        loop {
            let event = self.next_of_all().await?;
            if event.name != "state" {
                return Some(event);
            }
        }
    }

    /// Returns the version of the next view.
    pub async fn next_version(&mut self) -> u64 {
        self.next().await.expect("an event").version()
    }

    /// Returns the next event of any kind.
    pub async fn next_of_all(&mut self) -> Option<StreamEvent> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let (event, rest) = (event.to_owned(), rest.to_owned());
                self.text = rest;
                match self.parse(&event) {
                    Some(event) => return Some(event),
                    None => continue,
                }
            }
            let frame = tokio::time::timeout(SOON, self.body.frame()).await.expect("a chunk")?;
            let data = frame.unwrap().into_data().unwrap();
            self.text.push_str(str::from_utf8(&data).unwrap());
        }
    }

    fn parse(&mut self, text: &str) -> Option<StreamEvent> {
        let (mut name, mut data) = (String::new(), Vec::new());
        for line in text.lines() {
            if let Some(value) = line.strip_prefix("id: ") {
                self.last_id = value.to_owned();
            } else if let Some(value) = line.strip_prefix("event: ") {
                name = value.to_owned();
            } else if let Some(value) = line.strip_prefix("data: ") {
                data.push(value);
            }
        }
        (!data.is_empty()).then(|| StreamEvent {
            name,
            id: self.last_id.clone(),
            data: serde_json::from_str(&data.join("\n")).unwrap(),
        })
    }

    /// Returns true if no event but the state comes now. What comes is kept for [`EventReader::next`].
    pub async fn is_silent(&mut self) -> bool {
        for _ in 0..100 {
            while let Some((event, rest)) = self.text.split_once("\n\n") {
                if event.contains("data: ") && !event.starts_with("event: state") {
                    return false;
                }
                self.text = rest.to_owned();
            }
            tokio::select! {
                biased;
                frame = self.body.frame() => match frame {
                    Some(frame) => {
                        let data = frame.unwrap().into_data().unwrap();
                        self.text.push_str(str::from_utf8(&data).unwrap());
                    }
                    None => return true,
                },
                () = tokio::task::yield_now() => {}
            }
        }
        true
    }
}
