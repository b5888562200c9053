//! The meaning of errors of a partition's fetch: one table with every code that librdkafka knows, and the
//! consequence of each. No error makes optview skip a record.
//!
//! librdkafka's `rd_kafka_fetch_reply_handle_partition_error` handles some broker codes silently, turns an offset
//! out of range into [`RDKafkaErrorCode::AutoOffsetReset`], and reports all others unchanged. After each of them
//! it fetches again at the same offset. It skips only data that it cannot parse (`rdkafka_msgset_reader.c`).

use std::time::Duration;

use rdkafka::types::{RDKafkaErrorCode, RDKafkaRespErr};

use crate::source::{StopCode, StopReason, remedies};

/// Time after which an error with the meaning [`Meaning::NeedsRestart`] stops its partition: longer than a rolling
/// update of the brokers or a change of the topic's settings takes.
pub const LASTING_AFTER: Duration = Duration::from_secs(600);

/// The meaning of a code for the partition whose fetch it comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// Nothing is skipped, and the fetch is tried again until it succeeds, however long that takes.
    Passes,
    /// Nothing is skipped, and the fetch is tried again. It succeeds once somebody gives the missing right.
    NeedsRight,
    /// Nothing is skipped, and the fetch is tried again. If the error lasts, only other settings or another
    /// version of this program solve it.
    NeedsRestart,
    /// One broker reported that the offset does not exist. The fetch is tried again unless the cluster's bounds
    /// prove it.
    OutOfRange,
    /// The epochs of the partition's leaders show that the records behind those that were read have changed.
    Diverged,
    /// librdkafka has skipped data, or may have. The partition must not be read on.
    Skips,
}

impl Meaning {
    /// Returns true if the brokers alone may solve the error at any moment.
    pub fn is_passing(self) -> bool {
        matches!(self, Meaning::Passes | Meaning::OutOfRange)
    }
}

/// The consequence of an error of a fetch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Consequence {
    /// The fetch is tried again at the same offset, by librdkafka or by a new assignment. Until it succeeds, the
    /// text is the reason for which the partition is not read.
    Stands(String),
    /// The partition must not be read on, or cannot be without a restart. The text is the reason.
    Stops(StopReason),
}

/// Returns the consequence of an error that has stood for the time `stood`. `text` is librdkafka's text beside the
/// code.
pub fn consequence(code: RDKafkaErrorCode, text: &str, stood: Duration) -> Consequence {
    let cause = if text.is_empty() { code.to_string() } else { format!("{code}: {text}") };
    match meaning(code) {
        Meaning::Passes | Meaning::OutOfRange => Consequence::Stands(cause),
        Meaning::NeedsRight => Consequence::Stands(format!(
            "{cause}. Give optview's user the right to read the topic (operations READ and DESCRIBE); it is tried again"
        )),
        Meaning::NeedsRestart if stood >= LASTING_AFTER => Consequence::Stops(StopReason::new(
            StopCode::NeedsRestart,
            format!(
                "{cause}. This error has lasted for {}: remove its cause (`--kafka-property`, the topic's settings, \
                 or a newer optview), and restart this process",
                humantime::format_duration(LASTING_AFTER)
            ),
        )),
        Meaning::NeedsRestart => Consequence::Stands(cause),
        Meaning::Diverged => Consequence::Stops(StopReason::new(
            StopCode::Diverged,
            format!(
                "{cause}. The records that follow those that were read have changed: the log was truncated, or the \
                 topic created again. {}",
                remedies::CREATED_AGAIN
            ),
        )),
        Meaning::Skips => Consequence::Stops(StopReason::new(
            StopCode::Unreadable,
            format!(
                "{cause}. librdkafka has skipped data that it could not read, or may have, so this partition is no \
                 longer read. A restart reads it again; a batch that is damaged on the broker must be repaired there"
            ),
        )),
    }
}

/// Returns the code of this number. Brokers may be newer than librdkafka, which passes their codes on unchanged.
pub fn code_of(number: i32) -> RDKafkaErrorCode {
    RDKafkaRespErr::try_from(number).map_or(RDKafkaErrorCode::Unknown, RDKafkaErrorCode::from)
}

/// Returns the meaning of a code. A code that is missing in the table comes from a newer broker or a newer
/// librdkafka; its meaning is unknown, but brokers' codes skip nothing.
pub fn meaning(code: RDKafkaErrorCode) -> Meaning {
    let is_of_broker = code as i32 > RDKafkaErrorCode::End as i32;
    listed(code).unwrap_or(if is_of_broker { Meaning::Passes } else { Meaning::Skips })
}

/// The table of codes.
fn listed(code: RDKafkaErrorCode) -> Option<Meaning> {
    use RDKafkaErrorCode as Code;
    Some(match code {
        // librdkafka reports these for data that it cannot parse, and then continues behind that data.
        Code::BadMessage
        | Code::BadCompression
        | Code::NotImplemented
        | Code::Underflow
        | Code::Partial
        | Code::InvalidDifferentRecord
        | Code::KeyDeserialization
        | Code::ValueDeserialization
        | Code::KeySerialization
        | Code::ValueSerialization => Meaning::Skips,
        // The client as a whole is broken, or the state of the queue is unknown.
        Code::Fatal
        | Code::Fail
        | Code::CriticalSystemResource
        | Code::FileSystem
        | Code::Inconsistent
        | Code::PurgeQueue
        | Code::PurgeInflight
        | Code::GaplessGuarantee
        | Code::Interrupted
        | Code::InvalidArgument
        | Code::InvalidType
        | Code::State
        | Code::Conflict
        | Code::NoEnt
        | Code::ReadOnly
        | Code::QueueFull
        | Code::Application
        | Code::Noop
        | Code::Outdated
        | Code::NotConfigured
        | Code::UnknownProtocol => Meaning::Skips,
        // These belong to groups, which optview does not join, and to rebalances, which it does not have.
        Code::ExistingSubscription
        | Code::AssignPartitions
        | Code::RevokePartitions
        | Code::AssignmentLost
        | Code::UnknownGroup
        | Code::NoOffset
        | Code::PollExceeded
        | Code::Fenced => Meaning::Skips,
        Code::LogTruncation => Meaning::Diverged,
        Code::AutoOffsetReset | Code::OffsetOutOfRange => Meaning::OutOfRange,
        // After these errors of its own, librdkafka sends the same fetch again.
        Code::BrokerTransportFailure
        | Code::AllBrokersDown
        | Code::BrokerDestroy
        | Code::DestroyBroker
        | Code::OperationTimedOut
        | Code::MessageTimedOut
        | Code::TimedOutQueue
        | Code::Resolve
        | Code::Authentication
        | Code::SSL
        | Code::NodeUpdate
        | Code::UnknownBroker
        | Code::UnknownTopic
        | Code::UnknownPartition
        | Code::UnsupportedFeature
        | Code::ISRInsufficient
        | Code::WaitingForCoordinator
        | Code::WaitCache
        | Code::Retry
        | Code::InProgress
        | Code::PreviousInProgress => Meaning::Passes,
        // These are no errors.
        Code::PartitionEOF | Code::NoError | Code::Begin | Code::End | Code::EndAll => Meaning::Passes,
        code => return of_broker(code),
    })
}

/// The part of the table with the codes that brokers answer to a fetch. They come instead of records, and leave
/// the fetch at its offset.
fn of_broker(code: RDKafkaErrorCode) -> Option<Meaning> {
    use RDKafkaErrorCode as Code;
    Some(match code {
        Code::TopicAuthorizationFailed | Code::ClusterAuthorizationFailed => Meaning::NeedsRight,
        // The record does not fit into an answer, or needs a feature that this program lacks.
        Code::MessageSizeTooLarge
        | Code::UnsupportedVersion
        | Code::UnsupportedForMessageFormat
        | Code::UnsupportedCompressionType => Meaning::NeedsRestart,
        // The broker fails, is starting or ending, no longer leads, or does not yet know what the client knows.
        Code::Unknown
        | Code::InvalidMessage
        | Code::InvalidMessageSize
        | Code::UnknownTopicOrPartition
        | Code::UnknownTopicId
        | Code::LeaderNotAvailable
        | Code::NotLeaderForPartition
        | Code::RequestTimedOut
        | Code::BrokerNotAvailable
        | Code::ReplicaNotAvailable
        | Code::StaleControllerEpoch
        | Code::NetworkException
        | Code::InvalidTopic
        | Code::NotController
        | Code::InvalidRequest
        | Code::InvalidConfig
        | Code::PolicyViolation
        | Code::SecurityDisabled
        | Code::OperationNotAttempted
        | Code::KafkaStorageError
        | Code::LogDirNotFound
        | Code::ReassignmentInProgress
        | Code::FetchSessionIdNotFound
        | Code::InvalidFetchSessionEpoch
        | Code::ListenerNotFound
        | Code::FencedLeaderEpoch
        | Code::UnknownLeaderEpoch
        | Code::StaleBrokerEpoch
        | Code::OffsetNotAvailable
        | Code::PreferredLeaderNotAvailable
        | Code::EligibleLeadersNotAvailable
        | Code::InvalidRecord
        | Code::ThrottlingQuotaExceeded
        | Code::ResourceNotFound
        | Code::RebootstrapRequired => Meaning::Passes,
        // These belong to authentication, which is tried again with each connection.
        Code::UnsupportedSASLMechanism
        | Code::IllegalSASLState
        | Code::SaslAuthenticationFailed
        | Code::DelegationTokenAuthDisabled
        | Code::DelegationTokenNotFound
        | Code::DelegationTokenOwnerMismatch
        | Code::DelegationTokenRequestNotAllowed
        | Code::DelegationTokenAuthorizationFailed
        | Code::DelegationTokenExpired
        | Code::PrincipalDeserializationFailure => Meaning::Passes,
        code => return of_other_requests(code),
    })
}

/// The part of the table with the codes that brokers answer to other requests. If a fetch is answered by one
/// nevertheless, it comes instead of records, like any other broker code.
fn of_other_requests(code: RDKafkaErrorCode) -> Option<Meaning> {
    use RDKafkaErrorCode as Code;
    Some(match code {
        Code::OffsetMetadataTooLarge
        | Code::CoordinatorLoadInProgress
        | Code::CoordinatorNotAvailable
        | Code::NotCoordinator
        | Code::IllegalGeneration
        | Code::InconsistentGroupProtocol
        | Code::InvalidGroupId
        | Code::UnknownMemberId
        | Code::InvalidSessionTimeout
        | Code::RebalanceInProgress
        | Code::InvalidCommitOffsetSize
        | Code::GroupAuthorizationFailed
        | Code::NonEmptyGroup
        | Code::GroupIdNotFound
        | Code::MemberIdRequired
        | Code::GroupMaxSizeReached
        | Code::FencedInstanceId
        | Code::GroupSubscribedToTopic
        | Code::UnstableOffsetCommit
        | Code::FencedMemberEpoch
        | Code::UnreleasedInstanceId
        | Code::UnsupportedAssignor
        | Code::StaleMemberEpoch => Meaning::Passes,
        Code::MessageBatchTooLarge
        | Code::NotEnoughReplicas
        | Code::NotEnoughReplicasAfterAppend
        | Code::InvalidRequiredAcks
        | Code::InvalidTimestamp
        | Code::OutOfOrderSequenceNumber
        | Code::DuplicateSequenceNumber
        | Code::InvalidProducerEpoch
        | Code::InvalidTransactionalState
        | Code::InvalidProducerIdMapping
        | Code::InvalidTransactionTimeout
        | Code::ConcurrentTransactions
        | Code::TransactionCoordinatorFenced
        | Code::TransactionalIdAuthorizationFailed
        | Code::UnknownProducerId
        | Code::ProducerFenced => Meaning::Passes,
        Code::TopicAlreadyExists
        | Code::InvalidPartitions
        | Code::InvalidReplicationFactor
        | Code::InvalidReplicaAssignment
        | Code::InvalidPrincipalType
        | Code::TopicDeletionDisabled
        | Code::ElectionNotNeeded
        | Code::NoReassignmentInProgress
        | Code::DuplicateResource
        | Code::UnacceptableCredential
        | Code::InconsistentVoterSet
        | Code::InvalidUpdateVersion
        | Code::FeatureUpdateFailed
        | Code::UnknownSubscriptionId
        | Code::TelemetryTooLarge => Meaning::Passes,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns every code that librdkafka knows.
    fn codes() -> impl Iterator<Item = RDKafkaErrorCode> {
        (-300..=1000).filter_map(|number| RDKafkaRespErr::try_from(number).ok()).map(RDKafkaErrorCode::from)
    }

    #[test]
    fn every_code_is_in_the_table_on_purpose() {
        let missing: Vec<_> = codes().filter(|code| listed(*code).is_none()).collect();
        assert!(missing.is_empty(), "{missing:?}");
        assert!(codes().count() > 150, "they are all there");
    }

    #[test]
    fn no_code_of_a_broker_stops_a_partition_before_it_has_lasted() {
        for code in codes().filter(|code| *code as i32 > RDKafkaErrorCode::End as i32) {
            let Consequence::Stands(text) = consequence(code, "why", Duration::ZERO) else {
                panic!("{code:?} stops")
            };
            assert!(text.contains("why"), "{code:?}: {text}");
            assert_ne!(meaning(code), Meaning::Skips, "{code:?}");
        }
    }

    #[test]
    fn what_only_a_restart_mends_stops_once_it_has_lasted_and_nothing_else_ever_does() {
        let stops = |code: &RDKafkaErrorCode| matches!(meaning(*code), Meaning::Skips | Meaning::Diverged);
        for code in codes().filter(|code| !stops(code)) {
            let lasts = consequence(code, "why", LASTING_AFTER);
            let stops = matches!(&lasts, Consequence::Stops(reason) if reason.text.contains("10m") && reason.code == StopCode::NeedsRestart);
            assert_eq!(stops, meaning(code) == Meaning::NeedsRestart, "{code:?}: {lasts:?}");
            let soon = consequence(code, "why", LASTING_AFTER - Duration::from_secs(1));
            assert!(matches!(soon, Consequence::Stands(_)), "{code:?}: {soon:?}");
        }
    }

    #[test]
    fn what_would_skip_a_record_stops_at_once() {
        use RDKafkaErrorCode as Code;
        for code in [Code::BadMessage, Code::BadCompression, Code::NotImplemented, Code::Underflow, Code::Fatal] {
            let Consequence::Stops(StopReason { code, text }) = consequence(code, "at offset 7", Duration::ZERO)
            else {
                panic!("{code:?} stands")
            };
            assert_eq!(code, StopCode::Unreadable);
            assert!(text.contains("at offset 7") && text.contains("restart"), "{text}");
        }
        let truncated = consequence(Code::LogTruncation, "why", Duration::ZERO);
        assert!(matches!(truncated, Consequence::Stops(reason) if reason.text.contains("optview rebuild")));
    }

    #[test]
    fn a_code_that_is_newer_than_librdkafka_is_one_of_the_brokers() {
        for number in [103, 109, 133, 999] {
            assert_eq!(code_of(number), RDKafkaErrorCode::Unknown, "{number}");
        }
        assert_eq!(code_of(3), RDKafkaErrorCode::UnknownTopicOrPartition);
        assert_eq!(code_of(-199), RDKafkaErrorCode::BadMessage);
        assert_eq!(meaning(code_of(103)), Meaning::Passes);
    }
}
