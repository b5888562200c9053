//! Clients that read views by id over connections that stay open: as fast as they are answered, or at a rate.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use memchr::memmem;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::MissedTickBehavior;

/// Clients that read until they are finished or dropped. Every answer must be 200.
pub struct Clients {
    begin: Instant,
    stop: Arc<AtomicBool>,
    answers: Arc<AtomicU64>,
    thread: JoinHandle<()>,
}

impl Clients {
    /// Starts the clients. Each connection gets its share of the ids. `per_second` is the rate of all of them
    /// together.
    pub fn start(address: &str, ids: &[String], connections: usize, per_second: Option<f64>) -> Clients {
        let (stop, answers) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let every = per_second.map(|rate| Duration::from_secs_f64(connections as f64 / rate));
        let shares: Vec<Vec<Vec<u8>>> = (0..connections)
            .map(|at| ids.iter().skip(at).step_by(connections).map(|id| request(id)).collect())
            .collect();
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

fn request(id: &str) -> Vec<u8> {
    format!("GET /optimizations/{id} HTTP/1.1\r\nhost: localhost\r\nx-api-key: k\r\n\r\n").into_bytes()
}

async fn ask(
    address: String,
    requests: Vec<Vec<u8>>,
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
    for request in requests.iter().cycle() {
        if let Some(pace) = &mut pace {
            pace.tick().await;
        }
        if stop.load(Ordering::Relaxed) {
            return;
        }
        stream.write_all(request).await.expect("it takes requests");
        let mut held = 0;
        loop {
            let read = stream.read(&mut buffer[held..]).await.expect("it answers");
            assert!(read > 0, "it keeps the connection");
            held += read;
            if is_whole(&buffer[..held]) {
                break;
            }
        }
        let answer = &buffer[..held];
        assert!(answer.starts_with(b"HTTP/1.1 200"), "every view is there: {}", String::from_utf8_lossy(answer));
        answers.fetch_add(1, Ordering::Relaxed);
    }
}

fn is_whole(response: &[u8]) -> bool {
    const LENGTH: &[u8] = b"content-length: ";
    let Some(head) = memmem::find(response, b"\r\n\r\n") else { return false };
    let Some(at) = memmem::find(&response[..head], LENGTH) else { return false };
    let digits = response[at + LENGTH.len()..].iter().take_while(|byte| byte.is_ascii_digit());
    let len = digits.fold(0, |len, digit| 10 * len + usize::from(digit - b'0'));
    response.len() >= head + 4 + len
}
