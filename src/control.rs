//! The control socket `DIR/control.sock`, through which tools reach the process that holds their data directory. It speaks HTTP
//! over a Unix socket that only its owner may use: `POST /tools` with a request, answered by lines of JSON as they come, so
//! that long tools show progress. It does not know what requests and answers mean. It must never touch the two addresses, so
//! that reads do not wait for tools.

mod client;
mod server;
mod socket;

pub use client::{ask, connect};
pub use server::{RequestHandler, run};
pub use socket::Socket;

/// The path that a request is sent to.
const PATH: &str = "/tools";
