//! `optview keys` beside a process that serves: a new key works, a revoked one does not, and a file that cannot be used changes nothing.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::program::{Program, World, after};

const DEADLINE: Duration = Duration::from_secs(60);

/// Runs a command under `keys` on a file, and returns what it prints.
fn keys(file: &Path, arguments: &[&str]) -> (bool, String, String) {
    let mut command = after("true");
    let output = command.arg("keys").args(arguments).arg("--api-keys").arg(file).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.success(), text(output.stdout), text(output.stderr))
}

fn json(file: &Path, arguments: &[&str]) -> Value {
    let arguments: Vec<&str> = arguments.iter().copied().chain(["--json"]).collect();
    let (is_done, printed, errors) = keys(file, &arguments);
    assert!(is_done, "{errors}");
    serde_json::from_str(&printed).unwrap()
}

/// Adds a key, and returns it.
fn add(file: &Path, name: &str) -> String {
    json(file, &["add", "--organization", "org-1", "--name", name])["key"].as_str().unwrap().to_owned()
}

/// Asks who the caller with a key is.
fn status(program: &Program, key: &str) -> u16 {
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let request = agent.get(format!("http://{}/users/me", program.read)).header("x-api-key", key);
    request.call().unwrap().status().as_u16()
}

/// Waits until a key is answered with this status.
fn wait_for(program: &Program, key: &str, expected: u16) {
    let begin = Instant::now();
    while status(program, key) != expected {
        assert!(begin.elapsed() < DEADLINE, "the key is still not answered with {expected}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn a_running_process_takes_new_keys_and_refuses_revoked_ones() {
    let world = World::without_broker();
    let file = world.directory.path().join("keys.toml");
    let first = add(&file, "first");
    let mut program = world.serve(&["--api-keys", file.to_str().unwrap()], &[], Stdio::piped());
    let _log = program.listening();
    assert_eq!((status(&program, &first), status(&program, "wrong")), (200, 401));

    let second = add(&file, "second");
    wait_for(&program, &second, 200);
    json(&file, &["revoke", "first"]);
    wait_for(&program, &first, 401);

    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, format!("{text}\n[[keys]]\n")).unwrap();
    let report = program.wait_for("a broken file", |status| !status["credentials"][0]["error"].is_null());
    assert_eq!(
        (&report["credentials"][0]["kind"], &report["credentials"][0]["entries"]),
        (&"api_keys".into(), &1.into())
    );
    assert!(report["warnings"].to_string().contains("cannot be used, so that the 1 keys"), "{report}");
    assert_eq!(program.metric("optview_credentials_file_broken{kind=\"api_keys\"}"), 1.0);
    assert_eq!(status(&program, &second), 200, "the old keys are in force");
    let (is_done, _, errors) = keys(&file, &["add", "--organization", "org-1"]);
    assert!(!is_done && errors.contains("correct them first: key 2: it needs `key` or `sha256`"), "{errors}");

    fs::write(&file, text).unwrap();
    program.wait_for("a file that can be used", |status| status["credentials"][0]["error"].is_null());
    assert_eq!(program.metric("optview_credentials_file_broken{kind=\"api_keys\"}"), 0.0);
    json(&file, &["revoke", "second"]);
    wait_for(&program, &second, 401);
    assert!(program.metric("optview_http_failed_authentications_total{reason=\"unknown_key\"}") >= 1.0);
}

#[test]
fn a_key_is_shown_once_and_its_file_belongs_to_its_owner_alone() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("keys.toml");
    let (_, printed, _) =
        keys(&file, &["add", "--organization", "org-1", "--email", "ada@example.com", "--expires", "90days"]);
    let key = printed.lines().next().unwrap();
    assert!(key.starts_with("optview_") && printed.contains("It is shown this once"), "{printed}");
    let (is_done, printed, errors) =
        keys(&file, &["add", "--organization", "org-1", "--expires", "2020-01-01T00:00:00Z"]);
    assert!(
        !is_done && printed.is_empty() && errors.contains("2020-01-01T00:00:00Z on, which is past"),
        "{errors}"
    );
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let (_, listed, _) = keys(&file, &["list"]);
    assert!(!listed.contains(key) && !fs::read_to_string(&file).unwrap().contains(key), "{listed}");
    for part in ["ID", "org-1", "ada@example.com", "hash"] {
        assert!(listed.contains(part), "no {part}: {listed}");
    }
    let id = json(&file, &["list"])[0]["id"].as_str().unwrap().to_owned();
    let (is_done, revoked, _) = keys(&file, &["revoke", &id]);
    assert!(is_done && revoked.contains("No key is left"), "{revoked}");
    let (is_done, _, errors) = keys(&file, &["revoke", &id]);
    assert!(!is_done && errors.contains(&format!("there is no key {id}")), "{errors}");
    let (is_done, _, errors) = keys(&directory.path().join("none"), &["list"]);
    assert!(!is_done && errors.contains("cannot be read"), "{errors}");
}
