//! Connections that the other end closes at the first request. A listener that speaks TLS does so to a client that does not. For
//! librdkafka that is no error: it reports nothing but that all brokers are down, and has the place of the close only in its log.

use rdkafka::config::{ClientConfig, RDKafkaLogLevel};

const SPEAKS_TLS: &str = "What listens there closes each connection at the first request: if it speaks TLS, set security.protocol to SSL or \
                          SASL_SSL; else it is no broker, or one that is just starting or stopping";
const WANTS_MORE: &str = "What listens there closes each connection at the first request, although TLS was agreed on: it may want a \
                          certificate of this client (ssl.certificate.location, ssl.key.location); or it is no broker, or one that is \
                          just starting or stopping";

/// Has a client log each connection that its other end closes, as lines of the facility `FAIL` at the levels `Info` and `Warning`.
pub fn log_closed_connections(config: &mut ClientConfig) -> &mut ClientConfig {
    config.set("log.connection.close", "true").set_log_level(RDKafkaLogLevel::Info)
}

/// Returns the likely causes and what to do, as a sentence, if librdkafka's reason is that a connection was closed before the first
/// answer.
pub fn remedy(reason: &str) -> Option<&'static str> {
    if !reason.contains("Disconnected") || !reason.contains("in state APIVERSION_QUERY") {
        return None;
    }
    // A broker's name begins with the protocol that this client speaks, unless it speaks neither TLS nor SASL.
    let is_over_tls = ["ssl://", "sasl_ssl://"].iter().any(|protocol| reason.contains(protocol));
    Some(if is_over_tls { WANTS_MORE } else { SPEAKS_TLS })
}

/// Returns a line of librdkafka's log without the thread that wrote it, with which it begins.
pub fn without_thread(line: &str) -> &str {
    line.split_once("]: ").map_or(line, |(_, reason)| reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_connection_that_is_closed_before_the_first_answer_has_a_remedy() {
        let closed = "Disconnected: connection reset by peer (after 1ms in state APIVERSION_QUERY)";
        for (reason, part) in [
            (format!("kafka:9092/bootstrap: {closed}"), Some("set security.protocol")),
            (format!("sasl_plaintext://kafka:9092/1: {closed}"), Some("set security.protocol")),
            (format!("ssl://kafka:9092/bootstrap: {closed}"), Some("ssl.certificate.location")),
            (format!("sasl_ssl://kafka:9092/bootstrap: {closed}"), Some("ssl.certificate.location")),
            ("kafka:9092/1: Disconnected (after 600000ms in state UP)".to_owned(), None),
            ("kafka:9092/1: Connect to ipv4#1.2.3.4:9092 failed: Connection refused".to_owned(), None),
            (
                "kafka:9092/1: ApiVersionRequest failed: timed out (after 9ms in state APIVERSION_QUERY)"
                    .to_owned(),
                None,
            ),
        ] {
            let found = remedy(&reason);
            assert_eq!(found.is_some(), part.is_some(), "{reason}");
            assert!(part.is_none_or(|part| found.unwrap().contains(part)), "{reason}: {found:?}");
        }
    }
}
