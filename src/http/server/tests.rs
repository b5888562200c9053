use std::net::SocketAddr;
use std::time::Instant;

use std::convert::Infallible;
use std::future::{Ready, ready};

use axum::Router;
use axum::body::Body;
use axum::routing::{MethodRouter, get};
use futures_util::stream;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::*;

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: test\r\n\r\n";

struct Server {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    ended: JoinHandle<DrainOutcome>,
}

impl Server {
    async fn start(app: impl App, limits: ConnectionLimits) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let shutdown = async { stopped.await.unwrap_or(()) };
        Server { address, stop, ended: tokio::spawn(run(listener, app, limits, shutdown)) }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    async fn stop(self) -> DrainOutcome {
        self.stop.send(()).unwrap();
        self.ended.await.unwrap()
    }
}

fn limits() -> ConnectionLimits {
    let long = Duration::from_secs(20);
    ConnectionLimits { connections: 10, answer: long, unread: long, keep_alive: long, drain: long }
}

fn hello() -> Router {
    Router::new().route("/", get(async || "hello"))
}

/// A handler whose answer is held back until it is released, the sender that releases it, and the receiver that reports its call.
fn held() -> (MethodRouter, watch::Sender<bool>, mpsc::Receiver<()>) {
    let (release, released) = watch::channel(false);
    let (entered, enters) = mpsc::channel(1);
    let handler = move || {
        let (mut released, entered) = (released.clone(), entered.clone());
        async move {
            entered.send(()).await.unwrap();
            released.wait_for(|released| *released).await.unwrap();
            "hello"
        }
    };
    (get(handler), release, enters)
}

/// Sends a request and reads its answer, up to the body that all handlers here have.
async fn ask(connection: &mut TcpStream) -> String {
    write(connection, REQUEST).await;
    answer(connection).await
}

async fn answer(connection: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    while !answer.ends_with(b"hello") {
        assert_ne!(read(connection, &mut answer).await.unwrap(), 0, "closed after {answer:?}");
    }
    String::from_utf8(answer).unwrap()
}

/// Waits until the server closes the connection; what it had sent before. A reset is an end, too.
async fn closed(connection: &mut TcpStream) -> Vec<u8> {
    let mut rest = Vec::new();
    while matches!(read(connection, &mut rest).await, Ok(1..)) {}
    rest
}

/// Few enough bytes for the socket to take at once.
async fn write(connection: &TcpStream, bytes: &[u8]) {
    connection.writable().await.unwrap();
    assert_eq!(connection.try_write(bytes).unwrap(), bytes.len());
}

async fn read(connection: &TcpStream, into: &mut Vec<u8>) -> io::Result<usize> {
    let mut buffer = [0; 1024];
    loop {
        connection.readable().await?;
        match connection.try_read(&mut buffer) {
            Ok(count) => {
                into.extend_from_slice(&buffer[..count]);
                return Ok(count);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}

#[tokio::test]
async fn a_connection_serves_one_request_after_another() {
    let server = Server::start(hello(), limits()).await;
    let mut connection = server.connect().await;
    for _ in 0..3 {
        assert!(ask(&mut connection).await.starts_with("HTTP/1.1 200 OK"));
    }
    assert_eq!(server.stop().await, DrainOutcome { finished: 1, cut_off: 0 });
    assert!(closed(&mut connection).await.is_empty());
}

#[tokio::test]
async fn a_request_that_is_under_way_is_answered_before_the_end() {
    let (held, release, mut enters) = held();
    let server = Server::start(Router::new().route("/", held), limits()).await;
    let address = server.address;
    let mut connection = server.connect().await;
    write(&connection, REQUEST).await;
    enters.recv().await.unwrap();
    let drained = tokio::spawn(server.stop());
    // The listener is closed first of all, so from then on the drain is under way.
    while TcpStream::connect(address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    release.send(true).unwrap();
    assert!(answer(&mut connection).await.contains("connection: close"));
    assert_eq!(drained.await.unwrap(), DrainOutcome { finished: 1, cut_off: 0 });
}

#[tokio::test]
async fn a_request_that_never_ends_is_cut_off_at_the_deadline() {
    let (entered, mut enters) = tokio::sync::mpsc::channel(1);
    let endless = move || {
        let entered = entered.clone();
        async move {
            entered.send(()).await.unwrap();
            std::future::pending::<&str>().await
        }
    };
    let drain = Duration::from_millis(50);
    let server =
        Server::start(Router::new().route("/", get(endless)), ConnectionLimits { drain, ..limits() }).await;
    let mut connection = server.connect().await;
    write(&connection, REQUEST).await;
    enters.recv().await.unwrap();
    assert_eq!(server.stop().await, DrainOutcome { finished: 0, cut_off: 1 });
    assert!(closed(&mut connection).await.is_empty());
}

/// Sends a head that trickles in, until the connection is closed.
async fn trickle(connection: &TcpStream) {
    write(connection, b"GET / HTTP/1.1\r\n").await;
    let trickle = async {
        loop {
            tokio::time::sleep(Duration::from_millis(10)).await;
            // Once the server has closed, writing fails, and there is nothing more to do.
            _ = connection.try_write(b"x: y\r\n");
        }
    };
    let mut rest = Vec::new();
    let closed = async { while matches!(read(connection, &mut rest).await, Ok(1..)) {} };
    tokio::select! {
        () = closed => {}
        () = trickle => {}
    }
}

#[tokio::test]
async fn a_head_that_trickles_in_ends_its_connection_also_where_it_is_the_second() {
    let answer = Duration::from_millis(300);
    let server = Server::start(hello(), ConnectionLimits { answer, ..limits() }).await;
    for answered_before in [false, true] {
        let mut connection = server.connect().await;
        if answered_before {
            ask(&mut connection).await;
        }
        let started = Instant::now();
        trickle(&connection).await;
        assert!(started.elapsed() >= answer / 2, "{:?}", started.elapsed());
    }
    assert_eq!(server.stop().await.cut_off, 0);
}

#[tokio::test]
async fn an_idle_connection_is_kept_as_long_as_was_asked_for_and_no_longer() {
    let keep_alive = Duration::from_millis(1500);
    let server = Server::start(hello(), ConnectionLimits { keep_alive, ..limits() }).await;
    let mut connection = server.connect().await;
    // The second answer comes when half of the time since the first is over, which is when a count of the times that
    // were looked at would go wrong.
    ask(&mut connection).await;
    tokio::time::sleep(keep_alive / 2).await;
    ask(&mut connection).await;
    let answered = Instant::now();
    closed(&mut connection).await;
    let kept = answered.elapsed();
    assert!(kept >= keep_alive * 3 / 4 && kept < keep_alive * 3 / 2, "it was kept for {kept:?}");
    assert_eq!(server.stop().await.cut_off, 0);
}

#[tokio::test]
async fn a_client_that_does_not_read_makes_room_for_one_that_does() {
    let app = hello().route("/large", get(async || vec![b' '; 64 << 20]));
    let unread = Duration::from_millis(300);
    let server = Server::start(app, ConnectionLimits { connections: 1, unread, ..limits() }).await;
    let unread = server.connect().await;
    write(&unread, b"GET /large HTTP/1.1\r\nhost: test\r\n\r\n").await;
    let mut next = server.connect().await;
    ask(&mut next).await;
    server.stop().await;
}

#[tokio::test]
async fn a_connection_too_many_closes_the_one_that_was_silent_for_the_longest() {
    let server = Server::start(hello(), ConnectionLimits { connections: 3, ..limits() }).await;
    // One that never asked, one that was answered long ago, and one that was answered last.
    let mut unused = server.connect().await;
    tokio::time::sleep(2 * TICK).await;
    let (mut before, mut last) = (server.connect().await, server.connect().await);
    ask(&mut before).await;
    tokio::time::sleep(2 * TICK).await;
    ask(&mut last).await;
    let mut next = server.connect().await;
    ask(&mut next).await;
    assert!(closed(&mut unused).await.is_empty());
    let mut another = server.connect().await;
    ask(&mut another).await;
    assert!(closed(&mut before).await.is_empty());
    for connection in [&mut last, &mut next, &mut another] {
        ask(connection).await;
    }
    assert_eq!(server.stop().await, DrainOutcome { finished: 3, cut_off: 0 });
}

#[tokio::test]
async fn a_request_that_is_under_way_is_answered_before_its_connection_makes_room() {
    let (held, release, mut enters) = held();
    let app = hello().route("/slow", held);
    let server = Server::start(app, ConnectionLimits { connections: 1, ..limits() }).await;
    let mut first = server.connect().await;
    write(&first, b"GET /slow HTTP/1.1\r\nhost: test\r\n\r\n").await;
    enters.recv().await.unwrap();
    let mut second = server.connect().await;
    write(&second, REQUEST).await;
    let early = timeout(SILENT_BEFORE_CLOSED + 3 * TICK, second.readable()).await;
    assert!(early.is_err(), "a second connection was served beside the only one allowed");
    release.send(true).unwrap();
    assert!(answer(&mut first).await.contains("connection: close"));
    answer(&mut second).await;
    server.stop().await;
}

/// An app whose answers end only when their connection is to end, as streams of events do.
#[derive(Clone, Default)]
struct EndlessApp(ConnectionEnd);

impl App for EndlessApp {
    type Answering = Ready<Result<Response, Infallible>>;

    fn for_connection(&self, _: Option<IpAddr>, end: ConnectionEnd) -> EndlessApp {
        EndlessApp(end)
    }

    fn answer(&self, _: Request<Incoming>) -> Self::Answering {
        let body = stream::unfold((self.0.begin_endless_answer(), false), |(answer, is_sent)| async move {
            if is_sent {
                answer.end_requested().await;
                return None;
            }
            Some((Ok::<_, Infallible>("hello"), (answer, true)))
        });
        ready(Ok(Response::new(Body::from_stream(body))))
    }
}

/// Reads an answer in chunks up to its first.
async fn first_chunk(connection: &mut TcpStream) {
    write(connection, REQUEST).await;
    let mut answer = Vec::new();
    while !answer.ends_with(b"hello\r\n") {
        assert_ne!(read(connection, &mut answer).await.unwrap(), 0, "closed after {answer:?}");
    }
}

#[tokio::test]
async fn an_answer_that_never_ends_by_itself_makes_room_and_ends_with_the_server() {
    let server = Server::start(EndlessApp::default(), ConnectionLimits { connections: 1, ..limits() }).await;
    let mut first = server.connect().await;
    first_chunk(&mut first).await;
    let mut second = server.connect().await;
    first_chunk(&mut second).await;
    assert!(closed(&mut first).await.ends_with(b"0\r\n\r\n"), "it ends as a whole answer");
    assert_eq!(server.stop().await, DrainOutcome { finished: 1, cut_off: 0 });
    assert!(closed(&mut second).await.ends_with(b"0\r\n\r\n"));
}

#[tokio::test]
async fn an_answer_that_never_ends_by_itself_outlasts_the_time_between_two_requests() {
    let keep_alive = Duration::from_millis(300);
    let server = Server::start(EndlessApp::default(), ConnectionLimits { keep_alive, ..limits() }).await;
    let mut connection = server.connect().await;
    first_chunk(&mut connection).await;
    tokio::time::sleep(keep_alive * 4).await;
    assert_eq!(server.stop().await, DrainOutcome { finished: 1, cut_off: 0 });
    assert!(closed(&mut connection).await.ends_with(b"0\r\n\r\n"), "it ends as a whole answer");
}
