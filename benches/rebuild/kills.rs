//! Kills the server in each phase of a rebuild, at random moments: no view goes back, and at the end all are equal
//! to a fresh fold of the topics.

use std::hash::{BuildHasher, Hasher};
use std::path::Path;
use std::time::{Duration, Instant};

use foldhash::fast::FixedState;
use serde_json::{Value, json};

use crate::dice::Dice;
use crate::markers::Markers;
use crate::rebuilt::{Phases, rebuild, run};
use crate::sampler::Sampler;
use crate::support::{Options, Serve, Topics, yardstick};
use crate::{figure, history, millis};

const PHASES: [&str; 3] = ["building", "comparing", "switching"];
/// Number of views of a page of the lists.
const PAGE: usize = 1_000;

pub fn part(brokers: &str, options: &Options) {
    let (topics, records) = history(brokers, options);
    let seed = options.number("seed", &std::process::id().to_string());
    figure("seed", &json!(seed));
    let directory = tempfile::tempdir().expect("a temporary directory");
    let mut serve = Serve::start(&topics, directory.path());
    serve.wait_until_synced(records);
    let markers = Markers::new(&topics);
    let shown = markers.rename(&serve.address());
    let (begin, reads) = (Instant::now(), markers.watch(&serve.address()));
    let traffic = topics.traffic(&options.get("rate", "1000"));

    rebuild(&serve);
    let Phases { building, comparing, switching } = Phases::of_last(&serve);
    // Removing the previous generation comes last and takes longest, but kills must hit the earlier steps too.
    let lasting = [building, comparing, switching.min(Duration::from_millis(60))];
    let (mut dice, mut hits) = (Dice::new(seed), [0; PHASES.len()]);
    for kill in 0..usize::try_from(options.number("kills", "20")).expect("a count") {
        let phase = kill % PHASES.len();
        wait_for_phase(&serve, directory.path(), PHASES[phase]);
        let micros = dice.below(usize::try_from(lasting[phase].as_micros()).expect("not that long").max(1));
        std::thread::sleep(Duration::from_micros(micros as u64));
        markers.set_serving(false);
        let killed = Instant::now();
        let log = serve.kill();
        let last = log.lines().filter_map(|line| line.split("::rebuild: ").nth(1)).next_back().unwrap_or_default();
        let hit = PHASES.iter().position(|phase| last.starts_with(&format!("rebuilding: {phase}")));
        hit.into_iter().for_each(|hit| hits[hit] += 1);
        serve = Serve::start(&topics, directory.path());
        serve.wait_until_live();
        markers.set_serving(true);
        let figures = json!({
            "kill": kill, "aimed_at": PHASES[phase], "after_us": micros, "last_word": last,
            "live_generation": current(directory.path()), "ready_after_ms": millis(killed.elapsed()),
        });
        figure("kill", &figures);
    }
    figure("kills", &json!({"in": PHASES, "hits": hits}));
    wait_until_rebuilt(directory.path());
    let done = rebuild(&serve);
    drop(traffic);
    figure("reads between kills", &json!({"reads_ms": reads.since(begin)}));
    [reads, shown].into_iter().for_each(Sampler::finish);
    check_end(&topics, serve, &done);
}

fn check_end(topics: &Topics, serve: Serve, done: &Value) {
    let records = yardstick::records(&topics.settings).expect("the topics are there");
    serve.wait_until_synced(records);
    let (verified, took) = run(serve.tool(&["verify", "--json"]));
    let killed = pages(&serve);
    drop(serve);
    let directory = tempfile::tempdir().expect("a temporary directory");
    let fresh = Serve::start(topics, directory.path());
    fresh.wait_until_synced(records);
    assert_eq!(killed, pages(&fresh), "each page of all views has the same bytes");
    let figures = json!({
        "records": records, "views": verified["views"], "pages_equal": killed.len(), "differing": done["differing"],
        "problems": verified["problems_found"], "verify_ms": millis(took),
    });
    figure("end", &figures);
    assert_eq!(verified["problems_found"], 0, "{verified}");
}

/// Begins a rebuild whenever none is running, until one reaches this phase.
fn wait_for_phase(serve: &Serve, directory: &Path, phase: &str) {
    if phase == PHASES[0] {
        // A rebuild that was resumed after a kill may have little left to build.
        wait_until_rebuilt(directory);
    }
    let count_of = |phase: &str| serve.log().matches(&format!("rebuilding: {phase}")).count();
    let (before, mut asked_at) = (count_of(phase), None);
    while count_of(phase) == before {
        let begun = count_of(PHASES[0]);
        if !is_rebuilding(directory) && asked_at != Some(begun) {
            asked_at = Some(begun);
            run(serve.tool(&["rebuild", "--detach", "--json"]));
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn wait_until_rebuilt(directory: &Path) {
    while is_rebuilding(directory) {
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn is_rebuilding(directory: &Path) -> bool {
    directory.join("data/REBUILD").exists()
}

fn current(directory: &Path) -> String {
    std::fs::read_to_string(directory.join("data/CURRENT")).expect("one is live").trim().to_owned()
}

/// Returns a hash of each page of all views, in their order.
fn pages(serve: &Serve) -> Vec<u64> {
    let agent = ureq::Agent::new_with_defaults();
    let mut pages = Vec::new();
    loop {
        let url = serve.url(&format!("/optimizations?limit={PAGE}&offset={}", pages.len() * PAGE));
        let page = agent.get(&url).call().expect("a page").into_body().read_to_string().expect("its bytes");
        if page.starts_with(r#"{"optimizations":[]"#) {
            assert!(!pages.is_empty(), "there are views");
            return pages;
        }
        let mut hasher = FixedState::default().build_hasher();
        hasher.write(page.as_bytes());
        pages.push(hasher.finish());
    }
}
