//! A look at whether this client may publish under a transactional id. Whoever begins to publish under an id fences whoever does so,
//! which a look must not: so the id is asked for with a time limit for transactions that brokers refuse. They look at the right
//! first, at the limit second, and change nothing before both are as they should be.

use rdkafka::error::KafkaError;
use rdkafka::producer::{BaseProducer, Producer as _};
use rdkafka::types::RDKafkaErrorCode;

use super::super::KafkaSettings;
use super::super::delivery_context::DeliveryContext;
use super::super::error_context::ErrorContext;
use super::super::{topic_settings, views_producer};
use super::{ANSWER_WITHIN, FIRST_ANSWER_WITHIN, RequestError};

/// A time limit for transactions beyond `transaction.max.timeout.ms` of brokers, which is 15 minutes by default: 24 days, nearly the
/// most that can be asked for.
const REFUSED_TIMEOUT_MILLIS: i32 = i32::MAX - 1_000;

/// The answer to whether this client may publish under a transactional id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TransactionalIdAnswer {
    /// It may.
    Allowed,
    /// The cluster refuses it, or does not answer.
    Failed(RequestError),
    /// The brokers would take even that time limit, so that the question would fence whoever publishes.
    NotAsked,
}

/// Asks whether this client may publish under this id. `broker` is any broker of the cluster.
pub fn inspect_transactional_id(settings: &KafkaSettings, broker: i32, id: &str) -> TransactionalIdAnswer {
    let longest = topic_settings::of_broker(settings, broker, "transaction.max.timeout.ms", ANSWER_WITHIN);
    if longest.is_some_and(|longest| longest >= i64::from(REFUSED_TIMEOUT_MILLIS)) {
        return TransactionalIdAnswer::NotAsked;
    }
    let mut config = views_producer::config(settings, id);
    config.set("transaction.timeout.ms", REFUSED_TIMEOUT_MILLIS.to_string());
    // librdkafka would derive it from the time limit.
    config.set("socket.timeout.ms", ANSWER_WITHIN.as_millis().to_string());
    let producer: Result<BaseProducer<DeliveryContext<()>>, KafkaError> =
        config.create_with_context(DeliveryContext::default());
    let producer = match producer {
        Ok(producer) => producer,
        Err(error) => return TransactionalIdAnswer::Failed(RequestError::of(&error, &ErrorContext::default())),
    };
    let Err(error) = producer.init_transactions(FIRST_ANSWER_WITHIN) else {
        return TransactionalIdAnswer::Allowed;
    };
    // The fatal error is the broker's answer; the call's own code may only say that there is one.
    let code = producer.client().fatal_error().map(|(code, _)| code);
    let code = code.or(match &error {
        KafkaError::Transaction(error) => Some(error.code()),
        error => error.rdkafka_error_code(),
    });
    match code {
        Some(RDKafkaErrorCode::InvalidTransactionTimeout) => TransactionalIdAnswer::Allowed,
        Some(code) => TransactionalIdAnswer::Failed(RequestError::of_code(code)),
        None => TransactionalIdAnswer::Failed(RequestError::of(&error, &producer.context().reasons)),
    }
}
