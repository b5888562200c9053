//! The options of every command that talks to Kafka. Never shows the value of a property: it may be a password.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use clap::{ArgAction, Args};

use super::layers::Layers;
use super::values;
use crate::source::TopicNames;
use crate::source::kafka::{KafkaSettings, settings};

#[derive(Args)]
pub struct KafkaArgs {
    /// Kafka's bootstrap addresses
    #[arg(long, value_name = "HOST:PORT,...", value_parser = values::brokers)]
    brokers: String,
    /// The topic of optimization events
    #[arg(long, value_name = "NAME", default_value = "optimizations", value_parser = values::topic)]
    topic_optimizations: String,
    /// The topic of job events
    #[arg(long, value_name = "NAME", default_value = "jobs", value_parser = values::topic)]
    topic_jobs: String,
    /// The topic of multistart run events
    #[arg(long, value_name = "NAME", default_value = "multistart-runs", value_parser = values::topic)]
    topic_multistart_runs: String,
    /// A librdkafka setting, such as security.protocol=SASL_SSL; may be repeated (in the variable: one a line; in the file: a table
    /// or a list). Wins over the same key in --kafka-properties
    #[arg(long, value_name = "KEY=VALUE", action = ArgAction::Append, value_parser = values::pair)]
    kafka_property: Vec<(String, String)>,
    /// A file of librdkafka settings: KEY=VALUE lines, # for comments
    #[arg(long, value_name = "FILE", value_parser = values::readable_file)]
    kafka_properties: Option<PathBuf>,
}

impl From<KafkaArgs> for KafkaSettings {
    /// [`merge_properties`] has put the file's properties among the others.
    fn from(args: KafkaArgs) -> KafkaSettings {
        KafkaSettings {
            brokers: args.brokers,
            topics: TopicNames::new(args.topic_optimizations, args.topic_jobs, args.topic_multistart_runs),
            properties: args.kafka_property,
        }
    }
}

read_as!(KafkaSettings, KafkaArgs);

const FILE: &str = "kafka_properties";
const PROPERTY: &str = "kafka_property";

/// Leaves one value per key, the one that wins: a flag over a variable over the configuration file over the file of properties.
/// They are merged key by key, so that a password can come from the environment and all else from a file.
pub fn merge_properties(layers: &mut Layers<'_>) {
    let mut properties = BTreeMap::new();
    // A path that is none is a mistake of its own, which parsing finds.
    if let Some(path) = layers.last(FILE).and_then(|path| values::readable_file(path).ok()) {
        match fs::read_to_string(&path) {
            Ok(text) => read_file(layers, &text, &mut properties),
            Err(error) => layers.mistake(&[FILE], &format!("cannot be read: {error}")),
        }
    }
    let mut number = 0;
    let mut counted = None;
    for given in layers.all(PROPERTY).to_vec() {
        if counted.as_ref() != Some(&given.origin) {
            counted = Some(given.origin.clone());
            number = 0;
        }
        number += 1;
        take(layers, PROPERTY, &given.text, &format!("number {number}{}", given.origin), &mut properties);
    }
    if let Err(why) = settings::check_together(&properties) {
        layers.mistake(&[PROPERTY], &why);
    }
    layers.replace(PROPERTY, properties.into_iter().map(|(key, value)| format!("{key}={value}")).collect());
}

/// Reads `KEY=VALUE` lines as Java's clients have them; `#` and `!` start a comment.
fn read_file(layers: &mut Layers<'_>, text: &str, properties: &mut BTreeMap<String, String>) {
    for (line, number) in text.lines().map(str::trim).zip(1..) {
        if line.is_empty() || line.starts_with(['#', '!']) {
            continue;
        }
        take(layers, FILE, line, &format!("line {number}"), properties);
    }
}

fn take(
    layers: &mut Layers<'_>,
    option: &str,
    pair: &str,
    place: &str,
    properties: &mut BTreeMap<String, String>,
) {
    let Ok((key, value)) = values::pair(pair) else {
        layers.mistake(&[option], &format!("{place} has no `=`; give KEY=VALUE"));
        return;
    };
    match settings::check_property(&key, &value) {
        Ok(()) => drop(properties.insert(key, value)),
        Err(why) => layers.mistake(&[option], &format!("{place}, {key:?}, {why}")),
    }
}
