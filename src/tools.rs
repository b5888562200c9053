//! The tools that look at a store or change it. They give the same result whether a process serves the store, which then runs
//! them through its control socket, or none does.
//!
//! A tool returns its result as JSON, and the text for people is made from that; so the two can never differ.

mod accept_loss;
mod commands;
mod dispatch;
mod generations;
mod print;
mod rebuild;
mod snapshot;
mod verify;

use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{anyhow, bail};
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};

use crate::control;
use crate::explain;
use crate::generation::Engine;
use crate::generation::rebuild::RebuildOptions;
use crate::progress::Progress;
use crate::snapshot::DiskReserve;
use crate::source::TopicNames;
use crate::store::verify::TopicBounds;
use crate::store::{OpenError, Reader};
pub use commands::{accept_loss, explain, export_snapshot, generations, rebuild, rollback};
pub use dispatch::perform;
pub use snapshot::import as import_snapshot;
pub use verify::run as verify;

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
    fn needs_engine(&self) -> bool {
        self.outlives_client() || matches!(self, Tool::Replay { .. })
    }

    /// Returns true if the tool goes on after the command that started it has ended.
    fn outlives_client(&self) -> bool {
        matches!(self, Tool::Rebuild { .. } | Tool::Rollback { frozen: false, .. })
    }

    /// Returns the end of the message of a command that was stopped: what the tool leaves behind.
    fn aftermath(&self) -> &'static str {
        match self {
            Tool::Replay { .. } => ", and what was built to compare with is removed",
            _ => "",
        }
    }
}

/// The store that a tool works on, open in this process.
pub struct ToolContext {
    /// The data directory that the store lies in.
    pub data_dir: PathBuf,
    /// The live generation's number.
    pub generation: Option<u64>,
    /// The store's reader, or the reason for which the store cannot be opened.
    pub reader: Result<Reader, OpenError>,
    /// The names of the topics in the cluster.
    pub topics: TopicNames,
    /// Returns the bounds of each partition on the broker, if they are known.
    pub bounds: Box<dyn Fn() -> Option<TopicBounds>>,
    /// True if requests are answered from the store meanwhile.
    pub is_served: bool,
    /// The engine that keeps the store up to date, if any does.
    pub engine: Option<Arc<Engine>>,
}

/// A function that takes a tool's progress. It returns `Break` if nobody wants the result any more.
pub type ProgressCallback<'a> = dyn FnMut(Progress) -> ControlFlow<()> + 'a;

/// The result of a tool that did not fail.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ToolOutcome {
    /// The result, which the text for people is made from.
    pub json: Box<RawValue>,
    /// True if the tool found a difference or a problem, for which the command ends with 3.
    pub problem_found: bool,
}

/// One line of an answer through the socket. Every line but `Progress` is the last one.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ToolMessage {
    Progress(Progress),
    Done(ToolOutcome),
    Failed(String),
    /// The reason for which the client has to ask again shortly.
    NotYet(String),
}

/// Runs a tool on a store that is open in this process.
pub fn run(tool: &Tool, access: ToolContext, watch: &mut ProgressCallback<'_>) -> anyhow::Result<ToolOutcome> {
    match tool {
        Tool::Explain { id } => explain_id(&access, id),
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

impl ToolContext {
    fn reader(&self) -> anyhow::Result<&Reader> {
        self.reader.as_ref().map_err(|error| match error.is_damage() {
            true => anyhow!(
                "{error}; `optview serve` moves such a store aside at its next start, and builds a new one from Kafka"
            ),
            false => anyhow!("{error}"),
        })
    }
}

impl ToolOutcome {
    fn new(value: &impl Serialize) -> anyhow::Result<ToolOutcome> {
        Ok(ToolOutcome { json: to_raw_value(value)?, problem_found: false })
    }
}

fn explain_id(access: &ToolContext, id: &str) -> anyhow::Result<ToolOutcome> {
    let reader = access.reader()?;
    if let Some(explanation) = explain::explain(reader, id, &access.topics)? {
        return ToolOutcome::new(&explanation);
    }
    if let Some(text) = explain::unlinked_job(reader, id, &access.topics)? {
        bail!("{text}");
    }
    match &reader.linking(id)[..] {
        [] => bail!(
            "no event of an optimization {id:?} has been read: check its id, and whether `optview serve` has caught up"
        ),
        linking => bail!("{id:?} is no optimization; it is a job of {}: explain that", linking.join(", ")),
    }
}

/// Returns the handler of the control socket. `access` returns the store as it is at the moment, or the reason for which there is
/// none yet.
pub fn answer(
    access: impl Fn() -> Result<ToolContext, String> + Send + Sync + 'static,
) -> control::RequestHandler {
    Arc::new(move |request, send_line| {
        let mut send = |message: &ToolMessage| match serde_json::to_vec(message) {
            Ok(line) => send_line(line),
            Err(error) => {
                tracing::error!(%error, "a tool's answer could not be written as JSON; please report this");
                ControlFlow::Break(())
            }
        };
        let last = catch_unwind(AssertUnwindSafe(|| {
            let tool = match serde_json::from_slice::<Tool>(request) {
                Ok(tool) => tool,
                Err(error) => {
                    return ToolMessage::Failed(format!(
                        "`optview serve` does not know this request ({error}): it may be of another version"
                    ));
                }
            };
            let access = match access() {
                Ok(access) => access,
                Err(why) => return ToolMessage::NotYet(why),
            };
            match run(&tool, access, &mut |progress| send(&ToolMessage::Progress(progress))) {
                Ok(outcome) => ToolMessage::Done(outcome),
                Err(error) => ToolMessage::Failed(format!("{error:#}")),
            }
        }));
        let last = last.unwrap_or_else(|_| {
            ToolMessage::Failed("the tool panicked in `optview serve`: look for the place in its log".to_owned())
        });
        // The client may have gone.
        let _ = send(&last);
    })
}
