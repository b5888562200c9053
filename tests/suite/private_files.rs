//! The files that optview writes are its user's only, whatever the umask; and nothing but its own files is ever replaced.

use std::fs;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::fixtures;
use crate::program::{World, after};

/// Every file and directory below, and the directory itself, with what each lets whom do.
fn modes(directory: &Path) -> Vec<(PathBuf, u32)> {
    let mut found = vec![(directory.to_owned(), fs::metadata(directory).unwrap().mode() & 0o777)];
    for entry in fs::read_dir(directory).unwrap().map(Result::unwrap) {
        // What comes and goes meanwhile may be gone.
        let Ok(metadata) = entry.path().symlink_metadata() else { continue };
        match metadata.is_dir() {
            true => found.extend(modes(&entry.path())),
            false => found.push((entry.path(), metadata.mode() & 0o777)),
        }
    }
    found
}

fn check_private(directory: &Path) {
    let modes = modes(directory);
    assert!(modes.len() > 1, "{modes:?}");
    for (path, mode) in modes {
        let expected = if path.is_dir() { 0o700 } else { 0o600 };
        assert_eq!(mode, expected, "{} has the mode {mode:o}", path.display());
    }
}

#[test]
fn a_store_and_its_snapshots_are_their_users_only_whatever_the_umask() {
    for umask in ["000", "022", "777"] {
        let world = World::new();
        let path = |name: &str| world.directory.path().join(name);
        world.put_optimizations(0, 5);
        let before = format!("umask {umask}");
        let mut program = world.serve_after(&before, &[], &[], Stdio::piped());
        let _log = program.listening();
        program.wait_for("live", |status| status["state"] == "live");
        let tool = |arguments: &[&str]| {
            let done = after(&before).args(arguments).arg("--data-dir").arg(path("data")).output().unwrap();
            assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        };
        tool(&["rebuild", "--expect-same"]);
        fs::create_dir(path("out")).unwrap();
        fs::set_permissions(path("out"), fs::Permissions::from_mode(0o700)).unwrap();
        // By the process that serves it, and by the tool itself.
        tool(&["snapshot", "export", path("out/served").to_str().unwrap()]);
        let socket = fs::metadata(path("data/control.sock")).unwrap();
        assert!(socket.file_type().is_socket() && socket.mode() & 0o777 == 0o600);
        check_private(&path("data"));
        program.tell_to_stop();
        assert!(program.wait().success());
        tool(&["snapshot", "export", path("out/at-rest").to_str().unwrap()]);
        let import = ["snapshot", "import", path("out/served").to_str().unwrap(), "--data-dir"].map(str::to_owned);
        assert!(after(&before).args(import).arg(path("out/replica")).output().unwrap().status.success());
        check_private(&path("data"));
        check_private(&path("out"));
    }
}

fn export(data_dir: &Path, file: &Path, arguments: &[&str]) -> Output {
    let mut command = after("true");
    command.args(["snapshot", "export"]).arg(file).arg("--data-dir").arg(data_dir).args(arguments);
    command.output().unwrap()
}

fn written(data_dir: &Path) {
    let writer = fixtures::open(data_dir).writer;
    let optimization = fixtures::optimization("o1", 4, "a name".to_owned(), String::new());
    writer.commit(fixtures::commit_of(vec![optimization]), Vec::new(), 1).unwrap();
    writer.finish().unwrap();
}

/// Checks that nothing is exported under a name, and that what lies there is what it was.
fn check_refused(data_dir: &Path, file: &Path, arguments: &[&str], why: &str) {
    let before = fs::symlink_metadata(file).map(|found| (found.ino(), found.mode(), found.len())).ok();
    let refused = export(data_dir, file, arguments);
    let text = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(1), "{}: {text}", file.display());
    assert!(text.contains(why) && text.contains(file.to_str().unwrap()), "no {why}: {text}");
    let after = fs::symlink_metadata(file).map(|found| (found.ino(), found.mode(), found.len())).ok();
    assert_eq!(after, before, "{}", file.display());
    let mut part = file.as_os_str().to_owned();
    part.push(".part");
    assert!(!Path::new(&part).exists(), "{}", file.display());
}

#[test]
fn a_snapshot_replaces_nothing_but_a_file_and_only_with_force() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let data_dir = path("data");
    written(&data_dir);
    let current = fs::read(data_dir.join("CURRENT")).unwrap();
    fs::write(path("file"), "of somebody").unwrap();
    symlink(path("file"), path("link")).unwrap();
    symlink(path("nowhere"), path("dangling")).unwrap();
    assert!(Command::new("mkfifo").arg(path("fifo")).status().unwrap().success());
    let _socket = std::os::unix::net::UnixListener::bind(path("socket")).unwrap();
    for force in [&[][..], &["--force"]] {
        for (file, why) in [
            (path("link"), "is a symbolic link"),
            (path("dangling"), "is a symbolic link"),
            (path("fifo"), "is a FIFO"),
            (path("socket"), "is a socket"),
            ("/dev/full".into(), "is a device"),
            (data_dir.join("new"), "in which nothing but optview's own files may be"),
            (data_dir.join("generations/000001/new"), "in which nothing but optview's own files may be"),
        ] {
            check_refused(&data_dir, &file, force, why);
        }
    }
    check_refused(&data_dir, &path("file"), &[], "--force replaces it");
    check_refused(&data_dir, &data_dir.join("CURRENT"), &[], "is there already");
    check_refused(&data_dir, &data_dir.join("CURRENT"), &["--force"], "lies in the data directory");
    assert_eq!(fs::read(data_dir.join("CURRENT")).unwrap(), current);
    // Another store's directory is no place either.
    written(&path("other"));
    check_refused(&data_dir, &path("other/new"), &[], "lies in the data directory");

    // What is in the way of the file while it is written.
    symlink(path("file"), path("a.part")).unwrap();
    let refused = export(&data_dir, &path("a"), &[]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("cannot create"), "{refused:?}");
    fs::write(path("b.part"), "of somebody").unwrap();
    let refused = export(&data_dir, &path("b"), &[]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("is another file"), "{refused:?}");
    for untouched in ["file", "b.part"] {
        assert_eq!(fs::read_to_string(path(untouched)).unwrap(), "of somebody");
    }

    assert!(export(&data_dir, &path("file"), &["--force"]).status.success());
    assert!(fs::read(path("file")).unwrap().starts_with(b"optview-snapshot"));
    assert_eq!(fs::metadata(path("file")).unwrap().mode() & 0o777, 0o600);
    // What a kill left of another is no obstacle.
    fs::write(path("new.part"), &fs::read(path("file")).unwrap()[..100]).unwrap();
    assert!(export(&data_dir, &path("new"), &[]).status.success());
    assert!(!path("new.part").exists());
}
