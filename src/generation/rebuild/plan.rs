//! What is to be done, kept in `DIR/REBUILD` until it is, so that it is gone on with after a crash.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use crate::disk;
use crate::store::{self, FORMAT};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The one that is to take the live one's place.
    pub generation: u64,
    #[serde(rename = "what")]
    pub kind: RebuildKind,
    pub options: RebuildOptions,
    /// Of the fold, by which what it makes is folded.
    #[serde(default = "first_format")]
    pub format: u8,
}

/// Before there was another, plans did not say it.
fn first_format() -> u8 {
    1
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RebuildKind {
    /// From the beginning of the topics, or of an archive of them.
    Build,
    /// The same, only to be compared, for somebody who waits for the result: never gone on with, nor cut over to.
    #[serde(rename = "scratch")]
    VerifyOnly,
    /// It was live before, and catches up from where it was.
    #[serde(rename = "return")]
    Rollback,
    /// What was built is only to be removed.
    Discard,
}

impl RebuildKind {
    /// Whether it is a new one.
    pub(super) fn is_built(self) -> bool {
        matches!(self, RebuildKind::Build | RebuildKind::VerifyOnly)
    }
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RebuildOptions {
    /// Records a second.
    pub max_rate: Option<f64>,
    /// Only what was written before this time, in milliseconds since 1970. Never cut over to.
    pub until_millis: Option<i64>,
    /// An archive to read first, by an absolute path: it may be another process that reads it, or the next start.
    pub from_archive: Option<PathBuf>,
    /// Only to compare.
    pub dry_run: bool,
    /// Not to be cut over to where anything differs.
    pub expect_same: bool,
    /// Even where the topics no longer have what the live generation was built from.
    pub accept_loss: bool,
    /// How many generations stay beside the live one.
    pub keep: usize,
    /// How many examples of views that are not the same are shown.
    pub examples: usize,
}

impl Plan {
    pub(super) fn new(generation: u64, what: RebuildKind, options: RebuildOptions) -> Plan {
        Plan { generation, kind: what, options, format: FORMAT }
    }

    /// What takes the place of one that another version has folded: a new one, or, where `may_return`, the last of this
    /// version's that is there. Catching up is all that this one has to do.
    pub fn of_this_format(data_dir: &Path, may_return: bool) -> anyhow::Result<Plan> {
        let options = RebuildOptions { keep: 1, examples: 10, ..RebuildOptions::default() };
        match store::of_this_format(data_dir)?.filter(|_| may_return) {
            Some(generation) => Ok(Plan::new(generation, RebuildKind::Rollback, options)),
            None => Plan::build(data_dir, options),
        }
    }

    /// One that is to be built, under a number that none has.
    pub fn build(data_dir: &Path, options: RebuildOptions) -> anyhow::Result<Plan> {
        Ok(Plan::new(store::next_number(data_dir)?, RebuildKind::Build, options))
    }

    /// One that is only to be compared, under a number that none has.
    pub fn scratch(data_dir: &Path, max_rate: Option<f64>, examples: usize) -> anyhow::Result<Plan> {
        let options = RebuildOptions { max_rate, examples, dry_run: true, ..RebuildOptions::default() };
        Ok(Plan { kind: RebuildKind::VerifyOnly, ..Plan::build(data_dir, options)? })
    }

    /// One that was live before: this one, or the last but the live one.
    pub fn go_back(data_dir: &Path, to: Option<u64>, keep: usize) -> anyhow::Result<Plan> {
        let generation = Plan::earlier(data_dir, to)?;
        refuse_other_format(data_dir, generation)?;
        Ok(Plan::new(generation, RebuildKind::Rollback, RebuildOptions { keep, ..RebuildOptions::default() }))
    }

    /// The generation to go back to: this one, or the last but the live one.
    pub(in crate::generation) fn earlier(data_dir: &Path, to: Option<u64>) -> anyhow::Result<u64> {
        let current = store::current(data_dir)?.context("there is no live generation")?;
        let mut others = store::usable(data_dir)?;
        others.retain(|&number| number != current);
        match to {
            Some(to) if to == current => anyhow::bail!("generation {to:06} is the live one already"),
            Some(to) => others.into_iter().find(|&number| number == to).with_context(|| {
                format!("there is no generation {to:06} to go back to: `optview generations` lists them")
            }),
            None => others.pop().context("there is no generation to go back to: `optview generations` lists them"),
        }
    }

    /// Whether a plan is on the disk, so that the next start would go on with it.
    pub fn is_kept(data_dir: &Path) -> bool {
        path(data_dir).exists()
    }

    fn read(data_dir: &Path) -> anyhow::Result<Option<Plan>> {
        let path = path(data_dir);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
        };
        let plan = serde_json::from_slice(&text);
        plan.map(Some).with_context(|| format!("{} is not a plan: remove it", path.display()))
    }

    /// The one that the next start goes on with. Changes nothing.
    pub fn waiting(data_dir: &Path) -> anyhow::Result<Option<Plan>> {
        let plan =
            Plan::read(data_dir)?.filter(|plan| matches!(plan.kind, RebuildKind::Build | RebuildKind::Rollback));
        let current = store::current(data_dir)?;
        Ok(plan.filter(|plan| current != Some(plan.generation)))
    }

    /// The one that a crash or a stop has left, unless it was done by then. What is not to be gone on with is removed.
    pub fn unfinished(data_dir: &Path) -> anyhow::Result<Option<Plan>> {
        let Some(plan) = Plan::read(data_dir)? else { return Ok(None) };
        match plan.kind {
            _ if store::current(data_dir)? == Some(plan.generation) => {}
            what if plan.format != FORMAT => {
                tracing::warn!(
                    generation = plan.generation,
                    format = plan.format,
                    "the rebuild that was under way is another version's, and is given up"
                );
                if what != RebuildKind::Rollback {
                    store::remove(data_dir, plan.generation)?;
                }
            }
            RebuildKind::Discard | RebuildKind::VerifyOnly => store::remove(data_dir, plan.generation)?,
            RebuildKind::Build | RebuildKind::Rollback => return Ok(Some(plan)),
        }
        Plan::forget(data_dir);
        Ok(None)
    }

    /// Notes that what was built is to be removed, so that a crash meanwhile leaves nothing to go on with or back to.
    pub(super) fn discard(&self, data_dir: &Path) {
        let discard = Plan { kind: RebuildKind::Discard, ..self.clone() };
        if let Err(error) = discard.keep(data_dir) {
            tracing::warn!("a restart before it is removed would go on with it: {error:#}");
        }
    }

    /// Forgets the one that a crash or a stop has left, with what it has made; for where nobody has the store open.
    /// Gives whether there was one.
    pub fn abandon(data_dir: &Path) -> anyhow::Result<bool> {
        let Some(plan) = Plan::unfinished(data_dir)? else { return Ok(false) };
        if plan.kind == RebuildKind::Build {
            store::remove(data_dir, plan.generation)?;
        }
        Plan::forget(data_dir);
        Ok(true)
    }

    /// So that a crash leaves something to go on with.
    pub(super) fn keep(&self, data_dir: &Path) -> anyhow::Result<()> {
        let path = path(data_dir);
        let plan = serde_json::to_vec(self)?;
        disk::replace(&path, &plan).with_context(|| format!("cannot write {}", path.display()))
    }

    pub(super) fn forget(data_dir: &Path) {
        let path = path(data_dir);
        if let Err(error) = fs::remove_file(&path)
            && error.kind() != ErrorKind::NotFound
        {
            tracing::warn!(%error, path = %path.display(), "could not be removed");
        }
    }
}

/// One that this version could not keep up to date would soon show old views.
fn refuse_other_format(data_dir: &Path, generation: u64) -> anyhow::Result<()> {
    let name = format!("{generation:06}");
    let listed = store::list(data_dir)?.into_iter().find(|listed| listed.name == name);
    match listed.and_then(|listed| listed.about.format) {
        Some(format) if format != FORMAT => anyhow::bail!(
            "generation {name} has the fold format {format}, and this version's is {FORMAT}, so that it could not be kept \
             up to date. To return to it, stop this version and start the one that made it: it does so by itself. {}",
            show_frozen(generation)
        ),
        _ => Ok(()),
    }
}

/// What can be done about a generation that cannot be brought up to date.
pub fn show_frozen(generation: u64) -> String {
    format!("`optview rollback --frozen --to {generation:06}` shows it as it was left, and says that it is frozen")
}

fn path(data_dir: &Path) -> PathBuf {
    data_dir.join("REBUILD")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two generations, of which the first is live.
    fn two_generations() -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        drop(store::open(directory.path(), 1 << 20).unwrap());
        drop(store::begin_beside(directory.path(), 2, 1 << 20).unwrap());
        assert_eq!(store::usable(directory.path()).unwrap(), [1, 2]);
        directory
    }

    #[test]
    fn what_a_crash_leaves_is_gone_on_with_unless_it_is_done_or_to_be_discarded() {
        let directory = two_generations();
        let plan = Plan::new(2, RebuildKind::Build, RebuildOptions::default());
        plan.keep(directory.path()).unwrap();
        assert_eq!(Plan::unfinished(directory.path()).unwrap().as_ref(), Some(&plan));
        assert_eq!(Plan::waiting(directory.path()).unwrap().as_ref(), Some(&plan));
        plan.discard(directory.path());
        assert_eq!(Plan::unfinished(directory.path()).unwrap(), None);
        assert_eq!(store::usable(directory.path()).unwrap(), [1], "nothing is left to go back to");
        assert!(!path(directory.path()).exists());

        let directory = two_generations();
        let scratch = Plan { kind: RebuildKind::VerifyOnly, ..plan.clone() };
        scratch.keep(directory.path()).unwrap();
        assert_eq!(Plan::waiting(directory.path()).unwrap(), None);
        assert_eq!(store::usable(directory.path()).unwrap(), [1, 2], "looking changes nothing");
        assert_eq!(Plan::unfinished(directory.path()).unwrap(), None);
        assert_eq!(store::usable(directory.path()).unwrap(), [1]);

        let directory = two_generations();
        plan.keep(directory.path()).unwrap();
        store::make_current(directory.path(), 2).unwrap();
        assert_eq!(Plan::unfinished(directory.path()).unwrap(), None);
        assert_eq!(store::usable(directory.path()).unwrap(), [1, 2]);
        assert!(!path(directory.path()).exists());
    }

    #[test]
    fn what_another_version_was_making_is_given_up() {
        let directory = two_generations();
        let plan = Plan { format: FORMAT + 1, ..Plan::new(2, RebuildKind::Build, RebuildOptions::default()) };
        plan.keep(directory.path()).unwrap();
        assert_eq!(Plan::unfinished(directory.path()).unwrap(), None);
        assert_eq!(store::usable(directory.path()).unwrap(), [1]);
        assert!(!path(directory.path()).exists());

        let directory = two_generations();
        let plan = Plan { format: FORMAT + 1, ..Plan::new(2, RebuildKind::Rollback, RebuildOptions::default()) };
        plan.keep(directory.path()).unwrap();
        assert_eq!(Plan::unfinished(directory.path()).unwrap(), None);
        assert_eq!(store::usable(directory.path()).unwrap(), [1, 2], "it was live before");
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
        assert_eq!(store::list(directory.path()).unwrap().len(), 1);
        drop(store::open(directory.path(), 1 << 20).unwrap());
        assert!(!generations.join("000002.removed").exists());
    }
}
