//! Tools that look at a store or change it: what can be asked, what it is asked of, and how the answer comes. The same
//! whether a process serves the store, which is then asked through its socket, or none does.
//!
//! A tool gives its result as JSON, of which people are shown a reading; so the two can never differ.

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

use crate::engine::Engine;
use crate::engine::rebuild::Options;
use crate::explain;
use crate::http::control;
use crate::progress::Progress;
use crate::snapshot::Room;
use crate::source::TopicNames;
use crate::store::verify::Bounds;
use crate::store::{Reader, StoreError};
pub use commands::{accept_loss, explain, export_snapshot, generations, rebuild, rollback};
pub use dispatch::perform;
pub use snapshot::import as import_snapshot;
pub use verify::run as verify;

/// What can be asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tool {
    Explain {
        id: String,
    },
    Verify,
    Generations,
    /// Accepts that the live generation is built without records that were gone.
    AcceptLoss,
    RemoveGeneration {
        generation: u64,
        accept_loss: bool,
    },
    Rebuild {
        options: Options,
        detach: bool,
    },
    Rollback {
        to: Option<u64>,
        keep: usize,
        detach: bool,
        /// To be shown as it was left.
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
    /// To an absolute path: it may be another process that writes it.
    SnapshotExport {
        file: PathBuf,
        /// So many bytes stay free on its disk.
        min_free_disk: u64,
        /// Whether a file that is there may be replaced.
        #[serde(default)]
        force: bool,
    },
}

impl Tool {
    /// Whether the store must be kept up to date meanwhile.
    fn needs_engine(&self) -> bool {
        self.outlives_client() || matches!(self, Tool::Replay { .. })
    }

    /// Whether it goes on where nobody watches any more.
    fn outlives_client(&self) -> bool {
        matches!(self, Tool::Rebuild { .. } | Tool::Rollback { frozen: false, .. })
    }

    /// What is to be said of what it leaves where it was told to stop.
    fn left_where_stopped(&self) -> &'static str {
        match self {
            Tool::Replay { .. } => ", and what was built to compare with is removed",
            _ => "",
        }
    }
}

/// What a tool works on: a store that is open in this process.
pub struct ToolContext {
    pub data_dir: PathBuf,
    /// The live generation's number.
    pub generation: Option<u64>,
    /// Why not, where the store is there and cannot be opened.
    pub reader: Result<Reader, StoreError>,
    /// What the topics are called in the cluster.
    pub topics: TopicNames,
    /// What the broker has of each partition, where that is known.
    pub bounds: Box<dyn Fn() -> Option<Bounds>>,
    /// Reads are answered from it meanwhile.
    pub is_served: bool,
    /// What keeps it up to date, where anything does.
    pub engine: Option<Arc<Engine>>,
}

/// Takes a tool's progress. `Break` says that nobody wants the result any more.
pub type ProgressCallback<'a> = dyn FnMut(Progress) -> ControlFlow<()> + 'a;

/// What a tool that did not fail found.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ToolOutcome {
    pub json: Box<RawValue>,
    /// A difference or a problem, for which the command is to end with 3.
    pub problem_found: bool,
}

/// One line of an answer through the socket. All but `Progress` are the last.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ToolMessage {
    Progress(Progress),
    Done(ToolOutcome),
    Failed(String),
    /// Ask again shortly: why.
    NotYet(String),
}

/// Uses a tool.
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
            snapshot::export(&access, file, *force, Room { floor: *min_free_disk }, watch)
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
    if let Some(why) = explain::unlinked_job(reader, id, &access.topics)? {
        bail!("{why}");
    }
    match &reader.linking(id)[..] {
        [] => bail!(
            "no event of an optimization {id:?} has been read: check its id, and whether `optview serve` has caught up"
        ),
        linking => bail!("{id:?} is no optimization; it is a job of {}: explain that", linking.join(", ")),
    }
}

/// Answers what is asked through the socket. `access` gives what there is to work on at the moment, and why there is
/// nothing yet.
pub fn answer(
    access: impl Fn() -> Result<ToolContext, String> + Send + Sync + 'static,
) -> control::RequestHandler {
    Arc::new(move |request, say| {
        let mut say = |said: &ToolMessage| match serde_json::to_vec(said) {
            Ok(line) => say(line),
            Err(error) => {
                tracing::error!(%error, "a tool's answer could not be written as JSON; please report this");
                ControlFlow::Break(())
            }
        };
        let said = catch_unwind(AssertUnwindSafe(|| {
            let tool = match serde_json::from_slice::<Tool>(request) {
                Ok(tool) => tool,
                Err(error) => {
                    return ToolMessage::Failed(format!(
                        "it does not know what is asked ({error}): is it of another version?"
                    ));
                }
            };
            let access = match access() {
                Ok(access) => access,
                Err(why) => return ToolMessage::NotYet(why),
            };
            match run(&tool, access, &mut |progress| say(&ToolMessage::Progress(progress))) {
                Ok(outcome) => ToolMessage::Done(outcome),
                Err(error) => ToolMessage::Failed(format!("{error:#}")),
            }
        }));
        let said = said.unwrap_or_else(|_| {
            ToolMessage::Failed("it panicked; the log of `optview serve` says where".to_owned())
        });
        // Whoever asked may have gone.
        let _ = say(&said);
    })
}
