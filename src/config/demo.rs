//! The command `demo`.

use std::net::SocketAddr;

use clap::Args;

use super::values;

/// The settings of `demo`.
#[derive(Clone, Debug, PartialEq, Args)]
pub struct DemoConfig {
    /// Address of the read API. Without it: 127.0.0.1:8080, or a free port where that is taken
    #[arg(long, value_name = "IP:PORT", value_parser = values::address)]
    pub listen: Option<SocketAddr>,
    /// Address of /metrics and /status. Without it: 127.0.0.1:9180, or a free port where that is taken
    #[arg(long, value_name = "IP:PORT", value_parser = values::address)]
    pub admin_listen: Option<SocketAddr>,
    /// Events a second
    #[arg(id = "rate", long = "rate", value_name = "NUMBER", default_value = "50", value_parser = values::rate)]
    pub events_per_second: f64,
}
