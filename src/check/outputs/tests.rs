use super::*;
use crate::check::finding::Verdict;
use crate::source::kafka::topic_settings::{TopicDetails, TopicSettings};

fn error(kind: RequestErrorKind) -> RequestError {
    RequestError { kind, text: "why".to_owned() }
}

fn partition(number: i32, has_leader: bool) -> PartitionAnswer {
    PartitionAnswer {
        partition: number,
        has_leader,
        replicas: 3,
        in_sync: 3,
        bounds: Err(error(RequestErrorKind::Other)),
    }
}

fn details(policy: &str, max_message_bytes: u64) -> Result<Option<TopicDetails>, String> {
    Ok(Some(TopicDetails {
        settings: TopicSettings::new(policy, 604_800_000, -1),
        max_message_bytes: Some(max_message_bytes),
        has_broker_times: false,
    }))
}

/// Returns a topic of two partitions with which nothing is wrong.
fn sound(policy: &str) -> OutputTopicAnswer {
    OutputTopicAnswer {
        topic: TopicAnswer::There { id: None, partitions: vec![partition(0, true), partition(1, true)] },
        details: details(policy, 2_000_000),
        rights: Ok(Some(TopicRights { may_read: true, may_write: true })),
    }
}

/// A fault: the function that makes it, the verdict and the check that it has, and a part of the text.
type Fault = (fn(&mut OutputTopicAnswer), Verdict, Check, &'static str);

/// The faults that a topic of either kind may have.
const FAULTS: &[Fault] = &[
    (|held| held.topic = TopicAnswer::Missing, Verdict::Wrong, Check::Topic, "there is no such topic"),
    (
        |held| held.topic = TopicAnswer::Failed(error(RequestErrorKind::Authorization)),
        Verdict::Wrong,
        Check::Topic,
        "looked at: why",
    ),
    (
        |held| {
            held.topic = TopicAnswer::There { id: None, partitions: vec![partition(0, true), partition(1, false)] }
        },
        Verdict::Wrong,
        Check::Topic,
        "no broker leads these of its partitions",
    ),
    (|held| held.details = Ok(None), Verdict::Doubtful, Check::Topic, "may not see its settings"),
    (|held| held.details = Err("why".to_owned()), Verdict::Doubtful, Check::Topic, "is not known: why"),
    (
        |held| held.rights = Ok(Some(TopicRights { may_read: true, may_write: false })),
        Verdict::Wrong,
        Check::Write,
        "this user may not write to it",
    ),
    (|held| held.rights = Ok(None), Verdict::Doubtful, Check::Write, "the brokers do not tell rights"),
    (
        |held| held.rights = Err(error(RequestErrorKind::Connection)),
        Verdict::Doubtful,
        Check::Write,
        "is not known: why",
    ),
];

/// Checks that these findings have one that is not right, and that it is this one.
fn check_only(findings: &[Finding], verdict: Verdict, check: Check, part: &str) {
    let not_right: Vec<&Finding> = findings.iter().filter(|finding| finding.verdict != Verdict::Right).collect();
    assert_eq!(not_right.len(), 1, "{part}: {findings:#?}");
    assert_eq!((not_right[0].verdict, not_right[0].check), (verdict, check), "{not_right:?}");
    assert!(not_right[0].text.contains(part) && not_right[0].remedy.is_some(), "no {part}: {not_right:?}");
}

#[test]
fn each_fault_of_the_topic_of_dead_letters_is_found_alone() {
    let checks: Vec<Check> = of_letter_topic(&sound("delete"), Some(1_000_000))
        .into_iter()
        .inspect(|finding| assert_eq!(finding.verdict, Verdict::Right, "{finding:?}"))
        .map(|finding| finding.check)
        .collect();
    assert_eq!(checks, [Check::Topic, Check::Write, Check::MessageSize]);
    let own: &[Fault] = &[
        (
            |held| held.details = details("compact", 2_000_000),
            Verdict::Wrong,
            Check::Topic,
            "refuses letters without a key",
        ),
        (
            |held| held.details = details("compact,delete", 2_000_000),
            Verdict::Wrong,
            Check::Topic,
            "it is compacted",
        ),
        (
            |held| held.details = details("delete", 1_000_511),
            Verdict::Doubtful,
            Check::MessageSize,
            "only its beginning",
        ),
    ];
    for (make, verdict, check, part) in FAULTS.iter().chain(own) {
        let mut held = sound("delete");
        make(&mut held);
        check_only(&of_letter_topic(&held, Some(1_000_000)), *verdict, *check, part);
    }
    assert_eq!(of_letter_topic(&sound("delete"), None).len(), 2, "sizes are compared only if both are known");
}

#[test]
fn each_fault_of_the_topic_of_views_is_found_alone() {
    let right = of_views_topic(&sound("compact"), None, 12);
    assert!(right.len() == 2 && right.iter().all(|finding| finding.verdict == Verdict::Right), "{right:#?}");
    let own: &[Fault] = &[
        (
            |held| held.details = details("delete", 2_000_000),
            Verdict::Wrong,
            Check::Topic,
            "cleanup.policy=delete",
        ),
        (
            |held| held.details = details("compact,delete", 2_000_000),
            Verdict::Wrong,
            Check::Topic,
            "cleanup.policy=compact,delete",
        ),
        (
            |held| held.rights = Ok(Some(TopicRights { may_read: false, may_write: true })),
            Verdict::Wrong,
            Check::Write,
            "this user may not read it",
        ),
    ];
    // A topic that is missing is made, and has a test of its own.
    for (make, verdict, check, part) in FAULTS[1..].iter().chain(own) {
        let mut held = sound("compact");
        make(&mut held);
        check_only(&of_views_topic(&held, None, 12), *verdict, *check, part);
    }
}

#[test]
fn a_topic_of_views_that_is_missing_is_wrong_only_if_it_cannot_be_made() {
    let missing = OutputTopicAnswer { topic: TopicAnswer::Missing, ..sound("compact") };
    let refused = CreationAnswer::Refused(error(RequestErrorKind::Authorization));
    for (creation, verdict, part) in [
        (None, Verdict::Doubtful, "12 partitions, if it may"),
        (Some(CreationAnswer::Possible), Verdict::Doubtful, "which this user may"),
        (Some(CreationAnswer::Unknown("why".to_owned())), Verdict::Doubtful, "which is not known: why"),
        (Some(refused), Verdict::Wrong, "which the cluster refuses: why"),
    ] {
        check_only(&of_views_topic(&missing, creation.as_ref(), 12), verdict, Check::Topic, part);
    }
}

#[test]
fn a_transactional_id_is_wrong_only_where_the_cluster_refuses_it() {
    let failed = |kind| TransactionalIdAnswer::Failed(error(kind));
    assert_eq!(of_transactional_id(&TransactionalIdAnswer::Allowed).verdict, Verdict::Right);
    for (answer, verdict, part) in [
        (failed(RequestErrorKind::Authorization), Verdict::Wrong, "may not publish views under it: why"),
        (failed(RequestErrorKind::Connection), Verdict::Doubtful, "is not known: why"),
        (TransactionalIdAnswer::NotAsked, Verdict::Doubtful, "would fence"),
    ] {
        check_only(&[of_transactional_id(&answer)], verdict, Check::TransactionalId, part);
    }
}
