//! `optview archive export`: copies what the topics hold beyond what the archive lists, once or for as long as it is let.

mod copying;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use anyhow::{Context as _, bail};
use indicatif::{HumanBytes, HumanCount};
use serde::Serialize;

use copying::{Export, Waiting};

use super::{per_second, print_json, print_lines};
use crate::config::ArchiveExportConfig;
use crate::disk;
use crate::domain::{Gap, Topic};
use crate::progress::{Progress, ProgressDisplay};
use crate::source::Source as _;
use crate::source::archive::{Appender, Archive, ArchivedTopic, Identity, MANIFEST, Manifest, last_records};
use crate::source::kafka::look::{Cluster, look};
use crate::source::kafka::{KafkaSettings, KafkaSource, decompression};
use crate::store;

/// librdkafka wants a group, though nothing is ever written for it.
const GROUP: &str = "optview-archive";

/// What no record takes less than, compressed: it has an id, a time and a position of its own.
const LEAST_BYTES: u64 = 32;

/// What was done.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Exported {
    phase: &'static str,
    /// Copied by this run.
    records: u64,
    records_per_second: u64,
    /// Of the whole archive.
    archive_records: u64,
    archive_files: usize,
    archive_bytes: u64,
}

/// Refuses to begin an archive in a data directory, which may be deleted at any time. One that is there is continued.
fn refuse_data_dir(directory: &Path) -> anyhow::Result<()> {
    if directory.join(MANIFEST).exists() {
        return Ok(());
    }
    match store::data_dir_around(directory)? {
        None => Ok(()),
        Some(data_dir) => bail!(
            "{} lies in the data directory {}, in which nothing but optview's own files may be: give another directory",
            directory.display(),
            data_dir.display()
        ),
    }
}

/// Copies until the high watermarks of the start, or, where it follows, until it is told to stop.
pub fn run(config: &ArchiveExportConfig, stop: &AtomicBool) -> anyhow::Result<()> {
    refuse_data_dir(&config.directory)?;
    // What is too large to be understood is archived whole all the same.
    decompression::lift_limit();
    let cluster = look(&config.kafka)?;
    let room = Room { directory: &config.directory, floor: config.min_free_disk_bytes };
    room.check(0)?;
    let archive = Archive::open(&config.directory, identity(&config.kafka, &cluster)?)?;
    let total = left(archive.manifest(), &cluster, &config.kafka)?;
    room.check(bytes_of(archive.manifest(), total))?;
    // Partitions that the last file has nothing of are known by their offsets alone.
    let anchors = last_records(&config.directory, archive.manifest())
        .context("the archive cannot be continued: `optview archive verify` tells all that is wrong")?;
    let mut source = KafkaSource::new(&config.kafka, GROUP).context("librdkafka does not take the settings")?;
    let (begin, mut shown) = (Instant::now(), ProgressDisplay::new(config.json));
    let proven = Topic::ALL.into_iter().filter(|topic| archive.is_proven(*topic)).collect();
    let ids = Topic::ALL.into_iter().filter_map(|topic| Some((topic, archive.manifest().topic_id(topic)?)));
    let mut export = Export {
        kafka: &config.kafka,
        follow: config.follow,
        waiting: Waiting::new(begin),
        proven,
        ids: ids.collect(),
        appender: Appender::new(archive, config.kafka.topics.clone()),
        partitions: BTreeMap::new(),
        anchors,
        records: 0,
        failure: None,
        is_confirmed: true,
        is_other: false,
    };
    let mut committed = Instant::now();
    let is_whole = loop {
        export.step(&mut source);
        shown.show(&Progress::new("exporting", export.records, Some(total.max(export.records))));
        if export.failure.is_none() {
            // What it has copied by then is finished and listed, for which there must still be room.
            export.failure = room.check(0).context("it has stopped; run it again when there is room").err();
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
    // What was read until a failure is good, and the next export need not read it again.
    export.commit(&mut source)?;
    let Export { appender, records, failure, is_confirmed, .. } = export;
    let manifest = if is_confirmed {
        appender.finish()?
    } else {
        // What is not confirmed is not listed.
        drop(appender);
        Manifest::read(&config.directory)?
    };
    tell(&manifest, records, begin, config)?;
    match failure {
        Some(failure) => Err(failure),
        None if !is_confirmed => bail!(
            "the cluster did not confirm that the topics still are the same, so that what was read last is not listed; run \
             it again when it answers"
        ),
        None if is_whole || config.follow => Ok(()),
        None => bail!("told to stop before the end; run it again to go on from there"),
    }
}

fn tell(manifest: &Manifest, records: u64, begin: Instant, config: &ArchiveExportConfig) -> anyhow::Result<()> {
    let exported = Exported {
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

/// What is left to others of the archive's disk.
struct Room<'a> {
    directory: &'a Path,
    /// So many bytes stay free.
    floor: u64,
}

impl Room<'_> {
    /// For about so many bytes.
    fn check(&self, bytes: u64) -> anyhow::Result<()> {
        let directory = self.directory.display();
        let free = disk::free_bytes(self.directory).with_context(|| format!("cannot look at {directory}"))?;
        if free < bytes.saturating_add(self.floor) {
            let wanted =
                if bytes > 0 { format!("about {bytes} bytes are to be written, ") } else { String::new() };
            bail!(
                "there is too little room on the disk of {directory}: {wanted}{} are to stay free (--min-free-disk), and \
                 {free} are",
                self.floor
            );
        }
        Ok(())
    }
}

/// About how many bytes so many records more take: as the archive's take, or, where it has none, as few as they can.
fn bytes_of(manifest: &Manifest, records: u64) -> u64 {
    let estimated = records.saturating_mul(manifest.bytes()).checked_div(manifest.records());
    estimated.unwrap_or_else(|| records.saturating_mul(LEAST_BYTES))
}

fn identity(kafka: &KafkaSettings, cluster: &Cluster) -> anyhow::Result<Identity> {
    let name = |stream| kafka.topics.get(stream).to_owned();
    let archived = |stream| ArchivedTopic {
        stream,
        topic: name(stream),
        partitions: cluster.partitions_of(stream),
        id: cluster.topic_ids.get(&stream).copied(),
    };
    let topics = Topic::ALL.map(archived);
    let missing: Vec<&str> =
        topics.iter().filter(|topic| topic.partitions == 0).map(|topic| topic.topic.as_str()).collect();
    if !missing.is_empty() {
        bail!("the cluster has no topic {}; correct --topic-..., or create it", missing.join(", "));
    }
    Ok(Identity { cluster_id: cluster.id.clone(), topics: topics.to_vec() })
}

/// How many offsets are left to be read, where none of them is gone.
fn left(manifest: &Manifest, cluster: &Cluster, kafka: &KafkaSettings) -> anyhow::Result<u64> {
    let spans = manifest.spans();
    let (mut left, mut lost) = (0, Vec::new());
    for (&(topic, partition), &watermarks) in &cluster.partitions {
        let next = spans.get(&(topic, partition)).map(|span| span.next);
        let gap = next.and_then(|next| Gap::between_offsets(next, watermarks.low, watermarks.high));
        lost.extend(gap.map(|gap| format!("{}/{partition}: {gap}", kafka.topics.get(topic))));
        left += watermarks.high - next.unwrap_or(watermarks.low);
    }
    if lost.is_empty() {
        return Ok(u64::try_from(left).unwrap_or(0));
    }
    bail!(
        "the archive cannot be continued, and nothing was written:\n  {}\nKeep it as it is, and export what is left \
         into another directory",
        lost.join("\n  ")
    )
}
