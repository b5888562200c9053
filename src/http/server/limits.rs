//! The limits of the connections of one address.

use std::time::Duration;

/// The limits of one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// Number of connections that may be open at the same time. If one more comes, the one that has been silent for the
    /// longest is closed, as other servers do; if none is silent, the new one waits.
    pub connections: usize,
    /// The longest time from a request's first byte, and from a connection's beginning, until the answer begins. A
    /// head that trickles in does not extend it.
    pub answer: Duration,
    /// The longest time that a client may leave an answer unread.
    pub unread: Duration,
    /// The longest time that a connection is kept between two requests. It must outlast the idle timeout of a balancer in front,
    /// which answers 502 if it sends a request just as its connection is closed.
    pub keep_alive: Duration,
    /// The time that the remaining connections get at shutdown before they are cut off.
    pub drain: Duration,
}

impl Default for ConnectionLimits {
    fn default() -> ConnectionLimits {
        ConnectionLimits {
            connections: 10_000,
            // Requests may wait for 30 s themselves (`wait_query::LONGEST`).
            answer: Duration::from_secs(40),
            unread: Duration::from_secs(30),
            keep_alive: Duration::from_secs(620),
            drain: Duration::from_secs(10),
        }
    }
}
