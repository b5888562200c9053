//! Optimizations that are renamed again and again by a count that only grows, so that any reader notices a view
//! that goes back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use optview::domain::Topic;
use optview::source::kafka::KafkaSettings;
use serde_json::{Value, json};
use ureq::Agent;

use crate::sampler::Sampler;
use crate::support::{self, Sender, Topics};

const MARKERS: usize = 8;
const READ_EVERY: Duration = Duration::from_millis(2);
const RENAMED_EVERY: Duration = Duration::from_millis(20);
/// Maximum age of a view.
const SHOWN_WITHIN: Duration = Duration::from_secs(30);

#[derive(Clone)]
pub struct Markers {
    settings: KafkaSettings,
    ids: Vec<String>,
    /// True while every read must succeed. Otherwise reads may fail, and views may be older than before.
    is_serving: Arc<AtomicBool>,
}

impl Markers {
    /// Puts the markers on the topics.
    pub fn new(topics: &Topics) -> Markers {
        let run = std::process::id();
        let markers = Markers {
            settings: topics.settings.clone(),
            ids: (0..MARKERS).map(|number| format!("marker-{run}-{number}")).collect(),
            is_serving: Arc::new(AtomicBool::new(true)),
        };
        let sender = Sender::new(&markers.settings);
        for id in &markers.ids {
            let created =
                json!({"organizationId": "org-1", "projectId": "prj-1", "name": "0", "kind": "optimize"});
            sender.send(Topic::Optimizations, id, &event(id, 0, "created", created));
        }
        markers
    }

    /// Requires, or no longer requires, that every read is answered and shows no older view than before.
    pub fn set_serving(&self, is_serving: bool) {
        self.is_serving.store(is_serving, Ordering::SeqCst);
    }

    fn is_serving(&self) -> bool {
        self.is_serving.load(Ordering::SeqCst)
    }

    /// Reads the markers in turn, once all are visible. Samples the duration of each read. Every read must return
    /// 200, and no view may go back.
    pub fn watch(&self, address: &str) -> Sampler {
        let (markers, reading) = (self.clone(), MarkerReader::new(address));
        while !markers.ids.iter().all(|id| reading.count(id).is_ok()) {
            std::thread::sleep(Duration::from_millis(1));
        }
        let (mut seen, mut turn) = ([0; MARKERS], 0);
        Sampler::start(READ_EVERY, move || {
            turn = (turn + 1) % MARKERS;
            let must_be_right = markers.is_serving();
            let begin = Instant::now();
            let read = reading.count(&markers.ids[turn]);
            let took = begin.elapsed();
            if !must_be_right || (read.is_err() && !markers.is_serving()) {
                return None;
            }
            let count = read.unwrap_or_else(|error| panic!("a read failed: {error}"));
            assert!(count >= seen[turn], "a view went back: {count} is shown, and {} was", seen[turn]);
            seen[turn] = count;
            Some(millis(took))
        })
    }

    /// Renames the markers in turn. Samples the time from the broker's acknowledgement of a name to the first read
    /// that shows it.
    pub fn rename(&self, address: &str) -> Sampler {
        let (markers, reading, sender) = (self.clone(), MarkerReader::new(address), Sender::new(&self.settings));
        let mut count = 0;
        Sampler::start(RENAMED_EVERY, move || {
            count += 1;
            let id = &markers.ids[usize::try_from(count).expect("a count") % MARKERS];
            let name = json!({"name": count.to_string()});
            let acknowledged = sender.send(Topic::Optimizations, id, &event(id, count, "detailsChanged", name));
            while markers.is_serving() {
                if reading.count(id).is_ok_and(|shown| shown >= count) {
                    return Some(millis(acknowledged.elapsed()));
                }
                assert!(acknowledged.elapsed() < SHOWN_WITHIN, "a name is never shown");
                std::thread::sleep(Duration::from_millis(1));
            }
            None
        })
    }
}

/// Reads the yardstick in the same way as [`Markers::watch`].
pub fn watch_bare() -> Sampler {
    let reading = MarkerReader::new(&support::bare::address());
    Sampler::start(READ_EVERY, move || {
        let begin = Instant::now();
        reading.count("bare").expect("the yardstick answers");
        Some(millis(begin.elapsed()))
    })
}

/// Returns a body like the answer to a read of a marker.
pub fn view() -> String {
    json!({"id": "bare", "name": "0", "project_id": "prj-1", "organization_id": "org-1"}).to_string()
}

/// A reader of markers over one connection.
struct MarkerReader {
    agent: Agent,
    address: String,
}

impl MarkerReader {
    fn new(address: &str) -> MarkerReader {
        let agent = Agent::config_builder().timeout_global(Some(Duration::from_secs(10))).build().new_agent();
        MarkerReader { agent, address: address.to_owned() }
    }

    /// Returns the count that is a marker's name.
    fn count(&self, id: &str) -> Result<u64, ureq::Error> {
        let url = format!("http://{}/optimizations/{id}", self.address);
        let view: Value = self.agent.get(&url).call()?.body_mut().read_json()?;
        Ok(view["name"].as_str().and_then(|name| name.parse().ok()).expect("a marker's name is a count"))
    }
}

fn event(id: &str, count: u64, what: &str, of_it: Value) -> Vec<u8> {
    let sequence = count + 1;
    let metadata = json!({
        "eventId": format!("{id}-{sequence}"), "occurredAt": "2026-03-01T09:00:00Z", "sequence": sequence,
    });
    json!({"optimizationId": id, "metadata": metadata, what: of_it}).to_string().into_bytes()
}

fn millis(took: Duration) -> f64 {
    took.as_secs_f64() * 1000.0
}
