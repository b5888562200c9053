//! The settings of the connection to a cluster, and the rules for librdkafka's settings that users may give.

use std::collections::BTreeMap;
use std::fmt;

use rdkafka::ClientConfig;

use super::build_parts;
use crate::source::TopicNames;

/// The cluster, the topics, and any other librdkafka settings (TLS, SASL, ...) as pairs.
#[derive(Clone, PartialEq, Eq)]
pub struct KafkaSettings {
    /// The bootstrap servers, as `host:port,host:port`.
    pub brokers: String,
    /// The names of the topics in the cluster.
    pub topics: TopicNames,
    /// Further settings, each of which passed `check_property`.
    pub properties: Vec<(String, String)>,
}

impl KafkaSettings {
    /// Returns the settings common to all clients. A client's own settings are set later and win.
    pub fn client_config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        for (key, value) in &self.properties {
            config.set(key, value);
        }
        config.set("bootstrap.servers", &self.brokers);
        config
    }
}

/// Shows the properties without their values: any may be a secret, and the text ends in logs.
impl fmt::Debug for KafkaSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let properties: Vec<&str> = self.properties.iter().map(|(key, _)| key.as_str()).collect();
        f.debug_struct("KafkaSettings")
            .field("brokers", &self.brokers)
            .field("topics", &self.topics)
            .field("properties", &properties)
            .finish()
    }
}

/// The settings that users may not choose, each with the reason or the option to use instead.
const REFUSED: &[(&[&str], &str)] = &[
    (&["bootstrap.servers", "metadata.broker.list"], "use --brokers"),
    (&["group.id"], "use --group-id"),
    (
        &["enable.auto.commit", "auto.commit.enable", "auto.commit.interval.ms"],
        "optview commits the group's offsets itself, and only those that its store has on disk",
    ),
    (
        &["enable.auto.offset.store", "offset.store.method", "offset.store.path", "offset.store.sync.interval.ms"],
        "the checkpoint lies beside the views, so that the two cannot disagree",
    ),
    (&["auto.offset.reset"], "missing history must be reported, and not silently skipped or read again"),
    (&["isolation.level"], "events of a transaction that was aborted never happened"),
    (&["enable.partition.eof"], "it is how optview knows that it has caught up"),
    (&["check.crcs"], "a damaged batch must be detected, or its events are silently lost"),
    (&["allow.auto.create.topics"], "a mistyped topic must be an error, not a new and empty topic"),
    (&["topic.blacklist"], "the three topics are needed, and no other is read"),
    (
        &[
            "partition.assignment.strategy",
            "group.instance.id",
            "group.protocol",
            "group.protocol.type",
            "group.remote.assignor",
        ],
        "every instance holds the whole view, so each reads all partitions, and none are shared out",
    ),
    (
        &["enable.idempotence", "acks", "request.required.acks", "enable.gapless.guarantee"],
        "`load` promises that each of its events is there once",
    ),
    (&["transactional.id"], "optview makes it of the name of the topic of views, so that there is one publisher"),
    (&["delivery.report.only.error"], "`load` counts what was delivered"),
    (&["enabled_events", "log.queue"], "optview needs them to receive the reports of librdkafka"),
    (&["statistics.interval.ms"], "optview needs them to notice that its connections have gone deaf"),
    (&["test.mock.num.brokers"], "it puts an empty cluster in the place of yours"),
];

/// Checks that users may give this setting, and that librdkafka accepts it. An error continues the sentence "KEY
/// ..."; it does not repeat the value, which may be a secret.
pub fn check_property(key: &str, value: &str) -> Result<(), String> {
    if key.is_empty() {
        return Err("is no name; give KEY=VALUE".to_owned());
    }
    if let Some((_, why)) = REFUSED.iter().find(|(keys, _)| keys.contains(&key)) {
        return Err(format!("cannot be set: {why}"));
    }
    if let Some(why) = build_parts::missing_for(key, value) {
        return Err(why);
    }
    match ClientConfig::new().set(key, value).create_native_config() {
        Ok(_) => Ok(()),
        Err(rdkafka::error::KafkaError::ClientConfig(_, why, ..)) => {
            let why = if value.is_empty() { why } else { why.replace(value, "(the value)") };
            Err(format!("is not taken by librdkafka: {why}"))
        }
        Err(error) => Err(format!("is not taken by librdkafka: {error}")),
    }
}

/// Checks that settings that are valid one by one fit together. An error is a whole sentence and repeats no
/// secret.
pub fn check_together(properties: &BTreeMap<String, String>) -> Result<(), String> {
    build_parts::contradiction(|key| properties.get(key).map(String::as_str)).map_or(Ok(()), Err)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refused_setting_is_one_that_librdkafka_has() {
        let defaults = ClientConfig::new().create_native_config().unwrap();
        let known = |key: &str| {
            // A setting of topics cannot be read back from a client's settings, but setting it shows that it
            // exists.
            let taken = |value: &str| ClientConfig::new().set(key, value).create_native_config().is_ok();
            defaults.get(key).is_ok() || ["1", "earliest"].into_iter().any(taken)
        };
        for key in REFUSED.iter().flat_map(|(keys, _)| *keys) {
            assert!(known(key), "{key}");
            assert!(check_property(key, "1").unwrap_err().starts_with("cannot be set: "), "{key}");
        }
        assert!(!known("no.such.setting"));
    }

    #[test]
    fn a_setting_is_checked_without_a_word_of_its_value() {
        assert_eq!(check_property("client.id", "x"), Ok(()));
        let unknown = check_property("sasl.pasword", "hunter2").unwrap_err();
        assert!(unknown.contains("No such configuration property"), "{unknown}");
        let wrong = check_property("fetch.wait.max.ms", "hunter2").unwrap_err();
        assert!(wrong.contains("is not taken") && !wrong.contains("hunter2"), "{wrong}");
    }

    #[test]
    fn debug_shows_no_secret() {
        let settings = KafkaSettings {
            brokers: "kafka:9092".to_owned(),
            topics: TopicNames::default(),
            properties: vec![("sasl.password".to_owned(), "hunter2".to_owned())],
        };
        let shown = format!("{settings:?}");
        assert!(shown.contains("sasl.password") && !shown.contains("hunter2"), "{shown}");
    }
}
