//! What an error of a partition's fetch means: one table with every code that librdkafka knows, and what follows from it. Never
//! passes over a record for an error.
//!
//! What librdkafka does with a broker's code is in its `rd_kafka_fetch_reply_handle_partition_error`: some it handles without
//! a word, an offset out of range becomes [`RDKafkaErrorCode::AutoOffsetReset`], and all others come here as they are. After
//! each of them it fetches again at the same offset. Only what it cannot parse (`rdkafka_msgset_reader.c`) is passed over.

use std::time::Duration;

use rdkafka::types::{RDKafkaErrorCode, RDKafkaRespErr};

use crate::source::{StopCode, StopReason, remedies};

/// How long an error of the meaning [`Meaning::NeedsRestart`] stands before its partition stops: longer than a rolling update
/// of the brokers or a change of the topic's settings takes.
pub const LASTING_AFTER: Duration = Duration::from_secs(600);

/// What a code means for the partition whose fetch it comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// Nothing is skipped, and the fetch is tried again until it succeeds, however long that takes.
    Passes,
    /// Nothing is skipped, and it is tried again; what may mend it is a right that somebody gives.
    NeedsRight,
    /// Nothing is skipped, and it is tried again. Where it lasts, only other settings or another version of this program mend it.
    NeedsRestart,
    /// The offset is not there, by one broker's word. It is tried again unless the cluster's bounds prove it.
    OutOfRange,
    /// The records behind what was read are not those that were there, by the epochs of the partition's leaders.
    Diverged,
    /// librdkafka has passed over something, or may have. The partition must not be read on.
    Skips,
}

impl Meaning {
    /// Whether the brokers alone may mend it at any moment.
    pub fn is_passing(self) -> bool {
        matches!(self, Meaning::Passes | Meaning::OutOfRange)
    }
}

/// What follows from an error of a fetch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Consequence {
    /// The fetch is tried again at the same offset, by librdkafka or by a new assignment. Until it succeeds, this is why the
    /// partition is not read.
    Stands(String),
    /// The partition must not be read on, or cannot be without a restart.
    Stops(StopReason),
}

/// What follows from this error, which has stood for so long. `text` is what librdkafka says beside the code.
pub fn consequence(code: RDKafkaErrorCode, text: &str, stood: Duration) -> Consequence {
    let told = if text.is_empty() { code.to_string() } else { format!("{code}: {text}") };
    match meaning(code) {
        Meaning::Passes | Meaning::OutOfRange => Consequence::Stands(told),
        Meaning::NeedsRight => Consequence::Stands(format!(
            "{told}. Give optview's user the right to read the topic (operations READ and DESCRIBE); it is tried again"
        )),
        Meaning::NeedsRestart if stood >= LASTING_AFTER => Consequence::Stops(StopReason::new(
            StopCode::NeedsRestart,
            format!(
                "{told}. It has lasted for {}: mend it (`--kafka-property`, the topic's settings, or a newer optview), and \
             restart this process",
                humantime::format_duration(LASTING_AFTER)
            ),
        )),
        Meaning::NeedsRestart => Consequence::Stands(told),
        Meaning::Diverged => Consequence::Stops(StopReason::new(
            StopCode::Diverged,
            format!(
                "{told}. The log behind what was read is another one than it was: it was truncated or created again. {}",
                remedies::CREATED_AGAIN
            ),
        )),
        Meaning::Skips => Consequence::Stops(StopReason::new(
            StopCode::Unreadable,
            format!(
                "{told}. librdkafka has passed over what it could not read, or does not say that it has not, so nothing more is \
             read of this partition. A restart reads it again; a batch that is damaged on the broker must be mended there"
            ),
        )),
    }
}

/// The code of this number. Brokers may be newer than librdkafka, and librdkafka gives their codes as they are.
pub fn code_of(number: i32) -> RDKafkaErrorCode {
    RDKafkaRespErr::try_from(number).map_or(RDKafkaErrorCode::Unknown, RDKafkaErrorCode::from)
}

/// What a code means. One that is not in the table is a broker's, or a librdkafka's, that is newer than this program: what it
/// means is not known, and brokers' codes skip nothing.
pub fn meaning(code: RDKafkaErrorCode) -> Meaning {
    let is_of_broker = code as i32 > RDKafkaErrorCode::End as i32;
    listed(code).unwrap_or(if is_of_broker { Meaning::Passes } else { Meaning::Skips })
}

/// The table.
fn listed(code: RDKafkaErrorCode) -> Option<Meaning> {
    use RDKafkaErrorCode as Code;
    Some(match code {
        // What librdkafka says where it could not parse, or does not know how to: it goes on behind that.
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
        // The client as a whole is broken, or nobody knows what has happened to the queue.
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
        // Groups, which optview does not join, and rebalances, which it does not have.
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
        // librdkafka's own errors after which it sends the same fetch again.
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
        // No error.
        Code::PartitionEOF | Code::NoError | Code::Begin | Code::End | Code::EndAll => Meaning::Passes,
        code => return of_broker(code),
    })
}

/// The part of the table with the codes that brokers answer: they come instead of records, and leave the fetch where it was.
fn of_broker(code: RDKafkaErrorCode) -> Option<Meaning> {
    use RDKafkaErrorCode as Code;
    Some(match code {
        Code::TopicAuthorizationFailed | Code::ClusterAuthorizationFailed => Meaning::NeedsRight,
        // The record does not fit into an answer, or needs what this program does not have.
        Code::MessageSizeTooLarge
        | Code::UnsupportedVersion
        | Code::UnsupportedForMessageFormat
        | Code::UnsupportedCompressionType => Meaning::NeedsRestart,
        // A broker that fails, is about to end or to begin, leads no more, or does not yet know what the client knows.
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
        // Signing in, which is tried again with each connection.
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

/// The part of the table with the codes that brokers answer to other requests. Where one comes to a fetch all the same, it comes
/// instead of records, as any other of theirs.
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

    /// Every code that librdkafka knows.
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
            let stops =
                matches!(&lasts, Consequence::Stops(text) if text.contains("10m") && text.contains("restart"));
            assert_eq!(stops, meaning(code) == Meaning::NeedsRestart, "{code:?}: {lasts:?}");
            let soon = consequence(code, "why", LASTING_AFTER - Duration::from_secs(1));
            assert!(matches!(soon, Consequence::Stands(_)), "{code:?}: {soon:?}");
        }
    }

    #[test]
    fn what_would_skip_a_record_stops_at_once() {
        use RDKafkaErrorCode as Code;
        for code in [Code::BadMessage, Code::BadCompression, Code::NotImplemented, Code::Underflow, Code::Fatal] {
            let Consequence::Stops(text) = consequence(code, "at offset 7", Duration::ZERO) else {
                panic!("{code:?} stands")
            };
            assert!(text.contains("at offset 7") && text.contains("restart"), "{text}");
        }
        let truncated = consequence(Code::LogTruncation, "why", Duration::ZERO);
        assert!(matches!(truncated, Consequence::Stops(text) if text.contains("optview rebuild")));
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

    #[test]
    fn an_offset_that_is_not_there_is_explained_by_the_bounds() {
        assert!(out_of_range(5, 9, 20).contains("from 5 to 9 were removed"));
        assert!(out_of_range(25, 9, 20).contains("ends at 20"));
    }
}
