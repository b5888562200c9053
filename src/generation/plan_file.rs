//! `DIR/REBUILD`: the plan that is carried out, so that a crash leaves something to resume.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::life::Plan;
use crate::data_dir;
use crate::disk;

/// Returns true if the plan of this generation is on the disk, so that the next start resumes it.
pub fn is_written(data_dir: &Path, generation: u64) -> bool {
    read(data_dir)
        .is_ok_and(|plan| plan.is_some_and(|plan| plan.generation == generation && plan.kind.is_resumable()))
}

/// Returns the plan that is on the disk.
///
/// # Errors
/// It cannot be read, or is none.
pub fn read(data_dir: &Path) -> anyhow::Result<Option<Plan>> {
    let path = path(data_dir);
    let text = match fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
    };
    let plan = serde_json::from_slice(&text);
    plan.map(Some).with_context(|| format!("{} is not a plan: remove it", path.display()))
}

/// Returns the plan that the next start resumes. Changes nothing.
///
/// # Errors
/// The plan or `CURRENT` cannot be read.
pub fn waiting(data_dir: &Path) -> anyhow::Result<Option<Plan>> {
    let plan = read(data_dir)?.filter(|plan| plan.kind.is_resumable());
    let current = data_dir::current(data_dir)?;
    Ok(plan.filter(|plan| current != Some(plan.generation)))
}

/// Writes a plan, whole and synced.
///
/// # Errors
/// It cannot be written.
pub fn write(data_dir: &Path, plan: &Plan) -> anyhow::Result<()> {
    let path = path(data_dir);
    let plan = serde_json::to_vec(plan)?;
    disk::replace(&path, &plan).with_context(|| format!("cannot write {}", path.display()))
}

/// Removes the plan. If that fails, the next start does it.
pub fn forget(data_dir: &Path) {
    let path = path(data_dir);
    if let Err(error) = fs::remove_file(&path)
        && error.kind() != ErrorKind::NotFound
    {
        tracing::warn!(%error, path = %path.display(), "could not be removed");
    }
}

fn path(data_dir: &Path) -> PathBuf {
    data_dir.join("REBUILD")
}
