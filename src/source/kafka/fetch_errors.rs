//! What an error of a partition's fetch means: whether it stands until it is over, or whether reading on would skip
//! something. Never passes over a record for an error.

use rdkafka::types::RDKafkaErrorCode;

use crate::source::remedies;

/// What follows from an error of a fetch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Consequence {
    /// The fetch is tried again at the same offset, by librdkafka or by a new assignment. Until it succeeds, this is why the
    /// partition is not read.
    Stands(String),
    /// librdkafka has passed over what it could not give, or cannot give what comes next. The partition must not be read on.
    Stops(String),
}

/// What follows from this error. `text` is what librdkafka says beside the code.
pub fn consequence(code: RDKafkaErrorCode, text: &str) -> Consequence {
    use RDKafkaErrorCode as Code;
    let told = if text.is_empty() { code.to_string() } else { format!("{code}: {text}") };
    match code {
        Code::AutoOffsetReset | Code::OffsetOutOfRange | Code::LogTruncation => Consequence::Stops(format!(
            "the offset to read next is no longer in the topic: its oldest records were removed, or it was truncated or \
             created again. {}",
            remedies::CREATED_AGAIN
        )),
        Code::TopicAuthorizationFailed => Consequence::Stands(format!(
            "{told}. Give optview's user the right to read the topic (operations READ and DESCRIBE); it is tried again"
        )),
        // The record is too large for a response. It comes again, and nothing after it does.
        Code::MessageSizeTooLarge => Consequence::Stops(told),
        code if is_of_broker(code) || is_of_transport(code) => Consequence::Stands(told),
        _ => Consequence::Stops(told),
    }
}

/// A broker's own answer comes instead of records, and leaves the fetch where it was.
fn is_of_broker(code: RDKafkaErrorCode) -> bool {
    code as i32 > RDKafkaErrorCode::End as i32 && code != RDKafkaErrorCode::NoError
}

/// librdkafka's own errors after which it sends the same fetch again.
fn is_of_transport(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(
        code,
        Code::BrokerTransportFailure
            | Code::AllBrokersDown
            | Code::BrokerDestroy
            | Code::DestroyBroker
            | Code::OperationTimedOut
            | Code::TimedOutQueue
            | Code::Resolve
            | Code::Authentication
            | Code::SSL
            | Code::NodeUpdate
            | Code::UnknownBroker
            | Code::UnknownTopic
            | Code::UnknownPartition
            | Code::WaitingForCoordinator
            | Code::WaitCache
            | Code::Retry
            | Code::InProgress
            | Code::PreviousInProgress
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_would_skip_a_record_stops_a_partition() {
        use RDKafkaErrorCode as Code;
        for code in [
            Code::BrokerTransportFailure,
            Code::AllBrokersDown,
            Code::Resolve,
            Code::SSL,
            Code::Authentication,
            Code::TopicAuthorizationFailed,
            Code::ClusterAuthorizationFailed,
            Code::UnknownTopicOrPartition,
            Code::UnknownTopicId,
            Code::UnknownPartition,
            Code::NotLeaderForPartition,
            Code::FencedLeaderEpoch,
            Code::Unknown,
            Code::KafkaStorageError,
            Code::ThrottlingQuotaExceeded,
        ] {
            assert!(matches!(consequence(code, "why"), Consequence::Stands(_)), "{code:?}");
        }
        for code in [
            Code::BadMessage,
            Code::BadCompression,
            Code::NotImplemented,
            Code::Underflow,
            Code::Fatal,
            Code::MessageSizeTooLarge,
            Code::AutoOffsetReset,
            Code::OffsetOutOfRange,
            Code::LogTruncation,
        ] {
            assert!(matches!(consequence(code, "why"), Consequence::Stops(_)), "{code:?}");
        }
    }
}
