//! The header `server-timing` of lists (W3C), which browsers show beside the request. Reads by id have none: they take some
//! microseconds, and a header would add to them.

use std::time::Duration;

use axum::http::{HeaderName, HeaderValue};

pub static SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

/// The times that the first piece of a list took.
#[derive(Clone, Copy, Debug)]
pub struct ListTiming {
    /// The wait for memory and for a turn to read.
    pub queue: Duration,
    /// The choice of the page, and the reading and encoding of the piece.
    pub store: Duration,
}

impl ListTiming {
    /// Formats the times in milliseconds, with that of the whole answer.
    pub fn header(self, total: Duration) -> HeaderValue {
        let [queue, store, total] = [self.queue, self.store, total].map(|time| time.as_secs_f64() * 1000.0);
        HeaderValue::try_from(format!("queue;dur={queue:.3}, store;dur={store:.3}, total;dur={total:.3}"))
            .expect("digits and letters are a valid header value")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_in_milliseconds() {
        let timing = ListTiming { queue: Duration::ZERO, store: Duration::from_micros(1_234) };
        let header = timing.header(Duration::from_secs(61));
        assert_eq!(header, "queue;dur=0.000, store;dur=1.234, total;dur=61000.000");
    }
}
