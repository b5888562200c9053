//! A stage that stands still is seen by somebody else, and never keeps the process from ending; and nobody who does not read
//! the log makes a stage stand still.

use std::fs::{self, File};
use std::io::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::program::{Log, Program, World, next_line, positions, rest_of};

/// Compiles a shim that keeps each sync waiting while a file is there.
fn held_syncs(directory: &Path) -> PathBuf {
    let shim = directory.join("held_syncs.so");
    let compiler = std::env::var_os("CC").unwrap_or_else(|| "cc".into());
    let mut compile = Command::new(compiler)
        .args(["-shared", "-fPIC", "-O1", "-x", "c", "-", "-o"])
        .arg(&shim)
        .stdin(Stdio::piped())
        .spawn()
        .expect("a C compiler, as librdkafka needs one too");
    compile.stdin.take().unwrap().write_all(include_bytes!("standstill/held_syncs.c")).unwrap();
    assert!(compile.wait().unwrap().success(), "the shim does not compile");
    shim
}

/// Returns true if the topics `optimizations` and `jobs` were each read up to `read`, and are on the disk up to `synced`.
fn are_at(status: &Value, read: i64, synced: i64) -> bool {
    ["optimizations", "jobs"].iter().all(|topic| positions(status, topic) == Some((read, Some(synced))))
}

fn stands_still(status: &Value) -> bool {
    status["state"] == "stalled" && status["stalled_stages"][0]["stage"] == "sync"
}

#[test]
fn a_disk_that_does_not_sync_is_reported_goes_on_when_it_does_and_cannot_hold_up_the_end() {
    let world = World::new();
    let (shim, hold) = (held_syncs(world.directory.path()), world.directory.path().join("hold"));
    world.put_optimizations(0, 5);
    let variables = [("LD_PRELOAD", shim.as_path()), ("OPTVIEW_TEST_HOLD", hold.as_path())];
    let mut program = world.serve(&["--write-deadline", "2s"], &variables, Stdio::piped());
    let log = program.listening();
    program.wait_for("live, and all is on the disk", |status| status["state"] == "live" && are_at(status, 5, 5));
    assert_eq!(program.ready().0, 200);

    File::create(&hold).unwrap();
    world.put_optimizations(5, 6);
    let status = program.wait_for("it stands still", stands_still);
    let error = status["last_error"].as_str().unwrap();
    assert!(error.contains("its stage `sync`") && error.contains("--data-dir"), "{error}");
    let (code, ready) = program.ready();
    assert_eq!(code, 503);
    assert!(ready["message"].as_str().unwrap().contains("`sync`"), "{ready}");
    // Set before the status is.
    assert!(program.metric(r#"optview_stage_stalled{stage="sync"}"#) > 0.0);
    assert!(program.metric(r#"optview_state{state="stalled"}"#) > 0.0);

    fs::remove_file(&hold).unwrap();
    program.wait_for("it goes on", |status| {
        status["state"] == "live" && are_at(status, 6, 6) && status["last_error"] == Value::Null
    });
    assert!(program.metric(r#"optview_stage_stalled{stage="sync"}"#) <= 0.0);

    File::create(&hold).unwrap();
    world.put_optimizations(6, 7);
    // All has been read by then, so what must be named below does not depend on how far a thread has come.
    program.wait_for("it stands still again, behind what was read", |status| {
        stands_still(status) && are_at(status, 7, 6)
    });
    program.tell_to_stop();
    assert_eq!(program.wait().code(), Some(1));
    let log = rest_of(log);
    let last_line = log.lines().last().unwrap();
    for part in [
        "--drain-deadline (100ms) and --write-deadline (2s)",
        "the stage `sync` has stood still since ",
        "optimizations/0: read up to 7, on the disk up to 6",
        "jobs/0: read up to 7, on the disk up to 6",
    ] {
        assert!(last_line.contains(part), "no {part}: {last_line}");
    }
    assert!(!last_line.contains("multistart-runs/0"), "nothing of it is unwritten: {last_line}");

    fs::remove_file(&hold).unwrap();
    let mut program = world.serve(&[], &[], Stdio::piped());
    let _log = program.listening();
    program.wait_for("nothing is lost", |status| {
        status["state"] == "live" && status["views"] == 7 && are_at(status, 7, 7)
    });
}

#[test]
fn told_to_stop_once_more_it_waits_no_longer_for_a_disk_that_does_not_sync() {
    let world = World::new();
    let (shim, hold) = (held_syncs(world.directory.path()), world.directory.path().join("hold"));
    let variables = [("LD_PRELOAD", shim.as_path()), ("OPTVIEW_TEST_HOLD", hold.as_path())];
    let mut program = world.serve(&["--write-deadline", "1h"], &variables, Stdio::piped());
    let log = program.listening();
    program.wait_for("live", |status| status["state"] == "live");
    File::create(&hold).unwrap();
    world.put_optimizations(0, 1);
    program.wait_for("the optimization has been read", |status| {
        positions(status, "optimizations").is_some_and(|(read, _)| read == 1)
    });
    let ended = program.wait_while(|program| {
        // A signal that comes too soon after another counts as the same.
        program.tell_to_stop();
        std::thread::sleep(Duration::from_millis(500));
    });
    assert_eq!(ended.code(), Some(1));
    let log = rest_of(log);
    assert!(log.lines().last().unwrap().contains("told to stop a second time"), "{log}");
}

/// A pipe whose reader is there and does not read: it is full after 64 KiB.
fn garbage_with_a_reader_that_stops_reading() -> (World, Program, Log) {
    let world = World::new();
    world.put_garbage(GARBAGE);
    world.put_optimizations(0, 5);
    let mut program = world.serve(&EACH_LETTER_IS_LOGGED, &[], Stdio::piped());
    let log = program.listening();
    (world, program, log)
}

/// The arguments with which the log has a line for each record that is not understood, however many there are.
const EACH_LETTER_IS_LOGGED: [&str; 4] =
    ["--dead-letter-limit", "1000000", "--log", "info,optview::projector::dead_letters=debug"];

/// More than there is room for on the way to stderr.
const GARBAGE: usize = 20_000;

#[test]
fn a_log_that_nobody_reads_neither_stops_the_projector_nor_its_end() {
    let (_world, mut program, log) = garbage_with_a_reader_that_stops_reading();
    let status = program.wait_for("all is read, and on the disk", |status| {
        status["state"] == "live"
            && positions(status, "jobs") == Some((GARBAGE as i64 + 5, Some(GARBAGE as i64 + 5)))
    });
    assert_eq!((&status["dead_letters"], &status["views"]), (&GARBAGE.into(), &5.into()));
    assert_eq!(program.ready().0, 200);
    assert!(program.metric("optview_log_lines_lost_total") > 0.0, "what was lost is counted");
    program.tell_to_stop();
    assert_eq!(program.wait().code(), Some(0));
    drop(log);
}

#[test]
fn a_reader_that_reads_again_gets_the_number_of_lost_lines() {
    let (_world, mut program, log) = garbage_with_a_reader_that_stops_reading();
    program.wait_for("all is read", |status| {
        positions(status, "jobs").is_some_and(|(read, _)| read == GARBAGE as i64 + 5)
    });
    // The test waits for this line, so that nothing depends on timing: a process that stops waits for its log for a second.
    let is_reported =
        |line: &Value| line["message"].as_str().is_some_and(|text| text.starts_with("log lines were lost"));
    let line = next_line(log, is_reported);
    assert!(line["lines"].as_u64().is_some_and(|lost| lost > 0), "{line}");
    program.tell_to_stop();
    assert_eq!(program.wait().code(), Some(0));
}

#[test]
fn a_stderr_that_is_full_or_without_a_reader_ends_nothing() {
    let without_a_reader = || {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        Stdio::from(writer)
    };
    let full = || Stdio::from(File::options().write(true).open("/dev/full").unwrap());
    for stderr in [&full as &dyn Fn() -> Stdio, &without_a_reader] {
        let world = World::new();
        world.put_garbage(100);
        let mut program = started_without_a_log(&world, stderr);
        program.wait_for("all is read", |status| status["state"] == "live" && status["dead_letters"] == 100);
        program.wait_for("what was lost is counted", |_| program.metric("optview_log_lines_lost_total") >= 100.0);
        program.tell_to_stop();
        assert_eq!(program.wait().code(), Some(0));
    }
}

#[test]
fn a_hangup_ends_it_as_sigterm_does_and_nohup_keeps_it_from_that() {
    let world = World::new();
    // Whoever runs the tests may be kept from hangups itself.
    let heeding = r#"exec env --default-signal=HUP "$0" "$@""#;
    let mut program = world.serve_after(heeding, &[], &[], Stdio::piped());
    let log = program.listening();
    world.put_optimizations(0, 5);
    program.wait_for("all is read", |status| status["state"] == "live" && status["views"] == 5);
    program.signal("HUP");
    assert_eq!(program.wait().code(), Some(0));
    assert!(rest_of(log).contains("told to stop: draining"));
    let mut program = world.serve_after("trap '' HUP", &[], &[], Stdio::piped());
    let log = program.listening();
    program.signal("HUP");
    program.wait_for("it goes on", |status| status["state"] == "live" && are_at(status, 5, 5));
    program.tell_to_stop();
    assert_eq!(program.wait().code(), Some(0));
    drop(log);
}

#[test]
fn what_runs_on_what_is_said_at_the_start_and_by_the_status() {
    let world = World::new();
    let mut program = world.serve(&["--log", "info"], &[], Stdio::piped());
    let starts = program.next_line("optview starts");
    let status = {
        let log = program.listening();
        let status = program.wait_for("live", |status| status["state"] == "live");
        // The statistics that librdkafka logs once a second have 3 KB and more.
        program.wait_for("it has run for some time", |status| {
            status["kafka"]["last_answer_seconds_ago"].as_f64().is_some()
        });
        program.tell_to_stop();
        assert_eq!(program.wait().code(), Some(0));
        let log = rest_of(log);
        assert!(log.contains(r#"the views are built from this cluster's topics"#), "{log}");
        assert!(log.lines().all(|line| line.len() < 2_000), "{log}");
        status
    };
    assert_eq!(starts["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!((&starts["jobs"], &status["version"]), (&Value::from("jobs"), &starts["version"]));
    assert_eq!(status["commit"], starts["commit"]);
    assert!(status["kafka"]["cluster_id"].as_str().is_some_and(|id| !id.is_empty()), "{status}");
}

#[test]
fn a_request_that_fails_is_logged_with_its_correlation_id() {
    // Without a broker, no log line depends on what a broker has.
    let world = World::without_broker();
    let mut program = world.serve(&[], &[], Stdio::piped());
    let log = program.listening();
    program.wait_for("the store is open", |status| status["generation"] == 1);
    for (path, id) in [("/optimizations", "list-1"), ("/optimizations/unknown", "by-id-2")] {
        assert_eq!(program.read_as(path, id), 503);
    }
    program.tell_to_stop();
    assert_eq!(program.wait().code(), Some(0));
    let log = rest_of(log);
    for (path, id) in [("/optimizations", "list-1"), ("/optimizations/unknown", "by-id-2")] {
        let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let mut of_request = lines.filter(|line| line["correlation_id"] == id);
        let line = of_request.next().unwrap_or_else(|| panic!("no line of {id}: {log}"));
        assert_eq!((&line["status"], line["path"].as_str()), (&503.into(), Some(path)), "{line}");
    }
}

/// Starts a program that cannot log its address. So it gets a port, and another one if somebody else has that.
fn started_without_a_log(world: &World, stderr: &dyn Fn() -> Stdio) -> Program {
    for _ in 0..20 {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let arguments = [&["--admin-listen", &address][..], &EACH_LETTER_IS_LOGGED].concat();
        let mut program = world.serve(&arguments, &[], stderr());
        if program.listens_at(&address) {
            return program;
        }
    }
    panic!("it ends each time before it listens");
}
