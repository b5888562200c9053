//! A refusal by the operating system is not taken for damage. It refuses the program one thing (permission, files, threads, a
//! read): the program ends with 1, and names the refusal, the file and the remedy. Its store is left as it is, and the next
//! start shows the same views. `refusing.c` is preloaded into the program and refuses.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use optview::domain::{Commit, NamedPartition};
use optview::store::{Checkpoint, OpenStore, PartitionCheckpoint};
use rustix::io::Errno;

use crate::fixtures;

const VIEWS: u64 = 3_000;
/// Longest wait for anything that takes some seconds on an idle machine.
const DEADLINE: Duration = Duration::from_secs(240);

/// A refusal that the preloaded library makes.
#[derive(Clone, Copy, Debug)]
struct Refusal {
    call: &'static str,
    /// A part of the file's path.
    path: &'static str,
    errno: Errno,
    /// The first of these calls that is refused, counted from 1, and the number of refusals.
    from: u32,
    count: u32,
}

const fn refusal(call: &'static str, path: &'static str, errno: Errno) -> Refusal {
    Refusal { call, path, errno, from: 1, count: 1_000_000 }
}

/// Refuses one such call only, like a disk that fails once.
const fn once(call: &'static str, path: &'static str, errno: Errno, from: u32) -> Refusal {
    Refusal { from, count: 1, ..refusal(call, path, errno) }
}

/// Refuses all such calls from one on.
const fn from(call: &'static str, path: &'static str, errno: Errno, from: u32) -> Refusal {
    Refusal { from, ..refusal(call, path, errno) }
}

const DATABASE: &str = "generations/000001/db";

/// Builds the library that is preloaded, once.
fn refusing() -> &'static Path {
    static BUILT: LazyLock<(tempfile::TempDir, PathBuf)> = LazyLock::new(|| {
        let directory = tempfile::tempdir().unwrap();
        let library = directory.path().join("refusing.so");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/suite/no_damage/refusing.c");
        let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".to_owned());
        let built =
            Command::new(compiler).args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(&source).status();
        assert!(built.expect("a C compiler, which the crate needs anyway").success());
        (directory, library)
    });
    &BUILT.1
}

/// Makes a store that was opened twice, so that sled has a snapshot, and records beyond it.
fn written_store() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    for sequence in 1..=2 {
        let OpenStore { writer, .. } = fixtures::open(directory.path());
        for part in 0..3 {
            let numbers = (0..VIEWS).filter(|number| number % 3 == part);
            let commit: Commit = fixtures::commit_of(
                numbers
                    .map(|number| {
                        let description = fixtures::text(number, 600);
                        fixtures::optimization(
                            &format!("o{number}"),
                            sequence,
                            format!("{sequence} of {number}"),
                            description,
                        )
                    })
                    .collect(),
            );
            writer.commit(commit, Vec::new(), part + 1).unwrap();
        }
        let read = PartitionCheckpoint { next_offset: sequence as i64, anchor: None, topic_id: None };
        writer.checkpoint(Checkpoint::from([(NamedPartition::new("optimizations", 0), read)])).unwrap();
        writer.finish().unwrap();
    }
    directory
}

/// Starts the program on a store, without a broker to read from.
fn serve(data_dir: &Path, errors: &Path, refusal: Option<(Refusal, Option<&Path>)>) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_optview"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("OPTVIEW_") || name == "RUST_LOG") {
        command.env_remove(name);
    }
    command
        .args(["serve", "--brokers", "127.0.0.1:1", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"])
        .args(["--log-format", "json", "--data-dir"])
        .arg(data_dir)
        .stdout(Stdio::null())
        .stderr(File::create(errors).unwrap());
    if let Some((Refusal { call, path, errno, from, count }, only_while)) = refusal {
        command
            .env("LD_PRELOAD", refusing())
            .env("REFUSE_CALL", call)
            .env("REFUSE_PATH", path)
            .env("REFUSE_ERRNO", errno.raw_os_error().to_string())
            .env("REFUSE_FROM", from.to_string())
            .env("REFUSE_COUNT", count.to_string());
        if let Some(file) = only_while {
            command.env("REFUSE_WHILE", file);
        }
    }
    command.spawn().unwrap()
}

/// Waits until the program ends by itself.
fn wait(mut child: Child, what: &dyn std::fmt::Debug, errors: &Path) -> ExitStatus {
    let begin = Instant::now();
    loop {
        if let Some(ended) = child.try_wait().unwrap() {
            return ended;
        }
        if begin.elapsed() > DEADLINE {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("{what:?}: it goes on: {}", fs::read_to_string(errors).unwrap());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Checks that the store is the same generation, with every view and the last checkpoint, and has nothing beside it.
fn check_untouched(data_dir: &Path, what: &dyn std::fmt::Debug) {
    let names: Vec<_> =
        fs::read_dir(data_dir.join("generations")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["000001"], "{what:?}");
    let OpenStore { writer, generation, moved_aside, .. } = fixtures::open(data_dir);
    assert_eq!((generation, moved_aside), (1, None), "{what:?}");
    assert_eq!(
        writer.checkpoint_at_open().values().map(|held| held.next_offset).collect::<Vec<_>>(),
        [2],
        "{what:?}"
    );
    let reader = writer.reader();
    assert_eq!(reader.views(), VIEWS, "{what:?}");
    for number in 0..VIEWS {
        let view = reader.get(&format!("o{number}"), None).unwrap().expect("the view");
        let view: serde_json::Value = serde_json::from_slice(&view.body).unwrap();
        assert_eq!(view["name"], format!("2 of {number}"), "{what:?}");
    }
    drop(reader);
    writer.finish().unwrap();
}

/// Starts the program with the refusal, and checks that it ends as it should and leaves the store as it was.
fn check(refusal: Refusal) {
    let directory = written_store();
    let data_dir = directory.path();
    let errors = directory.path().join("stderr");
    let ended = wait(serve(data_dir, &errors, Some((refusal, None))), &refusal, &errors);
    let stderr = fs::read_to_string(&errors).unwrap();
    assert_eq!(ended.code(), Some(1), "{refusal:?}: {stderr}");
    let last = stderr.lines().last().expect("a last line");
    let reason = format!("(os error {})", refusal.errno.raw_os_error());
    let is_named =
        last.contains(&reason) || last.contains(&format!("Os {{ code: {}", refusal.errno.raw_os_error()));
    assert!(is_named, "{refusal:?}: {stderr}");
    for part in [data_dir.to_str().unwrap(), "This is no damage: the store is left as it is"] {
        assert!(last.contains(part), "{refusal:?}: no {part:?} in: {last}");
    }
    check_untouched(data_dir, &refusal);
}

#[test]
fn a_directory_or_a_file_that_may_not_be_entered_is_left_as_it_is() {
    for refusal in [
        // A restore by root with mode 000 leaves this.
        refusal("stat", DATABASE, Errno::ACCESS),
        refusal("open", DATABASE, Errno::ACCESS),
        refusal("open", "/CURRENT", Errno::ACCESS),
        refusal("open", "generations/000001/conf", Errno::PERM),
        refusal("open", "generations/000001/CONDEMNED", Errno::ACCESS),
        refusal("open", "generations/000001/generation.json", Errno::ACCESS),
        refusal("open", "generations/000001/snap.", Errno::ACCESS),
    ] {
        check(refusal);
    }
}

#[test]
fn too_few_files_at_the_start_leave_the_store_as_it_is() {
    for refusal in [
        refusal("open", DATABASE, Errno::MFILE),
        once("open", DATABASE, Errno::MFILE, 2),
        once("open", DATABASE, Errno::NFILE, 3),
        refusal("open", "generations/000001/CONDEMNED", Errno::MFILE),
        refusal("open", "generations/000001/snap.", Errno::NOMEM),
    ] {
        check(refusal);
    }
}

/// sled starts seven threads and a flusher, and the store two more; each of them is refused in turn.
#[test]
fn too_few_threads_at_the_start_leave_the_store_as_it_is() {
    for at in [1, 5, 10, 18, 19, 20] {
        check(from("thread", DATABASE, Errno::AGAIN, at));
    }
}

#[test]
fn a_disk_that_fails_once_while_the_store_is_opened_leaves_it_as_it_is() {
    for at in [1, 2, 3, 5, 8, 13] {
        check(once("read", DATABASE, Errno::IO, at));
    }
    check(once("read", "generations/000001/conf", Errno::IO, 1));
    check(once("read", "generations/000001/snap.", Errno::IO, 1));
}

#[test]
fn a_disk_that_fails_once_while_the_store_is_read_ends_the_process_and_leaves_the_store_as_it_is() {
    let directory = written_store();
    let (errors, fails) = (directory.path().join("stderr"), directory.path().join("fails"));
    let refusal = once("read", DATABASE, Errno::IO, 1);
    let mut child = serve(directory.path(), &errors, Some((refusal, Some(&fails))));
    let begin = Instant::now();
    let address = loop {
        let stderr = fs::read_to_string(&errors).unwrap();
        let opened = stderr.lines().find(|line| line.contains("the store is open")).is_some();
        let listening = stderr.lines().find(|line| line.contains(r#""message":"listening""#));
        if let (true, Some(line)) = (opened, listening) {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            let read = line["read"].as_str().or_else(|| line["fields"]["read"].as_str());
            break read.expect("its address").to_owned();
        }
        assert!(child.try_wait().unwrap().is_none() && begin.elapsed() < DEADLINE, "{stderr}");
        std::thread::sleep(Duration::from_millis(5));
    };
    File::create(&fails).unwrap();
    // One of these must be read from the disk, which fails. Nobody answers once the process ends.
    for number in (0..VIEWS).step_by(7) {
        if !answers(&address, &format!("/optimizations/o{number}")) {
            break;
        }
    }
    let ended = wait(child, &refusal, &errors);
    let stderr = fs::read_to_string(&errors).unwrap();
    assert_eq!(ended.code(), Some(1), "{stderr}");
    let last = stderr.lines().last().expect("a last line");
    for part in [directory.path().to_str().unwrap(), "Input/output error", "This is no damage", "dmesg"] {
        assert!(last.contains(part), "no {part:?} in: {last}");
    }
    check_untouched(directory.path(), &refusal);
}

/// Returns true if the address answers with the view.
fn answers(address: &str, path: &str) -> bool {
    let Ok(mut stream) = TcpStream::connect(address) else { return false };
    let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    let mut answer = String::new();
    let asked = stream.write_all(request.as_bytes()).and_then(|()| stream.read_to_string(&mut answer));
    asked.is_ok() && answer.starts_with("HTTP/1.1 200 ")
}

/// The program checks its threads before it starts anything: work that found no thread later would wait for it for ever.
#[test]
fn a_process_that_cannot_start_the_threads_it_takes_to_serve_says_so_at_once() {
    for at in [1, 2, 30, 48] {
        check(from("thread", "", Errno::AGAIN, at));
    }
}

/// A tool distinguishes a file that it may not look at from a missing one, too.
#[test]
fn a_store_that_may_not_be_looked_at_is_not_one_that_is_not_there() {
    let directory = written_store();
    let tool = |name: &str, refusal: Refusal| {
        let output = Command::new(env!("CARGO_BIN_EXE_optview"))
            .args([name, "--data-dir"])
            .arg(directory.path())
            .env("LD_PRELOAD", refusing())
            .env("REFUSE_CALL", refusal.call)
            .env("REFUSE_PATH", refusal.path)
            .env("REFUSE_ERRNO", refusal.errno.raw_os_error().to_string())
            .output()
            .unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{name}, {refusal:?}: {stderr}");
        for part in ["CURRENT", "Permission denied", "chmod"] {
            assert!(stderr.contains(part), "{name}, {refusal:?}: no {part}: {stderr}");
        }
    };
    for name in ["generations", "verify", "accept-loss"] {
        tool(name, refusal("stat", "/CURRENT", Errno::ACCESS));
        tool(name, refusal("open", "/CURRENT", Errno::ACCESS));
    }
    check_untouched(directory.path(), &"tools");
}
