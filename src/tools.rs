//! The tools that look at a store or change it. They give the same result whether a process serves the store, which then runs
//! them through its control socket, or none does.
//!
//! A tool returns its result as JSON, and the text for people is made from that; so the two can never differ.

mod accept_loss;
pub mod commands;
mod context;
mod dead_letters;
mod dead_letters_text;
mod dispatch;
mod explain;
mod generations;
mod host;
mod letter_topic;
mod log_comparison;
mod position;
mod position_request;
mod rebuild;
mod rebuild_text;
mod snapshot;
mod tool;
mod verify;
mod views;

pub use context::{ToolContext, ToolOutcome};
pub use dispatch::{ToolRequirements, perform};
pub use host::{answer, refuse};
pub use position::StorePosition;
pub use position_request::ask_position;
pub use tool::{Tool, run};
