//! Clients that read views by id over connections that stay open: as fast as they are answered, or at a rate.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use memchr::memmem;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::MissedTickBehavior;

/// Clients that read until they are finished or dropped. Every answer must be what is expected of it.
pub struct Clients {
    begin: Instant,
    stop: Arc<AtomicBool>,
    answers: Arc<AtomicU64>,
    thread: JoinHandle<()>,
}

impl Clients {
    /// Starts clients that read views by id. `per_second` is the rate of all of them together.
    pub fn start(address: &str, ids: &[String], connections: usize, per_second: Option<f64>) -> Clients {
        let requests: Vec<ReadRequest> = ids.iter().map(|id| ReadRequest::new(id, &[])).collect();
        Clients::of_requests(address, &requests, connections, per_second)
    }

    /// Starts clients that send these requests over and over. Each connection gets its share of them.
    pub fn of_requests(
        address: &str,
        requests: &[ReadRequest],
        connections: usize,
        per_second: Option<f64>,
    ) -> Clients {
        let (stop, answers) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let every = per_second.map(|rate| Duration::from_secs_f64(connections as f64 / rate));
        let shares: Vec<Vec<ReadRequest>> =
            (0..connections).map(|at| requests.iter().skip(at).step_by(connections).cloned().collect()).collect();
        let (address, stopped, answered) = (address.to_owned(), stop.clone(), answers.clone());
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let connections: Vec<_> = shares
                    .into_iter()
                    .map(|requests| {
                        tokio::spawn(ask(address.clone(), requests, every, stopped.clone(), answered.clone()))
                    })
                    .collect();
                for connection in connections {
                    connection.await.expect("a connection that is answered");
                }
            });
        });
        Clients { begin: Instant::now(), stop, answers, thread }
    }

    /// Ends the clients. Returns the rate of answered requests per second.
    pub fn finish(self) -> f64 {
        let per_second = self.answers.load(Ordering::Relaxed) as f64 / self.begin.elapsed().as_secs_f64();
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("clients that all are answered");
        per_second
    }
}

/// A request of a read by id, and the beginning of its answer.
#[derive(Clone)]
pub struct ReadRequest {
    bytes: Vec<u8>,
    answer: &'static [u8],
}

impl ReadRequest {
    /// Makes a request that is answered with the view.
    pub fn new(id: &str, headers: &[(&str, &str)]) -> ReadRequest {
        let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let bytes = format!("GET /optimizations/{id} HTTP/1.1\r\nhost: localhost\r\n{headers}\r\n").into_bytes();
        ReadRequest { bytes, answer: b"HTTP/1.1 200" }
    }

    /// Makes the request of a client that has the view already.
    pub fn of_known_view(id: &str, etag: &str) -> ReadRequest {
        ReadRequest { answer: b"HTTP/1.1 304", ..ReadRequest::new(id, &[("if-none-match", etag)]) }
    }
}

async fn ask(
    address: String,
    requests: Vec<ReadRequest>,
    every: Option<Duration>,
    stop: Arc<AtomicBool>,
    answers: Arc<AtomicU64>,
) {
    let mut stream = tokio::net::TcpStream::connect(address).await.expect("it listens");
    stream.set_nodelay(true).expect("a socket option");
    let mut pace = every.map(tokio::time::interval);
    if let Some(pace) = &mut pace {
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    }
    let mut buffer = vec![0; 64 << 10];
    for ReadRequest { bytes, answer } in requests.iter().cycle() {
        if let Some(pace) = &mut pace {
            pace.tick().await;
        }
        if stop.load(Ordering::Relaxed) {
            return;
        }
        stream.write_all(bytes).await.expect("it takes requests");
        let mut held = 0;
        loop {
            let read = stream.read(&mut buffer[held..]).await.expect("it answers");
            assert!(read > 0, "it keeps the connection");
            held += read;
            if is_whole(&buffer[..held]) {
                break;
            }
        }
        let answered = &buffer[..held];
        assert!(answered.starts_with(answer), "{}", String::from_utf8_lossy(answered));
        answers.fetch_add(1, Ordering::Relaxed);
    }
}

fn is_whole(response: &[u8]) -> bool {
    const LENGTH: &[u8] = b"content-length: ";
    let Some(head) = memmem::find(response, b"\r\n\r\n") else { return false };
    // A 304 has no body, and no length.
    let Some(at) = memmem::find(&response[..head], LENGTH) else { return true };
    let digits = response[at + LENGTH.len()..].iter().take_while(|byte| byte.is_ascii_digit());
    let len = digits.fold(0, |len, digit| 10 * len + usize::from(digit - b'0'));
    response.len() >= head + 4 + len
}
