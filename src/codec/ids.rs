//! The lengths that ids may have.

use super::DecodeError;
use crate::domain::event::{Body, OptimizationChange};

/// Maximum length of an id or a kind in bytes: ids are keys in the store, and lists filter by kind.
pub const ID_LIMIT: usize = 1024;

/// Checks the ids and the kind of an event.
pub fn check_ids(body: &Body<'_>) -> Result<(), DecodeError> {
    match body {
        Body::Optimization { optimization_id, change } => {
            check_id("optimization_id", optimization_id)?;
            match change {
                OptimizationChange::Created(created) => {
                    check_id("created.organization_id", &created.organization_id)?;
                    check_id("created.project_id", &created.project_id)?;
                    match &created.kind {
                        Some(kind) if kind.len() > ID_LIMIT => return Err(too_long("created.kind", kind.len())),
                        _ => {}
                    }
                    created.job_id.as_ref().map_or(Ok(()), |id| check_id("created.job_id", id))
                }
                OptimizationChange::JobLinked { job_id } => check_id("job_linked.job_id", job_id),
                OptimizationChange::DetailsChanged { .. }
                | OptimizationChange::DisplayNamesChanged { .. }
                | OptimizationChange::Deleted => Ok(()),
            }
        }
        Body::Job { job_id, optimization_id, .. } | Body::Run { job_id, optimization_id, .. } => {
            check_id("job_id", job_id)?;
            match optimization_id {
                Some(id) if id.len() > ID_LIMIT => Err(too_long("optimization_id", id.len())),
                _ => Ok(()),
            }
        }
    }
}

/// Returns true if the text may be an id.
pub fn is_id(text: &str) -> bool {
    (1..=ID_LIMIT).contains(&text.len())
}

/// Checks one id.
pub fn check_id(field: &str, id: &str) -> Result<(), DecodeError> {
    match id.len() {
        0 => Err(DecodeError::field(field, "is missing or empty")),
        len if len > ID_LIMIT => Err(too_long(field, len)),
        _ => Ok(()),
    }
}

/// Returns the error of a text that is longer than an id may be.
pub fn too_long(field: &str, len: usize) -> DecodeError {
    DecodeError::field(field, format!("has {len} bytes, more than the {ID_LIMIT} that it may have"))
}
