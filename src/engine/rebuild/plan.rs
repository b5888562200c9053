//! What is to be done, kept in `DIR/REBUILD` until it is, so that it is gone on with after a crash.

use std::fs;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

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
    /// From the beginning of the topics.
    Build,
    /// It was live before, and catches up from where it was.
    Return,
    /// What was built is only to be removed.
    Discard,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Options {
    /// Records a second.
    pub max_rate: Option<f64>,
    /// Only what was written before this time, in milliseconds since 1970. Never cut over to.
    pub until_millis: Option<i64>,
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

    /// The one that a crash or a stop has left, unless it was done by then.
    pub fn unfinished(data_dir: &Path) -> anyhow::Result<Option<Plan>> {
        let path = path(data_dir);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
        };
        let plan: Plan = serde_json::from_slice(&text)
            .with_context(|| format!("{} is not a plan: remove it", path.display()))?;
        match plan.what {
            _ if store::current(data_dir)? == Some(plan.generation) => {}
            What::Discard => store::remove(data_dir, plan.generation)?,
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

    /// A new file in the old one's place, so that a crash leaves one or the other.
    pub(super) fn keep(&self, data_dir: &Path) -> anyhow::Result<()> {
        let (path, new) = (path(data_dir), data_dir.join("REBUILD.new"));
        let written = || {
            let mut file = fs::File::create(&new)?;
            file.write_all(&serde_json::to_vec(self)?)?;
            file.sync_all()?;
            fs::rename(&new, &path)?;
            fs::File::open(data_dir)?.sync_all()
        };
        written().with_context(|| format!("cannot write {}", path.display()))
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
