//! The findings about each topic: pure, from the cluster's answers and from the newest records.

use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};

use super::finding::{Check, Finding, listed};
use crate::domain::record::RECORD_LIMIT;
use crate::domain::{Topic, TopicPartition};
use crate::source::TopicNames;
use crate::source::kafka::inspection::{
    ClientLimits, ClusterAnswer, NewestRecords, PartitionAnswer, RequestErrorKind, TopicAnswer,
};
use crate::source::kafka::topic_settings::{TopicDetails, TopicSettings};

/// Milliseconds by which the newest record may be ahead of this machine's clock.
const CLOCK_TOLERANCE_MILLIS: i64 = 5 * 60_000;
/// The settings with which a topic keeps all of its records.
const KEEP_ALL_REMEDY: &str = "Set cleanup.policy=delete, retention.ms=-1 and retention.bytes=-1";
/// Bytes of a response around the records in it.
const RESPONSE_OVERHEAD: u64 = 512;

/// Returns the findings about all topics.
pub fn findings(
    answer: &ClusterAnswer,
    names: &TopicNames,
    newest: &NewestRecords,
    now_millis: i64,
) -> Vec<Finding> {
    let topics =
        answer.topics.iter().map(|(topic, held)| (*topic, of_topic(*topic, held, answer, newest, now_millis)));
    topics
        .flat_map(|(topic, findings)| findings.into_iter().map(move |finding| finding.of(names.get(topic))))
        .collect()
}

fn of_topic(
    topic: Topic,
    held: &TopicAnswer,
    answer: &ClusterAnswer,
    newest: &NewestRecords,
    now_millis: i64,
) -> Vec<Finding> {
    let partitions = match held {
        TopicAnswer::There { partitions, .. } => partitions,
        TopicAnswer::Missing => return vec![missing(topic)],
        TopicAnswer::Failed(error) => {
            let remedy = match error.kind {
                RequestErrorKind::Authorization => "Grant READ and DESCRIBE on it to this user",
                _ => "Ask again once the brokers answer",
            };
            return vec![Finding::wrong(Check::Topic, format!("it may not be looked at: {}", error.text), remedy)];
        }
    };
    let mut findings = of_partitions(partitions, answer.brokers.len());
    findings.extend(of_history(partitions));
    findings.extend(of_reading(topic, partitions, newest));
    let details = answer.details.as_ref().map(|details| details.get(&topic));
    findings.extend(of_settings(topic, details.map_err(String::as_str), answer.limits));
    let has_broker_times = matches!(details, Ok(Some(details)) if details.has_broker_times);
    findings.extend(of_clock(topic, newest, has_broker_times, now_millis));
    findings
}

fn missing(topic: Topic) -> Finding {
    Finding::wrong(
        Check::Topic,
        "there is no such topic, or this user may not know of it",
        format!(
            "Correct --topic-{topic}; or create it with cleanup.policy=delete, retention.ms=-1 and retention.bytes=-1; or grant \
             READ and DESCRIBE on it"
        ),
    )
}

/// Judges the leaders and the replicas.
fn of_partitions(partitions: &[PartitionAnswer], brokers: usize) -> Vec<Finding> {
    let numbers = |is_meant: &dyn Fn(&PartitionAnswer) -> bool| -> Vec<i32> {
        partitions.iter().filter(|held| is_meant(held)).map(|held| held.partition).collect()
    };
    let mut findings = Vec::new();
    let leaderless = numbers(&|held| !held.has_leader);
    if !leaderless.is_empty() {
        findings.push(Finding::wrong(
            Check::Topic,
            format!(
                "no broker leads these of its partitions, so that they cannot be read: {}",
                listed(leaderless)
            ),
            "Bring the brokers back that have them",
        ));
    }
    let behind = numbers(&|held| held.in_sync < held.replicas);
    if !behind.is_empty() {
        findings.push(Finding::doubtful(
            Check::Topic,
            format!("replicas are missing or behind of these of its partitions: {}", listed(behind)),
            "Look at the brokers: if another one is lost, records may be, too",
        ));
    }
    if brokers > 1 && partitions.iter().any(|held| held.replicas == 1) {
        findings.push(Finding::doubtful(
            Check::Topic,
            "its records are on one broker only, so that losing that loses them",
            "Raise the replication factor: the topics are all that views can be built from",
        ));
    }
    if findings.is_empty() {
        let count = partitions.len();
        findings.push(Finding::right(Check::Topic, format!("it has {count} partitions, each with a leader")));
    }
    findings
}

/// Judges whether a rebuild would have every record.
fn of_history(partitions: &[PartitionAnswer]) -> Vec<Finding> {
    let mut findings: Vec<Finding> = Vec::new();
    let with_leader = || partitions.iter().filter(|held| held.has_leader);
    if let Some((held, error)) = with_leader().find_map(|held| Some((held, held.bounds.as_ref().err()?))) {
        let text = format!("the bounds of its partition {} are not known: {}", held.partition, error.text);
        let remedy = match error.kind {
            RequestErrorKind::Authorization => "Grant READ and DESCRIBE on it to this user",
            _ => "Ask again once the broker that leads the partition answers",
        };
        findings.push(Finding::wrong(Check::History, text, remedy));
    }
    let begins: Vec<String> = with_leader()
        .filter_map(|held| Some((held.partition, held.bounds.as_ref().ok()?.low)))
        .filter(|(_, low)| *low > 0)
        .map(|(partition, low)| format!("{partition} at {low}"))
        .collect();
    if !begins.is_empty() {
        findings.push(Finding::doubtful(
            Check::History,
            format!("its first records are gone, and would be missing from a rebuild; partitions begin at: {}", listed(begins)),
            "If there is an archive that has them, `optview rebuild --from-archive` reads it; a new store lacks them",
        ));
    } else if findings.is_empty() {
        findings.push(Finding::right(
            Check::History,
            "every partition begins at offset 0: a rebuild begins with the first record",
        ));
    }
    findings
}

/// Judges by the newest records whether the topic may be read.
fn of_reading(topic: Topic, partitions: &[PartitionAnswer], newest: &NewestRecords) -> Option<Finding> {
    let failed = newest.failed.iter().filter(|(partition, _)| partition.topic == topic);
    let failed: Vec<(&TopicPartition, &String)> = failed.collect();
    if let Some((first, why)) = failed.first() {
        let numbers = listed(failed.iter().map(|(partition, _)| partition.partition));
        let text =
            format!("these of its partitions cannot be read: {numbers}; partition {}: {why}", first.partition);
        return Some(Finding::wrong(
            Check::Read,
            text,
            "Does this user have READ on it, and do its leaders answer?",
        ));
    }
    let read = newest.read.keys().filter(|partition| partition.topic == topic).count();
    let is_whole = read == partitions.len();
    is_whole.then(|| Finding::right(Check::Read, format!("each of its {read} partitions can be read")))
}

fn of_settings(topic: Topic, details: Result<Option<&TopicDetails>, &str>, limits: ClientLimits) -> Vec<Finding> {
    match details {
        Ok(Some(details)) => {
            let mut findings = vec![of_retention(topic, &details.settings)];
            findings.extend(details.max_message_bytes.map(|bytes| of_sizes(bytes, limits)));
            findings
        }
        Ok(None) => vec![Finding::doubtful(
            Check::Retention,
            "it is not known how long it keeps its records, as this user may not see its settings; Kafka's default is 7 days, \
             after which a rebuild misses records",
            "Grant DESCRIBE_CONFIGS on it to this user",
        )],
        Err(why) => vec![Finding::doubtful(
            Check::Retention,
            format!("it is not known how long it keeps its records: {why}"),
            "Ask again once the brokers answer",
        )],
    }
}

fn of_retention(topic: Topic, settings: &TopicSettings) -> Finding {
    if settings.compacts {
        let lost = match topic {
            Topic::Optimizations => {
                "an optimization's `created` is removed once another event of it has come, and without it a rebuild has no \
                 view of it"
            }
            Topic::Jobs => {
                "of a job only its last event is kept, so that a rebuild has none of its earlier statuses"
            }
            Topic::MultistartRuns => {
                "runs have their job's id as the key, so that of a job's runs only one is kept, and a rebuild counts 1"
            }
        };
        return Finding::wrong(
            Check::Retention,
            format!("it is compacted (cleanup.policy={}): {lost}", settings.cleanup_policy),
            format!("{KEEP_ALL_REMEDY} on it; what is gone by now only an archive has"),
        );
    }
    let mut limits = Vec::new();
    if let Some(millis) = settings.removes_by_age() {
        let age = humantime::format_duration(Duration::from_millis(millis.unsigned_abs()));
        limits.push(format!("records are removed once they are {age} old (retention.ms={millis})"));
    }
    if settings.removes_by_size() {
        let bytes = settings.retention_bytes;
        limits.push(format!(
            "the oldest records of a partition of more than {bytes} bytes are removed (retention.bytes)"
        ));
    }
    match limits.is_empty() {
        true => Finding::right(Check::Retention, "it keeps all of its records"),
        false => Finding::doubtful(
            Check::Retention,
            format!("{}, and are missing from a rebuild then", limits.join("; ")),
            format!("{KEEP_ALL_REMEDY} on it; or keep an archive (`optview archive export --follow`)"),
        ),
    }
}

/// Judges the largest batch that the topic takes by what the client takes.
fn of_sizes(max_message_bytes: u64, limits: ClientLimits) -> Finding {
    let size = bytesize::ByteSize(max_message_bytes);
    let received = limits.receive_bytes.saturating_sub(RESPONSE_OVERHEAD);
    if max_message_bytes > received {
        let wanted = max_message_bytes.saturating_add(RESPONSE_OVERHEAD);
        return Finding::wrong(
            Check::MessageSize,
            format!(
                "it takes batches of {size}, more than this client receives: such a batch would stop its partition"
            ),
            format!("Lower max.message.bytes on it, or give --kafka-property receive.message.max.bytes={wanted}"),
        );
    }
    if max_message_bytes > RECORD_LIMIT as u64 {
        return Finding::doubtful(
            Check::MessageSize,
            format!(
                "it takes batches of {size}, and a record of more than {RECORD_LIMIT} bytes becomes a dead letter"
            ),
            format!("Lower max.message.bytes on it to {RECORD_LIMIT}, unless its producers write none so large"),
        );
    }
    Finding::right(Check::MessageSize, format!("its largest batches, of {size}, fit"))
}

/// Compares this machine's clock with the time of the topic's newest record.
fn of_clock(topic: Topic, newest: &NewestRecords, has_broker_times: bool, now_millis: i64) -> Option<Finding> {
    let records =
        newest.read.iter().filter(|(partition, _)| partition.topic == topic).flat_map(|(_, records)| records);
    let last = records.filter_map(|record| record.timestamp_millis).max()?;
    let time = DateTime::<Utc>::from_timestamp_millis(last)?.to_rfc3339_opts(SecondsFormat::Secs, true);
    let ahead = last.saturating_sub(now_millis);
    let difference = humantime::format_duration(Duration::from_secs(ahead.unsigned_abs() / 1000));
    Some(match (ahead > CLOCK_TOLERANCE_MILLIS, has_broker_times) {
        (false, _) => {
            Finding::right(Check::Clock, format!("its newest record is of {time}, which is not in the future"))
        }
        (true, true) => Finding::wrong(
            Check::Clock,
            format!("its broker's clock is {difference} ahead of this machine's: its newest record is of {time}"),
            "Set both by NTP: ages and lags are wrong by as much",
        ),
        (true, false) => Finding::doubtful(
            Check::Clock,
            format!("its newest record is of {time}, which is {difference} ahead of this machine's clock"),
            "Set the clocks of this machine and of the producers by NTP: without sequences, such an event outranks all until then",
        ),
    })
}

#[cfg(test)]
mod tests;
