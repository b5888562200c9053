//! The check of an archive to build from, before anything is built: it must be one of these topics, and they must go on where it ends.
//! The source reports what shows only while the archive is read.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, bail};

use crate::domain::{Gap, OwnedRecord, PartitionBounds, Topic, TopicPartition};
use crate::source::Watermarks;
use crate::source::archive::{ArchiveSource, Manifest, Span, gap_remedy, last_records};
use crate::source::kafka::KafkaSettings;
use crate::source::kafka::metadata::{ClusterMetadata, cluster_metadata, records_at};

/// Opens an archive. A build that goes on checks it again, since the topics' names may have been changed.
pub fn open(kafka: &KafkaSettings, directory: &Path) -> anyhow::Result<ArchiveSource> {
    let archive = ArchiveSource::open(directory).with_context(|| {
        format!(
            "the archive {} cannot be used: correct --from-archive, or restore it from a copy",
            directory.display()
        )
    })?;
    for topic in Topic::ALL {
        let name = kafka.topics.get(topic);
        match archive.manifest().topic(topic) {
            Some(archived) if archived.topic != name => bail!(
                "{} is an archive of the topic `{}`, and not of `{name}`: correct --from-archive, or the topics' names",
                directory.display(),
                archived.topic
            ),
            Some(_) | None => {}
        }
    }
    Ok(archive)
}

/// Checks that all that was archived of the topics goes on in them.
///
/// # Errors
/// It does not, or the cluster cannot be asked.
pub fn check(kafka: &KafkaSettings, directory: &Path, archive: &Manifest) -> anyhow::Result<()> {
    let cluster = cluster_metadata(kafka)?;
    if cluster.id != archive.cluster_id {
        bail!(
            "the archive is of the cluster {}, and this one is {}, whose records are others at the same offsets. Give an \
             archive of this one; or put that one's records onto topics here (`optview archive import`), and build from \
             those",
            archive.cluster_id,
            cluster.id
        );
    }
    let gap = |(key, span): (TopicPartition, Span)| {
        let topic_id = cluster.topic_ids.get(&key.topic).copied();
        let bounds = |there: &Watermarks| PartitionBounds { low: there.low, high: there.high, topic_id };
        let gap = Gap::find(span.next, archive.topic_id(key.topic), cluster.partitions.get(&key).map(bounds));
        Some((key, gap?))
    };
    let mut wrong: Vec<_> = archive.spans().into_iter().filter_map(gap).collect();
    if wrong.is_empty() {
        let last = last_records(directory, archive)
            .context("the archive cannot be read: `optview archive verify` tells all that is wrong")?;
        wrong = others(kafka, &cluster, last)?;
    }
    let Some((_, first)) = wrong.first() else { return Ok(()) };
    let told = wrong.iter().map(|(partition, gap)| format!("{}: {gap}", kafka.topics.partition(*partition)));
    bail!(
        "the topics do not go on where the archive ends, and nothing was built:\n  {}\n{}",
        told.collect::<Vec<_>>().join("\n  "),
        gap_remedy(first)
    );
}

/// Returns the last archived records that the topics still have, but with other content.
fn others(
    kafka: &KafkaSettings,
    cluster: &ClusterMetadata,
    mut last: BTreeMap<TopicPartition, OwnedRecord>,
) -> anyhow::Result<Vec<(TopicPartition, Gap)>> {
    last.retain(|key, last| cluster.partitions.get(key).is_some_and(|there| last.position.offset >= there.low));
    let offsets = last.iter().map(|(key, last)| (*key, last.position.offset)).collect();
    let there = records_at(kafka, &offsets)?;
    Ok(last
        .into_iter()
        .filter_map(|(key, archived)| {
            let (found, offset) = (there.get(&key)?, archived.position.offset);
            (found.position == archived.position && *found != archived)
                .then_some((key, Gap::OtherRecord { offset }))
        })
        .collect())
}
