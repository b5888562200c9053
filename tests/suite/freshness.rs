//! Every answer carries the state of the instance that gave it. An instance that may have missed something neither denies that
//! an id exists, nor gives a list that was never complete.

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Method, Request};
use http_body_util::BodyExt as _;
use optview::credentials::ApiKeys;
use optview::http::{Access, ReadApi, Readiness, admin_router, install_metrics, read_api};
use optview::live_views::ReaderSource;
use optview::source::TopicNames;
use optview::status::{FrozenAt, State, Status};
use optview::store::Writer;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use crate::fixtures;
use crate::live_instance::KEYS;

/// A store with one optimization that readers see, of `org-1`, and one that was deleted.
struct Instance {
    _directory: tempfile::TempDir,
    _writer: Writer,
    reader: ReaderSource,
    status: Status,
    api: ReadApi,
}

impl Instance {
    fn new(state: State, was_live: bool) -> Instance {
        let directory = tempfile::tempdir().unwrap();
        let writer = fixtures::open(directory.path()).writer;
        let mut deleted = fixtures::optimization("gone", 1, "name".to_owned(), String::new());
        deleted.deleted = Some(optview::domain::Register::new((), fixtures::stamp(2)));
        let known = fixtures::optimization("known", 1, "name".to_owned(), String::new());
        writer.commit(fixtures::commit_of(vec![known, deleted]), Vec::new(), 1).unwrap();
        fixtures::wait_until_written(&writer, 1);
        let (reader, own, status) = (ReaderSource::default(), Status::new(1), Status::new(0));
        if was_live {
            own.set_was_live();
        }
        match state {
            State::Frozen => {
                own.set_frozen(FrozenAt { format: 1, own_format: 2, ..FrozenAt::default() });
            }
            state => own.set_state(state),
        }
        reader.set(writer.reader(), own.clone());
        status.follow(&own);
        let keys = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(keys.path(), KEYS).unwrap();
        let access = Access::with_keys(ApiKeys::from_file(keys.path()).unwrap());
        let api = read_api(reader.clone(), status.clone(), access, Readiness::default());
        Instance { _directory: directory, _writer: writer, reader, status, api }
    }

    async fn get(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.send(Method::GET, path, headers).await
    }

    async fn send(&self, method: Method, path: &str, headers: &[(&str, &str)]) -> Answer {
        let request = request(method, path, headers);
        let Ok(response) = self.api.clone().oneshot(request).await;
        Answer::of(response).await
    }
}

struct Answer {
    status: u16,
    headers: HeaderMap,
    body: Bytes,
}

impl Answer {
    async fn of(response: axum::response::Response) -> Answer {
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Answer { status: parts.status.as_u16(), headers: parts.headers, body }
    }

    fn state(&self) -> &str {
        let states: Vec<_> = self.headers.get_all("x-optview-state").iter().collect();
        assert_eq!(states.len(), 1, "{:?}", self.headers);
        states[0].to_str().unwrap()
    }

    /// Checks for a 503 in the form that clients know, with the state in which it was given.
    fn check_unavailable(&self, state: State) {
        assert_eq!(self.status, 503);
        assert_eq!(self.headers["retry-after"], "5");
        assert_eq!(self.headers["content-type"], "application/json");
        let error: Value = serde_json::from_slice(&self.body).unwrap();
        assert_eq!(error["error_code"], "SERVICE_UNAVAILABLE");
        assert_eq!(error["detail"], json!({ "state": state.as_str() }));
        assert!(error["message"].as_str().unwrap().contains(state.as_str()), "{error}");
        assert_eq!(self.state(), state.as_str());
    }
}

fn request(method: Method, path: &str, headers: &[(&str, &str)]) -> Request<Body> {
    let builder = Request::builder().method(method).uri(path);
    headers
        .iter()
        .fold(builder, |builder, (name, value)| builder.header(*name, *value))
        .body(Body::empty())
        .unwrap()
}

const OWN: (&str, &str) = ("x-api-key", "own");
const FOREIGN: (&str, &str) = ("x-api-key", "foreign");

/// Every state, with and without having been live before. Who is live, or frozen, was.
fn answer_states() -> impl Iterator<Item = (State, bool)> {
    State::ALL
        .into_iter()
        .flat_map(|state| [(state, false), (state, true)])
        .filter(|(state, was_live)| *was_live || !matches!(state, State::Live | State::Stale | State::Frozen))
}

#[tokio::test]
async fn every_answer_of_the_read_address_carries_the_state() {
    for (state, was_live) in answer_states() {
        let instance = Instance::new(state, was_live);
        let etag = instance.get("/optimizations/known", &[OWN]).await.headers["etag"].clone();
        let etag = etag.to_str().unwrap();
        for (method, path, headers, expected) in [
            (Method::GET, "/optimizations/known", vec![OWN], Some(200)),
            (Method::HEAD, "/optimizations/known", vec![OWN], Some(200)),
            (Method::GET, "/optimizations/known", vec![OWN, ("if-none-match", etag)], Some(304)),
            (Method::GET, "/optimizations/known", vec![], Some(401)),
            (Method::POST, "/optimizations/known", vec![OWN], Some(405)),
            (Method::GET, "/optimizations/unknown", vec![OWN], None),
            (Method::HEAD, "/optimizations/unknown", vec![OWN], None),
            (Method::GET, "/optimizations", vec![OWN], None),
            (Method::GET, "/optimizations?limit=0", vec![OWN], Some(422)),
            (Method::GET, "/optimizations", vec![OWN, ("x-organization-id", "org-2")], Some(200)),
            (Method::GET, "/optimizations/%FF", vec![OWN], Some(404)),
            (Method::GET, "/users/me", vec![OWN], Some(200)),
            (Method::GET, "/healthz", vec![], Some(200)),
            (Method::GET, "/readyz", vec![], None),
            (Method::GET, "/elsewhere", vec![], Some(404)),
        ] {
            let answer = instance.send(method.clone(), path, &headers).await;
            assert_eq!(answer.state(), state.as_str(), "{method} {path}");
            assert!(
                expected.is_none_or(|expected| answer.status == expected),
                "{method} {path}: {}",
                answer.status
            );
        }
    }
}

#[tokio::test]
async fn an_id_that_is_not_found_is_a_404_only_where_that_is_known() {
    for (state, was_live) in answer_states() {
        let instance = Instance::new(state, was_live);
        let known = instance.get("/optimizations/known", &[OWN]).await;
        assert_eq!(known.status, 200, "what is there is shown: {state:?}");
        let mut bodies = Vec::new();
        for (path, key) in [
            ("/optimizations/unknown", OWN),
            ("/optimizations/gone", OWN),
            // A client must not be able to distinguish them.
            ("/optimizations/known", FOREIGN),
            ("/optimizations/unknown/transitions", OWN),
            ("/optimizations/gone/transitions", OWN),
            ("/optimizations/known/transitions", FOREIGN),
            ("/optimizations/unknown/events", OWN),
            ("/optimizations/gone/events", OWN),
            ("/optimizations/known/events", FOREIGN),
        ] {
            let answer = instance.get(path, &[key]).await;
            if state == State::Live {
                assert_eq!((answer.status, answer.headers.get("retry-after")), (404, None), "{path}");
            } else {
                answer.check_unavailable(state);
            }
            bodies.push(answer.body);
        }
        assert!(bodies.iter().all(|body| *body == bodies[0]), "{bodies:?}");
    }
}

#[tokio::test]
async fn a_list_is_given_only_of_what_was_complete_once() {
    for (state, was_live) in answer_states() {
        let instance = Instance::new(state, was_live);
        for (method, path, status) in [
            (Method::GET, "/optimizations", 200),
            (Method::GET, "/optimizations?status=failed", 200),
            (Method::GET, "/projects/project-1/optimizations/summary", 200),
            // The body, which is missing, is looked at after that.
            (Method::POST, "/optimizations/statuses", 422),
            // The answer to GET would not end.
            (Method::HEAD, "/optimizations/events", 200),
        ] {
            let answer = instance.send(method.clone(), path, &[OWN]).await;
            if was_live || method == Method::HEAD {
                let status = if was_live { status } else { 503 };
                assert_eq!((answer.status, answer.state()), (status, state.as_str()), "{path}");
            } else {
                answer.check_unavailable(state);
            }
        }
    }
}

#[tokio::test]
async fn the_operators_address_carries_it_too_and_denies_no_id_that_it_may_have_missed() {
    let metrics = install_metrics();
    for (state, was_live) in answer_states() {
        let Instance { reader, status, _directory, _writer, .. } = Instance::new(state, was_live);
        let readiness = Readiness::default();
        let admin = admin_router(status, metrics.clone(), reader, TopicNames::default(), readiness);
        for path in ["/status", "/metrics", "/healthz", "/optimizations/known/why", "/elsewhere"] {
            let response = admin.clone().oneshot(request(Method::GET, path, &[])).await.unwrap();
            assert_eq!(Answer::of(response).await.state(), state.as_str(), "{path}");
        }
        let unknown = request(Method::GET, "/optimizations/unknown/why", &[]);
        let unknown = Answer::of(admin.oneshot(unknown).await.unwrap()).await;
        if state == State::Live {
            assert_eq!(unknown.status, 404);
        } else {
            unknown.check_unavailable(state);
        }
    }
}

/// The state of an answer is the worse of the generation's and the instance's, as while one generation replaces another.
#[tokio::test]
async fn no_answer_is_more_current_than_the_generation_and_the_instance() {
    for (generation, whole, expected) in [
        (State::Frozen, State::Live, "frozen"),
        (State::CatchingUp, State::Live, "catching_up"),
        (State::Live, State::Frozen, "frozen"),
        (State::Live, State::Stalled, "stalled"),
        (State::Live, State::Live, "live"),
    ] {
        let instance = Instance::new(generation, true);
        let other = Status::new(2);
        other.set_state(whole);
        instance.status.follow(&other);
        // The generation's own is the one that came with its reader.
        for (path, status) in [("known", 200), ("unknown", if expected == "live" { 404 } else { 503 })] {
            let answer = instance.get(&format!("/optimizations/{path}"), &[OWN]).await;
            assert_eq!((answer.state(), answer.status), (expected, status), "{path}");
        }
        assert_eq!(instance.get("/optimizations", &[OWN]).await.state(), expected);
        assert_eq!(instance.get("/users/me", &[OWN]).await.state(), whole.as_str());
    }
}

#[tokio::test]
async fn an_instance_that_was_live_once_is_ready_and_reports_that_it_may_be_old() {
    for (state, was_live) in answer_states() {
        let instance = Instance::new(state, was_live);
        let fresh = read_api(
            instance.reader.clone(),
            instance.status.clone(),
            Access::open(),
            Readiness { require_fresh: true },
        );
        let ready = instance.get("/readyz", &[]).await;
        let needs_somebody = matches!(state, State::Stalled | State::Stopping);
        assert_eq!(ready.status, if was_live && !needs_somebody { 200 } else { 503 }, "{state:?}");
        let body: Value = serde_json::from_slice(&ready.body).unwrap();
        if ready.status == 200 {
            let expected = match state {
                State::Live => "ready",
                State::Frozen => "frozen",
                _ => "stale",
            };
            assert_eq!((&body["status"], &body["state"]), (&json!(expected), &json!(state.as_str())));
        }
        let Ok(response) = fresh.oneshot(request(Method::GET, "/readyz", &[])).await;
        assert_eq!(response.status(), if state == State::Live { 200 } else { 503 }, "{state:?}");
    }
}
