//! `optview archive`: copies the topics' records into files, proves that those are whole, and puts them onto topics.
//!
//! Composes [`crate::source::archive`] with Kafka. Must never write to topics that hold anything else.

use std::io::{self, Write as _};
use std::time::Instant;

use anyhow::Context as _;
use serde::Serialize;

pub mod export;
pub mod import;
pub mod verify;

fn per_second(records: u64, begin: Instant) -> u64 {
    (records as f64 / begin.elapsed().as_secs_f64().max(0.001)).round() as u64
}

/// One line of JSON, for programs.
fn print_json(line: &impl Serialize) -> anyhow::Result<()> {
    let mut line = serde_json::to_vec(line)?;
    line.push(b'\n');
    io::stdout().write_all(&line).context("cannot write the result to stdout")
}

/// Lines of text, for people. A stdout that is gone or full is an error, and no panic.
fn print_lines(lines: &[String]) -> anyhow::Result<()> {
    let text: String = lines.iter().flat_map(|line| [line, "\n"]).collect();
    io::stdout().write_all(text.as_bytes()).context("cannot write the result to stdout")
}
