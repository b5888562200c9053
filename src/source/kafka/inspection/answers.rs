//! The answers of a cluster that is inspected.

use std::collections::BTreeMap;

use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;

use super::super::error_context::ErrorContext;
use super::super::topic_settings::TopicDetails;
use crate::domain::{Topic, TopicId};
use crate::source::Watermarks;

/// The answers of a cluster.
#[derive(Clone, Debug)]
pub struct ClusterAnswer {
    /// The id that the cluster gave itself; `None` if its brokers are too old to have one.
    pub cluster_id: Option<String>,
    /// Every broker that the cluster names.
    pub brokers: Vec<BrokerAnswer>,
    /// The answers about the three topics.
    pub topics: BTreeMap<Topic, TopicAnswer>,
    /// The details of the topics whose settings the client may see; or the reason for which none are known.
    pub details: Result<BTreeMap<Topic, TopicDetails>, String>,
    /// The answer to the question for the consumer group's offsets.
    pub group: Result<(), RequestError>,
    /// The limits of the client.
    pub limits: ClientLimits,
}

/// One broker that the cluster names.
#[derive(Clone, Debug)]
pub struct BrokerAnswer {
    /// The broker's number.
    pub id: i32,
    /// The address that it is advertised with.
    pub address: String,
    /// The error for which it did not answer; `None` if it did.
    pub error: Option<RequestError>,
}

/// The answer about one topic.
#[derive(Clone, Debug)]
pub enum TopicAnswer {
    /// The topic exists.
    There {
        /// The topic's id; `None` if the brokers give none.
        id: Option<TopicId>,
        /// Its partitions.
        partitions: Vec<PartitionAnswer>,
    },
    /// No such topic exists, or the client may not know that it does.
    Missing,
    /// The cluster has answered with an error.
    Failed(RequestError),
}

/// The answers about one partition.
#[derive(Clone, Debug)]
pub struct PartitionAnswer {
    /// The partition's number.
    pub partition: i32,
    /// True if a broker leads it, so that it can be read.
    pub has_leader: bool,
    /// Number of its replicas.
    pub replicas: usize,
    /// Number of its replicas that have all of its records.
    pub in_sync: usize,
    /// Its bounds for a reader of committed records.
    pub bounds: Result<Watermarks, RequestError>,
}

/// The limits of the client that a topic's settings must fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientLimits {
    /// `receive.message.max.bytes`: the largest response that is taken from a broker.
    pub receive_bytes: u64,
}

impl ClientLimits {
    pub(super) fn of(config: &ClientConfig) -> ClientLimits {
        let native = config.create_native_config();
        let held = native.and_then(|native| native.get("receive.message.max.bytes"));
        // librdkafka's default.
        let receive_bytes = held.ok().and_then(|text| text.parse().ok()).unwrap_or(100_000_000);
        ClientLimits { receive_bytes }
    }
}

/// The error of one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestError {
    /// The kind of the error.
    pub kind: RequestErrorKind,
    /// The error with its reason.
    pub text: String,
}

/// The kinds of errors of requests, each with a remedy of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestErrorKind {
    /// TLS cannot be agreed on.
    Tls,
    /// The brokers refuse who the client says that it is.
    Authentication,
    /// The client has no right to what it asks for.
    Authorization,
    /// A host's name is not known.
    Name,
    /// No broker can be connected to, or none answers.
    Connection,
    /// Another error.
    Other,
}

impl RequestError {
    pub(super) fn of(error: &KafkaError, context: &ErrorContext) -> RequestError {
        // The reason for a failed connection is reported apart, and is more precise than "no answer in time".
        let own = error.rdkafka_error_code();
        let is_of_broker = own.is_some_and(|code| code as i32 > RDKafkaErrorCode::End as i32);
        match context.last().filter(|_| !is_of_broker) {
            Some(reason) => RequestError::reported(reason),
            None => RequestError {
                kind: own.map_or(RequestErrorKind::Connection, kind_of),
                text: context.explain(error),
            },
        }
    }

    /// Makes the error of a reason that librdkafka has reported.
    pub(super) fn reported((code, text): (RDKafkaErrorCode, String)) -> RequestError {
        RequestError { kind: kind_of(code), text }
    }

    pub(super) fn of_code(code: RDKafkaErrorCode) -> RequestError {
        RequestError { kind: kind_of(code), text: code.to_string() }
    }

    pub(super) fn unanswered() -> RequestError {
        RequestError { kind: RequestErrorKind::Connection, text: "there was no answer in time".to_owned() }
    }
}

fn kind_of(code: RDKafkaErrorCode) -> RequestErrorKind {
    use RDKafkaErrorCode as Code;
    match code {
        Code::SSL => RequestErrorKind::Tls,
        Code::Authentication | Code::SaslAuthenticationFailed | Code::UnsupportedSASLMechanism => {
            RequestErrorKind::Authentication
        }
        Code::TopicAuthorizationFailed
        | Code::GroupAuthorizationFailed
        | Code::ClusterAuthorizationFailed
        | Code::TransactionalIdAuthorizationFailed => RequestErrorKind::Authorization,
        Code::Resolve => RequestErrorKind::Name,
        Code::BrokerTransportFailure
        | Code::AllBrokersDown
        | Code::OperationTimedOut
        | Code::RequestTimedOut
        | Code::MessageTimedOut
        | Code::TimedOutQueue => RequestErrorKind::Connection,
        _ => RequestErrorKind::Other,
    }
}

/// Joins the answers about both bounds of a partition.
pub(super) fn bounds(
    low: Result<i64, RequestError>,
    high: Result<i64, RequestError>,
) -> Result<Watermarks, RequestError> {
    Ok(Watermarks { low: low?, high: high? })
}
