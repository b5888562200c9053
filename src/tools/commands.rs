//! The commands as people and programs see them: the result as one line of JSON, or as a table.

use std::io::{self, Write};
use std::ops::ControlFlow;

use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressStyle};
use serde::de::DeserializeOwned;

use super::{Outcome, Progress, Tool, perform, print};
use crate::cli::Ended;
use crate::config::ToolConfig;
use crate::source::kafka::KafkaSettings;

/// `optview explain`
pub fn explain(config: &ToolConfig, id: &str) -> anyhow::Result<Ended> {
    show(config, &Tool::Explain { id: id.to_owned() }, None, print::explanation)
}

/// `optview verify`
pub fn verify(config: &ToolConfig, kafka: Option<&KafkaSettings>) -> anyhow::Result<Ended> {
    show(config, &Tool::Verify, kafka, print::verified)
}

/// `optview generations`
pub fn generations(config: &ToolConfig) -> anyhow::Result<Ended> {
    show(config, &Tool::Generations, None, |generations: &Vec<_>| print::generations(generations))
}

fn show<T: DeserializeOwned>(
    config: &ToolConfig,
    tool: &Tool,
    kafka: Option<&KafkaSettings>,
    print: impl Fn(&T) -> String,
) -> anyhow::Result<Ended> {
    let bar = progress_bar();
    let shown = perform(&config.data_dir, tool, kafka, &mut |progress| show_progress(&bar, &progress));
    bar.finish_and_clear();
    let Outcome { json, problem_found } = shown?;
    let text = match config.json {
        true => json.get().to_owned() + "\n",
        false => print(&serde_json::from_str(json.get())?),
    };
    io::stdout().write_all(text.as_bytes()).context("cannot write the result to stdout")?;
    Ok(if problem_found { Ended::DifferenceFound } else { Ended::Done })
}

/// On stderr; hidden by itself where that is not a terminal.
fn progress_bar() -> ProgressBar {
    let style = ProgressStyle::with_template("{msg} {bar:40} {pos}/{len}, {eta} left");
    ProgressBar::no_length().with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

fn show_progress(bar: &ProgressBar, progress: &Progress) -> ControlFlow<()> {
    if let Some(total) = progress.records_total {
        bar.set_length(total);
    }
    if bar.message() != progress.phase {
        bar.set_message(progress.phase.clone());
    }
    bar.set_position(progress.records_done);
    ControlFlow::Continue(())
}
