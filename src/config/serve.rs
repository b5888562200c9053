//! The command `serve`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::projection::ProjectionConfig;
use super::values;
use crate::api_keys::ApiKeys;

/// The settings of `serve`.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct ServeConfig {
    /// The settings of the store and of its connection to Kafka.
    #[command(flatten)]
    pub projection: ProjectionConfig,
    /// Begin with this snapshot where --data-dir has no store yet; ignored where it has
    #[arg(long, value_name = "FILE", value_parser = values::file)]
    pub from_snapshot: Option<PathBuf>,
    /// The answer to a store that another version has folded in another format: serve its views as they are, and build those
    /// that take their place; or do not start
    #[arg(long, value_name = "rebuild|refuse", default_value = "rebuild", value_parser = on_format_change)]
    pub on_format_change: OnFormatChange,
    /// Be ready (/readyz) only while live. Without it, a store that was live once is ready at once, and each answer states that
    /// it may be old
    #[arg(long)]
    pub require_fresh: bool,
    /// Address of the read API
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:8080", value_parser = values::address)]
    pub listen: SocketAddr,
    /// Address of /metrics and /status, for operators
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:9180", value_parser = values::address)]
    pub admin_listen: SocketAddr,
    /// The keys, and who may read what with them. Without it, everybody may read everything
    #[arg(long = "api-keys", id = "api_keys", value_name = "FILE", value_parser = values::file)]
    pub api_keys_file: Option<PathBuf>,
    /// The keys in that file; `None` if everybody may read everything.
    #[arg(skip)]
    pub api_keys: Option<ApiKeys>,
    /// Time that requests under way may take after a signal to stop
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = values::duration)]
    pub drain_deadline: Duration,
    /// Time that the last writes and syncs may take beyond --drain-deadline; then the process ends with 1, and reports what is
    /// not written
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = values::duration)]
    pub write_deadline: Duration,
    /// Number of connections that may be open at once on --listen, as far as the limit of open files allows
    #[arg(long, value_name = "COUNT", default_value = "10000", value_parser = values::at_least(1_usize))]
    pub max_connections: usize,
    /// Time that a connection is kept between two requests; longer than what stands in front keeps its own (most: 600s)
    #[arg(long, value_name = "DURATION", default_value = "620s", value_parser = values::interval)]
    pub keep_alive: Duration,
}

/// The answer to a store that another version has folded in another format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFormatChange {
    /// The store is served as it is, until one of this version's takes its place.
    Rebuild,
    /// The store is not served.
    Refuse,
}

fn on_format_change(text: &str) -> Result<OnFormatChange, String> {
    match text {
        "rebuild" => Ok(OnFormatChange::Rebuild),
        "refuse" => Ok(OnFormatChange::Refuse),
        _ => Err("is neither rebuild nor refuse".to_owned()),
    }
}
