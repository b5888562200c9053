//! The refusal of an operation on a file, with its remedy.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::os_errors;
use crate::disk;

/// An operation on a file or a directory that the operating system refused.
#[derive(Clone, Debug, thiserror::Error)]
#[error(
    "cannot {doing} {path}: {error}{whose}{remedy}",
    path = path.display(),
    whose = disk::permission_remedy(path, error),
    remedy = os_errors::remedy(error)
)]
pub struct IoError {
    doing: &'static str,
    path: PathBuf,
    error: Arc<io::Error>,
}

impl IoError {
    /// Returns the function that makes an error of an operation on `path` from the operating system's.
    pub fn of(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> IoError {
        let path = path.to_owned();
        move |error| IoError { doing, path, error: Arc::new(error) }
    }
}
