//! The command `serve`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::access::AccessConfig;
use super::projection::ProjectionConfig;
use super::publication::PublicationConfig;
use super::values;
use crate::logging::AccessLogFormat;

/// The settings of `serve`.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct ServeConfig {
    /// The settings of the store and of its connection to Kafka.
    #[command(flatten)]
    pub projection: ProjectionConfig,
    /// Begin with this snapshot where --data-dir has no store yet; ignored where it has
    #[arg(long, value_name = "FILE", value_parser = values::file)]
    pub from_snapshot: Option<PathBuf>,
    /// Make the store of this topic of views, which another instance publishes, and read no events: the same API, as old as the topic's
    /// progress marks say
    #[arg(long, value_name = "TOPIC", value_parser = values::topic)]
    pub from_views: Option<String>,
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
    /// The settings of the publishing of views.
    #[command(flatten)]
    pub publication: PublicationConfig,
    /// The settings of who may read.
    #[command(flatten)]
    pub access: AccessConfig,
    /// Write a line to stdout for each request of --listen: as JSON, or in the Common Log Format
    #[arg(long, value_name = "json|common", value_parser = access_log)]
    pub access_log: Option<AccessLogFormat>,
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
    /// Time that a connection is kept between two requests; longer than what stands in front keeps its own, which is mostly 600s or less
    #[arg(long, value_name = "DURATION", default_value = "620s", value_parser = values::interval)]
    pub keep_alive: Duration,
    /// Time that a read of an id waits where there is no such optimization yet, and answers as soon as there is; 0s for none
    /// (most: 30s)
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = values::wait)]
    pub missing_wait: Duration,
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

fn access_log(text: &str) -> Result<AccessLogFormat, String> {
    match text {
        "json" => Ok(AccessLogFormat::Json),
        "common" => Ok(AccessLogFormat::Common),
        _ => Err("is neither json nor common".to_owned()),
    }
}
