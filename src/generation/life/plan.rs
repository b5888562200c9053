//! A plan: which generation a rebuild or a rollback makes the live one, from what, and under which conditions. `DIR/REBUILD` has
//! it as JSON while it is carried out, so names and defaults of these fields are a format.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// A rebuild or a rollback that is to be carried out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The generation that is to take the live one's place.
    pub generation: u64,
    #[serde(rename = "what")]
    pub kind: RebuildKind,
    pub options: RebuildOptions,
    /// The fold format of the version that made the plan, which the new generation is built with.
    #[serde(default = "first_format")]
    pub format: u8,
}

/// The format of plans that do not name one: only the first version left it out.
fn first_format() -> u8 {
    1
}

/// The aim of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RebuildKind {
    /// A new generation is built from the beginning of the topics, or of an archive of them.
    Build,
    /// A new generation is built only to be compared, for somebody who waits for the result. It never becomes the live one, and a
    /// restart never resumes it.
    #[serde(rename = "scratch")]
    VerifyOnly,
    /// A generation that was live before catches up from where it was left.
    #[serde(rename = "return")]
    Rollback,
    /// A generation that was built is only to be removed.
    Discard,
}

impl RebuildKind {
    /// Returns true if the generation is a new one, which nothing is lost with.
    pub fn is_built(self) -> bool {
        matches!(self, RebuildKind::Build | RebuildKind::VerifyOnly)
    }

    /// Returns true if a restart resumes the plan.
    pub fn is_resumable(self) -> bool {
        matches!(self, RebuildKind::Build | RebuildKind::Rollback)
    }
}

/// The conditions of a rebuild.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RebuildOptions {
    /// Records a second.
    pub max_rate: Option<f64>,
    /// Time in milliseconds since 1970 before which a record must have been written to be folded. Such a generation never becomes the
    /// live one.
    pub until_millis: Option<i64>,
    /// An archive to read first, by an absolute path: another process may read it, or the next start.
    pub from_archive: Option<PathBuf>,
    /// The generation is only compared.
    pub dry_run: bool,
    /// The generation does not become the live one if any view differs.
    pub expect_same: bool,
    /// The generation becomes the live one even if the topics no longer have what the live one was built from.
    pub accept_loss: bool,
    /// Number of generations that stay beside the live one.
    pub keep: usize,
    /// Number of views that are named as examples of those that differ.
    pub examples: usize,
}

impl Plan {
    /// Returns true if the generation is built only to be compared.
    pub fn is_only_compared(&self) -> bool {
        self.options.dry_run || self.options.until_millis.is_some()
    }

    /// Returns the plan that is left of this one where its generation is only to be removed.
    pub fn to_discard(&self) -> Plan {
        Plan { kind: RebuildKind::Discard, ..self.clone() }
    }
}
