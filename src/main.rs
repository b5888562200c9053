//! The program `optview`: reads the configuration, runs the command that it names, and ends with that command's exit code.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use optview::cli::{self, Completion, FAILED, READER_GONE, WRONG_USAGE};
use optview::config::{self, ArchiveConfig, Command, Config, Environment, SnapshotConfig};
use optview::logging::LogFormat;
use optview::output::{self, OutputError};
use optview::tools::commands;
use optview::{
    archive, check, demo, history, keys, load, logging, process, publish, serve, signals, store, validate,
};

/// The allocator. Records are allocated on one thread and freed on another, which glibc's allocator is slow at. So are
/// librdkafka's, hence the crate's feature `override`. The feature `no_thp` is there because the buffers that librdkafka reads
/// into are soon freed, and the kernel clears each page of them first: with huge pages that costs a tenth of a catch-up.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Time that the last lines may take to be written, where stderr is slow or nobody reads it.
const LAST_LINES_WITHIN: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    process::make_new_files_private();
    process::raise_open_file_limit();
    let ended = command();
    logging::flush(LAST_LINES_WITHIN);
    ended
}

fn command() -> ExitCode {
    let line = match cli::parse::<Config>(std::env::args_os()) {
        Ok(line) => line,
        Err(answer) => return print_answer(&answer),
    };
    let (config, warnings) = match config::read(&line, &Environment::of_process()) {
        Ok(read) => read,
        Err(mistakes) => {
            logging::print_line(&mistakes.to_string());
            return ExitCode::from(WRONG_USAGE);
        }
    };
    match run(&config, &warnings) {
        Ok(ended) => ended.exit_code(),
        Err(error) => report_failure(&line.command, config.log.format, &error),
    }
}

/// Prints the answer to the command line itself: a mistake in it, or the text of `--help` or `--version`.
fn print_answer(answer: &clap::Error) -> ExitCode {
    match answer.print() {
        // A mistake that cannot be written to stderr reaches nobody in any other way.
        _ if answer.use_stderr() => ExitCode::from(WRONG_USAGE),
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => report_failure("", LogFormat::Human, &OutputError::from(error).into()),
    }
}

/// Reports the failure of a command, whose name is empty if there was none. Nothing is reported if only the reader of the answer
/// has gone, since it has all that it wanted.
fn report_failure(command: &str, format: LogFormat, error: &anyhow::Error) -> ExitCode {
    if output::is_reader_gone(error.as_ref()) {
        return ExitCode::from(READER_GONE);
    }
    // If a machine reads stderr, the most important line must have the same format as the others.
    if format == LogFormat::Json && tracing::enabled!(tracing::Level::ERROR) {
        tracing::error!(command, "{error:#}");
    } else {
        let who = format!("optview {command}");
        logging::print_line(&format!("{}: {error:#}", who.trim_end()));
    }
    ExitCode::from(FAILED)
}

fn run(config: &Config, warnings: &[String]) -> anyhow::Result<Completion> {
    if let Command::Serve(config) = &config.command {
        // First: the log, too, takes a thread.
        store::check_threads_to_serve(&config.projection.data_dir)?;
    }
    logging::init(&config.log)?;
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    match &config.command {
        Command::Serve(config) => block_on(serve::run(config, |_| {}, signals::stop_signal()))?,
        Command::Check(config) => return check::run(config),
        Command::Demo(config) => block_on(demo::run(config, signals::stop_signal()))?,
        Command::Load(config) => load::run(config)?,
        Command::Publish(config) => publish::run(config, stop_flag()?.as_ref())?,
        Command::Explain { tool, id } => return commands::explain(tool, id),
        Command::Verify(config) => return commands::verify(config, stop_flag()?.as_ref()),
        Command::Generations { tool, removal } => return commands::generations(tool, *removal),
        Command::AcceptLoss(config) => return commands::accept_loss(config),
        Command::Rebuild(config) => return commands::rebuild(config, stop_flag()?.as_ref()),
        Command::Rollback(config) => return commands::rollback(config, stop_flag()?.as_ref()),
        Command::DeadLetters(config) => return commands::dead_letters(config, stop_flag()?.as_ref()),
        Command::Archive(ArchiveConfig::Export(config)) => archive::export::run(config, stop_flag()?.as_ref())?,
        Command::Archive(ArchiveConfig::Verify(config)) => return archive::verify::run(config),
        Command::Archive(ArchiveConfig::Import(config)) => {
            return archive::import::run(config, stop_flag()?.as_ref());
        }
        Command::History(config) => history::run(config)?,
        Command::Validate(config) => return validate::run(config),
        Command::Keys(config) => keys::run(config)?,
        Command::Snapshot(SnapshotConfig::Export(config)) => {
            return commands::export_snapshot(config, stop_flag()?.as_ref());
        }
        Command::Snapshot(SnapshotConfig::Import(config)) => {
            return commands::import_snapshot(config, stop_flag()?.as_ref());
        }
    }
    Ok(Completion::Done)
}

/// Runs a future to its end, and never waits for what the future itself has given up.
fn block_on(future: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let ended = runtime.block_on(future);
    runtime.shutdown_background();
    ended
}

/// Returns a stop flag for synchronous commands, which is set at the first signal that stops the process.
fn stop_flag() -> anyhow::Result<Arc<AtomicBool>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let stop = Arc::new(AtomicBool::new(false));
    let flag = stop.clone();
    std::thread::spawn(move || {
        runtime.block_on(signals::stop_signal());
        flag.store(true, Ordering::Release);
    });
    Ok(stop)
}
