//! What the three streams are called in a cluster.

use std::collections::BTreeMap;

use crate::domain::Topic;

/// What the three topics are called in the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicNames(BTreeMap<Topic, String>);

impl Default for TopicNames {
    fn default() -> TopicNames {
        TopicNames(Topic::ALL.iter().map(|&topic| (topic, topic.default_name().to_owned())).collect())
    }
}

impl TopicNames {
    pub fn new(optimizations: String, jobs: String, multistart_runs: String) -> TopicNames {
        TopicNames(BTreeMap::from([
            (Topic::Optimizations, optimizations),
            (Topic::Jobs, jobs),
            (Topic::MultistartRuns, multistart_runs),
        ]))
    }

    pub fn get(&self, topic: Topic) -> &str {
        &self.0[&topic]
    }

    /// Which topic is called so, if any.
    pub fn called(&self, name: &str) -> Option<Topic> {
        Topic::ALL.into_iter().find(|&topic| self.get(topic) == name)
    }
}
