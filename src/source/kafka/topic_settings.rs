//! The settings of the three topics that decide for how long records are kept. Views are built from the whole
//! history, so that settings that remove any of it deserve a warning. This module only asks; it alters nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, ConfigResource, OwnedResourceSpecifier, ResourceSpecifier};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;

use super::KafkaSettings;
use super::error_context::ErrorContext;
use crate::domain::Topic;

/// Time limit of the cluster's answer.
const DEADLINE: Duration = Duration::from_secs(10);

/// The settings of a topic that keeps all of its records, whatever the cluster's defaults are.
pub const KEEP_ALL: &[(&str, &str)] =
    &[("cleanup.policy", "delete"), ("retention.ms", "-1"), ("retention.bytes", "-1")];

/// The reason for which the settings of the topics are not known.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The cluster did not answer, or no client could be made for it.
    #[error("the cluster at {brokers} does not answer: {why}")]
    Unreachable {
        /// The brokers as they are configured.
        brokers: String,
        /// The last error that was reported.
        why: String,
    },
    /// The brokers do not know the request.
    #[error("the cluster at {brokers} does not show topics' settings to any client")]
    Unsupported {
        /// The brokers as they are configured.
        brokers: String,
    },
}

/// The settings of one topic that remove records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicSettings {
    /// The policy as the cluster writes it: `delete`, `compact`, or both.
    pub cleanup_policy: String,
    /// True if only the last record of each key is kept.
    pub compacts: bool,
    /// True if records are removed for their age or for the size of the partition.
    deletes: bool,
    /// Maximum age of a record in milliseconds; -1 for no limit.
    pub retention_millis: i64,
    /// Maximum size of each partition in bytes; -1 for no limit.
    pub retention_bytes: i64,
}

impl TopicSettings {
    /// Makes the settings of a topic from the values of `cleanup.policy`, `retention.ms` and `retention.bytes`.
    pub fn new(cleanup_policy: &str, retention_millis: i64, retention_bytes: i64) -> TopicSettings {
        let has = |policy: &str| cleanup_policy.split(',').any(|held| held.trim() == policy);
        TopicSettings {
            cleanup_policy: cleanup_policy.to_owned(),
            compacts: has("compact"),
            deletes: has("delete"),
            retention_millis,
            retention_bytes,
        }
    }

    /// Returns the settings of one topic, or `None` if the cluster did not show them.
    fn of(resource: &ConfigResource) -> Option<TopicSettings> {
        let text = |name: &str| resource.get(name).and_then(|entry| entry.value.as_deref());
        let number = |name: &str| text(name)?.parse().ok();
        Some(TopicSettings::new(text("cleanup.policy")?, number("retention.ms")?, number("retention.bytes")?))
    }

    /// The age in milliseconds at which records are removed; `None` if age removes none.
    pub fn removes_by_age(&self) -> Option<i64> {
        (self.deletes && self.retention_millis >= 0).then_some(self.retention_millis)
    }

    /// Returns true if the oldest records of a partition are removed as it grows.
    pub fn removes_by_size(&self) -> bool {
        self.deletes && self.retention_bytes >= 0
    }

    /// Returns true if the last record of each key stays, whatever its age, and those before it do not: what a topic of views needs.
    pub fn keeps_last_of_each_key(&self) -> bool {
        self.compacts && self.removes_by_age().is_none() && !self.removes_by_size()
    }

    /// Describes the effect of these settings on views that are built from the topic, and what to do; `None` if
    /// they keep all records.
    pub fn warning(&self, topic: &str) -> Option<String> {
        let mut found = Vec::new();
        if self.compacts {
            found.push(format!("cleanup.policy={}: only the last event of each key is kept", self.cleanup_policy));
        }
        if let Some(millis) = self.removes_by_age() {
            let age = humantime::format_duration(Duration::from_millis(millis.unsigned_abs()));
            found.push(format!("retention.ms={millis}: records are removed once they are {age} old"));
        }
        if self.removes_by_size() {
            let bytes = self.retention_bytes;
            found.push(format!(
                "retention.bytes={bytes}: the oldest records of a partition above that are removed"
            ));
        }
        (!found.is_empty()).then(|| {
            format!(
                "the topic `{topic}` will lose history ({}): removed records are missing from a rebuild, and \
                 from an instance that was down for too long. Set cleanup.policy=delete, retention.ms=-1 and \
                 retention.bytes=-1 on it; or keep an archive (`optview archive export --follow`), which \
                 `optview rebuild --from-archive` reads, and accept this warning",
                found.join("; ")
            )
        })
    }
}

/// The settings of one topic that a deployment rests on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicDetails {
    /// The settings that remove records.
    pub settings: TopicSettings,
    /// `max.message.bytes`: the largest batch of records that brokers take.
    pub max_message_bytes: Option<u64>,
    /// True if the timestamps of records are of the brokers' clocks, and not of the producers'.
    pub has_broker_times: bool,
}

impl TopicDetails {
    fn of(resource: &ConfigResource) -> Option<TopicDetails> {
        let text = |name: &str| resource.get(name).and_then(|entry| entry.value.as_deref());
        Some(TopicDetails {
            settings: TopicSettings::of(resource)?,
            max_message_bytes: text("max.message.bytes").and_then(|text| text.parse().ok()),
            has_broker_times: text("message.timestamp.type") == Some("LogAppendTime"),
        })
    }
}

/// Returns the details of each of the three topics, as [`topic_settings`] does the settings.
pub fn topic_details(
    settings: &KafkaSettings,
    deadline: Duration,
) -> Result<BTreeMap<Topic, TopicDetails>, SettingsError> {
    describe(settings, deadline, TopicDetails::of)
}

/// Returns the settings of each of the three topics. A topic that does not exist, or whose settings this client
/// may not see, is missing: the cluster's answer does not distinguish the two.
pub fn topic_settings(settings: &KafkaSettings) -> Result<BTreeMap<Topic, TopicSettings>, SettingsError> {
    describe(settings, DEADLINE, TopicSettings::of)
}

/// Returns the settings of one topic; `None` if it does not exist, or this client may not see them.
pub fn settings_of(settings: &KafkaSettings, name: &str) -> Result<Option<TopicSettings>, SettingsError> {
    Ok(describe_named(settings, DEADLINE, &[name], TopicSettings::of)?.remove(name))
}

/// Returns the details of one topic; `None` if it does not exist, or this client may not see them.
pub fn details_of(
    settings: &KafkaSettings,
    name: &str,
    deadline: Duration,
) -> Result<Option<TopicDetails>, SettingsError> {
    Ok(describe_named(settings, deadline, &[name], TopicDetails::of)?.remove(name))
}

/// Returns a broker's setting that is a number; `None` if this client may not see it, or there is no answer.
pub fn of_broker(settings: &KafkaSettings, broker: i32, name: &str, deadline: Duration) -> Option<i64> {
    let found = describe_resources(settings, deadline, &[ResourceSpecifier::Broker(broker)]).ok()?;
    found.first()?.get(name)?.value.as_deref()?.parse().ok()
}

/// Returns `delete.retention.ms` of one topic, the time for which it keeps the nulls of keys that are gone; `None` if it does not exist, or
/// this client may not see its settings.
pub fn delete_retention_of(settings: &KafkaSettings, name: &str) -> Result<Option<Duration>, SettingsError> {
    Ok(describe_named(settings, DEADLINE, &[name], delete_retention)?.remove(name))
}

fn delete_retention(resource: &ConfigResource) -> Option<Duration> {
    let millis = resource.get("delete.retention.ms")?.value.as_deref()?.parse().ok()?;
    Some(Duration::from_millis(millis))
}

/// Asks for the settings of the three topics. `of` makes the answer about one of them.
fn describe<T>(
    settings: &KafkaSettings,
    deadline: Duration,
    of: impl Fn(&ConfigResource) -> Option<T>,
) -> Result<BTreeMap<Topic, T>, SettingsError> {
    let names = Topic::ALL.map(|topic| settings.topics.get(topic));
    let found = describe_named(settings, deadline, &names, of)?;
    Ok(found.into_iter().filter_map(|(name, found)| Some((settings.topics.topic_of(&name)?, found))).collect())
}

fn describe_named<T>(
    settings: &KafkaSettings,
    deadline: Duration,
    names: &[&str],
    of: impl Fn(&ConfigResource) -> Option<T>,
) -> Result<BTreeMap<String, T>, SettingsError> {
    let wanted: Vec<_> = names.iter().map(|name| ResourceSpecifier::Topic(name)).collect();
    let found = describe_resources(settings, deadline, &wanted)?;
    Ok(found
        .iter()
        .filter_map(|resource| match &resource.specifier {
            OwnedResourceSpecifier::Topic(name) => Some((name.clone(), of(resource)?)),
            _ => None,
        })
        .collect())
}

/// Asks for the settings of topics and brokers. Those that this client may not see are missing.
fn describe_resources(
    settings: &KafkaSettings,
    deadline: Duration,
    wanted: &[ResourceSpecifier<'_>],
) -> Result<Vec<ConfigResource>, SettingsError> {
    let brokers = || settings.brokers.clone();
    let admin: AdminClient<ErrorContext> =
        settings
            .client_config()
            .create_with_context(ErrorContext::default())
            .map_err(|error| SettingsError::Unreachable { brokers: brokers(), why: error.to_string() })?;
    let options = AdminOptions::new().request_timeout(Some(deadline));
    let failed = |error: &KafkaError| match error.rdkafka_error_code() {
        Some(RDKafkaErrorCode::UnsupportedFeature | RDKafkaErrorCode::UnsupportedVersion) => {
            SettingsError::Unsupported { brokers: brokers() }
        }
        _ => SettingsError::Unreachable { brokers: brokers(), why: admin.inner().context().explain(error) },
    };
    // A thread of rdkafka's own receives the answer, so that a bare runtime is enough to wait for it.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .map_err(|error| SettingsError::Unreachable { brokers: brokers(), why: error.to_string() })?;
    let answers = runtime.block_on(admin.describe_configs(wanted, &options)).map_err(|error| failed(&error))?;
    Ok(answers.into_iter().flatten().collect())
}

/// Logs a warning for each existing topic that will lose history, for a command that has just put records there.
pub fn warn_of_losses(settings: &KafkaSettings) {
    match topic_settings(settings) {
        Ok(held) => {
            let warnings = held.iter().filter_map(|(topic, held)| held.warning(settings.topics.get(*topic)));
            warnings.for_each(|warning| tracing::warn!("{warning}"));
        }
        Err(error) => tracing::debug!(%error, "it is not known how long the topics keep their records"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::TopicNames;

    #[test]
    fn settings_that_remove_records_are_named_with_what_they_mean() {
        for (policy, millis, bytes, parts) in [
            ("delete", -1, -1, &[][..]),
            ("delete", 604_800_000, -1, &["retention.ms=604800000", "once they are 7days old"]),
            ("delete", 60_000, -1, &["once they are 1m old"]),
            ("delete", -1, 1_000, &["retention.bytes=1000"]),
            ("compact", 604_800_000, 1_000, &["cleanup.policy=compact: "]),
            ("compact,delete", 1_000, -1, &["cleanup.policy=compact,delete", "retention.ms=1000"]),
        ] {
            let warning = TopicSettings::new(policy, millis, bytes).warning("jobs").unwrap_or_default();
            assert_eq!(warning.is_empty(), parts.is_empty(), "{policy} {millis} {bytes}: {warning}");
            for part in parts {
                assert!(warning.contains(part), "no {part}: {warning}");
            }
        }
        let compacted = TopicSettings::new("compact", 1_000, 1_000);
        assert!(compacted.compacts && !compacted.removes_by_size() && compacted.removes_by_age().is_none());
        assert!(!compacted.warning("jobs").unwrap().contains("retention.ms=1000"), "it does not count there");
    }

    #[test]
    fn a_cluster_that_does_not_answer_is_an_error_and_not_a_cluster_without_topics() {
        let brokers = "127.0.0.1:1".to_owned();
        let settings = KafkaSettings { brokers, topics: TopicNames::default(), properties: Vec::new() };
        let error = describe(&settings, Duration::from_millis(100), TopicSettings::of).unwrap_err().to_string();
        assert!(error.starts_with("the cluster at 127.0.0.1:1 does not answer: "), "{error}");
    }
}
