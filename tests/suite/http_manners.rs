//! HTTP as clients other than browsers speak it: HEAD and OPTIONS on every route, HTTP/1.0, `Expect: 100-continue`, odd paths.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use optview::http::server::{self, ConnectionLimits};
use optview::http::{Access, Front, FrontSettings, Readiness, admin_router, install_metrics, read_api};
use optview::live_views::ReaderSource;
use optview::source::TopicNames;
use optview::status::{State, Status};
use optview::store::Writer;
use tokio::runtime::Runtime;

use crate::fixtures;

/// A live instance of one optimization, `known`, with its addresses.
struct Instance {
    _directory: tempfile::TempDir,
    _writer: Writer,
    _runtime: Runtime,
    read: SocketAddr,
    admin: SocketAddr,
}

impl Instance {
    fn new() -> Instance {
        let directory = tempfile::tempdir().unwrap();
        let writer = fixtures::open(directory.path()).writer;
        let known = fixtures::optimization("known", 1, "name".to_owned(), String::new());
        writer.commit(fixtures::commit_of(vec![known]), Vec::new(), 1).unwrap();
        fixtures::wait_until_written(&writer, 1);
        let (reader, status) = (ReaderSource::default(), Status::new(1));
        status.set_state(State::Live);
        reader.set(writer.reader(), status.clone());
        let read_api = read_api(reader.clone(), status.clone(), Access::open(), Readiness::default());
        let front = Front::new(read_api, FrontSettings::default());
        let admin = admin_router(status, install_metrics(), reader, TopicNames::default(), Readiness::default());
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().worker_threads(1).build().unwrap();
        let bind = || runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let (read_listener, admin_listener) = (bind(), bind());
        let addresses = (read_listener.local_addr().unwrap(), admin_listener.local_addr().unwrap());
        let limits = ConnectionLimits::default();
        runtime.spawn(server::run(read_listener, front, limits, std::future::pending()));
        runtime.spawn(server::run(admin_listener, admin, limits, std::future::pending()));
        Instance {
            _directory: directory,
            _writer: writer,
            _runtime: runtime,
            read: addresses.0,
            admin: addresses.1,
        }
    }
}

/// An answer as it comes over the wire.
#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (found, value) = line.split_once(": ")?;
            found.eq_ignore_ascii_case(name).then_some(value)
        })
    }
}

/// Sends bytes on a new connection, and reads all that comes until it is closed.
fn exchange(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

fn send(address: SocketAddr, method: &str, target: &str) -> Answer {
    answer(&exchange(
        address,
        &format!("{method} {target} HTTP/1.1\r\nhost: optview\r\nconnection: close\r\n\r\n"),
    ))
}

fn answer(text: &str) -> Answer {
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {text:?}"));
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head: head.to_owned(), body: body.to_owned() }
}

const READ_ROUTES: [&str; 11] = [
    "/",
    "/docs",
    "/openapi.json",
    "/optimizations/known/transitions",
    "/optimizations/known",
    "/optimizations/unknown",
    "/optimizations",
    "/optimizations?limit=1",
    "/users/me",
    "/healthz",
    "/readyz",
];

/// The routes whose answers to GET do not end.
const STREAMS: [&str; 2] = ["/optimizations/events", "/optimizations/known/events"];

const ADMIN_ROUTES: [&str; 5] = ["/status", "/metrics", "/healthz", "/readyz", "/optimizations/known/why"];

#[test]
fn head_is_get_without_a_body_on_every_route() {
    let instance = Instance::new();
    let routes = READ_ROUTES.map(|path| (instance.read, path)).into_iter();
    for (address, path) in routes.chain(ADMIN_ROUTES.map(|path| (instance.admin, path))) {
        let (get, head) = (send(address, "GET", path), send(address, "HEAD", path));
        assert_eq!((head.status, head.body.as_str()), (get.status, ""), "{path}");
        for name in ["content-type", "etag", "cache-control", "retry-after", "x-optview-state"] {
            assert_eq!(head.header(name), get.header(name), "{path} {name}");
        }
        // The status and the metrics change from one request to the next.
        if !["/status", "/metrics"].contains(&path) {
            assert_eq!(head.header("content-length"), get.header("content-length"), "{path}");
            assert_eq!(
                head.header("content-length").map(str::to_owned),
                Some(get.body.len().to_string()),
                "{path}"
            );
        }
    }
    for path in STREAMS {
        let head = send(instance.read, "HEAD", path);
        assert_eq!((head.status, head.body.as_str()), (200, ""), "{path}");
        assert_eq!(head.header("content-type"), Some("text/event-stream"), "{path}");
    }
}

/// A cache on the way may give nobody what another caller got, nor a 404 of something that has come meanwhile.
#[test]
fn every_answer_says_how_long_it_may_be_kept() {
    let instance = Instance::new();
    let routes = READ_ROUTES.into_iter().chain([
        "/elsewhere",
        "/optimizations?limit=0",
        "/projects/p/optimizations/summary",
    ]);
    let routes = routes.map(|path| (instance.read, path)).chain(ADMIN_ROUTES.map(|path| (instance.admin, path)));
    for (address, path) in routes {
        let is_validated =
            ["/", "/docs", "/openapi.json", "/optimizations/known", "/optimizations", "/optimizations?limit=1"];
        let expected = if is_validated.contains(&path) { "no-cache" } else { "no-store" };
        for method in ["GET", "HEAD"] {
            assert_eq!(send(address, method, path).header("cache-control"), Some(expected), "{method} {path}");
        }
        assert_eq!(send(address, "DELETE", path).header("cache-control"), Some("no-store"), "DELETE {path}");
    }
}

/// A parameter that changes nothing would look as if it had worked.
#[test]
fn every_resource_names_the_parameters_that_it_does_not_know() {
    let instance = Instance::new();
    let others =
        ["/projects/p/optimizations/summary", "/optimizations/nope/transitions", "/optimizations/nope/events"];
    for path in READ_ROUTES.into_iter().chain(STREAMS).chain(others) {
        let separator = if path.contains('?') { '&' } else { '?' };
        let head = send(instance.read, "HEAD", &format!("{path}{separator}statuss=failed"));
        assert_eq!(head.header("x-optview-ignored"), Some("statuss"), "{path}: {head:?}");
        assert_eq!(send(instance.read, "HEAD", path).header("x-optview-ignored"), None, "{path}");
    }
    // Nothing of a view is in these, so that they wait for no position.
    for path in ["/users/me", "/healthz", "/docs"] {
        let answer = send(instance.read, "GET", &format!("{path}?after=jobs:0:7"));
        assert_eq!((answer.status, answer.header("x-optview-ignored")), (200, Some("after")), "{path}");
    }
    // The error is of what was waited for, which the list knows as well as all else that is asked for here.
    let late = send(instance.read, "GET", "/optimizations?limit=1&after=jobs:0:7&timeout=0");
    assert_eq!((late.status, late.header("x-optview-ignored")), (504, None));
}

#[test]
fn options_names_the_methods_of_every_route_and_of_the_server() {
    let instance = Instance::new();
    let routes = READ_ROUTES.into_iter().chain(STREAMS).map(|path| (instance.read, path));
    for (address, path) in routes.chain(ADMIN_ROUTES.map(|path| (instance.admin, path))) {
        let options = send(address, "OPTIONS", path);
        assert_eq!((options.status, options.body.as_str()), (204, ""), "{path}: {options:?}");
        let allowed = options.header("allow").unwrap().to_owned();
        for method in ["GET", "HEAD", "OPTIONS"] {
            assert!(allowed.split(", ").any(|one| one == method), "{path}: {allowed}");
        }
        assert!(options.header("x-correlation-id").is_some(), "{path}");
        let refused = send(address, "DELETE", path);
        assert_eq!((refused.status, refused.header("allow")), (405, Some(allowed.as_str())), "{path}");
    }
    for address in [instance.read, instance.admin] {
        assert_eq!(send(address, "OPTIONS", "*").status, 204);
        assert_eq!(send(address, "OPTIONS", "/elsewhere").status, 404);
    }
}

#[test]
fn a_path_that_is_no_resource_is_a_404_with_a_body_that_says_so() {
    let instance = Instance::new();
    for path in [
        "//",
        "///",
        "//optimizations",
        "/optimizations/",
        "/users/me/",
        "/users//me",
        "/healthz/",
        "/./healthz",
        "/projects//optimizations/summary",
        "*",
    ] {
        let found = send(instance.read, "GET", path);
        assert_eq!(found.status, 404, "{path}: {found:?}");
        assert!(found.body.contains("\"error_code\":\"NOT_FOUND\""), "{path}: {found:?}");
    }
    // An id that holds slashes has them encoded.
    assert!(send(instance.read, "GET", "/optimizations//").body.contains("nothing at this path"));
    assert!(send(instance.read, "GET", "/optimizations/%2F").body.contains("no such optimization"));
    // A proxy's form names the whole address.
    assert_eq!(send(instance.read, "GET", "http://optview/optimizations/known").status, 200);
}

#[test]
fn a_client_of_http_1_0_gets_its_answer_and_the_end_of_the_connection() {
    let instance = Instance::new();
    for path in ["/optimizations/known", "/optimizations", "/healthz", "/elsewhere"] {
        let text = exchange(instance.read, &format!("GET {path} HTTP/1.0\r\n\r\n"));
        let found = answer(&text);
        assert!(text.starts_with("HTTP/1.0 "), "{text}");
        assert_eq!(found.header("transfer-encoding"), None, "{path}");
        assert_eq!(found.body, send(instance.read, "GET", path).body, "{path}");
    }
    let kept = exchange(
        instance.read,
        "GET /healthz HTTP/1.0\r\nconnection: keep-alive\r\n\r\nGET /healthz HTTP/1.0\r\n\r\n",
    );
    assert_eq!(kept.matches("HTTP/1.0 200").count(), 2, "{kept}");
}

#[test]
fn a_client_that_expects_to_be_asked_for_a_body_is_answered_without_one() {
    let instance = Instance::new();
    for (method, path, status) in [
        ("GET", "/healthz", 200),
        ("GET", "/optimizations/known", 200),
        ("DELETE", "/optimizations/known", 405),
        ("POST", "/elsewhere", 404),
    ] {
        let text = exchange(
            instance.read,
            &format!(
                "{method} {path} HTTP/1.1\r\nhost: optview\r\nconnection: close\r\ncontent-length: 5\r\nexpect: 100-continue\r\n\r\n"
            ),
        );
        // It need not send what nobody reads.
        assert!(!text.contains(" 100 "), "{text}");
        assert_eq!(answer(&text).status, status, "{method} {path}: {text}");
    }
}

/// A client that is not told sends its next request on a connection that is closed, and loses it.
#[test]
fn an_error_that_leaves_a_body_unread_says_that_the_connection_ends() {
    let instance = Instance::new();
    for (request, status) in [
        ("POST /optimizations/statuses HTTP/1.1\r\nhost: optview\r\ncontent-length: 3000000\r\n\r\n{", 413),
        ("POST /elsewhere HTTP/1.1\r\nhost: optview\r\ncontent-length: 3000000\r\n\r\n{", 404),
        ("POST /elsewhere HTTP/1.1\r\nhost: optview\r\ntransfer-encoding: chunked\r\n\r\n", 404),
        (
            "PUT /optimizations/statuses HTTP/1.1\r\nhost: optview\r\ncontent-length: 5\r\nexpect: 100-continue\r\n\r\n",
            405,
        ),
    ] {
        let refused = answer(&exchange(instance.read, request));
        assert_eq!((refused.status, refused.header("connection")), (status, Some("close")), "{request}");
    }
    // A body that is read leaves the connection as it is, and so does an error without a body.
    let body = r#"{"optimization_ids": []}"#;
    let text = exchange(
        instance.read,
        &format!(
            "POST /optimizations/statuses HTTP/1.1\r\nhost: optview\r\ncontent-length: {}\r\n\r\n{body}\
             GET /elsewhere HTTP/1.1\r\nhost: optview\r\n\r\n\
             GET /healthz HTTP/1.1\r\nhost: optview\r\nconnection: close\r\n\r\n",
            body.len()
        ),
    );
    assert_eq!(text.matches("HTTP/1.1 ").count(), 3, "{text}");
    assert_eq!(text.matches("connection: close").count(), 1, "the last one alone: {text}");
}
