//! All tools that there are, as they are asked for, and what each of them does.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::context::{ToolContext, ToolOutcome};
use super::dead_letters::LetterAction;
use super::{
    accept_loss, dead_letters, explain, generations, letter_topic, position, rebuild, snapshot, verify, views,
};
use crate::codec::published_view::ViewsFormat;
use crate::dead_letters::LetterSelection;
use crate::disk::DiskReserve;
use crate::generation::rebuild::RebuildOptions;
use crate::progress::ProgressSink;

/// A tool with its arguments, as sent through the control socket.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tool {
    /// Explains the view of one optimization.
    Explain {
        /// The id of the optimization.
        id: String,
    },
    /// Verifies the store.
    Verify,
    /// Returns the position of the store.
    Position,
    /// Compares a topic of views with the store.
    VerifyViews {
        /// The name of the topic.
        topic: String,
        /// The format of the views on the topic.
        format: ViewsFormat,
    },
    /// Lists the generations of the data directory.
    Generations,
    /// Accepts that the live generation was built without records that were gone.
    AcceptLoss,
    /// Removes a generation, which must not be the live one.
    RemoveGeneration {
        /// The number of the generation.
        generation: u64,
        /// True if the generation may have what neither the topics nor the live generation have.
        accept_loss: bool,
    },
    /// Builds the views anew.
    Rebuild {
        /// The options of the rebuild.
        options: RebuildOptions,
        /// True if the answer comes once the rebuild is sure to go on, and not at its end.
        detach: bool,
    },
    /// Lets readers see an earlier generation.
    Rollback {
        /// The number of the generation; `None` for the last but the live one.
        to: Option<u64>,
        /// Number of generations that stay beside the live one.
        keep: usize,
        /// True if the answer comes once the rollback is sure to go on, and not at its end.
        detach: bool,
        /// True if the generation is to be shown as it was left, and not kept up to date.
        #[serde(default)]
        frozen: bool,
    },
    /// Reports the progress of the rebuild that is under way.
    RebuildStatus,
    /// Ends the rebuild that is under way, and removes what it has made.
    RebuildAbort,
    /// Builds a generation from the topics only to compare the live one with it.
    Replay {
        /// Maximum number of records that are read a second; `None` for no limit.
        max_rate: Option<f64>,
        /// Number of views that are not the same and are named.
        examples: usize,
    },
    /// Groups the dead letters of the live generation.
    DeadLetterList {
        /// The choice of the dead letters.
        selection: LetterSelection,
    },
    /// Shows one dead letter in full.
    DeadLetterShow {
        /// The id of the dead letter.
        id: String,
    },
    /// Decodes dead letters again, and folds what is understood.
    DeadLetterRetry {
        /// The choice of the dead letters.
        selection: LetterSelection,
    },
    /// Decodes the dead letters of a dead letter topic again, and folds what is understood.
    DeadLetterRetryTopic {
        /// The name of the topic.
        from_topic: String,
        /// The choice of the dead letters.
        selection: LetterSelection,
    },
    /// Removes dead letters.
    DeadLetterDiscard {
        /// The choice of the dead letters.
        selection: LetterSelection,
    },
    /// Writes dead letters to a file.
    DeadLetterExport {
        /// The choice of the dead letters.
        selection: LetterSelection,
        /// The absolute path of the file, as the process that serves the store may write it.
        file: PathBuf,
    },
    /// Has topics read on that stopped because of their dead letters.
    DeadLetterResume {
        /// The name of the topic; `None` for all that have stopped.
        topic: Option<String>,
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

    /// Returns the end of the message of a command that was ended early: what the tool leaves behind.
    pub(super) fn aftermath(&self) -> &'static str {
        match self {
            Tool::Replay { .. } => ", and what was built to compare with is removed",
            Tool::DeadLetterRetry { .. } | Tool::DeadLetterRetryTopic { .. } | Tool::DeadLetterDiscard { .. } => {
                ": a process that serves the store may have done more by now than is shown, which its log has; give the command again for \
                 the rest"
            }
            _ => "",
        }
    }
}

/// Runs a tool on a store that is open in this process.
pub fn run(tool: &Tool, access: ToolContext, watch: &mut ProgressSink<'_>) -> anyhow::Result<ToolOutcome> {
    match tool {
        Tool::Explain { id } => explain::explain(&access, id),
        Tool::Verify => verify::of_store(&access, watch),
        Tool::Position => position::position(&access),
        Tool::VerifyViews { topic, format } => views::compare(&access, topic, *format, watch),
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
        Tool::DeadLetterList { selection } => dead_letters::grouped(&access, selection),
        Tool::DeadLetterShow { id } => dead_letters::show(&access, id),
        Tool::DeadLetterRetry { selection } => dead_letters::act(access, LetterAction::Retry, selection, watch),
        Tool::DeadLetterRetryTopic { from_topic, selection } => {
            letter_topic::retry(access, from_topic, selection, watch)
        }
        Tool::DeadLetterDiscard { selection } => {
            dead_letters::act(access, LetterAction::Discard, selection, watch)
        }
        Tool::DeadLetterExport { selection, file } => dead_letters::export(&access, selection, file),
        Tool::DeadLetterResume { topic } => dead_letters::resume(access, topic.as_deref()),
        Tool::SnapshotExport { file, min_free_disk, force } => {
            snapshot::export(&access, file, *force, DiskReserve { floor_bytes: *min_free_disk }, watch)
        }
    }
}
