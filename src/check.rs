//! The command `optview check`: looks at everything that `serve` with the same settings rests on, before it starts or beside it, and
//! says of each thing whether it is right. It changes nothing. Facts are gathered by `look` functions and by the source; the
//! findings follow from them in pure functions.

mod cluster;
mod directory;
mod finding;
mod machine;
mod outputs;
mod sample;
mod topics;

use std::collections::BTreeMap;

use anyhow::bail;
use chrono::Utc;
use serde::Serialize;

use crate::cli::Completion;
use crate::config::{CheckConfig, ServeConfig};
use crate::domain::Topic;
use crate::output;
use crate::source::kafka::inspection::{self, ClusterAnswer, NewestRecords, TopicAnswer};
use crate::source::kafka::views_producer::transactional_id;
use directory::Holder;
pub use finding::Check;
use finding::{Finding, Verdict};
use sample::SampleSettings;

/// The whole answer for programs.
#[derive(Serialize)]
struct Report {
    findings: Vec<Finding>,
    right: usize,
    doubtful: usize,
    wrong: usize,
}

/// Checks a deployment and prints the findings.
///
/// # Errors
/// Fails only if the answer cannot be written, or for an instance that reads a topic of views: whatever is wrong with another deployment
/// is a finding.
pub fn run(config: &CheckConfig) -> anyhow::Result<Completion> {
    if let Some(topic) = &config.serve.from_views {
        bail!(
            "an instance that is made of a topic of views is not checked: what this command looks at are the topics of events. `last_error` \
             of its /status says what is wrong with `{topic}`"
        );
    }
    let report = Report::of(findings(config));
    match config.json {
        true => output::print_json(&serde_json::to_string(&report)?)?,
        false => output::print(&report.text())?,
    }
    Ok(if report.wrong > 0 { Completion::DifferenceFound } else { Completion::Done })
}

impl Report {
    fn of(findings: Vec<Finding>) -> Report {
        let [right, doubtful, wrong] = [Verdict::Right, Verdict::Doubtful, Verdict::Wrong]
            .map(|verdict| findings.iter().filter(|finding| finding.verdict == verdict).count());
        Report { findings, right, doubtful, wrong }
    }

    fn text(&self) -> String {
        let lines: Vec<String> = self.findings.iter().map(Finding::to_string).collect();
        let Report { right, doubtful, wrong, .. } = self;
        format!("{}\n{right} right, {doubtful} doubtful, {wrong} wrong\n", lines.join("\n"))
    }
}

fn findings(config: &CheckConfig) -> Vec<Finding> {
    let ServeConfig { projection, listen, admin_listen, max_connections, .. } = &config.serve;
    let (kafka, names) = (&projection.kafka, &projection.kafka.topics);
    let answer = inspection::inspect(kafka, &projection.group_id);
    let mut findings = cluster::findings(&answer, &kafka.brokers, &projection.group_id);
    if let Ok(answer) = &answer {
        let newest = inspection::newest_records(kafka, &projection.group_id, &answer.topics, |topic| {
            offsets_of_each_partition(answer, topic, config.sample)
        });
        findings.extend(topics::findings(answer, names, &newest, Utc::now().timestamp_millis()));
        findings.extend(output_findings(&config.serve, answer));
        if config.sample > 0 {
            let settings = SampleSettings {
                names,
                framing: projection.framing,
                records_max: config.sample,
                has_all_optimizations: has_all(answer, &newest, config.sample),
            };
            findings.extend(sample::findings(&newest, settings));
        }
    }
    let facts =
        directory::look(&projection.data_dir, projection.disk_reserve, config.serve.from_snapshot.as_deref());
    findings.extend(directory::findings(&projection.data_dir, &facts));
    findings.extend(directory::store_findings(&facts, config.serve.on_format_change, names, answer.as_ref().ok()));
    let addresses = [("--listen", *listen), ("--admin-listen", *admin_listen)];
    let machine = machine::look(&addresses, *max_connections, &projection.data_dir);
    findings.extend(machine::findings(&machine, facts.holder == Holder::Server));
    findings
}

/// Looks at the topics that `serve` writes to.
fn output_findings(config: &ServeConfig, answer: &ClusterAnswer) -> Vec<Finding> {
    let (kafka, group_id) = (&config.projection.kafka, &config.projection.group_id);
    let mut findings = Vec::new();
    if let Some(name) = &config.projection.dead_letter_topic {
        let held = inspection::inspect_output_topic(kafka, group_id, name);
        let read =
            answer.details.iter().flat_map(BTreeMap::values).filter_map(|details| details.max_message_bytes);
        findings.extend(outputs::of_letter_topic(&held, read.max()).into_iter().map(|finding| finding.of(name)));
    }
    if let Some(wanted) = config.publication.topic() {
        let held = inspection::inspect_output_topic(kafka, group_id, &wanted.name);
        let is_missing = matches!(held.topic, TopicAnswer::Missing);
        let creation = is_missing.then(|| inspection::inspect_creation(kafka, &wanted));
        let of_topic = outputs::of_views_topic(&held, creation.as_ref(), wanted.partitions);
        findings.extend(of_topic.into_iter().map(|finding| finding.of(&wanted.name)));
        if let Some(broker) = answer.brokers.iter().find(|broker| broker.error.is_none()) {
            let id = transactional_id(&wanted.name);
            let asked = inspection::inspect_transactional_id(kafka, broker.id, &id);
            findings.push(outputs::of_transactional_id(&asked).of(id));
        }
    }
    findings
}

/// Number of the newest offsets that are read of each partition: at least one, which shows that the topic may be read.
fn offsets_of_each_partition(answer: &ClusterAnswer, topic: Topic, sample: usize) -> i64 {
    let partitions = match answer.topics.get(&topic) {
        Some(TopicAnswer::There { partitions, .. }) => partitions.len().max(1),
        _ => 1,
    };
    i64::try_from(sample.div_ceil(partitions)).unwrap_or(i64::MAX).max(1)
}

/// Returns true if the sample has every record of the optimizations' topic.
fn has_all(answer: &ClusterAnswer, newest: &NewestRecords, sample: usize) -> bool {
    let Some(TopicAnswer::There { partitions, .. }) = answer.topics.get(&Topic::Optimizations) else {
        return false;
    };
    let read: BTreeMap<i32, usize> = newest
        .read
        .iter()
        .filter(|(partition, _)| partition.topic == Topic::Optimizations)
        .map(|(partition, records)| (partition.partition, records.len()))
        .collect();
    let is_whole = partitions.iter().all(|held| match &held.bounds {
        Ok(bounds) => bounds.low == 0 && read.get(&held.partition).is_some_and(|read| *read as i64 >= bounds.high),
        Err(_) => false,
    });
    is_whole && read.values().sum::<usize>() <= sample
}
