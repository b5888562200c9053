//! Measures reads by id: as anybody, with a key, and by a client that has the view already; each in turn with a bare Axum handler that
//! has one body for all ids, and with `h2o` where it is installed, which has the bodies of these ids as files in memory.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::keep_alive::{Clients, ReadRequest};
use crate::support::{KilledChild, Options, Serve, Topics, bare, covered, percentile};

const CONNECTIONS: usize = 32;
const ROUND: Duration = Duration::from_secs(4);

/// A server that takes part in each round.
struct Contestant {
    name: &'static str,
    address: String,
    requests: Vec<ReadRequest>,
    /// The requests per second of each round.
    rates: Vec<f64>,
}

/// A running `h2o`, and the folder that it serves.
struct Yardstick {
    _child: KilledChild,
    _root: tempfile::TempDir,
    address: String,
}

impl Contestant {
    fn new(name: &'static str, address: String, requests: Vec<ReadRequest>) -> Contestant {
        Contestant { name, address, requests, rates: Vec::new() }
    }
}

pub fn run(brokers: &str, options: &Options) {
    let topics = Topics::new(brokers, "bench-read-by-id");
    let records = topics.loaded(&["--optimizations", "20000", "--runs", "4", "--organizations", "1"]);
    let [open, checked] = [(); 2].map(|()| tempfile::tempdir().expect("a temporary directory"));
    let serve = Serve::start(&topics, open.path());
    let (keys, key) = key_file(checked.path());
    let keyed = Serve::start_beside_with(&topics, checked.path(), &["--api-keys", &keys]);
    serve.wait_until_synced(records);
    keyed.wait_until_synced(records);
    let ids = serve.some_ids(0);
    let views: Vec<(String, String)> = ids.iter().map(|id| view(&serve, id)).collect();
    let length = views.iter().map(|(body, _)| body.len()).sum::<usize>() / views.len();
    println!("{length} bytes a view, {CONNECTIONS} connections, {} s a round", ROUND.as_secs());
    let _bare = bare::start(&views[0].0);
    let requests =
        |headers: &[(&str, &str)]| ids.iter().map(|id| ReadRequest::new(id, headers)).collect::<Vec<_>>();
    let known = ids.iter().zip(&views).map(|(id, (_, etag))| ReadRequest::of_known_view(id, etag)).collect();
    let mut contestants = vec![
        Contestant::new("bare", bare::address(), requests(&[])),
        Contestant::new("serve", serve.address(), requests(&[])),
        Contestant::new("serve, with a key", keyed.address(), requests(&[("x-api-key", &key)])),
        Contestant::new("serve, if-none-match", serve.address(), known),
    ];
    let h2o = h2o(open.path(), &ids, &views);
    if let Some(h2o) = &h2o {
        contestants.push(Contestant::new("h2o", h2o.address.clone(), requests(&[])));
    }
    let rounds = options.number("rounds", "5");
    compare("idle", &mut contestants, rounds);
    let rate = options.get("rate", "20000");
    drop(keyed);
    contestants.retain(|contestant| ["bare", "serve"].contains(&contestant.name));
    let _load = topics.traffic(&rate);
    std::thread::sleep(Duration::from_secs(2));
    let position = || covered(&serve.status().expect("a status"), "position");
    let (before, begin) = (position(), Instant::now());
    compare(&format!("folding {rate} events/s"), &mut contestants, rounds);
    let folded = (position() - before) as f64 / begin.elapsed().as_secs_f64();
    println!("folded meanwhile: {folded:.0} records/s");
}

/// Compares the servers, one after the other in each round, with the first of them.
fn compare(what: &str, contestants: &mut [Contestant], rounds: u64) {
    for contestant in &mut *contestants {
        contestant.rates.clear();
    }
    for _ in 0..rounds {
        for Contestant { address, requests, rates, .. } in &mut *contestants {
            let clients = Clients::of_requests(address, requests, CONNECTIONS, None);
            std::thread::sleep(ROUND);
            rates.push(clients.finish());
        }
    }
    let yardstick = contestants[0].rates.clone();
    for Contestant { name, rates, .. } in contestants {
        let mut ratios: Vec<f64> = rates.iter().zip(&yardstick).map(|(rate, bare)| 100.0 * rate / bare).collect();
        rates.sort_by(f64::total_cmp);
        ratios.sort_by(f64::total_cmp);
        println!(
            "{what}: {name}: {:.0} requests/s, {:.0} % of bare (from {:.0} to {:.0})",
            percentile(rates, 50.0),
            percentile(&ratios, 50.0),
            ratios[0],
            ratios[ratios.len() - 1]
        );
    }
}

/// Returns a view and its `etag`.
fn view(serve: &Serve, id: &str) -> (String, String) {
    let response = ureq::get(&serve.url(&format!("/optimizations/{id}"))).call().expect("a view");
    let etag = response.headers()["etag"].to_str().expect("digits").to_owned();
    (response.into_body().read_to_string().expect("its bytes"), etag)
}

/// Makes a file with one key. Returns its path, and the key.
fn key_file(directory: &Path) -> (String, String) {
    let path = directory.join("keys.toml").to_str().expect("a path in UTF-8").to_owned();
    let arguments = ["keys", "add", "--organization", "org-1", "--api-keys", &path, "--json"];
    let output = Command::new(env!("CARGO_BIN_EXE_optview")).args(arguments).output().expect("the tool runs");
    let added: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    (path, added["key"].as_str().expect("a key").to_owned())
}

/// Starts `h2o` with these views as files in memory, on as many threads as there are processors. Returns `None` if it is not installed.
fn h2o(directory: &Path, ids: &[String], views: &[(String, String)]) -> Option<Yardstick> {
    let root = tempfile::tempdir_in("/dev/shm").expect("a folder in memory");
    let folder = root.path().join("optimizations");
    std::fs::create_dir(&folder).expect("a folder");
    for (id, (body, _)) in ids.iter().zip(views) {
        std::fs::write(folder.join(id), body).expect("a file");
    }
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("there is a free port");
    let port = listener.local_addr().expect("it is bound").port();
    drop(listener);
    let settings = format!(
        "user: root\nnum-threads: 2\nlisten:\n  host: 127.0.0.1\n  port: {port}\nhosts:\n  default:\n    paths:\n      /:\n        \
         file.dir: {}\n        file.mime.setdefaulttype: application/json\n",
        root.path().display()
    );
    let file: PathBuf = directory.join("h2o.conf");
    std::fs::write(&file, settings).expect("a file");
    let log = std::fs::File::create(directory.join("h2o.log")).expect("a file");
    let started = Command::new("h2o").arg("-c").arg(&file).stdout(Stdio::null()).stderr(log).spawn();
    let Ok(child) = started else {
        println!("h2o is not installed: no comparison with it");
        return None;
    };
    let yardstick = Yardstick { _child: KilledChild(child), _root: root, address: format!("127.0.0.1:{port}") };
    while std::net::TcpStream::connect(&yardstick.address).is_err() {
        std::thread::sleep(Duration::from_millis(20));
    }
    Some(yardstick)
}
