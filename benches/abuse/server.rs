//! A `serve` that is observed from outside while it is abused.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use optview::domain::Topic;
use optview::source::kafka::KafkaSettings;
use parking_lot::Mutex;

use crate::events::usual_ids;
use crate::support::{KilledChild, json, percentile};

/// Interval of the observations and of the reads.
const SAMPLE_EVERY: Duration = Duration::from_millis(50);
const READ_EVERY: Duration = Duration::from_millis(10);

/// Duration after which a read by id counts as failed.
const READ_WITHIN: Duration = Duration::from_secs(10);

/// The way in which a `serve` is started.
pub struct ServerStart {
    pub command: Command,
    pub directory: tempfile::TempDir,
    pub read: String,
    pub admin: String,
    /// True if the log goes to a pipe that nobody reads.
    pub nobody_reads_log: bool,
}

impl ServerStart {
    pub fn new(binary: &Path, settings: &KafkaSettings) -> ServerStart {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let [read, admin] = [free_address(), free_address()];
        // A shell in between can lower the limits of the process.
        let mut command = Command::new("bash");
        command.args(["-c", "${LIMITS:-:}; exec \"$@\"", "bash"]).arg(binary).arg("serve");
        command.args(["--brokers", &settings.brokers, "--listen", &read, "--admin-listen", &admin]);
        for (option, topic) in
            ["--topic-optimizations", "--topic-jobs", "--topic-multistart-runs"].iter().zip(Topic::ALL)
        {
            command.args([option, settings.topics.get(topic)]);
        }
        command.arg("--data-dir").arg(directory.path().join("data"));
        // No abuse is to be cut short.
        command.args(["--dead-letter-limit", "10000000"]);
        ServerStart { command, directory, read, admin, nobody_reads_log: false }
    }
}

fn free_address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
    listener.local_addr().expect("it is bound").to_string()
}

/// The maxima so far.
pub struct Peak {
    pub mib: u64,
    pub descriptors: u64,
}

pub struct Server {
    process: Mutex<KilledChild>,
    pub directory: tempfile::TempDir,
    pub read: String,
    admin: String,
    stop: Arc<AtomicBool>,
    descriptors: Arc<AtomicU64>,
    /// Durations of the reads in milliseconds; infinite for failed ones.
    reads: Arc<Mutex<Vec<f64>>>,
    threads: Vec<JoinHandle<()>>,
}

impl Server {
    pub fn start(start: ServerStart) -> Server {
        let ServerStart { mut command, directory, read, admin, nobody_reads_log } = start;
        let log = File::create(directory.path().join("serve.log")).expect("the directory is there");
        command.stdin(Stdio::null()).stdout(Stdio::null());
        command.stderr(if nobody_reads_log { Stdio::piped() } else { log.into() });
        let process = KilledChild(command.spawn().expect("serve starts"));
        let id = process.0.id();
        let (stop, descriptors) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let counting = {
            let (stop, descriptors) = (stop.clone(), descriptors.clone());
            std::thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let open = fs::read_dir(format!("/proc/{id}/fd")).map_or(0, |open| open.count() as u64);
                    descriptors.fetch_max(open, Ordering::Relaxed);
                    std::thread::sleep(SAMPLE_EVERY);
                }
            })
        };
        let process = Mutex::new(process);
        let reads = Arc::default();
        Server { process, directory, read, admin, stop, descriptors, reads, threads: vec![counting] }
    }

    /// Waits until the server is live, at most for `limit`. Returns true if it is; from then on, views are read by
    /// id.
    pub fn is_live_within(&self, limit: Duration) -> bool {
        let begin = Instant::now();
        while begin.elapsed() < limit && self.is_running() {
            if self.status().is_some_and(|status| status["state"] == "live") {
                return true;
            }
            std::thread::sleep(SAMPLE_EVERY);
        }
        false
    }

    pub fn status(&self) -> Option<serde_json::Value> {
        json(&format!("http://{}/status", self.admin))
    }

    pub fn is_running(&self) -> bool {
        self.process.lock().0.try_wait().expect("a child").is_none()
    }

    /// Reads views by id as a usual client does, while `during` runs.
    pub fn beside_reads<T>(&self, during: impl FnOnce() -> T) -> T {
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let agent = agent();
                for id in usual_ids().iter().cycle().take_while(|_| !over.load(Ordering::Relaxed)) {
                    let begin = Instant::now();
                    let is_answered = agent
                        .get(format!("http://{}/optimizations/{id}", self.read))
                        .call()
                        .is_ok_and(|mut answer| answer.body_mut().read_to_string().is_ok());
                    let millis = begin.elapsed().as_secs_f64() * 1000.0;
                    self.reads.lock().push(if is_answered { millis } else { f64::INFINITY });
                    std::thread::sleep(READ_EVERY);
                }
            });
            let done = during();
            over.store(true, Ordering::Relaxed);
            done
        })
    }

    pub fn reads(&self) -> String {
        let mut reads = self.reads.lock().clone();
        if reads.is_empty() {
            return "none".to_owned();
        }
        reads.sort_by(f64::total_cmp);
        let [half, most, longest] = [50.0, 99.0, 100.0].map(|hundredths| percentile(&reads, hundredths));
        format!("{half:.1} / {most:.1} / {longest:.1}")
    }

    /// Sends a request and returns the connection, from which nothing is read.
    pub fn ask(&self, path: &str) -> Option<TcpStream> {
        let mut stream = TcpStream::connect(&self.read).ok()?;
        stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n").as_bytes()).ok()?;
        Some(stream)
    }

    /// Returns the status of an answer and its size in bytes. What `ask` asks for is another caller's: it names no organization.
    pub fn read_all(&self, path: &str) -> (u16, u64) {
        let request = agent().get(format!("http://{}{path}", self.read)).header("x-organization-id", "org-1");
        let Ok(mut answer) = request.call() else { return (0, 0) };
        let status = answer.status().as_u16();
        let bytes = std::io::copy(&mut answer.body_mut().as_reader(), &mut std::io::sink());
        (status, bytes.unwrap_or(0))
    }

    fn proc_mib(&self, name: &str) -> u64 {
        let path = PathBuf::from(format!("/proc/{}/status", self.process.lock().0.id()));
        let status = fs::read_to_string(path).unwrap_or_default();
        let value = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or("0 kB");
        value.trim().trim_end_matches(" kB").parse::<u64>().expect("in kB") >> 10
    }

    pub fn rss_mib(&self) -> u64 {
        self.proc_mib("VmRSS:")
    }

    pub fn peak(&self) -> Peak {
        Peak { mib: self.proc_mib("VmHWM:"), descriptors: self.descriptors.load(Ordering::Relaxed) }
    }

    /// Returns true if the operators' address answers.
    pub fn admin_answers(&self) -> bool {
        let mut answer = String::new();
        let Ok(mut stream) = TcpStream::connect(&self.admin) else { return false };
        stream.set_read_timeout(Some(Duration::from_secs(5))).expect("a socket option");
        let asked = stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
        asked.is_ok() && stream.read_to_string(&mut answer).is_ok() && answer.starts_with("HTTP/1.1 200")
    }
}

fn agent() -> ureq::Agent {
    let config = ureq::Agent::config_builder().timeout_global(Some(READ_WITHIN)).http_status_as_error(false);
    config.build().new_agent()
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.threads.drain(..).for_each(|thread| thread.join().expect("it only counts"));
    }
}
