//! What is to be done, kept in `DIR/REBUILD` until it is, so that it is gone on with after a crash.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use crate::disk;
use crate::store;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The one that is to take the live one's place.
    pub generation: u64,
    pub what: What,
    pub options: Options,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// From the beginning of the topics, or of an archive of them.
    Build,
    /// The same, only to be compared, for somebody who waits for the result: never gone on with, nor cut over to.
    Scratch,
    /// It was live before, and catches up from where it was.
    Return,
    /// What was built is only to be removed.
    Discard,
}

impl What {
    /// Whether it is a new one.
    pub(super) fn is_built(self) -> bool {
        matches!(self, What::Build | What::Scratch)
    }
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Options {
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
    /// One that is to be built, under a number that none has.
    pub fn build(data_dir: &Path, options: Options) -> anyhow::Result<Plan> {
        Ok(Plan { generation: store::next_number(data_dir)?, what: What::Build, options })
    }

    /// One that is only to be compared, under a number that none has.
    pub fn scratch(data_dir: &Path, max_rate: Option<f64>, examples: usize) -> anyhow::Result<Plan> {
        let options = Options { max_rate, examples, dry_run: true, ..Options::default() };
        Ok(Plan { what: What::Scratch, ..Plan::build(data_dir, options)? })
    }

    /// One that was live before: this one, or the last but the live one.
    pub fn go_back(data_dir: &Path, to: Option<u64>, keep: usize) -> anyhow::Result<Plan> {
        let current = store::current(data_dir)?.context("there is no live generation")?;
        let mut others = store::usable(data_dir)?;
        others.retain(|&number| number != current);
        let generation = match to {
            Some(to) if to == current => anyhow::bail!("generation {to:06} is the live one already"),
            Some(to) => others.into_iter().find(|&number| number == to).with_context(|| {
                format!("there is no generation {to:06} to go back to: `optview generations` lists them")
            })?,
            None => {
                others.pop().context("there is no generation to go back to: `optview generations` lists them")?
            }
        };
        Ok(Plan { generation, what: What::Return, options: Options { keep, ..Options::default() } })
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
        let plan = Plan::read(data_dir)?.filter(|plan| matches!(plan.what, What::Build | What::Return));
        let current = store::current(data_dir)?;
        Ok(plan.filter(|plan| current != Some(plan.generation)))
    }

    /// The one that a crash or a stop has left, unless it was done by then. What is not to be gone on with is removed.
    pub fn unfinished(data_dir: &Path) -> anyhow::Result<Option<Plan>> {
        let Some(plan) = Plan::read(data_dir)? else { return Ok(None) };
        match plan.what {
            _ if store::current(data_dir)? == Some(plan.generation) => {}
            What::Discard | What::Scratch => store::remove(data_dir, plan.generation)?,
            What::Build | What::Return => return Ok(Some(plan)),
        }
        Plan::forget(data_dir);
        Ok(None)
    }

    /// Notes that what was built is to be removed, so that a crash meanwhile leaves nothing to go on with or back to.
    pub(super) fn discard(&self, data_dir: &Path) {
        let discard = Plan { what: What::Discard, ..self.clone() };
        if let Err(error) = discard.keep(data_dir) {
            tracing::warn!("a restart before it is removed would go on with it: {error:#}");
        }
    }

    /// Forgets the one that a crash or a stop has left, with what it has made; for where nobody has the store open.
    /// Gives whether there was one.
    pub fn abandon(data_dir: &Path) -> anyhow::Result<bool> {
        let Some(plan) = Plan::unfinished(data_dir)? else { return Ok(false) };
        if plan.what == What::Build {
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
        let plan = Plan { generation: 2, what: What::Build, options: Options::default() };
        plan.keep(directory.path()).unwrap();
        assert_eq!(Plan::unfinished(directory.path()).unwrap().as_ref(), Some(&plan));
        assert_eq!(Plan::waiting(directory.path()).unwrap().as_ref(), Some(&plan));
        plan.discard(directory.path());
        assert_eq!(Plan::unfinished(directory.path()).unwrap(), None);
        assert_eq!(store::usable(directory.path()).unwrap(), [1], "nothing is left to go back to");
        assert!(!path(directory.path()).exists());

        let directory = two_generations();
        let scratch = Plan { what: What::Scratch, ..plan.clone() };
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
