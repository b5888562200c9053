use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::check::finding::Verdict;
use crate::source::kafka::inspection::{BrokerAnswer, ClientLimits};

fn error(kind: RequestErrorKind) -> RequestError {
    RequestError { kind, text: "why".to_owned() }
}

fn answer(silent: &[bool], has_id: bool, group: Result<(), RequestError>) -> ClusterAnswer {
    let brokers = (0..).zip(silent).map(|(id, silent)| BrokerAnswer {
        id,
        address: format!("kafka-{id}:9092"),
        error: silent.then(|| error(RequestErrorKind::Connection)),
    });
    ClusterAnswer {
        cluster_id: has_id.then(|| "abc".to_owned()),
        brokers: brokers.collect(),
        topics: BTreeMap::new(),
        details: Ok(BTreeMap::new()),
        group,
        limits: ClientLimits { receive_bytes: 100_000_000 },
    }
}

#[test]
fn a_cluster_that_does_not_answer_is_one_wrong_thing_with_the_remedy_of_its_kind() {
    for (kind, remedy) in [
        (RequestErrorKind::Tls, "ssl.ca.location"),
        (RequestErrorKind::Authentication, "sasl.password"),
        (RequestErrorKind::Authorization, "DESCRIBE"),
        (RequestErrorKind::Name, "DNS"),
        (RequestErrorKind::Connection, "firewall"),
        (RequestErrorKind::Other, "--brokers"),
    ] {
        let found = findings(&Err(error(kind)), "kafka:9092", "group");
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].check, found[0].verdict), (Check::Brokers, Verdict::Wrong));
        assert_eq!(found[0].subject.as_deref(), Some("kafka:9092"));
        assert!(found[0].text.contains("why") && found[0].remedy.as_ref().unwrap().contains(remedy), "{found:?}");
    }
}

proptest! {
    #[test]
    fn each_silent_broker_is_wrong_and_nothing_else_is(
        silent in proptest::collection::vec(any::<bool>(), 1..6),
        has_id in any::<bool>(),
        sees_group in any::<bool>(),
    ) {
        let group = if sees_group { Ok(()) } else { Err(error(RequestErrorKind::Authorization)) };
        let found = findings(&Ok(answer(&silent, has_id, group)), "kafka:9092", "group");
        let wrong: Vec<_> = found.iter().filter(|finding| finding.verdict == Verdict::Wrong).collect();
        prop_assert_eq!(wrong.len(), silent.iter().filter(|silent| **silent).count());
        prop_assert!(wrong.iter().all(|finding| finding.check == Check::Brokers));
        let doubtful: Vec<_> = found.iter().filter(|finding| finding.verdict == Verdict::Doubtful).map(|finding| finding.check).collect();
        let expected = [(Check::Cluster, has_id), (Check::Group, sees_group)];
        prop_assert_eq!(doubtful, expected.into_iter().filter(|(_, is_right)| !is_right).map(|(check, _)| check).collect::<Vec<_>>());
        prop_assert!(found.iter().all(|finding| finding.remedy.is_some() == (finding.verdict != Verdict::Right)));
    }
}

#[test]
fn a_listener_of_another_protocol_is_known_by_the_first_bytes_of_its_answer() {
    for (size, protocol) in [
        (u32::from_be_bytes(*b"HTTP"), Some("HTTP")),
        (u32::from_be_bytes(*b"SSH-"), Some("SSH")),
        (200_000_000, None),
    ] {
        let text = format!("Invalid response size {size} (0..100000000): increase receive.message.max.bytes");
        assert_eq!(other_protocol(&text), protocol, "{text}");
        let error = RequestError { kind: RequestErrorKind::Connection, text };
        let found = findings(&Err(error), "kafka:9092", "group");
        assert_eq!((found.len(), found[0].verdict), (1, Verdict::Wrong));
        let said = protocol.is_some_and(|protocol| found[0].text.contains(&format!("speaks {protocol}")));
        assert_eq!(said, protocol.is_some(), "{found:?}");
    }
    assert_eq!(other_protocol("Invalid response size "), None);
    let text =
        "kafka:9092/bootstrap: Disconnected: closed by peer (after 9ms in state APIVERSION_QUERY)".to_owned();
    let found = findings(&Err(RequestError { kind: RequestErrorKind::Connection, text }), "kafka:9092", "group");
    assert!(found[0].remedy.as_ref().unwrap().contains("if it speaks TLS"), "{found:?}");
}
