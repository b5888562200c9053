//! `DIR/control.sock`: how tools reach the process that holds their data directory. HTTP over a Unix socket that only
//! its owner may use: `POST /tools` with a request, answered by lines of JSON as they come, so that long tools show
//! progress. Knows nothing of what is asked or answered. Must never touch the two addresses: reads do not wait for tools.

mod client;
mod server;
mod socket;

pub use client::{ask, connect};
pub use server::{Answer, run};
pub use socket::Socket;

/// Where a request is sent to.
const PATH: &str = "/tools";
