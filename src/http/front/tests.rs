//! Whole answers, as a page, a tracer and a reader of the log see them.

use std::io;
use std::sync::Mutex;
use std::time::Duration;

use axum::body::Body;
use axum::http::Method;
use serde_json::Value;
use tower::ServiceExt as _;

use super::*;
use crate::credentials::{ReloadedFile, keys};
use crate::http::{ReadApi, Readiness, read_api};
use crate::live_views::ReaderSource;
use crate::logging::{AccessLogFormat, LogQueue};
use crate::origins::OriginPattern;
use crate::status::Status;

const PAGE: (&str, &str) = ("origin", "https://app.example.com");
const KEY: (&str, &str) = ("x-api-key", "one");

fn access() -> Access {
    Access::checked(Some(ReloadedFile::fixed(keys(&[("one", &["org-1"])]))), None)
}

/// A front before the read API of an instance without a store.
fn front(settings: FrontSettings) -> Front<ReadApi> {
    let api = read_api(ReaderSource::default(), Status::new(1), access(), Readiness::default());
    Front::new(api, settings)
}

fn for_pages() -> FrontSettings {
    let pattern = OriginPattern::parse(PAGE.1).unwrap();
    FrontSettings { cross_origin: CrossOrigin::new(vec![pattern]), access_log: None }
}

async fn send(front: &Front<ReadApi>, method: Method, path: &str, headers: &[(&str, &str)]) -> Response {
    let builder = axum::http::Request::builder().method(method).uri(path);
    let builder = headers.iter().fold(builder, |builder, (name, value)| builder.header(*name, *value));
    let Ok(response) = front.clone().oneshot(builder.body(Body::empty()).unwrap()).await;
    response
}

/// A place for lines that a queue writes.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Returns the settings of a front with a log, and a function that returns the lines so far.
fn logged(format: AccessLogFormat) -> (FrontSettings, impl Fn() -> Vec<String>) {
    let lines = Lines::default();
    let queue = LogQueue::start_with("test", lines.clone()).unwrap();
    let log = AccessLog { format, queue: queue.clone() };
    let settings = FrontSettings { cross_origin: None, access_log: Some((log, access())) };
    (settings, move || {
        queue.flush(Duration::from_secs(60));
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        text.lines().map(str::to_owned).collect()
    })
}

#[tokio::test]
async fn a_page_reads_errors_too_and_every_preflight_is_granted_without_a_key() {
    let front = front(for_pages());
    for (path, status) in [
        ("/optimizations/a", 401),
        ("/optimizations", 401),
        ("/elsewhere", 404),
        ("/readyz", 503),
        ("/healthz", 200),
    ] {
        let answer = send(&front, Method::GET, path, &[PAGE]).await;
        assert_eq!(answer.status().as_u16(), status, "{path}");
        assert_eq!(answer.headers()["access-control-allow-origin"], PAGE.1, "{path}");
        let exposed = answer.headers()["access-control-expose-headers"].to_str().unwrap();
        assert!(exposed.contains("x-optview-state") && exposed.contains("x-correlation-id"), "{exposed}");
        let asked =
            [PAGE, ("access-control-request-method", "GET"), ("access-control-request-headers", "x-api-key")];
        let preflight = send(&front, Method::OPTIONS, path, &asked).await;
        assert_eq!(preflight.status().as_u16(), 204, "{path}");
        assert_eq!(preflight.headers()["access-control-allow-headers"], "x-api-key");
        assert!(preflight.headers().contains_key("x-correlation-id"), "{path}");
    }
    let other = send(&front, Method::GET, "/healthz", &[("origin", "https://evil.example")]).await;
    assert_eq!((other.status().as_u16(), other.headers().get("access-control-allow-origin")), (200, None));
    let plain = send(&front, Method::GET, "/healthz", &[]).await;
    assert_eq!(plain.headers()["vary"], "origin");
}

#[tokio::test]
async fn without_settings_an_answer_is_the_same_as_without_a_front() {
    let front = front(FrontSettings::default());
    let answer = send(&front, Method::GET, "/healthz", &[PAGE]).await;
    let mut names: Vec<&str> = answer.headers().keys().map(|name| name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(
        names,
        ["cache-control", "content-type", "x-correlation-id", "x-optview-lag-seconds", "x-optview-state"]
    );
}

#[tokio::test]
async fn a_request_of_a_trace_is_answered_with_it() {
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let parent = format!("00-{trace}-00f067aa0ba902b7-01");
    let front = front(FrontSettings::default());
    for path in ["/optimizations/a", "/healthz"] {
        let answer = send(&front, Method::GET, path, &[KEY, ("traceparent", &parent)]).await;
        let answered = answer.headers()["traceparent"].to_str().unwrap();
        assert!(answered.starts_with(&format!("00-{trace}-")) && answered != parent, "{answered}");
        let answer = send(&front, Method::GET, path, &[KEY, ("traceparent", "00-0-0-0")]).await;
        assert_eq!(answer.headers().get("traceparent"), None);
    }
}

#[tokio::test]
async fn each_request_has_one_line_with_its_caller_and_its_answer() {
    let (settings, lines) = logged(AccessLogFormat::Json);
    let front = Front { peer: Some("192.0.2.7".parse().unwrap()), ..front(settings) };
    send(&front, Method::GET, "/optimizations/a?x=1", &[KEY, ("x-correlation-id", "c-7")]).await;
    send(&front, Method::GET, "/optimizations", &[]).await;
    let lines: Vec<Value> = lines().iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 2);
    let field = |name: &str| lines.iter().map(|line| line[name].clone()).collect::<Vec<_>>();
    assert_eq!(field("status"), [503, 401]);
    assert_eq!(field("path"), ["/optimizations/a?x=1", "/optimizations"]);
    assert_eq!(field("caller"), [Value::from("key-7692c3ad3540bb80"), Value::Null]);
    assert_eq!(field("remote"), ["192.0.2.7", "192.0.2.7"]);
    assert_eq!(lines[0]["correlation_id"], "c-7");
}

#[tokio::test]
async fn a_common_line_ends_with_the_status_and_the_bytes() {
    let (settings, lines) = logged(AccessLogFormat::Common);
    send(&front(settings), Method::HEAD, "/healthz", &[KEY]).await;
    let lines = lines();
    assert!(
        lines[0].starts_with("- - key-7692c3ad3540bb80 [")
            && lines[0].ends_with("\"HEAD /healthz HTTP/1.1\" 200 0"),
        "{lines:?}"
    );
}
