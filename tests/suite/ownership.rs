//! Root leaves no files in a store that its user could not open, and the message of a refusal names the file, its owner and the
//! remedy. Tests that need two users do nothing unless they run as root, as they do in containers.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use crate::fixtures;
use crate::program::{after, copy_after};

/// The id of a user without a name, as in containers.
const USER: u32 = 54_321;

fn write_store(data_dir: &Path) {
    let writer = fixtures::open(data_dir).writer;
    let optimization = fixtures::optimization("o1", 4, "a name".to_owned(), String::new());
    writer.commit(fixtures::commit_of(vec![optimization]), Vec::new(), 1).unwrap();
    writer.finish().unwrap();
}

fn give_to(path: &Path, user: u32) {
    chown(path, Some(user), Some(user)).unwrap();
    if path.is_dir() {
        fs::read_dir(path).unwrap().for_each(|entry| give_to(&entry.unwrap().path(), user));
    }
}

/// Returns the files from a path on that do not belong to a user.
fn not_of(path: &Path, user: u32) -> Vec<String> {
    let mut found = Vec::new();
    if fs::symlink_metadata(path).unwrap().uid() != user {
        found.push(path.display().to_string());
    }
    if path.is_dir() {
        found.extend(fs::read_dir(path).unwrap().flat_map(|entry| not_of(&entry.unwrap().path(), user)));
    }
    found
}

/// Runs a command. Returns its exit code and its stderr.
fn run(mut command: Command, arguments: &[&str], data_dir: &Path) -> (Option<i32>, String) {
    let output = command.args(arguments).arg("--data-dir").arg(data_dir).output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

/// Returns a command that runs a copy of the program as [`USER`], who may not reach the folder that it was built in.
fn as_user(directory: &Path) -> Command {
    let (built, program) = (env!("CARGO_BIN_EXE_optview"), directory.join("optview"));
    if !program.exists() {
        fs::hard_link(built, &program).or_else(|_| fs::copy(built, &program).map(drop)).unwrap();
    }
    let mut command = copy_after(&program, "true");
    command.uid(USER).gid(USER).current_dir(directory);
    command
}

fn is_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}

/// Makes a directory that any user may pass.
fn directory() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    directory
}

const NO_BROKER: &[&str] = &["--brokers", "127.0.0.1:1"];

#[test]
fn root_writes_to_no_store_of_another_user_and_says_how_it_is_done() {
    if !is_root() {
        return;
    }
    let directory = directory();
    let data_dir = directory.path().join("data");
    write_store(&data_dir);
    give_to(&data_dir, USER);
    let file = directory.path().join("file");
    let file = file.to_str().unwrap();
    for arguments in [
        &["explain", "o1"][..],
        &["verify"],
        &["generations"],
        &["accept-loss"],
        &[&["rebuild"], NO_BROKER].concat(),
        &[&["rollback"], NO_BROKER].concat(),
        &["snapshot", "export", file],
        &[&["serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"], NO_BROKER].concat(),
    ] {
        let (code, why) = run(after("true"), arguments, &data_dir);
        assert_eq!(code, Some(1), "{arguments:?}: {why}");
        let current = data_dir.join("CURRENT").display().to_string();
        for part in [
            &format!("{current} belongs to uid {USER}, and this runs as root (uid 0)")[..],
            &format!("setpriv --reuid={USER} --regid={USER} --clear-groups optview"),
            &format!("chown -R 0 {}", data_dir.display()),
        ] {
            assert!(why.contains(part), "{arguments:?}: no {part}: {why}");
        }
        assert_eq!(not_of(&data_dir, USER), Vec::<String>::new(), "{arguments:?}");
    }
    // The same holds if there is no store yet.
    let empty = directory.path().join("empty");
    fs::create_dir(&empty).unwrap();
    give_to(&empty, USER);
    let (code, why) = run(after("true"), &["snapshot", "import", "/nowhere"], &empty);
    assert!(code == Some(1) && why.contains(&format!("{} belongs to uid {USER}", empty.display())), "{why}");
    assert_eq!(fs::read_dir(&empty).unwrap().count(), 0);
    // The user may use its own store, and root may use root's.
    assert_eq!(run(as_user(directory.path()), &["explain", "o1"], &data_dir).0, Some(0));
    assert_eq!(not_of(&data_dir, USER), Vec::<String>::new());
    give_to(&data_dir, 0);
    assert_eq!(run(after("true"), &["explain", "o1"], &data_dir).0, Some(0));
}

#[test]
fn a_volume_of_roots_that_a_group_may_write_to_takes_the_store_of_a_user_of_the_group() {
    if !is_root() {
        return;
    }
    let directory = directory();
    let data_dir = directory.path().join("volume");
    fs::create_dir(&data_dir).unwrap();
    // Kubernetes does this with fsGroup.
    chown(&data_dir, Some(0), Some(USER)).unwrap();
    fs::set_permissions(&data_dir, fs::Permissions::from_mode(0o2775)).unwrap();
    let serve = ["serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--brokers", "127.0.0.1:1"];
    let mut command = as_user(directory.path());
    let mut serving =
        command.args(serve).arg("--data-dir").arg(&data_dir).stderr(std::process::Stdio::null()).spawn().unwrap();
    let begin = std::time::Instant::now();
    while !data_dir.join("CURRENT").exists() {
        assert!(serving.try_wait().unwrap().is_none(), "it has ended");
        assert!(begin.elapsed() < std::time::Duration::from_secs(60), "it makes no store");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    serving.kill().unwrap();
    serving.wait().unwrap();
    let made = fs::read_dir(&data_dir).unwrap().map(|entry| entry.unwrap().path());
    assert!(made.into_iter().all(|path| not_of(&path, USER).is_empty()));
    let found = fs::metadata(&data_dir).unwrap();
    assert_eq!((found.uid(), found.mode() & 0o7777), (0, 0o2775), "the volume itself is as it was");
}

#[test]
fn what_the_system_refuses_names_the_file_its_owner_its_mode_and_what_helps() {
    if !is_root() {
        return;
    }
    let directory = directory();
    let data_dir = directory.path().join("data");
    for refused in ["LOCK", "CURRENT", "generations", "generations/000001", "generations/000001/db"] {
        let _ = fs::remove_dir_all(&data_dir);
        write_store(&data_dir);
        fs::write(data_dir.join("LOCK"), "").unwrap();
        give_to(&data_dir, USER);
        let path = data_dir.join(refused);
        chown(&path, Some(0), Some(0)).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        let (code, why) = run(as_user(directory.path()), &["explain", "o1"], &data_dir);
        assert_eq!(code, Some(1), "{refused}: {why}");
        for part in [
            &format!("{} belongs to root (uid 0) with mode 0600, and this runs as uid {USER}", path.display())[..],
            "sudo -u root optview",
            &format!("chown -R {USER} {}", path.display()),
        ] {
            assert!(why.contains(part), "{refused}: no {part}: {why}");
        }
    }
}
