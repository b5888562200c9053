//! The options of every command: the configuration file and the log.

use clap::Args;

use super::layers::Layers;
use super::values;
use crate::logging::{LogConfig, LogFormat};

#[derive(Args)]
pub struct LogArgs {
    /// A file that gives any of these options (TOML)
    #[arg(long, value_name = "FILE", value_parser = values::text, display_order = 1001)]
    config: Option<String>,
    /// Format of the log lines on stderr
    #[arg(long, value_name = "human|json", default_value = "human", value_parser = values::log_format, display_order = 1002)]
    log_format: LogFormat,
    /// Filter of the log lines, such as warn or info,optview=debug. Without it: RUST_LOG, else info (the demo: error; tools: warn)
    #[arg(long, value_name = "FILTER", value_parser = values::log_filter, display_order = 1003)]
    log: Option<String>,
}

impl From<LogArgs> for LogConfig {
    fn from(LogArgs { log_format, log, .. }: LogArgs) -> LogConfig {
        LogConfig { format: log_format, filter: log.unwrap_or_default() }
    }
}

read_as!(LogConfig, LogArgs);

/// Gives `--log` its default where nothing was given for it.
pub fn choose_filter(layers: &mut Layers<'_>) {
    if layers.last("log").is_some() {
        return;
    }
    let filter = layers.foreign_variable("RUST_LOG", values::log_filter).unwrap_or_else(|| {
        // The answers of the demo and of the tools are on stdout; their log is for when something is wrong.
        let filter = match layers.command() {
            "serve" | "load" => "info",
            "demo" => "error",
            _ => "warn",
        };
        filter.to_owned()
    });
    layers.replace("log", vec![filter]);
}
