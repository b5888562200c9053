//! Log lines: to stderr, for people by default, as JSON for machines. Stdout belongs to what a command answers.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::SubscriberInitExt;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogConfig {
    pub format: LogFormat,
    /// As `tracing_subscriber::EnvFilter` reads it; known to be valid.
    pub filter: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    Human,
    Json,
}

/// Says why a filter is none.
pub fn check_filter(filter: &str) -> Result<(), String> {
    EnvFilter::builder().parse(filter).map(drop).map_err(|error| error.to_string())
}

/// Starts logging. Once a process.
pub fn init(config: &LogConfig) -> anyhow::Result<()> {
    let filter = EnvFilter::builder().parse(&config.filter)?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    match config.format {
        LogFormat::Json => builder.json().flatten_event(true).finish().try_init()?,
        // On a terminal the library's own default stays, which honours NO_COLOR.
        LogFormat::Human if io::stderr().is_terminal() => builder.finish().try_init()?,
        LogFormat::Human => builder.with_ansi(false).finish().try_init()?,
    }
    Ok(())
}
