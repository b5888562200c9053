//! The names of the three topics in a cluster.

use std::collections::BTreeMap;

use crate::domain::{NamedPartition, PartitionOffset, Topic, TopicPartition};

/// The names of the three topics in the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicNames(BTreeMap<Topic, String>);

impl Default for TopicNames {
    fn default() -> TopicNames {
        TopicNames(Topic::ALL.iter().map(|&topic| (topic, topic.default_name().to_owned())).collect())
    }
}

impl TopicNames {
    /// Makes the names of the three topics.
    pub fn new(optimizations: String, jobs: String, multistart_runs: String) -> TopicNames {
        TopicNames(BTreeMap::from([
            (Topic::Optimizations, optimizations),
            (Topic::Jobs, jobs),
            (Topic::MultistartRuns, multistart_runs),
        ]))
    }

    /// Returns the name of a stream's topic.
    pub fn get(&self, topic: Topic) -> &str {
        &self.0[&topic]
    }

    /// Returns the partition by its topic's name in the cluster.
    pub fn partition(&self, partition: TopicPartition) -> NamedPartition {
        NamedPartition::new(self.get(partition.topic), partition.partition)
    }

    /// Formats an offset, as `--as-of` accepts it.
    pub fn offset(&self, position: PartitionOffset) -> String {
        self.partition(position.topic_partition()).at(position.offset).to_string()
    }

    /// The instruction for a store that was built from topics of other names.
    pub const REMEDY: &str = "Correct --topic-optimizations, --topic-jobs and --topic-multistart-runs; or give another \
        --data-dir, where the views are built from the topics that are called so now";

    /// Describes how `built_from`, in the order of [`Topic::ALL`], differs from these names, and what to do.
    /// `None` if they are equal.
    pub fn difference(&self, built_from: &[String; 3]) -> Option<String> {
        let differing: Vec<String> = Topic::ALL
            .into_iter()
            .zip(built_from)
            .filter_map(|(topic, name)| {
                let other = self.get(topic);
                (name != other)
                    .then(|| format!("the {topic} from `{name}`, and now they are to be read from `{other}`"))
            })
            .collect();
        (!differing.is_empty()).then(|| format!("{}. {}", differing.join("; "), TopicNames::REMEDY))
    }

    /// Returns the topic of this name, if any.
    pub fn topic_of(&self, name: &str) -> Option<Topic> {
        Topic::ALL.into_iter().find(|&topic| self.get(topic) == name)
    }

    /// Returns the partition that has this name, if its topic is one of the three.
    pub fn partition_of(&self, named: &NamedPartition) -> Option<TopicPartition> {
        Some(TopicPartition::new(self.topic_of(&named.topic)?, named.partition))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: [&str; 3]) -> [String; 3] {
        names.map(str::to_owned)
    }

    #[test]
    fn names_differ_where_one_is_another_or_two_are_swapped() {
        let ours = TopicNames::default();
        assert_eq!(ours.difference(&names(["optimizations", "jobs", "multistart-runs"])), None);
        let other = ours.difference(&names(["other", "jobs", "multistart-runs"])).unwrap();
        for part in
            ["the optimizations from `other`", "read from `optimizations`", "--topic-optimizations", "--data-dir"]
        {
            assert!(other.contains(part), "no {part}: {other}");
        }
        assert!(!other.contains("`jobs`"), "{other}");
        let swapped = ours.difference(&names(["optimizations", "multistart-runs", "jobs"])).unwrap();
        assert!(swapped.contains("the jobs from `multistart-runs`"), "{swapped}");
        assert!(swapped.contains("the multistart-runs from `jobs`"), "{swapped}");
    }
}
