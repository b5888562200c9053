//! The tools that look at a store or change it. They give the same result whether a process serves the store, which then runs
//! them through its control socket, or none does.
//!
//! A tool returns its result as JSON, and the text for people is made from that; so the two can never differ.

mod accept_loss;
mod commands;
mod context;
mod dispatch;
mod explain;
mod generations;
mod host;
mod log_comparison;
mod print;
mod rebuild;
mod snapshot;
mod tool;
mod verify;

pub use commands::{
    accept_loss, explain, export_snapshot, generations, import_snapshot, rebuild, rollback, verify,
};
pub use context::{ToolContext, ToolOutcome};
pub use dispatch::perform;
pub use host::answer;
pub use tool::{Tool, run};
