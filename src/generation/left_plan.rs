//! The plan that a crash or a stop has left: it is resumed, or cleared with what it has made.

use std::path::Path;

use super::files;
use super::life::Plan;
use super::life::RebuildKind;
use super::life::start::LeftPlan;
use super::plan_file;
use crate::data_dir;
use crate::store::FORMAT;

/// Returns the plan that is left. One that was carried out by then, and one that is not to be resumed, is
/// cleared with what it has made.
///
/// # Errors
/// The plan cannot be read, or not be cleared.
pub fn resume_or_clear(data_dir: &Path) -> anyhow::Result<Option<Plan>> {
    let Some(plan) = plan_file::read(data_dir)? else { return Ok(None) };
    let (generation, format) = (plan.generation, plan.format);
    match LeftPlan::of(plan, data_dir::current(data_dir)?, FORMAT) {
        LeftPlan::Resumed(plan) => Ok(Some(plan)),
        LeftPlan::Cleared { actions, is_other_versions } => {
            if is_other_versions {
                tracing::warn!(
                    generation,
                    format,
                    "the rebuild that was under way is another version's, and is given up"
                );
            }
            for action in actions {
                files::carry_out(data_dir, &action)?;
            }
            Ok(None)
        }
    }
}

/// Forgets the plan that a crash or a stop has left, with what it has made. Nobody has the store open. Returns true if there was one.
///
/// # Errors
/// The errors of [`resume_or_clear`].
pub fn abandon(data_dir: &Path) -> anyhow::Result<bool> {
    let Some(plan) = resume_or_clear(data_dir)? else { return Ok(false) };
    if plan.kind == RebuildKind::Build {
        data_dir::remove(data_dir, plan.generation)?;
    }
    plan_file::forget(data_dir);
    Ok(true)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::life::RebuildOptions;
    use super::super::plan_file::write;
    use super::*;
    use crate::store;

    /// Two generations, of which the first is live.
    fn two_generations() -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        drop(store::open(directory.path(), 1 << 20).unwrap());
        drop(store::begin_beside(directory.path(), 2, 1 << 20).unwrap());
        assert_eq!(data_dir::usable(directory.path()).unwrap(), [1, 2]);
        directory
    }

    #[test]
    fn what_a_crash_leaves_is_gone_on_with_unless_it_is_done_or_to_be_discarded() {
        let directory = two_generations();
        let plan = Plan::new(2, RebuildKind::Build, RebuildOptions::default());
        write(directory.path(), &plan).unwrap();
        assert_eq!(resume_or_clear(directory.path()).unwrap().as_ref(), Some(&plan));
        assert_eq!(plan_file::waiting(directory.path()).unwrap().as_ref(), Some(&plan));
        write(directory.path(), &plan.to_discard()).unwrap();
        assert_eq!(resume_or_clear(directory.path()).unwrap(), None);
        assert_eq!(data_dir::usable(directory.path()).unwrap(), [1], "nothing is left to go back to");
        assert!(!directory.path().join("REBUILD").exists());

        let directory = two_generations();
        let scratch = Plan { kind: RebuildKind::VerifyOnly, ..plan.clone() };
        write(directory.path(), &scratch).unwrap();
        assert_eq!(plan_file::waiting(directory.path()).unwrap(), None);
        assert_eq!(data_dir::usable(directory.path()).unwrap(), [1, 2], "looking changes nothing");
        assert_eq!(resume_or_clear(directory.path()).unwrap(), None);
        assert_eq!(data_dir::usable(directory.path()).unwrap(), [1]);

        let directory = two_generations();
        write(directory.path(), &plan).unwrap();
        data_dir::make_current(directory.path(), 2).unwrap();
        assert_eq!(resume_or_clear(directory.path()).unwrap(), None);
        assert_eq!(data_dir::usable(directory.path()).unwrap(), [1, 2]);
        assert!(!directory.path().join("REBUILD").exists());
    }

    #[test]
    fn what_another_version_was_making_is_given_up() {
        let directory = two_generations();
        let plan = Plan { format: FORMAT + 1, ..Plan::new(2, RebuildKind::Build, RebuildOptions::default()) };
        write(directory.path(), &plan).unwrap();
        assert_eq!(resume_or_clear(directory.path()).unwrap(), None);
        assert_eq!(data_dir::usable(directory.path()).unwrap(), [1]);
        assert!(!directory.path().join("REBUILD").exists());

        let directory = two_generations();
        let plan = Plan { format: FORMAT + 1, ..Plan::new(2, RebuildKind::Rollback, RebuildOptions::default()) };
        write(directory.path(), &plan).unwrap();
        assert_eq!(resume_or_clear(directory.path()).unwrap(), None);
        assert_eq!(data_dir::usable(directory.path()).unwrap(), [1, 2], "it was live before");
    }

    #[test]
    fn only_what_has_the_fold_format_of_this_version_is_returned_to() {
        let directory = two_generations();
        let back = Plan::of_this_format(directory.path(), true).unwrap();
        assert_eq!((back.kind, back.generation), (RebuildKind::Rollback, 2));
        let new = Plan::of_this_format(directory.path(), false).unwrap();
        assert_eq!((new.kind, new.generation), (RebuildKind::Build, 3));
        assert_eq!(Plan::go_back(directory.path(), None, 1).unwrap().generation, 2);

        let about = directory.path().join("generations/000002/generation.json");
        fs::write(about, format!(r#"{{"format": {}}}"#, FORMAT + 1)).unwrap();
        let new = Plan::of_this_format(directory.path(), true).unwrap();
        assert_eq!((new.kind, new.generation), (RebuildKind::Build, 3));
        let why = Plan::go_back(directory.path(), None, 1).unwrap_err().to_string();
        let both = format!("fold format {}, and this version's is {FORMAT}", FORMAT + 1);
        assert!(why.contains(&both), "{why}");
    }

    #[test]
    fn one_that_a_crash_left_half_removed_is_none_and_goes_at_the_next_start() {
        let directory = two_generations();
        let generations = directory.path().join("generations");
        fs::rename(generations.join("000002"), generations.join("000002.removed")).unwrap();
        assert!(Plan::go_back(directory.path(), None, 1).is_err());
        assert_eq!(data_dir::list(directory.path()).unwrap().len(), 1);
        drop(store::open(directory.path(), 1 << 20).unwrap());
        assert!(!generations.join("000002.removed").exists());
    }
}
