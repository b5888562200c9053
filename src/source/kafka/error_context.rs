//! The context of clients that send requests. librdkafka answers a failed request with a timeout or an abort, and
//! reports the reason separately, before it tries again; this context keeps that reason. The reading client has
//! `consumer_watch.rs`.

use parking_lot::Mutex;
use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::KafkaError;
use rdkafka::statistics::Statistics;
use rdkafka::types::RDKafkaErrorCode;

use super::closed_connection;

/// The last reported reason, with its code if it has one.
#[derive(Default)]
pub struct ErrorContext(Mutex<Option<(Option<RDKafkaErrorCode>, String)>>);

impl ErrorContext {
    /// Returns the text of the error, and the reason for it if one is known.
    pub fn explain(&self, error: &KafkaError) -> String {
        match &*self.0.lock() {
            Some((_, reason)) => match closed_connection::remedy(reason) {
                Some(remedy) => format!("{error}: {reason}. {remedy}"),
                None => format!("{error}: {reason}"),
            },
            None => error.to_string(),
        }
    }

    /// Returns the last reason with a code: librdkafka's code, and a text.
    pub fn last(&self) -> Option<(RDKafkaErrorCode, String)> {
        self.0.lock().clone().and_then(|(code, text)| Some((code?, text)))
    }

    /// Forgets the reason, because the cluster has answered.
    pub fn clear(&self) {
        self.0.lock().take();
    }
}

impl ConsumerContext for ErrorContext {}

impl ClientContext for ErrorContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        // Errors reach `error` too.
        tracing::debug!(target: "librdkafka", ?level, facility, "{message}");
        // A connection that is closed by its other end is no error of librdkafka's. Only those clients have such lines that
        // `log_closed_connections` was called for.
        if facility == "FAIL" && matches!(level, RDKafkaLogLevel::Warning | RDKafkaLogLevel::Info) {
            let mut held = self.0.lock();
            if held.as_ref().is_none_or(|(code, _)| *code == Some(RDKafkaErrorCode::AllBrokersDown)) {
                let reason = closed_connection::without_thread(message).to_owned();
                *held = Some((Some(RDKafkaErrorCode::BrokerTransportFailure), reason));
            }
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let code = error.rdkafka_error_code();
        let mut held = self.0.lock();
        // librdkafka reports that all brokers are down after each of them is. That report is less precise than the
        // one before.
        if held.is_none() || code != Some(RDKafkaErrorCode::AllBrokersDown) {
            let text = match code {
                Some(code) => format!("{code}: {reason}"),
                None => format!("{error}: {reason}"),
            };
            *held = Some((code, text));
        }
    }

    fn stats(&self, _: Statistics) {
        // The crate's own implementation would log all of them.
    }
}
