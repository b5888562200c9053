//! Carries out what the state machines ask of a data directory's files: each action is one file that is replaced or removed, or
//! one generation that is removed.

use std::path::Path;

use super::life::RebuildKind;
use super::life::action::{Answer, FileAction};
use super::{plan_file, retention};
use crate::data_dir::{self, FrozenMark};

/// Carries out an action. Logs those failures that end nothing, since the next start clears what they leave.
///
/// # Errors
/// The action was not carried out.
pub fn carry_out(data_dir: &Path, action: &FileAction) -> anyhow::Result<Answer> {
    let answer = change(data_dir, action);
    if let Err(error) = &answer {
        match action {
            FileAction::WritePlan(plan) if plan.kind == RebuildKind::Discard => {
                tracing::warn!("a restart before it is removed would go on with it: {error:#}");
            }
            FileAction::ForgetFrozenMark => {
                tracing::warn!(%error, "what `optview rollback --frozen` left could not be removed");
            }
            _ => {}
        }
    }
    answer
}

fn change(data_dir: &Path, action: &FileAction) -> anyhow::Result<Answer> {
    match action {
        FileAction::WritePlan(plan) => plan_file::write(data_dir, plan)?,
        FileAction::ForgetPlan => plan_file::forget(data_dir),
        FileAction::Remove(generation) => retention::remove(data_dir, *generation)?,
        FileAction::NoteSurplus { generation, replaced_by, surplus } => {
            data_dir::note_surplus(&data_dir::directory(data_dir, *generation), *replaced_by, surplus.clone())?;
        }
        FileAction::WriteFrozenMark(generation) => FrozenMark::new(*generation).write(data_dir)?,
        FileAction::ForgetFrozenMarkOf(generation) => FrozenMark::clear_of(data_dir, *generation)?,
        FileAction::ForgetFrozenMark => FrozenMark::clear(data_dir)?,
        FileAction::SetCurrent(generation) => data_dir::make_current(data_dir, *generation)?,
        FileAction::Prune { before, keep } => {
            return Ok(Answer::Pruned(retention::prune(data_dir, *before, *keep)));
        }
    }
    Ok(Answer::Done)
}
