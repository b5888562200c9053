//! An archive to build from: whether it is one of these topics, and whether they go on where it ends. Looked at before
//! anything is built; what can be told only while it is read, the source tells.

use std::path::Path;

use anyhow::{Context as _, bail};

use crate::domain::Topic;
use crate::source::archive::{ArchiveSource, Manifest};
use crate::source::kafka::KafkaSettings;
use crate::source::kafka::look::look;

/// Opens it, also where a build goes on: what the topics are called may have been changed since.
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

/// Whether all that was archived of the topics goes on in them.
pub fn check(kafka: &KafkaSettings, archive: &Manifest) -> anyhow::Result<()> {
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
    let spans = archive.spans();
    let wrong: Vec<_> = spans
        .iter()
        .filter_map(|(key, span)| Some((key, span.goes_on_in(cluster.partitions.get(key).copied()).err()?)))
        .collect();
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
