//! The losses of a change of places, counted view by view: the last word on whether the generations may change. Whatever the topics
//! have lost, and however, shows here.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::domain::Shortfall;

/// Number of ids that are named.
const NAMED_MAX: usize = 3;

/// The number of things that the live generation has and the new one has not.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Losses {
    /// Views that readers would not find any more.
    pub views: u64,
    /// Views in which the status or another field would be what it was earlier.
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

    /// Counts what the new generation lacks of one optimization.
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
        if self.examples.len() < NAMED_MAX {
            self.examples.push(example);
        }
    }

    /// Returns the greater count of each kind, for two comparisons of the same generations that could not see the same.
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
}

impl fmt::Display for Losses {
    /// Writes each kind with its count; all but the first two only if there are some.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Losses { views, gone_back, records, parked_jobs, .. } = self;
        write!(formatter, "{views} views would be lost, {gone_back} would go back to what they were earlier")?;
        if *records > 0 {
            write!(formatter, ", {records} more would miss events that readers are not shown")?;
        }
        if *parked_jobs > 0 {
            write!(formatter, ", {parked_jobs} jobs that wait for an optimization would be lost or go back")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::ending::Reason;
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
    fn each_kind_of_loss_is_counted_once_and_named() {
        let losses = Losses { parked_jobs: 4, ..losses() };
        assert_eq!((losses.views, losses.gone_back, losses.records), (1, 1, 1));
        let why = Reason::Loss { losses, has_archive: false }.to_string();
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
}
