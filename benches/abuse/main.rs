//! Measures the memory and descriptors of a `serve` and the delays of a client that reads by id, while others ask
//! too much of it:
//!
//! ```text
//! OPTVIEW_TEST_KAFKA=127.0.0.1:9092 cargo bench --bench abuse
//! ```
//!
//! `--only NAME` tries one abuse (the names stand in `abuses.rs`), `--binary PATH` another build of optview, `--before PATH` one
//! more build, in turn with the first, `--limit-mib N` fails where the first takes more. Each is tried on a `serve` of its own with its default settings. A broker that lets clients
//! create topics is needed, and a C compiler for the disk that hangs.

mod abuses;
mod events;
mod server;
#[expect(dead_code, reason = "shared with the other benchmarks, which need more of it")]
#[path = "../support/mod.rs"]
mod support;

use std::path::PathBuf;
use std::time::Duration;

use abuses::ABUSES;
use events::Events;
use server::{Peak, Server, ServerStart};
use support::Options;

/// Pause after an abuse, to see what memory stays.
const AFTERWARDS: Duration = Duration::from_secs(15);

/// A load that a `serve` must bear.
pub struct Abuse {
    name: &'static str,
    /// The load, and its amount.
    what: &'static str,
    /// Changes the usual start of the process.
    start: fn(&mut ServerStart),
    /// Puts the records that exist before the start.
    prepare: fn(&mut Events),
    /// Runs the abuse, and returns a description of its result.
    run: fn(&Server, &mut Events) -> String,
}

fn main() {
    let Some(brokers) = support::brokers("abuse") else { return };
    let options = Options::read();
    let binary = PathBuf::from(options.get("binary", env!("CARGO_BIN_EXE_optview")));
    let before = Some(options.get("before", "")).filter(|path| !path.is_empty()).map(PathBuf::from);
    let (only, limit) = (options.get("only", ""), options.number("limit-mib", "0"));
    println!(
        "| abuse | build | peak RSS, MiB | RSS after 15 s, MiB | descriptors | reads by id, ms: p50 / p99 / longest | result |"
    );
    println!("|---|---|---|---|---|---|---|");
    let mut most = 0;
    for abuse in ABUSES.iter().filter(|abuse| only.is_empty() || abuse.name == only) {
        if let Some(before) = &before {
            attempt(abuse, &brokers, before, "before");
        }
        most = most.max(attempt(abuse, &brokers, &binary, "now"));
    }
    assert!(limit == 0 || most <= limit, "{most} MiB is more than --limit-mib {limit}");
}

/// Prints one line of the table. Returns the peak in MiB.
fn attempt(abuse: &Abuse, brokers: &str, binary: &std::path::Path, build: &str) -> u64 {
    let mut events = Events::new(brokers, &format!("bench-abuse-{}-{}-{build}", std::process::id(), abuse.name));
    (abuse.prepare)(&mut events);
    events.put_usual();
    let mut start = ServerStart::new(binary, &events.settings);
    (abuse.start)(&mut start);
    let server = Server::start(start);
    let result = (abuse.run)(&server, &mut events);
    let Peak { mib, descriptors } = server.peak();
    let reads = server.reads();
    std::thread::sleep(AFTERWARDS);
    let after = server.rss_mib();
    let mib = mib.max(server.peak().mib);
    println!(
        "| {}: {} | {build} | {mib} | {after} | {descriptors} | {reads} | {result} |",
        abuse.name, abuse.what
    );
    mib
}
