//! Log lines on stderr: text for people by default, JSON for machines. Stdout belongs to a command's answer, which is the access log
//! where a server has one. No thread that
//! logs waits for stderr, and none panics because of it.

mod fields;
mod queue;

use std::backtrace::{Backtrace, BacktraceStatus};
use std::fs::File;
use std::io::{self, IsTerminal, Write as _};
use std::panic::PanicHookInfo;
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::Context as _;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::SubscriberInitExt;

use crate::terminal::printable;
use fields::EscapedFields;
pub use queue::{LogQueue, register_metric};

/// The settings of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// The format of the lines.
    pub format: LogFormat,
    /// A valid filter in the syntax of `tracing_subscriber::EnvFilter`.
    pub filter: String,
}

/// The format of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Text for people.
    Human,
    /// One JSON object a line, for programs.
    Json,
}

/// The format of the access log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessLogFormat {
    /// One JSON object a line.
    Json,
    /// The Common Log Format of other web servers.
    Common,
}

/// Checks the syntax of a filter. The error is its description.
pub fn check_filter(filter: &str) -> Result<(), String> {
    EnvFilter::builder().parse(filter).map(drop).map_err(|error| error.to_string())
}

/// The queue that lines go to once logging has begun.
static QUEUE: OnceLock<LogQueue> = OnceLock::new();

/// The queue of the access log, once there is one.
static ACCESS_QUEUE: OnceLock<LogQueue> = OnceLock::new();

/// Starts the thread that writes an access log to a file. A process may call it once.
///
/// # Errors
/// Fails if no thread can be started.
pub fn start_access_log(to: File) -> io::Result<LogQueue> {
    let queue = LogQueue::start_with("access-log", to)?;
    let _ = ACCESS_QUEUE.set(queue.clone());
    Ok(queue)
}

/// Starts logging. A process may call it once.
pub fn init(config: &LogConfig) -> anyhow::Result<()> {
    let filter = EnvFilter::builder().parse(&config.filter)?;
    let queue = LogQueue::start().context("no thread can be started to write the log")?;
    let writing = queue.clone();
    let writer = move || writing.line_writer();
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer);
    // The subscriber's own message about a line that could not be written would end the process if stderr is gone.
    let builder = builder.log_internal_errors(false);
    match config.format {
        LogFormat::Json => builder.json().flatten_event(true).finish().try_init()?,
        // On a terminal the library's own default stays, which honours NO_COLOR.
        LogFormat::Human if io::stderr().is_terminal() => {
            builder.fmt_fields(EscapedFields).finish().try_init()?;
        }
        LogFormat::Human => builder.fmt_fields(EscapedFields).with_ansi(false).finish().try_init()?,
    }
    let _ = QUEUE.set(queue);
    std::panic::set_hook(Box::new(log_panic));
    Ok(())
}

/// Writes a line to stderr, behind the log lines that wait, with escapes for characters that disturb a terminal. A failure is
/// ignored, as there is no other place to report it.
pub fn print_line(line: &str) {
    let line = printable(line);
    match QUEUE.get() {
        Some(queue) => queue.push(format!("{line}\n").into_bytes()),
        None => drop(writeln!(io::stderr(), "{line}")),
    }
}

/// Waits until all lines are written, but no longer than `at_most`. It is called at the end of the process.
pub fn flush(at_most: Duration) {
    for queue in [&ACCESS_QUEUE, &QUEUE].into_iter().filter_map(OnceLock::get) {
        queue.flush(at_most);
    }
}

/// Logs a panic. The standard library's own hook writes to stderr itself, and would wait there for a slow reader.
fn log_panic(panic: &PanicHookInfo<'_>) {
    let thread = std::thread::current();
    let thread = thread.name().unwrap_or("without a name");
    let place = panic.location().map(ToString::to_string).unwrap_or_default();
    let what = panic.payload_as_str().unwrap_or("without a message");
    if !tracing::enabled!(tracing::Level::ERROR) {
        return print_line(&format!("thread {thread} panicked at {place}: {what}"));
    }
    // There is a backtrace only if RUST_BACKTRACE is set.
    let backtrace = Backtrace::capture();
    match backtrace.status() {
        BacktraceStatus::Captured => tracing::error!(thread, place, %backtrace, "panicked: {what}"),
        _ => tracing::error!(thread, place, "panicked: {what}"),
    }
}
