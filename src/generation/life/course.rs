//! The knowledge about a plan that grows on its way.

use super::action::Facts;
use super::comparison::Comparison;
use super::ending::NotCompared;
use super::plan::Plan;

/// The knowledge about a plan by now.
#[derive(Clone, Debug, PartialEq)]
pub struct Course {
    pub plan: Plan,
    pub facts: Facts,
    /// Number of records that the new generation was built from.
    pub records: u64,
    pub comparison: Comparison,
    pub not_compared: Option<NotCompared>,
}
