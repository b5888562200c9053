//! Log lines: to stderr, for people by default, as JSON for machines. Stdout belongs to what a command answers. Nobody who
//! logs waits for stderr, and nobody panics because of it.

mod queue;

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::{self, IsTerminal, Write as _};
use std::panic::PanicHookInfo;
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::Context as _;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::SubscriberInitExt;

use crate::terminal::printable;
use queue::LogQueue;
pub use queue::register_metric;

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

/// Where lines go, once logging has begun.
static QUEUE: OnceLock<LogQueue> = OnceLock::new();

/// Starts logging. Once a process.
pub fn init(config: &LogConfig) -> anyhow::Result<()> {
    let filter = EnvFilter::builder().parse(&config.filter)?;
    let queue = LogQueue::start().context("no thread can be started to write the log")?;
    let writing = queue.clone();
    let writer = move || writing.line_writer();
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer);
    // Its own words about a line that could not be written would end the process where stderr is gone.
    let builder = builder.log_internal_errors(false);
    match config.format {
        LogFormat::Json => builder.json().flatten_event(true).finish().try_init()?,
        // On a terminal the library's own default stays, which honours NO_COLOR.
        LogFormat::Human if io::stderr().is_terminal() => builder.finish().try_init()?,
        LogFormat::Human => builder.with_ansi(false).finish().try_init()?,
    }
    let _ = QUEUE.set(queue);
    std::panic::set_hook(Box::new(log_panic));
    Ok(())
}

/// Writes a line to stderr, behind the log lines that wait, with nothing in it that disturbs a terminal. Nobody is left to tell
/// where that fails.
pub fn print_line(line: &str) {
    let line = printable(line);
    match QUEUE.get() {
        Some(queue) => queue.push(format!("{line}\n").into_bytes()),
        None => drop(writeln!(io::stderr(), "{line}")),
    }
}

/// Waits until what was logged is written, at the most for `at_most`: for the end of the process.
pub fn flush(at_most: Duration) {
    if let Some(queue) = QUEUE.get() {
        queue.flush(at_most);
    }
}

/// Logs a panic. The standard library's own hook writes to stderr itself, and would wait there for who reads it.
fn log_panic(panic: &PanicHookInfo<'_>) {
    let thread = std::thread::current();
    let thread = thread.name().unwrap_or("without a name");
    let place = panic.location().map(ToString::to_string).unwrap_or_default();
    let payload = panic.payload();
    let text =
        payload.downcast_ref::<String>().map(String::as_str).or_else(|| payload.downcast_ref::<&str>().copied());
    let what = text.unwrap_or("without a message");
    if !tracing::enabled!(tracing::Level::ERROR) {
        return print_line(&format!("thread {thread} panicked at {place}: {what}"));
    }
    // There only where RUST_BACKTRACE asks for it.
    let backtrace = Backtrace::capture();
    match backtrace.status() {
        BacktraceStatus::Captured => tracing::error!(thread, place, %backtrace, "panicked: {what}"),
        _ => tracing::error!(thread, place, "panicked: {what}"),
    }
}
