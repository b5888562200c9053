//! A comparison of two generations: how many views are the same, and in what the others differ.

use serde::{Deserialize, Serialize};

use super::losses::Losses;

/// The views of the live generation and the new one, at the same positions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Comparison {
    pub same: u64,
    pub differing: u64,
    pub only_old: u64,
    pub only_new: u64,
    /// Records whose views are the same, and whose other registers are not.
    #[serde(default)]
    pub unseen: u64,
    /// Some of the views that are not the same.
    pub examples: Vec<Example>,
    /// The things that the live generation has and the new one has not.
    #[serde(default, skip_serializing_if = "Losses::is_none")]
    pub losses: Losses,
}

impl Comparison {
    /// Returns true if readers would see a difference.
    pub fn found_differences(&self) -> bool {
        self.differing + self.only_old + self.only_new > 0
    }
}

/// A view that is not the same in both generations.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Example {
    pub id: String,
    /// `differing`, `only_old`, `only_new` or `unseen`.
    pub how: String,
    /// The fields of the view that differ, or the registers of what is unseen.
    pub fields: Vec<String>,
}
