//! The choice of the generation that a plan makes the live one: a new one under a number that none has, or one that was live before.

use std::path::Path;

use anyhow::Context as _;

use super::life::{Plan, RebuildKind, RebuildOptions};
use crate::data_dir;
use crate::store::FORMAT;

impl Plan {
    pub(super) fn new(generation: u64, kind: RebuildKind, options: RebuildOptions) -> Plan {
        Plan { generation, kind, options, format: FORMAT }
    }

    /// Returns the plan that replaces a generation which another version has folded: a new one is built, or, if `may_return`, the last
    /// one of this version catches up.
    pub fn of_this_format(data_dir: &Path, may_return: bool) -> anyhow::Result<Plan> {
        let options = RebuildOptions { keep: 1, examples: 10, ..RebuildOptions::default() };
        match data_dir::of_this_format(data_dir)?.filter(|_| may_return) {
            Some(generation) => Ok(Plan::new(generation, RebuildKind::Rollback, options)),
            None => Plan::build(data_dir, options),
        }
    }

    /// Returns the plan of a new generation.
    pub fn build(data_dir: &Path, options: RebuildOptions) -> anyhow::Result<Plan> {
        Ok(Plan::new(data_dir::next_number(data_dir)?, RebuildKind::Build, options))
    }

    /// Returns the plan of a new generation that is only compared.
    pub fn scratch(data_dir: &Path, max_rate: Option<f64>, examples: usize) -> anyhow::Result<Plan> {
        let options = RebuildOptions { max_rate, examples, dry_run: true, ..RebuildOptions::default() };
        Ok(Plan { kind: RebuildKind::VerifyOnly, ..Plan::build(data_dir, options)? })
    }

    /// Returns the plan of a rollback to this generation, or to the last one but the live one.
    pub fn go_back(data_dir: &Path, to: Option<u64>, keep: usize) -> anyhow::Result<Plan> {
        let generation = Plan::earlier(data_dir, to)?;
        refuse_other_format(data_dir, generation)?;
        Ok(Plan::new(generation, RebuildKind::Rollback, RebuildOptions { keep, ..RebuildOptions::default() }))
    }

    /// Returns the generation to go back to: this one, or the last one but the live one.
    pub(super) fn earlier(data_dir: &Path, to: Option<u64>) -> anyhow::Result<u64> {
        let current = data_dir::current(data_dir)?.context("there is no live generation")?;
        let mut others = data_dir::usable(data_dir)?;
        others.retain(|&number| number != current);
        match to {
            Some(to) if to == current => anyhow::bail!("generation {to:06} is the live one already"),
            Some(to) => others.into_iter().find(|&number| number == to).with_context(|| {
                format!("there is no generation {to:06} to go back to: `optview generations` lists them")
            }),
            None => others.pop().context("there is no generation to go back to: `optview generations` lists them"),
        }
    }
}

/// A generation that this version cannot keep up to date would soon show old views.
fn refuse_other_format(data_dir: &Path, generation: u64) -> anyhow::Result<()> {
    let name = format!("{generation:06}");
    let listed = data_dir::list(data_dir)?.into_iter().find(|listed| listed.name == name);
    match listed.and_then(|listed| listed.about.format) {
        Some(format) if format != FORMAT => anyhow::bail!(
            "generation {name} has the fold format {format}, and this version's is {FORMAT}, so that it could not be kept \
             up to date. To return to it, stop this version and start the one that made it: it does so by itself. {}",
            show_frozen(generation)
        ),
        _ => Ok(()),
    }
}

/// Returns what can be done about a generation that cannot be brought up to date, in words.
pub fn show_frozen(generation: u64) -> String {
    format!("`optview rollback --frozen --to {generation:06}` shows it as it was left, and says that it is frozen")
}
