//! The check of an archive to build from, before anything is built: it must be one of these topics, and they must go on where it ends.
//! The source reports what shows only while the archive is read.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, bail};

use crate::domain::{OwnedRecord, Topic};
use crate::source::archive::{ArchiveSource, Manifest, Mismatch, Span, last_records, same_topic};
use crate::source::kafka::KafkaSettings;
use crate::source::kafka::look::{Cluster, look, records_at};

type Partition = (Topic, i32);

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
    let cluster = look(kafka)?;
    if cluster.id != archive.cluster_id {
        bail!(
            "the archive is of the cluster {}, and this one is {}, whose records are others at the same offsets. Give an \
             archive of this one; or put that one's records onto topics here (`optview archive import`), and build from \
             those",
            archive.cluster_id,
            cluster.id
        );
    }
    let goes_on = |(key, span): (Partition, Span)| {
        let same = same_topic(archive.topic_id(key.0), cluster.topic_ids.get(&key.0).copied());
        let goes_on = same.and_then(|()| span.goes_on_in(cluster.partitions.get(&key).copied()));
        Some((key, goes_on.err()?))
    };
    let mut wrong: Vec<_> = archive.spans().into_iter().filter_map(goes_on).collect();
    if wrong.is_empty() {
        let last = last_records(directory, archive)
            .context("the archive cannot be read: `optview archive verify` tells all that is wrong")?;
        wrong = others(kafka, &cluster, last)?;
    }
    let Some((_, first)) = wrong.first() else { return Ok(()) };
    let told = wrong
        .iter()
        .map(|((topic, partition), mismatch)| format!("{}/{partition}: {mismatch}", kafka.topics.get(*topic)));
    bail!(
        "the topics do not go on where the archive ends, and nothing was built:\n  {}\n{}",
        told.collect::<Vec<_>>().join("\n  "),
        first.remedy()
    );
}

/// Returns the last archived records that the topics still have, but with other content.
fn others(
    kafka: &KafkaSettings,
    cluster: &Cluster,
    mut last: BTreeMap<Partition, OwnedRecord>,
) -> anyhow::Result<Vec<(Partition, Mismatch)>> {
    last.retain(|key, last| cluster.partitions.get(key).is_some_and(|there| last.position.offset >= there.low));
    let offsets = last.iter().map(|(key, last)| (*key, last.position.offset)).collect();
    let there = records_at(kafka, &offsets)?;
    let is_other = |(key, archived): (Partition, OwnedRecord)| {
        let (found, offset) = (there.get(&key)?, archived.position.offset);
        (found.position == archived.position && *found != archived).then_some((key, Mismatch::Other { offset }))
    };
    Ok(last.into_iter().filter_map(is_other).collect())
}
