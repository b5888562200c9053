//! The platform's own Python client, unmodified, reads from `serve` what it reads from the platform.
//!
//! It comes from PyPI into a virtual environment that is kept beside the build's other artefacts. If that cannot be
//! made, the test is ignored with the reason; with `OPTVIEW_TEST_PYTHON=required` it fails instead.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;

use crate::Test;
use crate::cluster::put;
use crate::events::{completed, created, failed, job, run_started};
use crate::python;
use crate::rig::Rig;
use crate::server::Server;

pub const TESTS: &[Test] = &[
    test!(the_platforms_own_python_client_reads_lists_waits_and_understands_what_is_missing, BrokerAndPython),
    test!(the_oldest_python_client_in_use_does_so_too, BrokerAndPython),
];

/// Returns the interpreters of environments that have the clients; or why there are none.
pub fn install() -> Result<Vec<PathBuf>, String> {
    // One at a time: several tests need the same.
    static INSTALLING: Mutex<()> = Mutex::new(());
    let _turn = INSTALLING.lock().unwrap_or_else(|broken| broken.into_inner());
    let required = std::env::var("OPTVIEW_TEST_PYTHON").is_ok_and(|value| value == "required");
    let made = python::CLIENTS.into_iter().map(python::environment).collect();
    if let (Err(why), true) = (&made, required) {
        panic!("OPTVIEW_TEST_PYTHON=required, but {why}");
    }
    made
}

fn the_platforms_own_python_client_reads_lists_waits_and_understands_what_is_missing(rig: &Rig) {
    read_with(rig, 0);
}

fn the_oldest_python_client_in_use_does_so_too(rig: &Rig) {
    read_with(rig, 1);
}

/// Has the client of this number read all that the script reads, and puts the events that it waits for.
fn read_with(rig: &Rig, client: usize) {
    rig.create_topics(1);
    let (a, b) = ("python-a", "python-b");
    put(rig, &[created(a), created(b), job(a, "pending", 1), job(b, "processing", 1), run_started(a, 0)]);
    let server = Server::start(rig, &["--missing-wait", "1s"]);
    server.wait_until_all_is_kept(rig);
    let mut command = Command::new(&install().expect("main has looked")[client]);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/broker/python_client.py");
    command.arg(script).arg(format!("http://{}", server.addresses().read));
    // Its own settings in the environment are not this test's.
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("IONWORKS_") || name == "PROJECT_ID") {
        command.env_remove(name);
    }
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = child.expect("python to start");
    let stdout = BufReader::new(child.stdout.take().expect("a pipe"));
    let mut lines = Vec::new();
    for line in stdout.lines() {
        let line = line.expect("text");
        match line.as_str() {
            "waiting" => put(rig, &[completed(a, 2)]),
            "waiting for a failure" => put(rig, &[failed(b, 2)]),
            _ => {}
        }
        lines.push(line);
    }
    let output = child.wait_with_output().expect("python to end");
    assert!(output.status.success(), "{lines:?}: {}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(lines.last().map(String::as_str), Some("done"));
}
