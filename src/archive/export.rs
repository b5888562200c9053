//! `optview archive export`: copies what the topics hold beyond what the archive lists, once or for as long as it is let.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use indicatif::{HumanBytes, HumanCount};
use serde::Serialize;

use super::{per_second, print_json, print_lines};
use crate::config::ArchiveExportConfig;
use crate::disk;
use crate::domain::{OwnedRecord, Topic};
use crate::progress::{Progress, Shown};
use crate::source::archive::{Appender, Archive, ArchivedTopic, Identity, Manifest, last_records};
use crate::source::kafka::look::{Cluster, look};
use crate::source::kafka::{KafkaSettings, KafkaSource};
use crate::source::{Polled, Records, Source as _, Watermarks};

/// librdkafka wants a group, though nothing is ever written for it.
const GROUP: &str = "optview-archive";
/// How long a poll may wait: so often the signal to stop is looked at.
const WAIT: Duration = Duration::from_millis(100);

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

/// Copies until the high watermarks of the start, or, where it follows, until it is told to stop.
pub fn run(config: &ArchiveExportConfig, stop: &AtomicBool) -> anyhow::Result<()> {
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
    let (begin, mut shown) = (Instant::now(), Shown::new(config.json));
    let mut export = Export {
        kafka: &config.kafka,
        appender: Appender::new(archive, config.kafka.topics.clone()),
        partitions: BTreeMap::new(),
        anchors,
        records: 0,
        failure: None,
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
        if committed.elapsed() >= config.commit_interval {
            export.appender.commit()?;
            committed = Instant::now();
        }
    };
    shown.finish();
    // What was read until a failure is good, and the next export need not read it again.
    let manifest = export.appender.finish()?;
    tell(&manifest, export.records, begin, config)?;
    match export.failure {
        Some(failure) => Err(failure),
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
    let archived =
        |stream| ArchivedTopic { stream, topic: name(stream), partitions: cluster.partitions_of(stream) };
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
        lost.extend(next.and_then(|next| what_is_lost(kafka.topics.get(topic), partition, next, watermarks)));
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

fn what_is_lost(topic: &str, partition: i32, next: i64, Watermarks { low, high }: Watermarks) -> Option<String> {
    if next < low {
        return Some(format!(
            "{topic}/{partition}: the records from {next} to {low} were removed before they were exported"
        ));
    }
    (next > high).then(|| {
        format!(
            "{topic}/{partition}: {next} is to be read next, but the topic ends at {high}: it was created again"
        )
    })
}

struct Export<'a> {
    kafka: &'a KafkaSettings,
    appender: Appender,
    partitions: BTreeMap<(Topic, i32), Partition>,
    /// The record that was archived last, still to be seen again, to know the topic by.
    anchors: BTreeMap<(Topic, i32), OwnedRecord>,
    /// Copied by this run.
    records: u64,
    /// Why it cannot go on.
    failure: Option<anyhow::Error>,
}

struct Partition {
    next: i64,
    start_high: i64,
}

impl Export<'_> {
    fn step(&mut self, source: &mut KafkaSource) {
        let mut found = Vec::new();
        source.poll(WAIT, &mut |polled| match polled {
            Polled::Found { topic, partition, watermarks } => found.push((topic, partition, watermarks)),
            Polled::Records(records) if self.failure.is_none() => self.failure = self.take(&*records).err(),
            Polled::Records(_) => {}
            Polled::Ended { topic, partition, position } => {
                self.appender.ended(topic, partition, position);
                self.passed(topic, partition, position);
            }
            Polled::Failed { topic, partition, reason } => {
                let name = self.kafka.topics.get(topic);
                self.failure.get_or_insert_with(|| anyhow::anyhow!("{name}/{partition}: {reason}"));
            }
        });
        for (topic, partition, watermarks) in found {
            if let Err(failure) = self.begin(source, topic, partition, watermarks) {
                self.failure.get_or_insert(failure);
            }
        }
    }

    fn take(&mut self, records: &dyn Records) -> anyhow::Result<()> {
        let (first, last) = (records.record(0), records.record(records.len() - 1).position);
        if let Some(anchor) = self.anchors.remove(&(last.topic, last.partition))
            && anchor.position == first.position
            && anchor != OwnedRecord::from(&first)
        {
            let (name, partition, offset) =
                (self.kafka.topics.get(last.topic), last.partition, anchor.position.offset);
            bail!(
                "{name}/{partition}: the record at {offset} is not the one that was archived: the topic was created \
                 again; keep the archive as it is, and export into another directory"
            );
        }
        self.records += self.appender.write(records)?;
        self.passed(last.topic, last.partition, last.offset + 1);
        Ok(())
    }

    fn begin(
        &mut self,
        source: &mut KafkaSource,
        topic: Topic,
        partition: i32,
        watermarks: Watermarks,
    ) -> anyhow::Result<()> {
        let name = self.kafka.topics.get(topic);
        let next = self.appender.begin(topic, partition, watermarks.low);
        if let Some(lost) = what_is_lost(name, partition, next, watermarks) {
            bail!(lost);
        }
        if next == watermarks.low && next > 0 {
            let low = watermarks.low;
            tracing::warn!(topic = name, partition, low, "the oldest records are no longer in the topic");
        }
        self.partitions.insert((topic, partition), Partition { next, start_high: watermarks.high });
        let cannot = |why| anyhow::anyhow!("{name}/{partition} cannot be read: {why}");
        let anchor = self.anchors.get(&(topic, partition)).map(|anchor| anchor.position.offset);
        let from = anchor.filter(|offset| *offset >= watermarks.low).unwrap_or(next);
        source.assign(topic, partition, from).map_err(cannot)
    }

    fn passed(&mut self, topic: Topic, partition: i32, next: i64) {
        if let Some(held) = self.partitions.get_mut(&(topic, partition)) {
            held.next = held.next.max(next);
        }
    }

    fn is_caught_up(&self) -> bool {
        self.partitions.values().all(|partition| partition.next >= partition.start_high)
    }
}
