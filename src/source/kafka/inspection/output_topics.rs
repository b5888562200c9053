//! A look at the topics that `serve` writes to: those of dead letters and of views. Rights are asked for, so that nothing has to be
//! written to show whether it could be.

use std::sync::Arc;

use rdkafka::consumer::Consumer as _;
use rdkafka::error::KafkaError;

use super::super::KafkaSettings;
use super::super::admin;
use super::super::consumer_config::consumer_config;
use super::super::error_context::ErrorContext;
use super::super::queries::{Answer, Queries, QueryClient, TopicRights};
use super::super::topic_settings::{TopicDetails, details_of};
use super::super::views_topic::ViewsTopicSettings;
use super::{ANSWER_WITHIN, FIRST_ANSWER_WITHIN, RequestError, TopicAnswer, reason_of, topic_of};

/// The answers about a topic that `serve` writes to.
#[derive(Debug)]
pub struct OutputTopicAnswer {
    /// The topic, without bounds.
    pub topic: TopicAnswer,
    /// Its settings, or the reason for which they are not known; `None` if there is no topic, or this client may not see them.
    pub details: Result<Option<TopicDetails>, String>,
    /// The rights of this client on it; `None` if there is no topic, or the brokers do not tell rights.
    pub rights: Result<Option<TopicRights>, RequestError>,
}

/// The answer to whether a topic could be created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CreationAnswer {
    /// It could be.
    Possible,
    /// The cluster refuses it.
    Refused(RequestError),
    /// The cluster did not say: the reason.
    Unknown(String),
}

/// Asks for a topic that `serve` writes to, its settings, and the rights of this client on it.
pub fn inspect_output_topic(settings: &KafkaSettings, group_id: &str, name: &str) -> OutputTopicAnswer {
    let nothing = |topic| OutputTopicAnswer { topic, details: Ok(None), rights: Ok(None) };
    let client = match consumer_config(settings, group_id).create_with_context(ErrorContext::default()) {
        Ok(client) => Arc::new(QueryClient::new(client)),
        Err(error) => return nothing(failed(&error, &ErrorContext::default())),
    };
    let metadata = match client.fetch_metadata(Some(name), FIRST_ANSWER_WITHIN) {
        Ok(metadata) => metadata,
        Err(error) => return nothing(failed(&error, client.context())),
    };
    let topic = topic_of(&metadata, name);
    let Some(broker) = metadata.brokers().first().filter(|_| matches!(topic, TopicAnswer::There { .. })) else {
        return nothing(topic);
    };
    let rights = rights_on(name, broker.id(), client);
    OutputTopicAnswer { topic, details: details_of(settings, name, ANSWER_WITHIN).map_err(reason_of), rights }
}

fn rights_on(name: &str, broker: i32, client: Arc<QueryClient>) -> Result<Option<TopicRights>, RequestError> {
    let mut queries = Queries::new(client);
    queries.begin_round();
    queries.ask_rights(&[name], broker, ANSWER_WITHIN);
    match queries.next(2 * ANSWER_WITHIN) {
        Some(Answer::Rights(Ok(answers))) => match answers.into_iter().next() {
            Some((_, answer)) => answer.map_err(RequestError::of_code),
            None => Err(RequestError::unanswered()),
        },
        Some(Answer::Rights(Err(code))) => Err(RequestError::of_code(code)),
        _ => Err(RequestError::unanswered()),
    }
}

fn failed(error: &KafkaError, context: &ErrorContext) -> TopicAnswer {
    TopicAnswer::Failed(RequestError::of(error, context))
}

/// Asks whether the topic of views could be created, and creates nothing.
pub fn inspect_creation(settings: &KafkaSettings, topic: &ViewsTopicSettings) -> CreationAnswer {
    match admin::try_creation(settings, &topic.name, topic.partitions, topic.replication_factor) {
        Ok(Ok(())) => CreationAnswer::Possible,
        Ok(Err(code)) => CreationAnswer::Refused(RequestError::of_code(code)),
        Err(why) => CreationAnswer::Unknown(why),
    }
}
