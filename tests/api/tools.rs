//! The tools that tests need, and their installation.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, OnceLock};

use crate::python;

/// The package that asks what the API's description allows, and checks the answers against it.
const SCHEMATHESIS: &str = "schemathesis==4.32.5";

/// The oldest version of Node that runs the scripts.
const NODE_MIN: u32 = 20;

/// A tool that a test needs.
#[derive(Clone, Copy, Debug)]
pub enum Tool {
    /// Node, with the packages of `package-lock.json`.
    Node,
    /// A Chromium of the system.
    Chromium,
    /// Python with the platform's own clients.
    PythonClients,
    /// schemathesis.
    Schemathesis,
}

impl Tool {
    /// Installs the tool where it can be.
    ///
    /// # Errors
    /// The tool is missing: why.
    pub fn install(self) -> Result<(), String> {
        // One at a time: several tests need the same.
        static INSTALLING: Mutex<()> = Mutex::new(());
        let _turn = INSTALLING.lock().unwrap_or_else(|broken| broken.into_inner());
        match self {
            Tool::Node => install_packages(),
            Tool::Chromium => chromium().map(drop),
            Tool::PythonClients => python::CLIENTS.iter().try_for_each(|name| python::environment(name).map(drop)),
            Tool::Schemathesis => schemathesis().map(drop),
        }
    }
}

/// Returns the folder of these tests.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/api")
}

/// Makes a command that runs a script of this folder with Node.
pub fn node(script: &str) -> Command {
    let mut command = Command::new("node");
    command.arg(folder().join(script));
    if let Ok(chromium) = chromium() {
        command.env("CHROMIUM", chromium);
    }
    command
}

/// Returns the program of schemathesis.
pub fn schemathesis() -> Result<PathBuf, String> {
    Ok(python::environment(SCHEMATHESIS)?.with_file_name("schemathesis"))
}

/// Installs the packages of the lock file, unless they are there.
fn install_packages() -> Result<(), String> {
    static INSTALLED: OnceLock<Result<(), String>> = OnceLock::new();
    INSTALLED.get_or_init(install_packages_once).clone()
}

fn install_packages_once() -> Result<(), String> {
    check_node()?;
    let lock = fs::read(folder().join("package-lock.json")).map_err(|error| error.to_string())?;
    // Written last, so that an installation that was broken off is made anew.
    let installed = folder().join("node_modules/installed-lock.json");
    if fs::read(&installed).is_ok_and(|installed| installed == lock) {
        return Ok(());
    }
    let mut command = Command::new("npm");
    command.args(["ci", "--no-audit", "--no-fund", "--ignore-scripts"]).current_dir(folder()).stdin(Stdio::null());
    let output = command.output().map_err(|error| format!("npm cannot be run: {error}"))?;
    if !output.status.success() {
        return Err(format!("npm ci failed: {}", String::from_utf8_lossy(&output.stderr)));
    }
    fs::write(installed, lock).map_err(|error| error.to_string())
}

/// Checks the version of Node, since an older one fails with errors that do not name it.
fn check_node() -> Result<(), String> {
    let output = Command::new("node").arg("--version").output();
    let output = output.map_err(|error| format!("node cannot be run: {error}"))?;
    let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let major = version.strip_prefix('v').and_then(|version| version.split('.').next()?.parse::<u32>().ok());
    match major {
        Some(NODE_MIN..) => Ok(()),
        _ => Err(format!("Node is {version}: install {NODE_MIN} or later")),
    }
}

/// Returns the path of a Chromium.
fn chromium() -> Result<PathBuf, String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let candidates = ["chromium", "chromium-browser", "google-chrome"];
    candidates
        .iter()
        .flat_map(|name| folders.iter().map(move |folder| folder.join(name)))
        .find(|path| path.is_file())
        .ok_or_else(|| "there is no Chromium on the PATH".to_owned())
}
