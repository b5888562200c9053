//! Python packages, each in a virtual environment that is kept beside the build's other artefacts.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The newest release of the platform's own client, and the oldest that is in use.
pub const CLIENTS: [&str; 2] = ["ionworks-api==0.38.0", "ionworks-api==0.12.0"];

/// Returns the interpreter of an environment that has a package, as `NAME==VERSION`, which is made if it is not there.
///
/// # Errors
/// The environment cannot be made: why.
pub fn environment(package: &str) -> Result<PathBuf, String> {
    let environment = Path::new(env!("CARGO_TARGET_TMPDIR")).join(package);
    let python = environment.join("bin/python");
    // Written last, so that an environment that was broken off is made anew.
    let finished = environment.join("finished");
    if !finished.exists() {
        run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&environment))?;
        run(Command::new(&python).args(["-m", "pip", "install", "--quiet", package]))?;
        std::fs::write(&finished, "").map_err(|error| error.to_string())?;
    }
    Ok(python)
}

fn run(command: &mut Command) -> Result<(), String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output =
        command.stdin(Stdio::null()).output().map_err(|error| format!("{name} cannot be run: {error}"))?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    let last = stderr.lines().last().unwrap_or_default();
    if output.status.success() { Ok(()) } else { Err(format!("the Python package cannot be installed: {last}")) }
}
