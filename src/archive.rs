//! `optview archive`: copies the topics' records into files, verifies those files, and puts their records onto
//! topics.
//!
//! Composes [`crate::source::archive`] with Kafka. It never writes to topics that hold anything else.

use std::time::Instant;

use serde::Serialize;

use crate::output;

pub mod export;
pub mod import;
pub mod verify;

#[expect(clippy::cast_possible_truncation, reason = "a rate is far below what an integer of 64 bits holds")]
fn per_second(records: u64, begin: Instant) -> u64 {
    (records as f64 / begin.elapsed().as_secs_f64().max(0.001)).round() as u64
}

/// Prints one line of JSON, for programs.
fn print_json(line: &impl Serialize) -> anyhow::Result<()> {
    Ok(output::print_json(&serde_json::to_string(line)?)?)
}

/// Prints lines of text, for people.
fn print_lines(lines: &[String]) -> anyhow::Result<()> {
    let text: String = lines.iter().flat_map(|line| [line, "\n"]).collect();
    Ok(output::print(&text)?)
}
