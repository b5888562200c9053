//! The process that serves a store, as the host of the tools that others ask for through its control socket.

use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::context::{ToolContext, ToolOutcome};
use super::tool::{Tool, run};
use crate::control;
use crate::progress::Progress;

/// One line of an answer through the socket. Every line but `Progress` is the last one.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum ToolMessage {
    Progress(Progress),
    Done(ToolOutcome),
    Failed(String),
    /// The reason for which the client has to ask again shortly.
    NotYet(String),
}

/// Returns a handler of the control socket for a process with a store that no tool works on, and that says why.
pub fn refuse(why: String) -> control::RequestHandler {
    Arc::new(move |_, send_line| {
        // The client may be gone.
        let _ = serde_json::to_vec(&ToolMessage::Failed(why.clone())).map(send_line);
    })
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
