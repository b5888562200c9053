//! One optimization that is renamed all the time, by a count that only grows: whoever reads it sees a view go back.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use optview::source::kafka::producer::Producer;
use serde_json::Value;

use crate::cluster::put;
use crate::events::{created, renamed};
use crate::rig::Rig;
use crate::server::Server;

const ID: &str = "marker";
/// 200 a second.
const EVERY: Duration = Duration::from_millis(5);

pub struct Marker<'r> {
    rig: &'r Rig,
    stop: AtomicBool,
    sent: AtomicU64,
}

/// The answers that a client got which asked all the time.
#[derive(Debug, Default)]
pub struct AnswerLog {
    pub answers: u64,
    /// Between two answers.
    pub longest_gap: Duration,
    /// Between two answers that are not the same.
    pub longest_standstill: Duration,
}

impl<'r> Marker<'r> {
    pub fn new(rig: &'r Rig) -> Marker<'r> {
        put(rig, &[created(ID)]);
        Marker { rig, stop: AtomicBool::new(false), sent: AtomicU64::new(0) }
    }

    /// Renames the optimization until `stop`. Returns the last count.
    pub fn flow(&self) -> u64 {
        let mut producer = Producer::new(&self.rig.settings).expect("a producer");
        while !self.stop.load(Ordering::Relaxed) {
            let count = self.sent.fetch_add(1, Ordering::Relaxed) + 1;
            let record = renamed(ID, &count.to_string(), count + 1);
            producer.send(record.topic, ID, record.value.as_deref()).expect("a record that is taken");
            producer.poll(Duration::ZERO).expect("records that are delivered");
            sleep(EVERY);
        }
        producer.finish().expect("records that are delivered");
        self.sent.load(Ordering::Relaxed)
    }

    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Stops it when it goes: where a test fails, its threads are to end.
    pub fn stop_at_end(&self) -> StopAtEnd<'_> {
        StopAtEnd(&self.stop)
    }

    /// Reads the optimization until `stop`. Every answer must be there, and none older than the one before.
    pub fn watch(&self, address: &str) -> AnswerLog {
        let agent = ureq::Agent::new_with_defaults();
        let url = format!("http://{address}/optimizations/{ID}");
        let (mut watched, mut last, mut answered, mut changed) =
            (AnswerLog::default(), 0, Instant::now(), Instant::now());
        while !self.stop.load(Ordering::Relaxed) {
            let mut answer = agent.get(&url).call().expect("an answer, and 200");
            let view: Value = answer.body_mut().read_json().expect("a view");
            let count = count_of(&view);
            assert!(count >= last, "{count} after {last}");
            watched.answers += 1;
            watched.longest_gap = watched.longest_gap.max(answered.elapsed());
            answered = Instant::now();
            if count > last {
                // Before the first, nothing may have been sent.
                if last > 0 {
                    watched.longest_standstill = watched.longest_standstill.max(changed.elapsed());
                }
                (last, changed) = (count, answered);
            }
            sleep(Duration::from_millis(1));
        }
        watched
    }

    pub fn shown_by(&self, server: &Server) -> u64 {
        count_of(&server.get(&format!("/optimizations/{ID}")).body)
    }
}

/// The optimization was created under another name.
fn count_of(view: &Value) -> u64 {
    view["name"].as_str().unwrap_or_else(|| panic!("a name: {view}")).parse().unwrap_or(0)
}

pub struct StopAtEnd<'m>(&'m AtomicBool);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
