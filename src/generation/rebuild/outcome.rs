//! The result of a rebuild, as tools and the log show it.

use serde::{Deserialize, Serialize};

use crate::generation::life::comparison::Comparison;
use crate::generation::life::ending::Failure;
use crate::status::RebuildCounts;

/// The result of a rebuild or a rollback that did not fail.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RebuildOutcome {
    /// `done`.
    pub phase: String,
    pub generation: String,
    /// Number of records that the generation was built from.
    pub records: u64,
    /// The views that the new generation has, and what was found in the records that it was built from. The live generation's own counts
    /// leave all of these out.
    #[serde(default)]
    pub found: RebuildCounts,
    #[serde(flatten)]
    pub comparison: Comparison,
    /// True if readers see the new generation now.
    pub cut_over: bool,
    /// The reason why readers do not see it, if they do not.
    pub kept_because: Option<String>,
    /// The reason why the views were not compared, if they were not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_compared: Option<String>,
    /// Set if readers see the generation as it was left, and nothing keeps it up to date.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub frozen: bool,
    /// The generations that stay beyond `--keep`, as they have more than what took their place.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub spared: Vec<String>,
}

/// The end of a rebuild.
pub type RebuildEnd = Result<RebuildOutcome, Failure>;
