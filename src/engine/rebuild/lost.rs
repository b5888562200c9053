//! What would be lost: history that the live generation was built from, and that neither the topics nor the archive that is
//! read before them has any more; and whether they are the topics that it was built from at all.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::bail;

use super::What;
use crate::config::ProjectionConfig;
use crate::domain::{Optimization, Position, Topic};
use crate::source::archive::{Manifest, Span};
use crate::source::kafka::{KafkaSettings, look};
use crate::source::{Watermarks, other_cluster};
use crate::store::Reader;

/// How many optimizations are looked up at a time.
const A_STEP: u32 = 2_000;

/// The topics go on where the archive, if there is one, ends.
///
/// # Errors
/// Where anything would be lost: what, and what can be done.
pub fn refuse_loss(
    config: &ProjectionConfig,
    live: &Reader,
    what: What,
    archive: Option<&Manifest>,
) -> anyhow::Result<()> {
    if live.is_frozen() {
        return refuse_loss_of_frozen(config, live, archive);
    }
    let origins = live.origins()?;
    let checkpoint = live.checkpoint()?;
    let topics: BTreeSet<&str> = checkpoint.keys().map(|(topic, _)| topic.as_str()).collect();
    let there = look::watermarks(&config.kafka, topics)?;
    let archived = archive.map(first_offsets).unwrap_or_default();
    let begin = |(key, held): (&(String, i32), &Watermarks)| {
        let archived = archived.get(key).copied().unwrap_or(held.low);
        (key.clone(), held.low.min(archived))
    };
    // Where it is not known what the live one was built from, it was from the beginning.
    let is_gone = |(key, begin): &((String, i32), i64)| {
        checkpoint.contains_key(key) && *begin > origins.get(key).copied().unwrap_or(0)
    };
    let gone: BTreeMap<(String, i32), i64> = there.iter().map(begin).filter(is_gone).collect();
    if gone.is_empty() {
        return Ok(());
    }
    let is_lost = |position: &Position| {
        let key = (config.kafka.topics.get(position.topic).to_owned(), position.partition);
        gone.get(&key).is_some_and(|&low| position.offset < low)
    };
    let (mut lost, mut truncated) = (0, 0);
    for from in (0..live.numbers()).step_by(A_STEP as usize) {
        for id in live.ids(from, A_STEP) {
            let Some(kept) = live.kept(&id)?.filter(|kept| kept.response.is_some()) else { continue };
            let created = kept.optimization.created.as_ref().map(|created| created.stamp.source);
            if created.as_ref().is_some_and(is_lost) {
                lost += 1;
            } else if sources(&kept.optimization).any(|source| is_lost(&source)) {
                truncated += 1;
            }
        }
    }
    let gone: Vec<String> = gone
        .iter()
        .map(|((topic, partition), begin)| {
            let from = origins.get(&(topic.clone(), *partition)).copied().unwrap_or(0);
            format!("{topic}/{partition} from {from} to {begin}")
        })
        .collect();
    let gone = gone.join(", ");
    if what == What::Scratch {
        bail!(
            "the topics cannot prove the store: they no longer have all that it was built from; gone is {gone}. By what is \
             left, {lost} views would not be there, and {truncated} or more would miss events. `optview rebuild --dry-run \
             --accept-loss` compares with what is left, and with --from-archive DIR instead, with an archive and that"
        );
    }
    let (who, way) = match archive {
        None => ("the topics no longer have", "Give --from-archive DIR where an archive has what is gone"),
        Some(_) => ("the archive and the topics together do not have", "Give an archive that goes further back"),
    };
    bail!(
        "{who} all that the live generation was built from; gone is {gone}. {lost} views would be lost, and {truncated} or \
         more would miss events. {way}. With --accept-loss it is built from what is left"
    );
}

/// Of each partition that it has something of, by the topic's name in the cluster.
fn first_offsets(archive: &Manifest) -> BTreeMap<(String, i32), i64> {
    let names = archive.names();
    let first =
        |((topic, partition), span): ((Topic, i32), Span)| ((names.get(topic).to_owned(), partition), span.first);
    archive.spans().into_iter().map(first).collect()
}

/// Nobody has asked for it to be built anew, and what was read last may be gone, too. How many views that would cost cannot
/// be told of records that cannot be decoded.
fn refuse_loss_of_frozen(
    config: &ProjectionConfig,
    live: &Reader,
    archive: Option<&Manifest>,
) -> anyhow::Result<()> {
    let (origins, checkpoint) = (live.origins()?, live.checkpoint()?);
    let topics: BTreeSet<&str> = checkpoint.keys().map(|(topic, _)| topic.as_str()).collect();
    let there = look::watermarks(&config.kafka, topics)?;
    let archived = archive.map(first_offsets).unwrap_or_default();
    let gone = checkpoint.iter().filter_map(|(key, held)| {
        let (name, partition) = key;
        let origin = origins.get(key).copied().unwrap_or(0);
        match there.get(key) {
            Some(Watermarks { low, .. }) if archived.get(key).unwrap_or(low).min(low) > &origin => {
                let begin = archived.get(key).unwrap_or(low).min(low);
                Some(format!("{name}/{partition} from {origin} to {begin}"))
            }
            Some(Watermarks { high, .. }) if *high < held.next_offset => {
                Some(format!("{name}/{partition} from {high} to {}", held.next_offset))
            }
            Some(_) if config.kafka.topics.called(name).is_some() => None,
            Some(_) => Some(format!("{name}/{partition}, which is none of the topics that are to be read")),
            None => Some(format!("{name}/{partition} as a whole")),
        }
    });
    let gone: Vec<String> = gone.collect();
    if gone.is_empty() {
        return Ok(());
    }
    bail!(
        "the topics no longer have all that the live generation was built from; gone is {}. Its views go on being served \
         as they are. `optview rebuild --accept-loss` builds from what is left, and with --from-archive DIR instead, \
         from an archive and that; how many views that would cost, only the version that folded them can tell",
        gone.join(", ")
    );
}

/// # Errors
/// Where the brokers are another cluster's than the live generation was built from.
pub fn refuse_other_cluster(kafka: &KafkaSettings, live: &Reader) -> anyhow::Result<()> {
    let Some(built_from) = live.cluster()? else { return Ok(()) };
    match look::cluster_id(kafka)? {
        Some(found) if found != built_from => bail!(other_cluster(&built_from, &found)),
        _ => Ok(()),
    }
}

/// Where the events were that set what is shown.
fn sources(optimization: &Optimization) -> impl Iterator<Item = Position> {
    let texts = [
        &optimization.name,
        &optimization.description,
        &optimization.cell_name,
        &optimization.parameterized_model_name,
    ];
    let texts = texts.into_iter().flatten().map(|text| text.stamp.source);
    let links = optimization.links().iter().map(|link| link.stamp.source);
    let statuses = optimization.job.history().iter().map(|transition| transition.stamp.source);
    texts.chain(links).chain(statuses)
}
