//! The checks before anything is built or brought up to date. A rebuild that would lose something is refused, with the number of views
//! that this touches. Losses that show only in the views are counted when they are compared.

use anyhow::bail;

use super::missing_records::MissingFromTopics;

use crate::config::ProjectionConfig;
use crate::domain::{Job, Optimization, PartitionOffset};
use crate::generation::choice;
use crate::generation::life::RebuildKind;
use crate::source::archive::Manifest;
use crate::source::kafka::{KafkaSettings, metadata};
use crate::source::other_cluster;
use crate::store::{GenerationPosition, Reader};

/// Number of optimizations that are looked up at a time.
const A_STEP: u32 = 2_000;

/// The topics go on where the archive, if there is one, ends.
///
/// # Errors
/// Fails if anything would be lost. The error names what, and what can be done.
pub fn refuse_loss(
    config: &ProjectionConfig,
    live: &Reader,
    what: RebuildKind,
    archive: Option<&Manifest>,
    is_told_to_end: &dyn Fn() -> bool,
) -> anyhow::Result<()> {
    let gone = MissingFromTopics::look(config, &live.checkpoint()?, &live.origins()?, archive)?;
    if gone.is_none() {
        return Ok(());
    }
    if live.check_format().is_err() {
        return refuse_uncounted(&gone);
    }
    let told = gone.told();
    let counts = AffectedViews::count(live, &|position| gone.has(config, position), is_told_to_end)?.told();
    if what == RebuildKind::VerifyOnly {
        bail!(
            "the topics cannot prove the store: they no longer have all that it was built from; gone is {told}. By what is \
             left, {counts}. `optview rebuild --dry-run --accept-loss` compares with what is left, and with --from-archive DIR \
             instead, with an archive and that"
        );
    }
    let (who, way) = match archive {
        None => ("the topics no longer have", "Give --from-archive DIR where an archive has what is gone"),
        Some(_) => ("the archive and the topics together do not have", "Give an archive that goes further back"),
    };
    bail!(
        "{who} all that the live generation was built from; gone is {told}. {counts}. {way}. With --accept-loss it is built \
         from what is left, and the live generation is kept for `optview rollback --frozen`"
    );
}

/// The number of views that this would cost cannot be known of records that cannot be decoded.
fn refuse_uncounted(gone: &MissingFromTopics) -> anyhow::Result<()> {
    bail!(
        "the topics no longer have all that the live generation was built from; gone is {}. Its views go on being served \
         as they are. `optview rebuild --accept-loss` builds from what is left, and with --from-archive DIR instead, \
         from an archive and that; how many views that would cost, only the version that folded them can tell",
        gone.told()
    );
}

/// The number of views and parked jobs that were made of events that are gone.
#[derive(Default)]
struct AffectedViews {
    lost: u64,
    truncated: u64,
    parked_jobs: u64,
}

impl AffectedViews {
    fn count(
        live: &Reader,
        is_lost: &dyn Fn(&PartitionOffset) -> bool,
        is_told_to_end: &dyn Fn() -> bool,
    ) -> anyhow::Result<AffectedViews> {
        let mut touched = AffectedViews::default();
        let go_on = || match is_told_to_end() {
            true => bail!("it was told to end while it counted what would be lost"),
            false => Ok(()),
        };
        for from in (0..live.numbers()).step_by(A_STEP as usize) {
            go_on()?;
            for id in live.ids(from, A_STEP) {
                let Some(kept) = live.stored_record(&id)?.filter(|kept| kept.response.is_some()) else { continue };
                let created = kept.optimization.created.as_ref().map(|created| created.stamp.source);
                if created.as_ref().is_some_and(is_lost) {
                    touched.lost += 1;
                } else if sources(&kept.optimization).any(|source| is_lost(&source)) {
                    touched.truncated += 1;
                }
            }
        }
        let mut ids = live.parked_ids_after(None, A_STEP as usize)?;
        while let Some(last) = ids.last().cloned() {
            go_on()?;
            for id in &ids {
                let job = live.parked_job(id)?;
                let is_touched = job.is_some_and(|job| sources_of(&job).any(|source| is_lost(&source)));
                touched.parked_jobs += u64::from(is_touched);
            }
            ids = live.parked_ids_after(Some(&last), A_STEP as usize)?;
        }
        Ok(touched)
    }

    fn told(&self) -> String {
        let AffectedViews { lost, truncated, parked_jobs } = self;
        let mut told = format!("{lost} views would be lost, and {truncated} or more would miss events");
        if *parked_jobs > 0 {
            told += &format!(", and so would {parked_jobs} jobs that wait for an optimization");
        }
        told
    }
}

/// Checks that an earlier generation can be brought up to date: the topics have all that it has not read yet, and are those that it was
/// reading.
///
/// # Errors
/// The generation cannot be brought up to date: why, and what can be done.
pub fn refuse_to_return(
    config: &ProjectionConfig,
    generation: u64,
    standing: &GenerationPosition,
) -> anyhow::Result<()> {
    let show = choice::show_frozen(generation);
    if let Some(difference) = standing.topics.as_ref().and_then(|topics| config.kafka.topics.difference(topics)) {
        bail!("generation {generation:06} was built from other topics: {difference}. {show}");
    }
    // What lies before that is not needed any more.
    let origins = standing.checkpoint.iter().map(|(key, held)| (key.clone(), held.next_offset)).collect();
    let gone = MissingFromTopics::look(config, &standing.checkpoint, &origins, None)?;
    if gone.is_none() {
        return Ok(());
    }
    bail!(
        "generation {generation:06} cannot be brought up to date, and the live one is as it was: the topics no longer have what \
         comes next, or are others; gone is {}. {show}",
        gone.told()
    );
}

/// # Errors
/// Fails if the brokers are of another cluster than the one that the live generation was built from.
pub fn refuse_other_cluster(kafka: &KafkaSettings, live: &Reader) -> anyhow::Result<()> {
    let Some(built_from) = live.cluster()? else { return Ok(()) };
    match metadata::cluster_id(kafka)? {
        Some(found) if found != built_from => bail!(other_cluster(&built_from, &found)),
        _ => Ok(()),
    }
}

/// Returns the positions of the events that set what is shown.
fn sources(optimization: &Optimization) -> impl Iterator<Item = PartitionOffset> {
    let texts = [
        &optimization.name,
        &optimization.description,
        &optimization.cell_name,
        &optimization.parameterized_model_name,
    ];
    let texts = texts.into_iter().flatten().map(|text| text.stamp.source);
    let links = optimization.links().iter().map(|link| link.stamp.source);
    texts.chain(links).chain(sources_of(&optimization.job))
}

/// Returns the positions of the events of a job. Of its runs only the last one's is known.
fn sources_of(job: &Job) -> impl Iterator<Item = PartitionOffset> {
    let statuses = job.history().iter().map(|transition| transition.stamp.source);
    statuses.chain(job.last_run().map(|run| run.stamp.source))
}
