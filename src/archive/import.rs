//! `optview archive import`: puts an archive's records onto topics that hold nothing else.
//!
//! The topics themselves show the progress of an import: each partition begins empty, only the import writes to
//! it, in the archive's order, and an idempotent producer leaves neither holes nor duplicates. So a partition with
//! n records has the archive's first n records of it, which its last record proves, and an import that was killed
//! continues with the next one.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use anyhow::{Context as _, bail};
use indicatif::HumanCount;
use serde::Serialize;

use super::{per_second, print_json, print_lines};
use crate::cli::Completion;
use crate::config::ArchiveImportConfig;
use crate::domain::{OwnedRecord, Topic, TopicPartition};
use crate::progress::Progress;
use crate::progress_display::ProgressDisplay;
use crate::source::archive::{ArchiveReader, Manifest};
use crate::source::kafka::metadata::{ClusterMetadata, cluster_metadata, records_at};
use crate::source::kafka::producer::Producer;
use crate::source::kafka::{KafkaSettings, admin, topic_settings};

/// Number of records between two checks of the stop flag.
const STOP_CHECK_RECORDS: u64 = 1024;
/// The first part of the message of a stopped import. The reason follows.
const STOP_CONTEXT: &str = "the import has stopped; run it again to continue after the records that are on the \
                            topics";

#[derive(Debug, PartialEq, Eq, Serialize)]
struct ImportSummary {
    phase: &'static str,
    /// Number of records that this run put there.
    records: u64,
    records_per_second: u64,
    /// Number of records from an earlier import that was interrupted.
    records_before: u64,
    problems: Vec<String>,
}

/// Imports the records that are missing on the topics.
pub fn run(config: &ArchiveImportConfig, stop: &AtomicBool) -> anyhow::Result<Completion> {
    let manifest = Manifest::read(&config.directory)?;
    let wanted = records_by_partition(&manifest);
    let kafka = &config.kafka;
    let cluster = cluster_metadata(kafka)?;
    check_partitions(kafka, &manifest, &cluster)?;
    let there = imported_records(&cluster, &wanted, kafka)?;
    check_last_records(config, &manifest, &there)?;
    let topics: Vec<(Topic, i32)> = manifest.topics.iter().map(|topic| (topic.stream, topic.partitions)).collect();
    // History is old by nature: the usual retention of a week would let the broker remove it at once.
    admin::ensure_topics_with(kafka, &topics, topic_settings::KEEP_ALL)?;
    topic_settings::warn_of_losses(kafka);
    let before: u64 = there.values().sum();
    let total = manifest.records() - before;
    let (begin, mut shown) = (Instant::now(), ProgressDisplay::new(config.json));
    let mut producer = Producer::new(kafka)?;
    let mut seen: BTreeMap<TopicPartition, u64> = BTreeMap::new();
    let mut sent = 0;
    for record in ArchiveReader::new(&config.directory, &manifest) {
        let record = record.context(STOP_CONTEXT)?;
        let partition = record.position.topic_partition();
        let number = seen.entry(partition).or_default();
        *number += 1;
        if *number <= there.get(&partition).copied().unwrap_or(0) {
            continue;
        }
        producer.copy(&record.record()).context(STOP_CONTEXT)?;
        sent += 1;
        if sent % STOP_CHECK_RECORDS == 0 {
            shown.show(&Progress::new("importing", sent, Some(total)));
            if stop.load(Ordering::Acquire) {
                producer.finish()?;
                bail!("the import was told to stop before its end; run it again to continue from there");
            }
        }
    }
    producer.finish().context(STOP_CONTEXT)?;
    shown.finish();
    let problems = differences(&cluster_metadata(kafka)?, &wanted, kafka);
    let records_per_second = per_second(sent, begin);
    let imported =
        ImportSummary { phase: "done", records: sent, records_per_second, records_before: before, problems };
    if config.json {
        print_json(&imported)?
    } else {
        print(&imported)?
    }
    Ok(if imported.problems.is_empty() { Completion::Done } else { Completion::DifferenceFound })
}

fn print(imported: &ImportSummary) -> anyhow::Result<()> {
    let (records, rate) = (HumanCount(imported.records), HumanCount(imported.records_per_second));
    let mut lines = vec![format!("imported {records} records, {rate}/s")];
    if imported.records_before > 0 {
        let before = HumanCount(imported.records_before);
        lines.push(format!("{before} were there already, from an earlier import"));
    }
    lines.push(match imported.problems.len() {
        0 => "every partition now has as many records as the archive has of it".to_owned(),
        count => format!("{count} problems:"),
    });
    lines.extend(imported.problems.iter().map(|problem| format!("  {problem}")));
    print_lines(&lines)
}

/// Number of archived records of every partition, partitions without records included.
fn records_by_partition(manifest: &Manifest) -> BTreeMap<TopicPartition, u64> {
    let spans = manifest.spans();
    manifest
        .partitions()
        .map(|partition| (partition, spans.get(&partition).map_or(0, |span| span.records)))
        .collect()
}

/// Checks that existing topics have as many partitions as the archive.
fn check_partitions(kafka: &KafkaSettings, manifest: &Manifest, cluster: &ClusterMetadata) -> anyhow::Result<()> {
    for topic in &manifest.topics {
        let (found, archived) = (cluster.partitions_of(topic.stream), topic.partitions);
        if found > 0 && found != archived {
            let name = kafka.topics.get(topic.stream);
            bail!(
                "the topic `{name}` has {found} partitions, and the archive has {archived} of it; nothing was \
                 written: give the name of a topic that is not there yet"
            );
        }
    }
    Ok(())
}

/// Number of records in each partition, if they may come from an earlier import.
fn imported_records(
    cluster: &ClusterMetadata,
    wanted: &BTreeMap<TopicPartition, u64>,
    kafka: &KafkaSettings,
) -> anyhow::Result<BTreeMap<TopicPartition, u64>> {
    let (mut there, mut others) = (BTreeMap::new(), Vec::new());
    for (&partition, watermarks) in &cluster.partitions {
        let name = kafka.topics.partition(partition);
        let count = u64::try_from(watermarks.high).unwrap_or(0);
        let most = wanted.get(&partition).copied().unwrap_or(0);
        if watermarks.low > 0 {
            let low = watermarks.low;
            others.push(format!("{name}: the records below {low} were removed from it"));
        } else if count > most {
            others.push(format!("{name}: holds {count} records, and the archive {most}"));
        } else {
            there.insert(partition, count);
        }
    }
    if others.is_empty() { Ok(there) } else { Err(foreign_records_error(&others)) }
}

fn foreign_records_error(others: &[String]) -> anyhow::Error {
    anyhow::anyhow!(
        "the topics hold records that are not from an import of this archive, and nothing was written:\n  \
         {}\nGive the names of topics that do not exist yet, or remove these",
        others.join("\n  ")
    )
}

/// Checks that the last record of each partition is the archive's.
fn check_last_records(
    config: &ArchiveImportConfig,
    manifest: &Manifest,
    there: &BTreeMap<TopicPartition, u64>,
) -> anyhow::Result<()> {
    let mut last = last_records(&config.kafka, there)?;
    if last.is_empty() {
        return Ok(());
    }
    let (mut seen, mut others): (BTreeMap<TopicPartition, u64>, _) = (BTreeMap::new(), Vec::new());
    for record in ArchiveReader::new(&config.directory, manifest) {
        let record = record?;
        let partition = record.position.topic_partition();
        let number = seen.entry(partition).or_default();
        *number += 1;
        if there.get(&partition) != Some(number) {
            continue;
        }
        let is_same = |last: &OwnedRecord| OwnedRecord { position: record.position, ..last.clone() } == record;
        if !last.remove(&partition).is_some_and(|last| is_same(&last)) {
            let name = config.kafka.topics.partition(partition);
            others.push(format!("{name}: record {number} is not the one of the archive"));
        }
        if last.is_empty() {
            break;
        }
    }
    if others.is_empty() { Ok(()) } else { Err(foreign_records_error(&others)) }
}

/// Reads the last record of each partition that holds some.
fn last_records(
    kafka: &KafkaSettings,
    there: &BTreeMap<TopicPartition, u64>,
) -> anyhow::Result<BTreeMap<TopicPartition, OwnedRecord>> {
    let wanted: BTreeMap<TopicPartition, i64> =
        there.iter().filter(|(_, count)| **count > 0).map(|(key, count)| (*key, *count as i64 - 1)).collect();
    let last = records_at(kafka, &wanted)?;
    match wanted.keys().find(|partition| !last.contains_key(partition)) {
        None => Ok(last),
        Some(&partition) => {
            let name = kafka.topics.partition(partition);
            bail!(
                "{name} does not end with a record, as every import does: was a transaction \
                   written to it?"
            )
        }
    }
}

/// Describes the partitions whose number of records differs from the archive's, because others wrote meanwhile or
/// records are missing.
fn differences(
    cluster: &ClusterMetadata,
    wanted: &BTreeMap<TopicPartition, u64>,
    kafka: &KafkaSettings,
) -> Vec<String> {
    wanted
        .iter()
        .filter_map(|(partition, &records)| {
            let name = kafka.topics.partition(*partition);
            let found = cluster.partitions.get(partition).map_or(0, |watermarks| watermarks.high);
            (u64::try_from(found) != Ok(records)).then(|| {
                format!(
                    "{name}: holds {found} records, and the archive {records}: did others write to it \
                 meanwhile?"
                )
            })
        })
        .collect()
}
