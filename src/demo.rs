//! `optview demo`: everything with built-in defaults. It runs an in-process broker, synthetic optimizations, and
//! `serve` itself on a temporary directory that is removed afterwards.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};
use tokio::sync::oneshot;

use crate::codec::{Framing, encode};
use crate::config::{AccessConfig, DemoConfig, OnFormatChange, ProjectionConfig, PublicationConfig, ServeConfig};
use crate::disk::DiskReserve;
use crate::domain::event::{Body, OptimizationChange};
use crate::domain::{Event, Status, Timestamp};
use crate::output::{self, OutputError};
use crate::serve::{self, ListeningServer};
use crate::source::TopicNames;
use crate::source::kafka::KafkaSettings;
use crate::source::kafka::embedded_broker::EmbeddedBroker;
use crate::source::kafka::producer::Producer;
use crate::store::{ListQuery, Reader};
use crate::synthetic::{History, HistorySettings};

/// Interval of the lines about changes.
const SHOW_EVERY: Duration = Duration::from_secs(3);

/// Runs until `shutdown` resolves, or until no more lines can be printed because the reader of stdout is gone.
pub async fn run(config: &DemoConfig, shutdown: impl Future<Output = ()>) -> anyhow::Result<()> {
    let directory = tempfile::tempdir().context("cannot make a temporary folder: is $TMPDIR writable?")?;
    let traffic = Traffic::start(config.events_per_second)?;
    let place = DemoPaths { brokers: traffic.settings.brokers.clone(), data_dir: directory.path().to_owned() };
    let config = serve_config(config, traffic.settings.clone(), directory.path());
    let (unshown, nobody_looks) = oneshot::channel();
    let show = |started: ListeningServer| {
        drop(tokio::spawn(async move {
            // The task ends only if a line cannot be printed. The demo may have ended by then.
            drop(show(started, &place).await.map_err(|error| unshown.send(error)));
        }));
    };
    let mut unshown = Ok(());
    let shutdown = async {
        tokio::select! { () = shutdown => {} error = nobody_looks => unshown = error.map_or(Ok(()), Err) }
    };
    let ended = serve::run(&config, show, shutdown).await;
    traffic.stop()?;
    ended?;
    unshown?;
    Ok(output::print("\nThe demo has ended; nothing of it is left.\n")?)
}

fn serve_config(config: &DemoConfig, kafka: KafkaSettings, directory: &std::path::Path) -> ServeConfig {
    ServeConfig {
        publication: PublicationConfig::off(),
        from_snapshot: None,
        from_views: None,
        on_format_change: OnFormatChange::Rebuild,
        require_fresh: false,
        projection: ProjectionConfig {
            kafka,
            data_dir: directory.to_owned(),
            framing: Framing::Auto,
            group_id: "optview-demo".to_owned(),
            sync_interval: Duration::from_secs(1),
            catch_up_sync_interval: Duration::from_secs(10),
            memory_budget_bytes: 64 << 20,
            store_cache_bytes: 64 << 20,
            orphan_retention: Duration::from_secs(24 * 3600),
            dead_letter_limit: 10_000,
            dead_letters_max: 100_000,
            dead_letters_max_bytes: 64 << 20,
            dead_letter_topic: None,
            disk_reserve: DiskReserve { floor_bytes: 64 << 20 },
        },
        listen: config.listen.unwrap_or_else(|| free_address(8080)),
        admin_listen: config.admin_listen.unwrap_or_else(|| free_address(9180)),
        // What it shows is made up.
        access: AccessConfig { open_access: true, ..AccessConfig::default() },
        access_log: None,
        drain_deadline: Duration::from_secs(1),
        write_deadline: Duration::from_secs(10),
        max_connections: 1000,
        keep_alive: Duration::from_secs(620),
        missing_wait: Duration::from_secs(1),
    }
}

/// Returns the usual port of this machine, or any free one if that is taken.
fn free_address(usual: u16) -> SocketAddr {
    let usual = SocketAddr::from((Ipv4Addr::LOCALHOST, usual));
    match TcpListener::bind(usual) {
        Ok(_) => usual,
        Err(_) => SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
    }
}

/// The broker and its writer, on one thread: the broker cannot leave the thread that made it.
struct Traffic {
    settings: KafkaSettings,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<anyhow::Result<()>>,
}

impl Traffic {
    fn start(events_per_second: f64) -> anyhow::Result<Traffic> {
        let (started, settings) = channel();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            let broker = EmbeddedBroker::start(TopicNames::default(), 2)?;
            started.send(broker.settings()).context("the demo ended before it began")?;
            write(&broker.settings(), events_per_second, &stopped)
        });
        match settings.recv() {
            Ok(settings) => Ok(Traffic { settings, stop, thread }),
            // The thread ended without sending the broker's address.
            Err(_) => Err(join(thread).err().unwrap_or_else(|| anyhow!("the in-process broker did not start"))),
        }
    }

    fn stop(self) -> anyhow::Result<()> {
        self.stop.store(true, Ordering::Release);
        join(self.thread)
    }
}

fn join(thread: JoinHandle<anyhow::Result<()>>) -> anyhow::Result<()> {
    thread.join().unwrap_or_else(|_| Err(anyhow!("the demo's traffic panicked")))
}

fn demo_history() -> History {
    History::new(HistorySettings {
        optimizations: u64::MAX,
        runs: 4,
        concurrent: 40,
        projects: 3,
        organizations: 1,
        ..HistorySettings::default()
    })
}

/// Returns the next event of the history that deletes nothing: what the introduction names is to be found for as long as somebody tries it.
fn next_event(history: &mut History, now: Timestamp) -> Option<Event<'static>> {
    loop {
        let event = history.next_at(now)?;
        if !is_deletion(&event) {
            return Some(event);
        }
    }
}

fn is_deletion(event: &Event<'_>) -> bool {
    matches!(event.body, Body::Optimization { change: OptimizationChange::Deleted, .. })
}

fn write(settings: &KafkaSettings, events_per_second: f64, stop: &AtomicBool) -> anyhow::Result<()> {
    let mut producer = Producer::new(settings)?;
    let mut history = demo_history();
    let (begin, mut value) = (Instant::now(), Vec::new());
    for number in 0_u32.. {
        let due = begin + Duration::from_secs_f64(f64::from(number) / events_per_second);
        while Instant::now() < due {
            if stop.load(Ordering::Acquire) {
                return Ok(());
            }
            producer.poll((due - Instant::now()).min(Duration::from_millis(100)))?;
        }
        let now = Timestamp::from_millis(chrono::Utc::now().timestamp_millis()).unwrap_or_default();
        let Some(event) = next_event(&mut history, now) else { break };
        encode::encode(&event, encode::Encoding::Json, &mut value);
        producer.send(event.body.topic(), encode::key(&event), Some(&value))?;
    }
    Ok(())
}

/// The places of the demo's parts, for tools that are tried on them.
struct DemoPaths {
    brokers: String,
    data_dir: PathBuf,
}

/// Prints an introduction, and then the changes, for as long as printing succeeds.
async fn show(started: ListeningServer, place: &DemoPaths) -> Result<(), OutputError> {
    let ListeningServer { addresses, reader } = started;
    let mut shown = StatusLine::default();
    let mut tick = tokio::time::interval(Duration::from_millis(100));
    let reader = loop {
        tick.tick().await;
        let ids = reader.get().map(|reader| ids(&reader, &ListQuery { limit: 3, ..ListQuery::default() }));
        if let (Some(ids), Some(reader)) = (ids.filter(|ids| ids.len() == 3), reader.get()) {
            output::print(&format!("{}\n", introduction(addresses, place, &ids)))?;
            break Reader::clone(&reader);
        }
    };
    let mut tick = tokio::time::interval(SHOW_EVERY);
    loop {
        tick.tick().await;
        output::print(&format!("{}\n", shown.next(&reader)))?;
    }
}

fn introduction(addresses: serve::Addresses, place: &DemoPaths, ids: &[String]) -> String {
    let serve::Addresses { read, admin } = addresses;
    let DemoPaths { brokers, data_dir } = place;
    let data_dir = data_dir.display();
    let [first, ..] = ids else { return String::new() };
    // The program's path as it was called, so that the line can be copied.
    let program = std::env::args_os().next().map_or_else(|| "optview".into(), PathBuf::from);
    let program = program.display();
    format!(
        "optview demo: an in-process broker, synthetic optimizations, the real projector, store and server.\n\
         \n\
         \x20 reads       http://{read}\n\
         \x20 operators   http://{admin}/status and /metrics\n\
         \x20 broker      {brokers}\n\
         \x20 data        {data_dir}\n\
         \n\
         Try, in another terminal:\n\
         \n\
         \x20 curl -s http://{read}/optimizations/{first}\n\
         \x20 curl -s 'http://{read}/optimizations?status=running&limit=2'\n\
         \x20 curl -s 'http://{read}/optimizations?project_id=prj-1&limit=1'\n\
         \x20 curl -s http://{admin}/status\n\
         \x20 {program} explain {first} --data-dir {data_dir}\n\
         \x20 {program} history {first} --brokers {brokers}\n\
         \x20 {program} verify --data-dir {data_dir}\n\
         \n\
         Ctrl-C ends it. Meanwhile:\n"
    )
}

fn ids(reader: &Reader, query: &ListQuery<'_>) -> Vec<String> {
    page(reader, query).iter().filter_map(|view| Some(view["id"].as_str()?.to_owned())).collect()
}

fn page(reader: &Reader, query: &ListQuery<'_>) -> Vec<serde_json::Value> {
    // An empty store has nothing to show yet, and one that fails ends the demo by itself.
    let body = reader.list(query).map(|page| page.body).unwrap_or_default();
    let page: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
    page["optimizations"].as_array().cloned().unwrap_or_default()
}

/// The source of status lines: the totals, and one optimization that is followed through its life.
#[derive(Default)]
struct StatusLine {
    followed: Option<(String, String)>,
}

impl StatusLine {
    fn next(&mut self, reader: &Reader) -> String {
        let total = |status: Option<Status>| {
            reader
                .list(&ListQuery { statuses: status.into(), ..ListQuery::default() })
                .map_or(0, |page| page.total)
        };
        let totals: Vec<String> =
            Status::ALL.iter().map(|&status| format!("{} {}", status.as_str(), total(Some(status)))).collect();
        format!("{} views: {}.  {}", total(None), totals.join(", "), self.follow(reader))
    }

    fn follow(&mut self, reader: &Reader) -> String {
        let followed = self.followed.take().and_then(|(id, was)| Some((view(reader, &id)?, was)));
        let (view, was) = match followed {
            Some((view, was)) => (view, Some(was)),
            None => match page(reader, &ListQuery { limit: 1, ..ListQuery::default() }).pop() {
                Some(view) => (view, None),
                None => return String::new(),
            },
        };
        let id = view["id"].as_str().unwrap_or_default().to_owned();
        let status = view["status"].as_str().unwrap_or("not submitted").to_owned();
        let runs = &view["run_count"];
        let what = match was {
            Some(was) if was != status => format!("{was} → {status}"),
            _ => status.clone(),
        };
        let line = format!("{id:.8}…: {what}, {runs} runs");
        let over = ["succeeded", "failed", "canceled"].contains(&status.as_str());
        self.followed = (!over).then_some((id, status));
        line
    }
}

fn view(reader: &Reader, id: &str) -> Option<serde_json::Value> {
    let response = reader.get(id, None).ok()??;
    serde_json::from_slice(&response.body).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_the_introduction_may_name_is_deleted() {
        let mut history = demo_history();
        assert!((0..5_000).filter_map(|_| history.next_at(Timestamp::default())).any(|event| is_deletion(&event)));
        let mut history = demo_history();
        assert!(
            !(0..5_000)
                .filter_map(|_| next_event(&mut history, Timestamp::default()))
                .any(|event| is_deletion(&event))
        );
    }
}
