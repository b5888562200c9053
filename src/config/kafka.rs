//! The options of every command that talks to Kafka. Never shows the value of a property: it may be a password.

use std::collections::BTreeMap;
use std::fs;

use crate::cli::options::{self, Opt};
use crate::source::TopicNames;
use crate::source::kafka::{KafkaSettings, settings};

use super::layers::Layers;
use super::values;

/// `brokers` tells whether the command can do without.
pub fn settings(layers: &mut Layers<'_>, brokers: &Opt) -> Option<KafkaSettings> {
    let brokers = layers.value(brokers, values::brokers);
    let topics = topics(layers);
    let properties = properties(layers);
    Some(KafkaSettings { brokers: brokers?, topics: topics?, properties })
}

fn topics(layers: &mut Layers<'_>) -> Option<TopicNames> {
    const OPTIONS: [&Opt; 3] =
        [&options::TOPIC_OPTIMIZATIONS, &options::TOPIC_JOBS, &options::TOPIC_MULTISTART_RUNS];
    let names = OPTIONS.map(|option| layers.value(option, values::topic));
    for (one, other) in [(0, 1), (0, 2), (1, 2)] {
        if names[one].is_some() && names[one] == names[other] {
            layers.mistake(&[OPTIONS[one], OPTIONS[other]], "both name one topic; each stream has its own");
        }
    }
    let [optimizations, jobs, multistart_runs] = names;
    Some(TopicNames::new(optimizations?, jobs?, multistart_runs?))
}

/// Per key, the one that wins: a flag over a variable over the configuration file over the file of properties. Merged
/// key by key, so that a password can come from the environment and all else from a file.
fn properties(layers: &mut Layers<'_>) -> Vec<(String, String)> {
    let mut properties = BTreeMap::new();
    if let Some(path) = layers.value(&options::KAFKA_PROPERTIES, values::readable_file) {
        layers.warn_if_open_to_write(&options::KAFKA_PROPERTIES, &path);
        match fs::read_to_string(&path) {
            Ok(text) => of_file(layers, &text, &mut properties),
            Err(error) => layers.mistake(&[&options::KAFKA_PROPERTIES], &format!("cannot be read: {error}")),
        }
    }
    let mut number = 0;
    let mut counted = None;
    for given in layers.all(&options::KAFKA_PROPERTY) {
        if counted.as_ref() != Some(&given.origin) {
            counted = Some(given.origin.clone());
            number = 0;
        }
        number += 1;
        let place = format!("number {number}{}", given.origin);
        take(layers, &options::KAFKA_PROPERTY, &given.text, &place, &mut properties);
    }
    if let Err(why) = settings::check_together(&properties) {
        layers.mistake(&[&options::KAFKA_PROPERTY], &why);
    }
    properties.into_iter().collect()
}

/// `KEY=VALUE` lines as Java's clients have them; `#` and `!` start a comment.
fn of_file(layers: &mut Layers<'_>, text: &str, properties: &mut BTreeMap<String, String>) {
    for (line, number) in text.lines().map(str::trim).zip(1..) {
        if line.is_empty() || line.starts_with(['#', '!']) {
            continue;
        }
        take(layers, &options::KAFKA_PROPERTIES, line, &format!("line {number}"), properties);
    }
}

fn take(
    layers: &mut Layers<'_>,
    option: &Opt,
    pair: &str,
    place: &str,
    properties: &mut BTreeMap<String, String>,
) {
    let Some((key, value)) = pair.split_once('=') else {
        layers.mistake(&[option], &format!("{place} has no `=`; give KEY=VALUE"));
        return;
    };
    let (key, value) = (key.trim(), value.trim());
    match settings::check_property(key, value) {
        Ok(()) => {
            properties.insert(key.to_owned(), value.to_owned());
        }
        Err(why) => layers.mistake(&[option], &format!("{place}, {key:?}, {why}")),
    }
}
