//! The golden cases of the contract.

use optview::domain::Topic;
use serde::Deserialize;
use serde_json::Value;

#[derive(Clone, Deserialize)]
pub struct Case {
    pub name: String,
    pub records: Vec<CaseRecord>,
    /// The view that a reader must get, if there must be one.
    pub view: Option<Value>,
    /// The id under which there must be no view, if there must be none.
    pub missing: Option<String>,
}

#[derive(Clone, Deserialize)]
pub struct CaseRecord {
    topic: String,
    pub key: String,
    pub value: Value,
}

pub fn cases() -> Vec<Case> {
    serde_json::from_str(include_str!("fixtures/cases.json"))
        .expect("cases of the shape that they are known to have")
}

impl Case {
    /// Returns the id of the case.
    pub fn id(&self) -> &str {
        let id = self.missing.as_deref().or_else(|| self.view.as_ref()?["id"].as_str());
        id.expect("a case has either a view or a missing id")
    }
}

impl CaseRecord {
    pub fn topic(&self) -> Topic {
        topic_named(&self.topic)
    }
}

/// Returns the topic with a default name.
pub fn topic_named(name: &str) -> Topic {
    let topic = Topic::ALL.into_iter().find(|topic| topic.default_name() == name);
    topic.expect("one of the three topics")
}
