//! The data directory and the store in it: what is there, looked at without a change, and the findings, which are pure.

mod look;

use std::path::Path;

use bytesize::ByteSize;

use super::finding::{Check, Finding, listed};
use crate::codec::stored_record::FORMAT;
use crate::config::OnFormatChange;
use crate::disk::FilesystemKind;
use crate::domain::{Gap, NamedPartition, PartitionBounds};
use crate::source::kafka::inspection::{ClusterAnswer, TopicAnswer};
use crate::source::{TopicNames, other_cluster};
use crate::store::{Checkpoint, PartitionCheckpoint};
pub use look::look;

/// The facts about a data directory. An error is the operating system's, in words.
#[derive(Clone, Debug)]
pub struct DirectoryFacts {
    /// The kind of the filesystem.
    pub filesystem: Result<FilesystemKind, String>,
    /// The free bytes, if there are fewer than the reserve.
    pub shortage: Result<Option<u64>, String>,
    /// Number of bytes that are to stay free.
    pub reserve_bytes: u64,
    /// The error if the process could not write there as it must.
    pub ownership: Result<(), String>,
    /// The process that has it.
    pub holder: Holder,
    /// The store in it.
    pub store: StoreState,
}

/// The process that has a data directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Holder {
    /// No process has it.
    Nobody,
    /// A process serves it, and answers tools.
    Server,
    /// A process has it, and does not answer.
    Other,
    /// It cannot be known, for this reason.
    Unknown(String),
}

/// The state of the store in a data directory.
#[derive(Clone, Debug)]
pub enum StoreState {
    /// There is none yet. If it is to be made of a snapshot, that can be read or not.
    None {
        /// The result of opening the snapshot; `None` if none is given.
        snapshot: Option<Result<(), String>>,
    },
    /// There is one. What is not known is `None` or empty, as while a process has it.
    There(StoreFacts),
    /// It cannot be opened, for this reason.
    Unusable {
        /// The reason, with what to do.
        why: String,
        /// True if it is damaged, so that `serve` moves it aside and begins anew.
        is_damaged: bool,
    },
}

/// The facts about a store.
#[derive(Clone, Debug, Default)]
pub struct StoreFacts {
    /// The number of the live generation.
    pub generation: u64,
    /// Its fold format.
    pub format: Option<u8>,
    /// The names of the topics that it is built from, in the order of `Topic::ALL`.
    pub topics: Option<[String; 3]>,
    /// The id of the cluster that it is built from.
    pub cluster: Option<String>,
    /// The position up to which it has read each partition.
    pub checkpoint: Checkpoint,
    /// The reason for which the process that serves it does not tell its position.
    pub unknown_position: Option<String>,
}

/// Returns the findings about the directory itself.
pub fn findings(path: &Path, facts: &DirectoryFacts) -> Vec<Finding> {
    let mut findings: Vec<Finding> = [of_filesystem(facts), of_room(facts), of_ownership(facts), of_holder(facts)]
        .into_iter()
        .flatten()
        .collect();
    if findings.is_empty() {
        let text = match facts.holder {
            Holder::Server => "the process that serves it has it; there is room, on a disk of this machine",
            _ => "it is free, may be written to, and has room, on a disk of this machine",
        };
        findings.push(Finding::right(Check::DataDir, text));
    }
    findings.into_iter().map(|finding| finding.of(path.display().to_string())).collect()
}

fn of_filesystem(facts: &DirectoryFacts) -> Option<Finding> {
    match &facts.filesystem {
        Ok(FilesystemKind::Local) => None,
        Ok(FilesystemKind::Network(name)) => Some(Finding::wrong(
            Check::DataDir,
            format!(
                "it is on a network filesystem ({name}), whose locks and syncs do not hold what the store rests on"
            ),
            "Give a directory on a disk of this machine, or on a block volume",
        )),
        Ok(FilesystemKind::Memory) => Some(Finding::doubtful(
            Check::DataDir,
            "it is in the machine's memory, so that each restart of the machine reads all topics again",
            "Give a directory on a disk, unless it is a trial",
        )),
        Ok(FilesystemKind::ContainerLayer) => Some(Finding::doubtful(
            Check::DataDir,
            "it is in the container's own layer, which goes with the container: each new one reads all topics again",
            "Mount a volume there",
        )),
        Err(why) => Some(Finding::doubtful(
            Check::DataDir,
            format!("its filesystem cannot be looked at: {why}"),
            "See that it can",
        )),
    }
}

fn of_room(facts: &DirectoryFacts) -> Option<Finding> {
    match &facts.shortage {
        Ok(None) => None,
        Ok(Some(free)) => Some(Finding::wrong(
            Check::DataDir,
            format!(
                "its disk has {} free, and {} are to stay so: nothing is read then",
                ByteSize(*free),
                ByteSize(facts.reserve_bytes)
            ),
            "Make room, give a larger disk, or lower --min-free-disk",
        )),
        Err(why) => Some(Finding::doubtful(
            Check::DataDir,
            format!("it is not known how much is free: {why}"),
            "See that it can be looked at",
        )),
    }
}

fn of_ownership(facts: &DirectoryFacts) -> Option<Finding> {
    let why = facts.ownership.as_ref().err()?;
    Some(Finding::wrong(
        Check::DataDir,
        why.clone(),
        "Run it as the user whose directory it is, or change its owner",
    ))
}

fn of_holder(facts: &DirectoryFacts) -> Option<Finding> {
    match &facts.holder {
        Holder::Nobody | Holder::Server => None,
        Holder::Other => Some(Finding::wrong(
            Check::DataDir,
            "another process has it, which does not answer tools: a tool at work, or a `serve` that is starting or ending",
            "Wait until it has ended, or give another --data-dir",
        )),
        Holder::Unknown(why) => Some(Finding::doubtful(
            Check::DataDir,
            format!("it is not known whether another process has it: {why}"),
            "Run this as the user that runs `serve`",
        )),
    }
}

/// Returns the findings about the store. `cluster`: the cluster's answers, if it has answered.
pub fn store_findings(
    facts: &DirectoryFacts,
    on_format_change: OnFormatChange,
    names: &TopicNames,
    cluster: Option<&ClusterAnswer>,
) -> Vec<Finding> {
    match &facts.store {
        StoreState::None { snapshot: None } => {
            vec![Finding::right(Check::Store, "there is none yet: it is built from the first record on")]
        }
        StoreState::None { snapshot: Some(Ok(())) } => {
            vec![Finding::right(
                Check::Store,
                "there is none yet: it is made of the snapshot that --from-snapshot names",
            )]
        }
        StoreState::None { snapshot: Some(Err(why)) } => vec![Finding::wrong(
            Check::Store,
            format!("there is none yet, and the snapshot that --from-snapshot names cannot be read: {why}"),
            "Correct --from-snapshot, or leave it out",
        )],
        StoreState::Unusable { why, is_damaged: true } => vec![Finding::doubtful(
            Check::Store,
            format!("it is damaged, and `serve` would move it aside and build a new one: {why}"),
            "Keep a copy if you want to know why, and let it be built anew",
        )],
        StoreState::Unusable { why, is_damaged: false } => {
            vec![Finding::wrong(Check::Store, format!("it cannot be opened: {why}"), "See what the error says")]
        }
        StoreState::There(store) => of_store(store, on_format_change, names, cluster),
    }
}

fn of_store(
    store: &StoreFacts,
    on_format_change: OnFormatChange,
    names: &TopicNames,
    cluster: Option<&ClusterAnswer>,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some(format) = store.format.filter(|format| *format != FORMAT) {
        let text = format!("another version has folded it (format {format}, and this version has {FORMAT})");
        findings.push(match on_format_change {
            OnFormatChange::Rebuild => Finding::doubtful(
                Check::Store,
                text,
                "`serve` shows it as it is, and builds another from the topics meanwhile",
            ),
            OnFormatChange::Refuse => Finding::wrong(
                Check::Store,
                text,
                "`serve` does not start with --on-format-change refuse: rebuild it first, or use that version",
            ),
        });
    }
    if let Some(difference) = store.topics.as_ref().and_then(|topics| names.difference(topics)) {
        findings.push(Finding::wrong(
            Check::Store,
            format!("it is built from topics of other names: {difference}"),
            "Give the names that it was built from",
        ));
    }
    if let Some(why) = &store.unknown_position {
        findings.push(Finding::doubtful(
            Check::Store,
            format!("the process that serves it does not tell its position: {why}"),
            "Check again once it has opened its store; of another version, check with that version",
        ));
    }
    if let Some(cluster) = cluster {
        findings.extend(of_cluster(store, cluster));
        findings.extend(of_gaps(store, names, cluster));
    }
    if findings.is_empty() {
        findings.push(Finding::right(
            Check::Store,
            format!("generation {:06} is there, and can be gone on with as far as can be seen", store.generation),
        ));
    }
    findings
}

fn of_cluster(store: &StoreFacts, cluster: &ClusterAnswer) -> Option<Finding> {
    let (built_from, found) = (store.cluster.as_ref()?, cluster.cluster_id.as_ref()?);
    (built_from != found).then(|| {
        Finding::wrong(Check::Cluster, other_cluster(built_from, found), "Offsets mean nothing in another cluster")
    })
}

/// Compares the store's positions with the bounds of the partitions.
fn of_gaps(store: &StoreFacts, names: &TopicNames, cluster: &ClusterAnswer) -> Option<Finding> {
    let gaps = store.checkpoint.iter().filter_map(|(partition, held)| gap(partition, held, names, cluster));
    let gaps: Vec<String> = gaps.collect();
    (!gaps.is_empty()).then(|| {
        Finding::wrong(
            Check::Store,
            format!("the topics cannot be read on from where it is: {}", listed(gaps)),
            "These partitions would stop: give another --data-dir and build the views anew, or see \"Records that were gone\" in \
             the run book",
        )
    })
}

/// Returns the gap between a position of the store and its partition, in words.
fn gap(
    partition: &NamedPartition,
    held: &PartitionCheckpoint,
    names: &TopicNames,
    cluster: &ClusterAnswer,
) -> Option<String> {
    // A topic that is not there has a finding of its own.
    let TopicAnswer::There { id, partitions } = cluster.topics.get(&names.topic_of(&partition.topic)?)? else {
        return None;
    };
    let found = partitions.iter().find(|found| found.partition == partition.partition);
    let found = match found.map(|found| &found.bounds) {
        Some(Ok(bounds)) => Some(PartitionBounds { low: bounds.low, high: bounds.high, topic_id: *id }),
        // Bounds that are not known prove nothing.
        Some(Err(_)) => return None,
        None => None,
    };
    let gap = Gap::find(held.next_offset, held.topic_id, found)?;
    Some(format!("{partition}: {gap}"))
}

#[cfg(test)]
mod tests;
