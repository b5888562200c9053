//! The load beside a rebuild: none, traffic and reads at a rate, or readers that use all capacity.

use std::io::Write;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use tempfile::NamedTempFile;

use crate::support::keep_alive::Clients;
use crate::support::{KilledChild, Serve, Topics};

const CONNECTIONS: usize = 32;
const READS_PER_SECOND: f64 = 300.0;

#[derive(Clone, Copy, PartialEq)]
pub enum Load {
    Nothing,
    /// Events and reads, both at a rate.
    Paced,
    /// Events at a rate, and as many reads as are answered.
    Saturating,
}

/// A load that continues until it is finished.
pub struct BackgroundLoad {
    _traffic: Option<KilledChild>,
    readers: Option<Readers>,
}

enum Readers {
    Ours(Clients),
    Wrk(Child, NamedTempFile),
}

impl Load {
    pub fn name(self) -> &'static str {
        match self {
            Load::Nothing => "nothing",
            Load::Paced => "paced",
            Load::Saturating => "saturating",
        }
    }

    pub fn start(self, topics: &Topics, serve: &Serve, ids: &[String], events_per_second: &str) -> BackgroundLoad {
        let readers = match self {
            Load::Nothing => None,
            Load::Paced => {
                Some(Readers::Ours(Clients::start(&serve.address(), ids, CONNECTIONS, Some(READS_PER_SECOND))))
            }
            Load::Saturating => Some(
                start_wrk(serve, ids)
                    .unwrap_or_else(|| Readers::Ours(Clients::start(&serve.address(), ids, CONNECTIONS, None))),
            ),
        };
        BackgroundLoad { _traffic: (self != Load::Nothing).then(|| topics.traffic(events_per_second)), readers }
    }
}

impl BackgroundLoad {
    /// Ends the load, and returns the readers' report. Each of their reads must have been answered by 200.
    pub fn finish(self) -> Value {
        match self.readers {
            None => Value::Null,
            Some(Readers::Ours(clients)) => json!({"client": "own", "per_second": clients.finish().round()}),
            Some(Readers::Wrk(wrk, _script)) => finish_wrk(wrk),
        }
    }
}

/// Starts wrk; `None` if it is not installed.
fn start_wrk(serve: &Serve, ids: &[String]) -> Option<Readers> {
    let mut script = NamedTempFile::new().expect("a temporary file");
    let list = serde_json::to_string(ids).expect("JSON").replace(['[', ']'], "");
    let request = "return wrk.format(nil, '/optimizations/' .. ids[math.random(#ids)])";
    write!(script, "local ids = {{{list}}}\nrequest = function() {request} end\n").expect("a script");
    let wrk = Command::new("wrk")
        .args(["--threads", "2", "--duration", "1h", "--latency", "--connections", &CONNECTIONS.to_string()])
        .arg("--script")
        .arg(script.path())
        .arg(serve.url("/"))
        .stdout(Stdio::piped())
        .spawn();
    wrk.ok().map(|wrk| Readers::Wrk(wrk, script))
}

/// Interrupts wrk as its user would, so that it prints its report.
fn finish_wrk(wrk: Child) -> Value {
    let interrupted = Command::new("bash").args(["-c", &format!("kill -INT {}", wrk.id())]).status();
    assert!(interrupted.expect("bash").success());
    let report = wrk.wait_with_output().expect("wrk ends").stdout;
    let report = String::from_utf8(report).expect("text");
    let of = |name| report.lines().find_map(|line: &str| line.trim().strip_prefix(name)).map(str::trim);
    let (failed, broken) = (of("Non-2xx or 3xx responses:"), of("Socket errors:"));
    assert!(failed.is_none() && broken.is_none(), "every read is answered: {report}");
    json!({"client": "wrk", "per_second": of("Requests/sec:"), "p50": of("50%"), "p99": of("99%")})
}
