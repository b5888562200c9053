//! The check that the topics to be read are those that a generation was built from. Their names belong to the generation,
//! each with what it means: other topics have other events, and would be folded into the same views.

use std::collections::BTreeSet;

use anyhow::bail;

use crate::data_dir::{self, GenerationManifest};
use crate::domain::Topic;
use crate::source::TopicNames;
use crate::store::{Checkpoint, Reader};

/// Compares with what lies beside the live generation, before that is opened.
///
/// # Errors
/// The live generation was built from other topics. The error names both, and what can be done.
pub fn refuse_others_unopened(data_dir: &std::path::Path, names: &TopicNames) -> anyhow::Result<()> {
    if let Some(current) = data_dir::current(data_dir)?
        && let Some(noted) = noted_in(&GenerationManifest::read(&data_dir::directory(data_dir, current)))
    {
        refuse_others(&format!("generation {current:06} of {}", data_dir.display()), &noted, names)?;
    }
    Ok(())
}

/// Compares with the names that a generation has in its store. Versions that did not note the names left a checkpoint, which has them
/// without what they mean.
///
/// # Errors
/// The errors of [`refuse_others_unopened`].
pub fn refuse_others_opened(generation: u64, reader: &Reader, names: &TopicNames) -> anyhow::Result<()> {
    let of = format!("generation {generation:06}");
    match reader.topics()? {
        Some(noted) => refuse_others(&of, &noted, names),
        None => refuse_strangers(&of, &reader.checkpoint()?, names),
    }
}

/// Returns the topics' names in the cluster, in the order of `Topic::ALL`.
pub fn all(names: &TopicNames) -> [String; 3] {
    Topic::ALL.map(|topic| names.get(topic).to_owned())
}

fn noted_in(about: &GenerationManifest) -> Option<[String; 3]> {
    (!about.topics.is_empty()).then(|| Topic::ALL.map(|topic| about.topic(topic)))
}

/// `of` is a generation or a snapshot that was built from the topics `noted`.
///
/// # Errors
/// The errors of `refuse_others_unopened`.
pub fn refuse_others(of: &str, noted: &[String; 3], names: &TopicNames) -> anyhow::Result<()> {
    match names.difference(noted) {
        None => Ok(()),
        Some(difference) => bail!("{of} was built from other topics: {difference}"),
    }
}

fn refuse_strangers(of: &str, checkpoint: &Checkpoint, names: &TopicNames) -> anyhow::Result<()> {
    let read: BTreeSet<&str> = checkpoint.keys().map(|read| read.topic.as_str()).collect();
    let strangers: Vec<String> =
        read.into_iter().filter(|name| names.topic_of(name).is_none()).map(|name| format!("`{name}`")).collect();
    if strangers.is_empty() {
        return Ok(());
    }
    let [optimizations, jobs, runs] = all(names);
    bail!(
        "{of} was built from {}, too, which is none of the topics that are to be read now (`{optimizations}`, `{jobs}` and \
         `{runs}`): views would be a mixture of both. {}",
        strangers.join(" and "),
        TopicNames::REMEDY
    )
}
