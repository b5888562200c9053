//! What a new generation has not that the live one has, counted view by view: the last word on whether it may take the live
//! one's place. It does not ask why: whatever the topics have lost, and however, shows here.

use anyhow::bail;
use serde::{Deserialize, Serialize};

use super::plan::{Plan, RebuildKind};
use crate::domain::Shortfall;

/// How many ids are named.
const NAMED: usize = 3;

/// What the live generation has and the new one has not.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Losses {
    /// Views that readers would not find any more.
    pub views: u64,
    /// Views of which the status or another field would be what it was earlier.
    pub gone_back: u64,
    /// Optimizations that would lack events of which readers are shown nothing, such as a job's earlier statuses.
    pub records: u64,
    /// Jobs that wait for an optimization, and that would be forgotten or gone back.
    pub parked_jobs: u64,
    /// Some of the ids.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub examples: Vec<String>,
}

impl Losses {
    pub fn is_none(&self) -> bool {
        self.views + self.gone_back + self.records + self.parked_jobs == 0
    }

    /// Counts what one optimization lacks.
    pub fn add(&mut self, id: &str, shortfall: &Shortfall) {
        let example = match shortfall {
            Shortfall { view: true, .. } => {
                self.views += 1;
                format!("{id} (not there)")
            }
            Shortfall { fields, .. } if !fields.is_empty() => {
                self.gone_back += 1;
                format!("{id} ({})", fields.join(", "))
            }
            Shortfall { history: true, .. } => {
                self.records += 1;
                return;
            }
            Shortfall { .. } => return,
        };
        if self.examples.len() < NAMED {
            self.examples.push(example);
        }
    }

    /// The greater count of each kind, where two looks at the same generations could not see the same.
    pub fn or_more(self, other: Losses) -> Losses {
        let examples = if self.examples.is_empty() { other.examples } else { self.examples };
        Losses {
            views: self.views.max(other.views),
            gone_back: self.gone_back.max(other.gone_back),
            records: self.records.max(other.records),
            parked_jobs: self.parked_jobs.max(other.parked_jobs),
            examples,
        }
    }

    /// In words, each kind with its count; all but the first two only where there are some.
    pub fn told(&self) -> String {
        let Losses { views, gone_back, records, parked_jobs, .. } = self;
        let mut told = format!("{views} views would be lost, {gone_back} would go back to what they were earlier");
        if *records > 0 {
            told += &format!(", {records} more would miss events that readers are not shown");
        }
        if *parked_jobs > 0 {
            told += &format!(", {parked_jobs} jobs that wait for an optimization would be lost or go back");
        }
        told
    }

    /// # Errors
    /// Where anything would be lost, and nobody has accepted that.
    pub fn refuse(&self, plan: &Plan) -> anyhow::Result<()> {
        if self.is_none() || plan.options.accept_loss || plan.kind != RebuildKind::Build {
            return Ok(());
        }
        let examples = match self.examples.is_empty() {
            true => String::new(),
            false => format!(", such as {}", self.examples.join(", ")),
        };
        let way = match plan.options.from_archive {
            None => "Give --from-archive DIR where an archive has the events that these were made of",
            Some(_) => "Give an archive that goes further back",
        };
        bail!(
            "the topics no longer give all that the live views show: {}{examples}. Readers go on seeing the live generation, and \
             what was built is removed. {way}. With --accept-loss it is built from what is left, and the live generation is \
             kept for `optview rollback --frozen`",
            self.told()
        );
    }
}

#[cfg(test)]
mod tests {
    use super::super::plan::RebuildOptions;
    use super::*;

    fn losses() -> Losses {
        let mut losses = Losses::default();
        losses.add("a", &Shortfall { view: true, ..Shortfall::default() });
        losses.add("b", &Shortfall { fields: vec!["status".to_owned()], history: true, ..Shortfall::default() });
        losses.add("c", &Shortfall { history: true, ..Shortfall::default() });
        losses.add("d", &Shortfall::default());
        losses
    }

    #[test]
    fn each_kind_of_loss_is_counted_once_and_said() {
        let losses = Losses { parked_jobs: 4, ..losses() };
        assert_eq!((losses.views, losses.gone_back, losses.records), (1, 1, 1));
        let plan = Plan::new(2, RebuildKind::Build, RebuildOptions::default());
        let why = losses.refuse(&plan).unwrap_err().to_string();
        for part in [
            "1 views would be lost",
            "1 would go back",
            "1 more would miss events",
            "4 jobs that wait",
            "a (not there)",
            "b (status)",
            "--from-archive DIR",
            "--accept-loss",
            "rollback --frozen",
        ] {
            assert!(why.contains(part), "no {part}: {why}");
        }
    }

    #[test]
    fn only_what_would_take_the_live_ones_place_unasked_is_refused() {
        let accepted = RebuildOptions { accept_loss: true, ..RebuildOptions::default() };
        for plan in [
            Plan::new(2, RebuildKind::Build, accepted),
            Plan::new(2, RebuildKind::Rollback, RebuildOptions::default()),
            Plan::new(2, RebuildKind::VerifyOnly, RebuildOptions::default()),
        ] {
            losses().refuse(&plan).unwrap();
        }
        Losses::default().refuse(&Plan::new(2, RebuildKind::Build, RebuildOptions::default())).unwrap();
    }
}
