//! Why a request to the cluster came to nothing: librdkafka answers that it timed out, or was given up, and tells the reason
//! beside, before it tries again. For clients that are told nothing else; `watch.rs` is for the one that reads.

use parking_lot::Mutex;
use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::KafkaError;
use rdkafka::statistics::Statistics;
use rdkafka::types::RDKafkaErrorCode;

/// The last reason told, with its code where it has one.
#[derive(Default)]
pub struct ErrorContext(Mutex<Option<(Option<RDKafkaErrorCode>, String)>>);

impl ErrorContext {
    /// The error, and the reason for it where one is known.
    pub fn explain(&self, error: &KafkaError) -> String {
        match &*self.0.lock() {
            Some((_, reason)) => format!("{error}: {reason}"),
            None => error.to_string(),
        }
    }

    /// Why nobody answers, where that was told: librdkafka's code, and a text.
    pub fn last(&self) -> Option<(RDKafkaErrorCode, String)> {
        self.0.lock().clone().and_then(|(code, text)| Some((code?, text)))
    }

    /// The cluster has answered, so that no reason holds any more.
    pub fn clear(&self) {
        self.0.lock().take();
    }
}

impl ConsumerContext for ErrorContext {}

impl ClientContext for ErrorContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        // Errors reach `error` too.
        tracing::debug!(target: "librdkafka", ?level, facility, "{message}");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let code = error.rdkafka_error_code();
        let mut held = self.0.lock();
        // That no broker answers is told after each of them has been, and says less.
        if held.is_none() || code != Some(RDKafkaErrorCode::AllBrokersDown) {
            let text = match code {
                Some(code) => format!("{code}: {reason}"),
                None => format!("{error}: {reason}"),
            };
            *held = Some((code, text));
        }
    }

    fn stats(&self, _: Statistics) {
        // The crate's own logs all of them.
    }
}
