//! `optview archive export`: copies the records that the archive does not list yet, once or continuously.

mod session;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use anyhow::{Context as _, bail};
use indicatif::{HumanBytes, HumanCount};
use serde::Serialize;

use session::{ExportSession, StallTimer};

use super::{per_second, print_json, print_lines};
use crate::config::ArchiveExportConfig;
use crate::data_dir;
use crate::domain::{Gap, Topic};
use crate::progress::Progress;
use crate::progress_display::ProgressDisplay;
use crate::source::Source as _;
use crate::source::archive::{
    Appender, Archive, ArchiveIdentity, ArchivedTopic, MANIFEST, Manifest, last_records,
};
use crate::source::kafka::metadata::{ClusterMetadata, cluster_metadata};
use crate::source::kafka::{KafkaSettings, KafkaSource, decompression};

/// The group id, which librdkafka requires, although nothing is ever written for the group.
const GROUP: &str = "optview-archive";

/// Minimum compressed size of a record in bytes: each has an id, a timestamp and a position of its own.
const RECORD_BYTES_MIN: u64 = 32;

/// The summary of an export, as it is printed.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct ExportSummary {
    phase: &'static str,
    /// Number of records copied by this run.
    records: u64,
    records_per_second: u64,
    /// Number of records in the whole archive.
    archive_records: u64,
    archive_files: usize,
    archive_bytes: u64,
}

/// Refuses to create an archive in a data directory, which may be deleted at any time. An existing archive there
/// is continued.
fn refuse_data_dir(directory: &Path) -> anyhow::Result<()> {
    if directory.join(MANIFEST).exists() {
        return Ok(());
    }
    match data_dir::data_dir_around(directory)? {
        None => Ok(()),
        Some(data_dir) => bail!(
            "{} lies in the data directory {}, in which nothing but optview's own files may be: give another directory",
            directory.display(),
            data_dir.display()
        ),
    }
}

/// Copies up to the high watermarks of the start, or, with `--follow`, until the stop flag is set.
pub fn run(config: &ArchiveExportConfig, stop: &AtomicBool) -> anyhow::Result<()> {
    refuse_data_dir(&config.directory)?;
    // Records that are too large to be decoded are archived whole all the same.
    decompression::lift_limit();
    let cluster = cluster_metadata(&config.kafka)?;
    check_room(config, 0)?;
    let archive = Archive::open(&config.directory, identity(&config.kafka, &cluster)?)?;
    let total = remaining_records(archive.manifest(), &cluster, &config.kafka)?;
    check_room(config, estimated_bytes(archive.manifest(), total))?;
    // A partition that the last file has no records of can be recognized only by its offsets.
    let anchors = last_records(&config.directory, archive.manifest())
        .context("the archive cannot be continued: `optview archive verify` lists all problems")?;
    let mut source = KafkaSource::new(&config.kafka, GROUP).context("librdkafka does not take the settings")?;
    let (begin, mut shown) = (Instant::now(), ProgressDisplay::new(config.json));
    let proven = Topic::ALL.into_iter().filter(|topic| archive.is_proven(*topic)).collect();
    let ids = Topic::ALL.into_iter().filter_map(|topic| Some((topic, archive.manifest().topic_id(topic)?)));
    let mut export = ExportSession {
        kafka: &config.kafka,
        follow: config.follow,
        stall_timer: StallTimer::new(begin),
        proven,
        ids: ids.collect(),
        appender: Appender::new(archive, config.kafka.topics.clone()),
        partitions: BTreeMap::new(),
        anchors,
        records: 0,
        failure: None,
        is_confirmed: true,
        is_recreated: false,
    };
    let mut committed = Instant::now();
    let is_whole = loop {
        export.step(&mut source);
        shown.show(&Progress::new("exporting", export.records, Some(total.max(export.records))));
        if export.failure.is_none() {
            // The records that were copied so far must still be finished and listed, which needs room.
            export.failure =
                check_room(config, 0).context("the export has stopped; run it again when there is room").err();
        }
        if export.failure.is_some() || stop.load(Ordering::Acquire) {
            break false;
        }
        if !config.follow && source.is_complete() && export.is_caught_up() {
            break true;
        }
        if committed.elapsed() >= config.commit_interval || export.appender.is_full() {
            export.commit(&mut source)?;
            committed = Instant::now();
        }
    };
    shown.finish();
    // Records that were read before a failure are valid, and the next export need not read them again.
    export.commit(&mut source)?;
    let ExportSession { appender, records, failure, is_confirmed, .. } = export;
    let manifest = if is_confirmed {
        appender.finish()?
    } else {
        // Records that are not confirmed are not listed.
        drop(appender);
        Manifest::read(&config.directory)?
    };
    print_summary(&manifest, records, begin, config)?;
    match failure {
        Some(failure) => Err(failure),
        None if !is_confirmed => bail!(
            "the cluster did not confirm that the topics are still the same, so the archive does not list the \
             records that were read last; run the export again when the cluster answers"
        ),
        None if is_whole || config.follow => Ok(()),
        None => bail!("the export was told to stop before its end; run it again to continue from there"),
    }
}

fn print_summary(
    manifest: &Manifest,
    records: u64,
    begin: Instant,
    config: &ArchiveExportConfig,
) -> anyhow::Result<()> {
    let exported = ExportSummary {
        phase: "done",
        records,
        records_per_second: per_second(records, begin),
        archive_records: manifest.records(),
        archive_files: manifest.files.len(),
        archive_bytes: manifest.bytes(),
    };
    if config.json {
        return print_json(&exported);
    }
    print_lines(&[
        format!("exported {} records, {}/s", HumanCount(records), HumanCount(exported.records_per_second)),
        format!(
            "{} now holds {} records in {} files, {}",
            config.directory.display(),
            HumanCount(exported.archive_records),
            exported.archive_files,
            HumanBytes(exported.archive_bytes)
        ),
    ])
}

/// Checks that the archive's disk has room for about `wanted_bytes` more.
fn check_room(config: &ArchiveExportConfig, wanted_bytes: u64) -> anyhow::Result<()> {
    let reserve = config.disk_reserve;
    let directory = config.directory.display();
    let shortage = reserve.shortage(&config.directory, wanted_bytes);
    let Some(free) = shortage.with_context(|| format!("cannot look at {directory}"))? else { return Ok(()) };
    let wanted = match wanted_bytes {
        0 => String::new(),
        bytes => format!("about {bytes} bytes are to be written, "),
    };
    bail!(
        "there is too little room on the disk of {directory}: {wanted}{} are to stay free (--min-free-disk), and {free} are",
        reserve.floor_bytes
    )
}

/// Estimates the size in bytes of further records, by the average of the archive's records, or by the minimum if
/// it has none.
fn estimated_bytes(manifest: &Manifest, records: u64) -> u64 {
    let estimated = records.saturating_mul(manifest.bytes()).checked_div(manifest.records());
    estimated.unwrap_or_else(|| records.saturating_mul(RECORD_BYTES_MIN))
}

fn identity(kafka: &KafkaSettings, cluster: &ClusterMetadata) -> anyhow::Result<ArchiveIdentity> {
    let name = |stream| kafka.topics.get(stream).to_owned();
    let topics = Topic::ALL.map(|stream| ArchivedTopic {
        stream,
        topic: name(stream),
        partitions: cluster.partitions_of(stream),
        id: cluster.topic_ids.get(&stream).copied(),
    });
    let missing: Vec<&str> =
        topics.iter().filter(|topic| topic.partitions == 0).map(|topic| topic.topic.as_str()).collect();
    if !missing.is_empty() {
        bail!("the cluster has no topic {}; correct --topic-..., or create it", missing.join(", "));
    }
    Ok(ArchiveIdentity { cluster_id: cluster.id.clone(), topics: topics.to_vec() })
}

/// Number of offsets that are still to be read. Fails if records to be read next are gone.
fn remaining_records(
    manifest: &Manifest,
    cluster: &ClusterMetadata,
    kafka: &KafkaSettings,
) -> anyhow::Result<u64> {
    let spans = manifest.spans();
    let (mut left, mut lost) = (0, Vec::new());
    for (&partition, &watermarks) in &cluster.partitions {
        let next = spans.get(&partition).map(|span| span.next);
        let gap = next.and_then(|next| Gap::between_offsets(next, watermarks.low, watermarks.high));
        lost.extend(gap.map(|gap| format!("{}: {gap}", kafka.topics.partition(partition))));
        left += watermarks.high - next.unwrap_or(watermarks.low);
    }
    if lost.is_empty() {
        return Ok(u64::try_from(left).unwrap_or(0));
    }
    bail!(
        "the archive cannot be continued, and nothing was written:\n  {}\nKeep the archive as it is, and export \
         the remaining records into another directory",
        lost.join("\n  ")
    )
}
