//! The routers as a client meets them, without a socket and without a store that holds anything.

use std::convert::Infallible;
use std::path::Path;

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, Method};
use axum::response::Response;
use http_body_util::BodyExt;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use proptest::prelude::*;
use serde_json::{Value, json};
use tower::{Service, ServiceExt};

use super::*;
use crate::credentials::ApiKeys;
use crate::source::TopicNames;
use crate::status::State;

const NO_STORE: u16 = 503;

trait TestApp: Service<Request, Response = Response, Error = Infallible> + Clone {}
impl<S: Service<Request, Response = Response, Error = Infallible> + Clone> TestApp for S {}

struct ReceivedResponse {
    status: u16,
    headers: HeaderMap,
    body: Bytes,
}

impl ReceivedResponse {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

async fn send(app: &impl TestApp, request: Request) -> ReceivedResponse {
    let Ok(response) = app.clone().oneshot(request).await;
    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let got = ReceivedResponse { status: parts.status.as_u16(), headers: parts.headers, body };
    assert!(got.headers.contains_key("x-correlation-id"));
    if got.status >= 400 {
        assert_eq!(got.headers["content-type"], "application/json");
        let error = got.json();
        let keys: Vec<&String> = error.as_object().unwrap().keys().collect();
        assert_eq!(keys, ["detail", "error_code", "message"]);
        assert_ne!(error["message"], "");
    }
    got
}

fn request(path: &str, headers: &[(&str, &str)]) -> Request {
    let builder = Request::builder().uri(path);
    headers
        .iter()
        .fold(builder, |builder, (name, value)| builder.header(*name, *value))
        .body(Body::empty())
        .unwrap()
}

async fn get(app: &impl TestApp, path: &str) -> ReceivedResponse {
    send(app, request(path, &[])).await
}

/// Makes the read API of an instance whose store is not open yet.
fn without_store() -> ReadApi {
    read_api(ReaderSource::default(), Status::new(1), Access::open(), Readiness::default())
}

fn with_keys(toml: &str) -> Access {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), toml).unwrap();
    Access::with_keys(ApiKeys::from_file(file.path()).unwrap())
}

#[tokio::test]
async fn before_the_store_is_open_reads_get_a_time_to_come_back() {
    for path in ["/optimizations/opt-1", "/optimizations"] {
        let got = get(&without_store(), path).await;
        assert_eq!((got.status, &got.json()["error_code"]), (NO_STORE, &json!("SERVICE_UNAVAILABLE")));
        assert_eq!(got.headers["retry-after"], "5");
    }
}

#[tokio::test]
async fn what_cannot_be_there_is_a_404() {
    for path in
        ["/pages", "/optimizations/", "/optimizations/%FF", "/optimization/a", "/status", "/metrics", "/users"]
    {
        let got = get(&without_store(), path).await;
        assert_eq!((got.status, &got.json()["error_code"]), (404, &json!("NOT_FOUND")), "{path}");
    }
}

#[tokio::test]
async fn what_stands_after_an_id_is_a_resource_below_it_or_nothing() {
    for path in ["/optimizations/a/b", "/optimizations/a/", "/optimizations//", "/optimizations/a/events/b"] {
        let got = get(&without_store(), path).await;
        assert_eq!(got.status, 404, "{path}");
        assert_eq!(got.json()["message"], "there is nothing at this path: check the address", "{path}");
    }
    for path in
        ["/optimizations/a%2Fb", "/optimizations/%65vents", "/optimizations/events", "/optimizations/a/events"]
    {
        assert_eq!(get(&without_store(), path).await.status, NO_STORE, "{path}");
    }
}

#[tokio::test]
async fn a_method_that_writes_is_a_405_on_a_resource_and_a_404_elsewhere() {
    for (path, expected) in [
        ("/optimizations/a", 405),
        ("/optimizations", 405),
        ("/users/me", 405),
        ("/healthz", 405),
        ("/readyz", 405),
        ("/elsewhere", 404),
    ] {
        let mut request = request(path, &[]);
        *request.method_mut() = Method::POST;
        let got = send(&without_store(), request).await;
        assert_eq!(got.status, expected, "{path}");
        assert_eq!(got.headers.contains_key("allow"), expected == 405);
    }
}

#[tokio::test]
async fn a_list_with_mistakes_names_them_all() {
    let got = get(&without_store(), "/optimizations?limit=0&offset=x&status=done").await;
    assert_eq!(got.status, 422);
    let error = got.json();
    assert_eq!(error["error_code"], "VALIDATION_ERROR");
    assert_eq!(
        error["detail"][1],
        json!({
            "loc": ["query", "limit"],
            "msg": "Input should be greater than or equal to 1",
            "type": "greater_than_equal",
        })
    );
    assert_eq!(error["detail"].as_array().unwrap().len(), 3);
}

/// An address of 64 kB has room for thousands of parameters, each of which may be wrong.
#[tokio::test]
async fn an_answer_to_thousands_of_mistakes_is_not_many_times_as_long() {
    let many = "status=x&".repeat(7_000);
    let got = get(&without_store(), &format!("/optimizations?{many}")).await;
    assert_eq!((got.status, got.json()["detail"].as_array().unwrap().len()), (422, 100));
    assert!(got.body.len() < many.len(), "{}", got.body.len());
}

#[tokio::test]
async fn without_a_key_nothing_is_answered_but_health() {
    let access = with_keys("[[keys]]\nkey = \"k\"\norganizations = [\"org-1\"]\n");
    let router = read_api(ReaderSource::default(), Status::new(1), access, Readiness::default());
    for path in ["/optimizations/a", "/optimizations/", "/optimizations?limit=x", "/users/me"] {
        let got = get(&router, path).await;
        let expected = if path == "/optimizations/" { 404 } else { 401 };
        assert_eq!(got.status, expected, "{path}");
        assert_eq!(got.headers.contains_key("www-authenticate"), expected == 401);
    }
    assert_eq!(get(&router, "/healthz").await.status, 200);
    let known = send(&router, request("/optimizations/a", &[("x-api-key", "k")])).await;
    assert_eq!(known.status, NO_STORE);
}

#[tokio::test]
async fn another_organization_finds_nothing() {
    let access = with_keys("[[keys]]\nkey = \"k\"\norganizations = [\"org-1\"]\n");
    let router = read_api(ReaderSource::default(), Status::new(1), access, Readiness::default());
    let foreign = [("x-api-key", "k"), ("x-organization-id", "org-2")];
    assert_eq!(send(&router, request("/optimizations/a", &foreign)).await.status, 404);
    assert_eq!(send(&router, request("/users/me", &foreign)).await.status, 404);
    let list = send(&router, request("/optimizations", &foreign)).await;
    assert_eq!((list.status, list.json()), (200, json!({"optimizations": [], "total": 0})));
    assert_eq!(list.headers["content-type"], "application/json");
}

#[tokio::test]
async fn a_caller_learns_who_they_are() {
    let access = with_keys(
        "[[keys]]\nkey = \"k\"\norganizations = [\"org-1\", \"org-2\"]\nname = \"ada\"\nemail = \"ada@example.com\"\n",
    );
    let keyed = read_api(ReaderSource::default(), Status::new(1), access, Readiness::default());
    let organization = ("x-organization-id", "org-2");
    let key = ("authorization", "Bearer k");
    let named = json!({"id": "org-2", "name": "org-2"});
    for (router, headers, expected) in [
        (
            &keyed,
            vec![key, organization],
            json!({
                "id": "ada",
                "email": "ada@example.com",
                "authorized_organization": named,
                "organizations": [{"id": "org-1", "name": "org-1"}, named],
            }),
        ),
        (
            &without_store(),
            vec![organization],
            json!({
                "id": "anonymous",
                "email": null,
                "authorized_organization": named,
                "organizations": [named],
            }),
        ),
        (
            &without_store(),
            vec![key],
            json!({"id": "anonymous", "email": null, "authorized_organization": null, "organizations": []}),
        ),
    ] {
        let got = send(router, request("/users/me", &headers)).await;
        assert_eq!((got.status, got.json()), (200, expected));
    }
    let unclear = send(&keyed, request("/users/me", &[key])).await;
    assert_eq!(
        (unclear.status, &unclear.json()["detail"][0]["loc"]),
        (422, &json!(["header", "x-organization-id"]))
    );
}

#[tokio::test]
async fn a_correlation_id_comes_back() {
    for path in ["/healthz", "/optimizations/a", "/elsewhere"] {
        let got = send(&without_store(), request(path, &[("x-correlation-id", "trace-7")])).await;
        assert_eq!(got.headers["x-correlation-id"], "trace-7");
    }
}

#[tokio::test]
async fn health_shows_errors_and_readiness_waits_for_live() {
    let status = Status::new(1);
    status.set_error(Some("wrong credentials".to_owned()));
    let admin = admin_router(
        status.clone(),
        install_metrics(),
        ReaderSource::default(),
        TopicNames::default(),
        Readiness::default(),
    );
    let read = read_api(ReaderSource::default(), status.clone(), Access::open(), Readiness::default());
    let alive = get(&admin, "/healthz").await;
    let since = status.report().last_error_since.expect("an error stands");
    let expected = json!({
        "status": "ok", "state": "starting", "last_error": "wrong credentials", "last_error_since": since
    });
    assert_eq!((alive.status, alive.json()), (200, expected));
    let ready = get(&admin, "/readyz").await;
    assert_eq!((ready.status, &ready.json()["detail"]["last_error"]), (503, &json!("wrong credentials")));
    // Anybody may ask there.
    let alive = get(&read, "/healthz").await;
    assert_eq!((alive.status, alive.json()), (200, json!({"status": "ok", "state": "starting"})));
    let ready = get(&read, "/readyz").await;
    assert_eq!((ready.status, ready.json().to_string().contains("credentials")), (503, false));
    status.set_state(State::Live);
    assert_eq!(get(&admin, "/readyz").await.status, 200);
    assert_eq!(get(&read, "/readyz").await.json()["message"], "the store is not open yet");
}

#[tokio::test]
async fn operators_get_the_report_and_the_metrics() {
    let status = Status::new(4);
    let admin = admin_router(
        status.clone(),
        install_metrics(),
        ReaderSource::default(),
        TopicNames::default(),
        Readiness::default(),
    );
    let report = get(&admin, "/status").await;
    assert_eq!(report.headers["content-type"], "application/json");
    assert_eq!(report.body, serde_json::to_vec(&status.report()).unwrap());
    let metrics = get(&admin, "/metrics").await;
    assert_eq!(metrics.headers["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    let text = String::from_utf8(metrics.body.to_vec()).unwrap();
    assert!(text.contains("\noptview_generation 4\n"), "{text}");
    assert!(text.contains("optview_http_requests_total{route=\"/status\",status=\"200\"}"), "{text}");
}

#[test]
fn keys_that_cannot_be_read_are_an_error() {
    assert!(ApiKeys::from_file(Path::new("no/such/keys.toml")).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_request_gets_an_answer_that_is_meant(
        id in "(?s).{0,20}",
        limit in "(?s).{0,10}",
        organization in "[ -~]{0,10}",
        match_header in "[ -~]{0,20}",
    ) {
        let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let headers = [("x-organization-id", &*organization), ("if-none-match", &*match_header)];
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let by_id = runtime.block_on(send(&without_store(), request(&format!("/optimizations/{}", encoded(&id)), &headers)));
        prop_assert!([404, NO_STORE].contains(&by_id.status));
        let list = format!("/optimizations?limit={}&offset={}", encoded(&limit), encoded(&id));
        let list = runtime.block_on(send(&without_store(), request(&list, &[])));
        prop_assert!([422, NO_STORE].contains(&list.status));
    }
}
