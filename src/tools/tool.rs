//! All tools that there are, as they are asked for, and what each of them does.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::context::{ProgressCallback, ToolContext, ToolOutcome};
use super::{accept_loss, explain, generations, rebuild, snapshot, verify};
use crate::generation::rebuild::RebuildOptions;
use crate::snapshot::DiskReserve;

/// A tool with its arguments, as sent through the control socket.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tool {
    Explain {
        id: String,
    },
    Verify,
    Generations,
    /// Accepts that the live generation was built without records that were gone.
    AcceptLoss,
    RemoveGeneration {
        generation: u64,
        accept_loss: bool,
    },
    Rebuild {
        options: RebuildOptions,
        detach: bool,
    },
    Rollback {
        to: Option<u64>,
        keep: usize,
        detach: bool,
        /// True if the generation is to be shown as it was left, and not kept up to date.
        #[serde(default)]
        frozen: bool,
    },
    RebuildStatus,
    RebuildAbort,
    /// Builds a generation from the topics only to compare the live one with it.
    Replay {
        max_rate: Option<f64>,
        examples: usize,
    },
    /// Copies the live generation into one file.
    SnapshotExport {
        /// The absolute path of the file, as the process that serves the store may write it.
        file: PathBuf,
        /// Number of bytes that stay free on the file's disk.
        min_free_disk: u64,
        /// True if an existing file may be replaced.
        #[serde(default)]
        force: bool,
    },
}

impl Tool {
    /// Returns true if the store must be kept up to date while the tool runs.
    pub(super) fn needs_engine(&self) -> bool {
        self.outlives_client() || matches!(self, Tool::Replay { .. })
    }

    /// Returns true if the tool goes on after the command that started it has ended.
    pub(super) fn outlives_client(&self) -> bool {
        matches!(self, Tool::Rebuild { .. } | Tool::Rollback { frozen: false, .. })
    }

    /// Returns the end of the message of a command that was stopped: what the tool leaves behind.
    pub(super) fn aftermath(&self) -> &'static str {
        match self {
            Tool::Replay { .. } => ", and what was built to compare with is removed",
            _ => "",
        }
    }
}

/// Runs a tool on a store that is open in this process.
pub fn run(tool: &Tool, access: ToolContext, watch: &mut ProgressCallback<'_>) -> anyhow::Result<ToolOutcome> {
    match tool {
        Tool::Explain { id } => explain::explain(&access, id),
        Tool::Verify => verify::of_store(&access, watch),
        Tool::Generations => generations::list(&access),
        Tool::AcceptLoss => accept_loss::accept(access),
        Tool::RemoveGeneration { generation, accept_loss } => {
            generations::remove(&access, *generation, *accept_loss)
        }
        Tool::Rebuild { options, detach } => rebuild::build(access, options, *detach, watch),
        Tool::Rollback { to, frozen: true, .. } => rebuild::go_back_frozen(access, *to),
        Tool::Rollback { to, keep, detach, frozen: false } => rebuild::go_back(access, *to, *keep, *detach, watch),
        Tool::RebuildStatus => rebuild::status(&access),
        Tool::RebuildAbort => rebuild::abort(&access, watch),
        Tool::Replay { max_rate, examples } => rebuild::replay(access, *max_rate, *examples, watch),
        Tool::SnapshotExport { file, min_free_disk, force } => {
            snapshot::export(&access, file, *force, DiskReserve { floor: *min_free_disk }, watch)
        }
    }
}
