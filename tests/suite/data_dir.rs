//! A data directory belongs to the topics that it was built from, is shown as it was left on request, and is not written to once
//! it has been taken away.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use optview::data_dir;
use optview::domain::{NamedPartition, Topic};
use optview::store::{self, Checkpoint, PartitionCheckpoint};
use serde_json::{Value, json};

use crate::fixtures;

/// Longest wait for anything that should take a second.
const DEADLINE: Duration = Duration::from_secs(120);

fn optview(arguments: &[&str], data_dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_optview"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("OPTVIEW_") || name == "RUST_LOG") {
        command.env_remove(name);
    }
    command.args(arguments).arg("--data-dir").arg(data_dir).stdin(Stdio::null());
    command
}

fn run(arguments: &[&str], data_dir: &Path) -> (Option<i32>, Value, String) {
    let Output { status, stdout, stderr } = optview(arguments, data_dir).output().expect("a program to run");
    let value = serde_json::from_slice(&stdout).unwrap_or_default();
    (status.code(), value, String::from_utf8(stderr).expect("text"))
}

/// The arguments of `serve` without a broker to connect to.
const SERVE: [&str; 7] =
    ["serve", "--brokers", "127.0.0.1:1", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"];

/// An `optview serve` that is killed when it is dropped.
struct ServeProcess {
    child: Child,
    log: PathBuf,
}

impl Drop for ServeProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl ServeProcess {
    fn start(data_dir: &Path, log: PathBuf, arguments: &[&str]) -> ServeProcess {
        let mut command = optview(&[&SERVE[..], &["--log-format", "json"], arguments].concat(), data_dir);
        command.stdout(Stdio::null()).stderr(fs::File::create(&log).expect("a file for its log"));
        ServeProcess { child: command.spawn().expect("a program to start"), log }
    }

    fn log(&self) -> String {
        fs::read_to_string(&self.log).expect("its log")
    }

    fn until<T>(&self, what: &str, mut is: impl FnMut() -> Option<T>) -> T {
        let begin = Instant::now();
        loop {
            match is() {
                Some(found) => return found,
                None if begin.elapsed() > DEADLINE => panic!("still not: {what}:\n{}", self.log()),
                None => std::thread::sleep(Duration::from_millis(10)),
            }
        }
    }

    fn ended(&mut self) -> Option<i32> {
        let begin = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                return status.code();
            }
            assert!(begin.elapsed() < DEADLINE, "it does not end:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn wait_until_open(&self) {
        self.until("it has opened its store", || self.log().contains("the store is open").then_some(()));
    }

    /// Gets a path from an address. Returns the state in the answer's header, and the body.
    fn get(&self, address: &str, path: &str) -> (Option<String>, Value) {
        let listening = |log: String| {
            let line = log.lines().find(|line| line.contains(r#""message":"listening""#))?.to_owned();
            Some(serde_json::from_str::<Value>(&line).expect("a line")[address].as_str()?.to_owned())
        };
        let address = self.until("it listens", || listening(self.log()));
        let config = ureq::Agent::config_builder().timeout_global(Some(DEADLINE)).http_status_as_error(false);
        let agent: ureq::Agent = config.build().into();
        let mut answer = agent.get(format!("http://{address}{path}")).call().expect("an answer");
        let state = answer.headers().get("x-optview-state").map(|state| state.to_str().expect("text").to_owned());
        (state, answer.body_mut().read_json().expect("JSON"))
    }
}

/// Makes a store of one view, built from topics named `team.jobs` and so on.
fn written_store() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let data_dir = directory.path().join("data");
    let opened = fixtures::open(&data_dir);
    data_dir::note_topics(&opened.path, |topic: Topic| format!("team.{}", topic.default_name()));
    opened.writer.note_topics(&Topic::ALL.map(|topic| format!("team.{}", topic.default_name()))).unwrap();
    write_one_view(opened, "team.jobs");
    directory
}

fn write_one_view(opened: store::OpenStore, jobs: &str) {
    let optimization = fixtures::optimization("o1", 4, "a name".to_owned(), String::new());
    opened.writer.commit(fixtures::commit_of(vec![optimization]), Vec::new(), 1).unwrap();
    let held = PartitionCheckpoint { next_offset: 5, anchor: None, topic_id: None };
    opened.writer.checkpoint(Checkpoint::from([(NamedPartition::new(jobs, 0), held)])).unwrap();
    opened.writer.finish().unwrap();
}

const TEAM: [&str; 6] = [
    "--topic-optimizations",
    "team.optimizations",
    "--topic-jobs",
    "team.jobs",
    "--topic-multistart-runs",
    "team.multistart-runs",
];
const SWAPPED: [&str; 6] = [
    "--topic-optimizations",
    "team.optimizations",
    "--topic-jobs",
    "team.multistart-runs",
    "--topic-multistart-runs",
    "team.jobs",
];

#[test]
fn a_store_of_other_topics_is_neither_read_into_nor_written_to_and_both_are_named() {
    let directory = written_store();
    let data_dir = directory.path().join("data");
    let about = data_dir.join("generations/000001/generation.json");
    let before = fs::read(&about).unwrap();
    for (names, messages) in [
        (&[][..], ["the optimizations from `team.optimizations`", "to be read from `optimizations`"]),
        (&SWAPPED[..], ["the jobs from `team.jobs`", "to be read from `team.multistart-runs`"]),
    ] {
        let mut serving = ServeProcess::start(&data_dir, directory.path().join("log"), names);
        assert_eq!(serving.ended(), Some(1), "{}", serving.log());
        let rebuild = [&["rebuild", "--brokers", "127.0.0.1:1"], names].concat();
        let rollback = [&["rollback", "--brokers", "127.0.0.1:1"], names].concat();
        let proof = [&["verify", "--against-log", "--brokers", "127.0.0.1:1"], names].concat();
        for text in [serving.log(), run(&rebuild, &data_dir).2, run(&rollback, &data_dir).2] {
            for part in [messages[0], messages[1], "generation 000001", "--topic-jobs", "another --data-dir"] {
                assert!(text.contains(part), "no {part}: {text}");
            }
        }
        assert_ne!(run(&proof, &data_dir).0, Some(0));
        assert_eq!(fs::read(&about).unwrap(), before, "nothing was written");
    }
    let serving = ServeProcess::start(&data_dir, directory.path().join("log"), &TEAM);
    serving.wait_until_open();
}

#[test]
fn the_store_itself_knows_its_topics_where_what_lies_beside_it_is_lost() {
    let directory = written_store();
    let data_dir = directory.path().join("data");
    fs::remove_file(data_dir.join("generations/000001/generation.json")).unwrap();
    let mut serving = ServeProcess::start(&data_dir, directory.path().join("log"), &SWAPPED);
    assert_eq!(serving.ended(), Some(1), "{}", serving.log());
    assert!(serving.log().contains("the jobs from `team.jobs`"), "{}", serving.log());
}

#[test]
fn a_store_that_does_not_know_its_topics_has_at_least_read_no_others() {
    let directory = tempfile::tempdir().unwrap();
    let data_dir = directory.path().join("data");
    write_one_view(fixtures::open(&data_dir), "older.jobs");
    let mut serving = ServeProcess::start(&data_dir, directory.path().join("log"), &[]);
    assert_eq!(serving.ended(), Some(1), "{}", serving.log());
    for part in ["was built from `older.jobs`", "`optimizations`, `jobs`", "another --data-dir"] {
        assert!(serving.log().contains(part), "no {part}: {}", serving.log());
    }
}

/// Makes a store of two generations. The second is live, and the first has another view.
fn two_generations() -> tempfile::TempDir {
    let directory = written_store();
    let data_dir = directory.path().join("data");
    let opened = store::begin_beside(&data_dir, 2, fixtures::CACHE_BYTES).unwrap();
    opened.writer.note_topics(&Topic::ALL.map(|topic| format!("team.{}", topic.default_name()))).unwrap();
    opened.writer.finish().unwrap();
    data_dir::make_current(&data_dir, 2).unwrap();
    directory
}

#[test]
fn an_earlier_generation_is_shown_as_it_was_left_without_a_broker_and_after_each_restart() {
    let directory = two_generations();
    let data_dir = directory.path().join("data");
    let (code, shown, why) = run(&["rollback", "--frozen", "--json"], &data_dir);
    assert_eq!((code, &shown["generation"], &shown["frozen"]), (Some(0), &json!("000001"), &json!(true)), "{why}");
    let (_, listed, _) = run(&["generations", "--json"], &data_dir);
    assert_eq!((&listed[0]["live"], &listed[0]["frozen"]), (&json!(true), &json!(true)), "{listed}");
    let explained = run(&["explain", "o1"], &data_dir);
    assert_eq!(explained.0, Some(0), "it can be decoded: {}", explained.2);
    for _ in 0..2 {
        let serving = ServeProcess::start(&data_dir, directory.path().join("log"), &TEAM);
        serving.wait_until_open();
        let (state, view) = serving.get("read", "/optimizations/o1");
        assert_eq!((state.as_deref(), &view["name"]), (Some("frozen"), &json!("a name")));
        let (_, status) = serving.get("admin", "/status");
        assert_eq!((&status["state"], &status["generation"]), (&json!("frozen"), &json!(1)), "{status}");
        let why = status["last_error"].as_str().expect("a reason");
        for part in ["generation 000001 is shown as it was left", "rollback --frozen", "`optview rebuild`"] {
            assert!(why.contains(part), "no {part}: {why}");
        }
        assert!(status["frozen_at"]["asked_at"].is_string(), "{status}");
        let (_, ready) = serving.get("read", "/readyz");
        assert_eq!(ready["status"], "frozen", "{ready}");
        let again = run(&["rollback", "--frozen", "--to", "1"], &data_dir);
        assert!(again.2.contains("is the live one already"), "{}", again.2);
    }
    // Through the process that serves it, back to the other generation.
    let serving = ServeProcess::start(&data_dir, directory.path().join("log"), &TEAM);
    serving.wait_until_open();
    let (code, shown, why) = run(&["rollback", "--frozen", "--json"], &data_dir);
    assert_eq!((code, &shown["generation"]), (Some(0), &json!("000002")), "{why}");
    assert_eq!(serving.get("admin", "/status").1["generation"], 2);
    assert_eq!(fs::read_to_string(data_dir.join("CURRENT")).unwrap(), "000002\n");
    assert!(data_dir.join("generations/000001").is_dir(), "nothing is removed");
}

#[test]
fn a_mark_that_names_another_generation_than_the_live_one_means_nothing() {
    let directory = two_generations();
    let data_dir = directory.path().join("data");
    assert_eq!(run(&["rollback", "--frozen"], &data_dir).0, Some(0));
    // A crash before or after the replacement of `CURRENT` leaves this.
    data_dir::make_current(&data_dir, 2).unwrap();
    let serving = ServeProcess::start(&data_dir, directory.path().join("log"), &TEAM);
    serving.wait_until_open();
    assert_eq!(serving.get("admin", "/status").1["generation"], 2);
    assert_ne!(serving.get("admin", "/status").1["state"], "frozen");
    assert!(!data_dir.join("FROZEN").exists());
}

#[test]
fn a_generation_that_has_more_is_removed_only_where_that_is_accepted() {
    let directory = two_generations();
    let data_dir = directory.path().join("data");
    data_dir::note_surplus(&data_dir::directory(&data_dir, 1), 2, Some("1 views would be lost".to_owned()))
        .unwrap();
    let listed = run(&["generations", "--json"], &data_dir).1;
    assert_eq!(listed[0]["holds_more"]["replaced_by"], "000002", "{listed}");
    let refused = |arguments: &[&str], part: &str| {
        let (code, _, why) = run(&[&["generations", "--remove"], arguments].concat(), &data_dir);
        assert!(code == Some(1) && why.contains(part), "{arguments:?}: {why}");
    };
    refused(&["1"], "has more than generation 000002");
    refused(&["1"], "1 views would be lost");
    refused(&["2", "--accept-loss"], "is the live one");
    refused(&["7"], "there is no generation 000007");
    let (code, _, why) = run(&["generations", "--accept-loss"], &data_dir);
    assert!(code == Some(1) && why.contains("is for --remove GENERATION"), "{why}");
    let (code, left, why) = run(&["generations", "--remove", "1", "--accept-loss", "--json"], &data_dir);
    assert_eq!((code, left.as_array().map(Vec::len)), (Some(0), Some(1)), "{why}");
    assert!(!data_dir.join("generations/000001").exists());
}

#[test]
fn what_was_left_to_show_an_earlier_one_is_removed_only_where_that_is_accepted() {
    let directory = two_generations();
    let data_dir = directory.path().join("data");
    assert_eq!(run(&["rollback", "--frozen"], &data_dir).0, Some(0));
    let (code, _, why) = run(&["generations", "--remove", "2"], &data_dir);
    assert!(code == Some(1) && why.contains("all that was read after generation 000001 was left"), "{why}");
    // A generation that may have more, as nothing can be read of it, is not removed either.
    fs::write(data_dir::directory(&data_dir, 2).join("generation.json"), "{").unwrap();
    let (code, _, why) = run(&["generations", "--remove", "2"], &data_dir);
    assert!(code == Some(1) && why.contains("generation.json"), "{why}");
    assert!(data_dir.join("generations/000002").is_dir());
}

/// Deletes a directory, in which a process may make files meanwhile.
fn delete(directory: &Path) {
    let begin = Instant::now();
    while directory.exists() {
        assert!(begin.elapsed() < DEADLINE, "{} stays", directory.display());
        let _ = fs::remove_dir_all(directory);
    }
}

#[test]
fn a_data_directory_that_is_taken_away_ends_the_process_and_says_so() {
    for (what, take_away) in [
        ("deleted", delete as fn(&Path)),
        ("moved", |data| fs::rename(data, data.with_extension("moved")).unwrap()),
        ("without its generations", |data| delete(&data.join("generations"))),
        ("replaced", |data| {
            fs::rename(data, data.with_extension("moved")).unwrap();
            drop(store::open(data, fixtures::CACHE_BYTES).unwrap());
        }),
    ] {
        let directory = written_store();
        let data_dir = directory.path().join("data");
        let mut serving = ServeProcess::start(&data_dir, directory.path().join("log"), &TEAM);
        serving.wait_until_open();
        take_away(&data_dir);
        assert_eq!(serving.ended(), Some(1), "{what}: {}", serving.log());
        let log = serving.log();
        let is_reported =
            log.lines().any(|line| line.contains("ERROR") && line.contains("the store is no longer in"));
        assert!(is_reported, "{what}: {log}");
    }
}

#[test]
fn a_frozen_generation_that_is_taken_away_ends_the_process_too() {
    let directory = two_generations();
    let data_dir = directory.path().join("data");
    assert_eq!(run(&["rollback", "--frozen"], &data_dir).0, Some(0));
    let mut serving = ServeProcess::start(&data_dir, directory.path().join("log"), &TEAM);
    serving.wait_until_open();
    delete(&data_dir);
    assert_eq!(serving.ended(), Some(1), "{}", serving.log());
    assert!(serving.log().contains("the store is no longer in"), "{}", serving.log());
}
