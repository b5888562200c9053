//! The findings about the cluster as a whole: pure, from its answers.

use super::finding::{Check, Finding};
use crate::source::kafka::closed_connection;
use crate::source::kafka::inspection::{ClusterAnswer, RequestError, RequestErrorKind};

/// Returns the findings about brokers, TLS, the user, and the consumer group.
pub fn findings(answer: &Result<ClusterAnswer, RequestError>, brokers: &str, group_id: &str) -> Vec<Finding> {
    match answer {
        Err(error) => vec![unreachable(error, brokers)],
        Ok(answer) => {
            let mut findings = of_brokers(answer);
            findings.push(of_group(answer, group_id));
            findings
        }
    }
}

fn unreachable(error: &RequestError, brokers: &str) -> Finding {
    if let Some(protocol) = other_protocol(&error.text) {
        let remedy = "Give the port of the brokers in --brokers";
        let text = format!("what listens there speaks {protocol}, and not Kafka's protocol: {}", error.text);
        return Finding::wrong(Check::Brokers, text, remedy).of(brokers);
    }
    let remedy = match error.kind {
        RequestErrorKind::Tls => {
            "TLS was not agreed on: check security.protocol, ssl.ca.location, and that the certificate is for the name in \
             --brokers"
        }
        RequestErrorKind::Authentication => {
            "The brokers refuse the user: check sasl.mechanism, sasl.username and sasl.password"
        }
        RequestErrorKind::Name => "The name is not known: correct --brokers, or this machine's DNS",
        RequestErrorKind::Authorization => "Grant DESCRIBE on the cluster and the topics to this user",
        RequestErrorKind::Connection | RequestErrorKind::Other => closed_connection::remedy(&error.text)
            .unwrap_or(
                "Is --brokers right, does a firewall let this machine through, and does that listener speak what \
             security.protocol says?",
            ),
    };
    Finding::wrong(Check::Brokers, format!("no broker answers: {}", error.text), remedy).of(brokers)
}

/// Returns the protocol of a listener that is no broker, if librdkafka's error shows it: it takes the first four bytes of any answer for
/// the answer's length.
fn other_protocol(error: &str) -> Option<&'static str> {
    let (_, rest) = error.split_once("Invalid response size ")?;
    let digits = rest.find(|character: char| !character.is_ascii_digit()).unwrap_or(rest.len());
    match rest[..digits].parse::<u32>().ok()?.to_be_bytes() {
        [b'H', b'T', b'T', b'P'] => Some("HTTP"),
        [b'S', b'S', b'H', b'-'] => Some("SSH"),
        _ => None,
    }
}

fn of_brokers(answer: &ClusterAnswer) -> Vec<Finding> {
    let silent = answer.brokers.iter().filter_map(|broker| Some((broker, broker.error.as_ref()?)));
    let mut findings: Vec<Finding> = silent
        .map(|(broker, error)| {
            let text = format!("broker {} does not answer at the address that it is advertised with: {}", broker.id, error.text);
            let remedy = "Make that address (advertised.listeners) one that this machine reaches, or bring the broker back: \
                          what it leads cannot be read";
            Finding::wrong(Check::Brokers, text, remedy).of(&broker.address)
        })
        .collect();
    let answering = answer.brokers.len() - findings.len();
    if answering > 0 {
        let id = answer.cluster_id.as_deref().unwrap_or("without an id");
        findings.insert(0, Finding::right(Check::Brokers, format!("{answering} answer, of the cluster {id}")));
    }
    if answer.cluster_id.is_none() {
        let text = "the cluster gives no id, so that nothing shows if --brokers leads to another one";
        findings.push(Finding::doubtful(Check::Cluster, text, "Use brokers of Kafka 0.10.1 or later"));
    }
    findings
}

fn of_group(answer: &ClusterAnswer, group_id: &str) -> Finding {
    match &answer.group {
        Ok(()) => Finding::right(Check::Group, "its offsets may be looked at"),
        Err(error) if error.kind == RequestErrorKind::Authorization => Finding::doubtful(
            Check::Group,
            format!("its offsets may not be looked at ({}), and so probably not written either", error.text),
            "Grant READ on the group to this user, or lag tools see nothing of optview; the views do without",
        ),
        Err(error) => Finding::doubtful(
            Check::Group,
            format!("its offsets cannot be looked at: {}", error.text),
            "Only lag tools need them; ask again once the brokers answer",
        ),
    }
    .of(group_id)
}

#[cfg(test)]
mod tests;
