//! The abuses.

use std::fs::{self, File};
use std::io::Write as _;
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use optview::domain::Topic;

use crate::Abuse;
use crate::events::Events;
use crate::server::{Server, ServerStart};

/// Duration of an abuse that does not end by itself.
const LASTS: Duration = Duration::from_secs(10);
const CATCHES_UP_WITHIN: Duration = Duration::from_secs(120);

pub const ABUSES: &[Abuse] = &[
    Abuse {
        name: "nothing",
        what: "no abuse, for comparison",
        start: |_| {},
        prepare: |_| {},
        run: |server, _| live(server, || std::thread::sleep(LASTS)),
    },
    Abuse {
        name: "unread-pages",
        what: "150 clients ask for a page of 4 MB and do not read",
        start: |_| {},
        prepare: |events| events.put_optimizations(100, 40_000),
        run: |server, _| live(server, || unread(server, 150)),
    },
    Abuse {
        name: "many-unread-pages",
        what: "2,000 clients ask for a page of 4 MB and do not read",
        start: more_files,
        prepare: |events| events.put_optimizations(100, 40_000),
        run: |server, _| live(server, || unread(server, 2_000)),
    },
    Abuse {
        name: "large-pages",
        what: "five clients read a page of 400 views of 1 MB",
        start: |_| {},
        prepare: |events| events.put_optimizations(400, 1_000_000),
        run: large_pages,
    },
    Abuse {
        name: "gzip-record",
        what: "a job's metrics of 400 MB in one record, gzip",
        start: |_| {},
        prepare: |events| {
            let value = events.completed("job-of-usual-0", 400_000_000);
            events.put(Topic::Jobs, "gzip", [value]);
        },
        run: caught_up,
    },
    Abuse {
        name: "gzip-batch",
        what: "400 records of 1 MB in one batch, gzip",
        start: |_| {},
        prepare: |events| {
            let values: Vec<_> = (0..400).map(|at| events.created(&format!("large-{at}"), 1_000_000)).collect();
            events.put(Topic::Optimizations, "gzip", values);
        },
        run: caught_up,
    },
    Abuse {
        name: "zstd-record",
        what: "a job's metrics of 150 MB in one record, zstd",
        start: |_| {},
        prepare: |events| {
            let value = events.completed("job-of-usual-0", 150_000_000);
            events.put(Topic::Jobs, "zstd", [value]);
        },
        run: caught_up,
    },
    Abuse {
        name: "zstd-batch",
        what: "110 records of 1 MB in one batch, zstd",
        start: |_| {},
        prepare: |events| {
            let values: Vec<_> = (0..110).map(|at| events.created(&format!("large-{at}"), 1_000_000)).collect();
            events.put(Topic::Optimizations, "zstd", values);
        },
        run: caught_up,
    },
    Abuse {
        name: "hanging-disk",
        what: "writes to the disk hang for 30 s while events of 1 kB come as fast as they are read",
        start: on_a_hanging_disk,
        prepare: |_| {},
        run: hanging_disk,
    },
    Abuse {
        name: "idle-connections",
        what: "1,100 idle connections, with a soft limit of 1,024 descriptors",
        start: |start| _ = start.command.env("LIMITS", "ulimit -Sn 1024"),
        prepare: |_| {},
        run: |server, _| live(server, || idle(server, 1_100)),
    },
    Abuse {
        name: "unread-log",
        what: "50,000 records that nobody can understand, the log a pipe that nobody reads",
        start: |start| start.nobody_reads_log = true,
        prepare: |events| events.put(Topic::Jobs, "none", (0..50_000).map(|_| "{".to_owned())),
        run: caught_up,
    },
    Abuse {
        name: "deep-pages",
        what: "four clients ask for the last one of 50,000 views, again and again",
        start: |_| {},
        prepare: |events| events.put_optimizations(50_000, 100),
        run: |server, _| live(server, || deep_pages(server)),
    },
];

/// Waits until the server is live, and runs the abuse beside a client that reads by id.
fn live<T: Into<AbuseResult>>(server: &Server, abuse: impl FnOnce() -> T) -> String {
    if !server.is_live_within(CATCHES_UP_WITHIN) {
        return never_live(server);
    }
    server.beside_reads(abuse).into().0
}

/// The description of an abuse's result.
struct AbuseResult(String);

impl From<()> for AbuseResult {
    fn from((): ()) -> AbuseResult {
        AbuseResult(String::new())
    }
}

impl From<String> for AbuseResult {
    fn from(text: String) -> AbuseResult {
        AbuseResult(text)
    }
}

fn never_live(server: &Server) -> String {
    let status = server.status().map(|status| format!("{}: {}", status["state"], status["last_error"]));
    let what = if server.is_running() { "is never live" } else { "has ended" };
    format!("{what}; {}", status.unwrap_or_else(|| "no status".to_owned()))
}

fn caught_up(server: &Server, _: &mut Events) -> String {
    live(server, || {
        std::thread::sleep(LASTS / 5);
        let status = server.status().unwrap_or_default();
        format!("{} views, {} dead letters", status["views"], status["dead_letters"])
    })
}

fn unread(server: &Server, clients: usize) -> String {
    let unread: Vec<_> = (0..clients).filter_map(|_| server.ask("/optimizations?limit=100")).collect();
    std::thread::sleep(LASTS);
    format!(
        "{} of {clients} connected; beside them a page of 10 is answered {}",
        unread.len(),
        server.read_all("/optimizations?limit=10").0
    )
}

fn large_pages(server: &Server, _: &mut Events) -> String {
    live(server, || {
        let (whole, bytes) = (AtomicU64::new(0), AtomicU64::new(0));
        std::thread::scope(|scope| {
            for _ in 0..5 {
                scope.spawn(|| {
                    let path = "/optimizations?limit=400&project_id=prj-1";
                    let mut answer = ureq::get(format!("http://{}{path}", server.read)).call().expect("a page");
                    let read = std::io::copy(&mut answer.body_mut().as_reader(), &mut std::io::sink());
                    if let Ok(read) = read {
                        whole.fetch_add(1, Ordering::Relaxed);
                        bytes.fetch_max(read, Ordering::Relaxed);
                    }
                });
            }
        });
        format!("{} pages of {} MB", whole.into_inner(), bytes.into_inner() / 1_000_000)
    })
}

fn idle(server: &Server, connections: usize) -> String {
    let idle: Vec<_> = (0..connections).filter_map(|_| TcpStream::connect(&server.read).ok()).collect();
    std::thread::sleep(LASTS / 2);
    let answers = if server.admin_answers() { "answers" } else { "does not answer" };
    format!("{} connected; the operators' address {answers}", idle.len())
}

fn deep_pages(server: &Server) -> String {
    let begin = Instant::now();
    let pages = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while begin.elapsed() < LASTS {
                    server.read_all("/optimizations?limit=1&offset=49999");
                    pages.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    format!("{} pages a second", pages.into_inner() / LASTS.as_secs())
}

fn more_files(start: &mut ServerStart) {
    start.command.env("LIMITS", "ulimit -Sn 8192");
}

fn on_a_hanging_disk(start: &mut ServerStart) {
    let shim = start.directory.path().join("held_writes.so");
    let compiler = std::env::var_os("CC").unwrap_or_else(|| "cc".into());
    let mut compile = Command::new(compiler)
        .args(["-DHOLD_WRITES", "-shared", "-fPIC", "-O1", "-x", "c", "-", "-o"])
        .arg(&shim)
        .stdin(Stdio::piped())
        .spawn()
        .expect("a C compiler");
    let source = include_bytes!("../../tests/suite/standstill/held_syncs.c");
    compile.stdin.take().expect("a pipe").write_all(source).expect("it reads");
    assert!(compile.wait().expect("a child").success(), "the shim does not compile");
    start.command.env("LD_PRELOAD", shim).env("OPTVIEW_TEST_HOLD", start.directory.path().join("hold"));
}

fn hanging_disk(server: &Server, events: &mut Events) -> String {
    live(server, || {
        let hold = server.directory.path().join("hold");
        File::create(&hold).expect("the directory is there");
        let read = |server: &Server| {
            let status = server.status().unwrap_or_default();
            let partitions = status["partitions"].as_array().cloned().unwrap_or_default();
            partitions.iter().filter_map(|held| held["position"].as_u64()).sum::<u64>()
        };
        let begin = Instant::now();
        let mut number = 0;
        while begin.elapsed() < 3 * LASTS {
            let values: Vec<_> =
                (0..20_000).map(|at| events.created(&format!("held-{}", number + at), 1_000)).collect();
            events.put(Topic::Optimizations, "lz4", values);
            number += 20_000;
        }
        let held = read(server);
        fs::remove_file(&hold).expect("it is there");
        let (end, all) = (Instant::now(), number as u64);
        while read(server) < all && end.elapsed() < CATCHES_UP_WITHIN {
            std::thread::sleep(LASTS / 100);
        }
        format!("{held} of {all} events were read while it hung, {} once it did not", read(server))
    })
}
