//! From a plan to its end: build, compare, switch. Whatever goes wrong before the switch leaves the live generation as it
//! was; a crash at any moment leaves one or the other.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use anyhow::{Context as _, bail};

use super::building::{Builder, build, tell};
use super::diff::GenerationDiff;
use super::frozen::StandsAt;
use super::meeting::{Held, hold_both, hold_wherever};
use super::plan::{Plan, RebuildKind, RebuildOptions};
use super::{Comparison, RebuildOutcome, Shared, archive_check, preflight, retention};
use crate::disk;
use crate::generation::runtime::{GenerationRuntime, Throttle};
use crate::generation::{Engine, loss_acceptance, stop, topics};
use crate::source::archive::ArchiveSource;
use crate::store::{self, FrozenMark, OpenStore, Reader};

pub fn conduct(engine: &Arc<Engine>, plan: &Plan, shared: &Shared) -> anyhow::Result<RebuildOutcome> {
    let data_dir = &engine.config.data_dir;
    let ended = attempt(engine, plan, shared);
    let is_aborted = ended.is_err() && shared.abort.load(Ordering::Acquire);
    let is_resumed = plan.kind != RebuildKind::VerifyOnly;
    if ended.is_err() && !is_aborted && is_resumed && is_interrupted(engine, shared) {
        return ended.context(
            "it was interrupted, and goes on when `optview serve` starts again, or when asked for again",
        );
    }
    if !matches!(&ended, Ok(finished) if finished.cut_over) && plan.kind.is_built() {
        plan.discard(data_dir);
        retention::remove(data_dir, plan.generation);
    }
    Plan::forget(data_dir);
    if is_aborted {
        bail!("it was aborted; the live generation is as it was");
    }
    ended
}

/// Whether the process is about to end: told to, or because the live generation's projector has ended.
fn is_interrupted(engine: &Engine, shared: &Shared) -> bool {
    shared.interrupt.load(Ordering::Acquire) || engine.with_live(GenerationRuntime::has_ended).unwrap_or(true)
}

fn attempt(engine: &Arc<Engine>, plan: &Plan, shared: &Shared) -> anyhow::Result<RebuildOutcome> {
    let data_dir = &engine.config.data_dir;
    let new = start(engine, plan, shared)?;
    *shared.new.lock() = Some(new.status.clone());
    let prepared = prepare(engine, plan, shared, &new);
    let Prepared { comparison, not_compared, records, held, kept_because } = match prepared {
        Ok(prepared) => prepared,
        Err(error) => {
            stop(new);
            return Err(error);
        }
    };
    let mut finished = RebuildOutcome {
        phase: "done".to_owned(),
        generation: format!("{:06}", plan.generation),
        records,
        found: shared.counts(),
        comparison,
        cut_over: false,
        kept_because,
        not_compared,
        frozen: false,
        spared: Vec::new(),
    };
    if finished.kept_because.is_some() {
        drop(held);
        stop(new);
        return Ok(finished);
    }
    let accepted = engine
        .with_live(|live| live.reader.clone())
        .and_then(|live| loss_acceptance::accept_in_rebuilt(&plan.options, &live, &new));
    // From here on a restart opens the new one, which is where the live one is, and on the disk.
    let made = accepted.and_then(|()| make_current(engine, plan, &finished, &new.reader));
    if let Err(error) = made {
        drop(held);
        stop(new);
        return Err(error);
    }
    let before = engine.switch_to(new);
    drop(held);
    if let Some(before) = before {
        let generation = before.generation;
        stop(before);
        let spared = retention::prune(data_dir, generation, plan.options.keep);
        finished.spared = spared.into_iter().map(|number| format!("{number:06}")).collect();
    }
    Ok(RebuildOutcome { cut_over: true, ..finished })
}

/// Notes first what only the live one has, so that nothing removes it unasked.
fn make_current(engine: &Engine, plan: &Plan, finished: &RebuildOutcome, new: &Reader) -> anyhow::Result<()> {
    let data_dir = &engine.config.data_dir;
    let (live, path) = engine.with_live(|live| (live.reader.clone(), live.path.clone()))?;
    let losses = &finished.comparison.losses;
    let more = match plan.kind {
        // How the one that is gone back to differs is not looked at; but what it never read is known.
        RebuildKind::Rollback | RebuildKind::Discard => began_earlier(&live, new)?,
        RebuildKind::Build | RebuildKind::VerifyOnly if !losses.is_none() => Some(losses.told()),
        RebuildKind::Build | RebuildKind::VerifyOnly
            if plan.options.accept_loss && live.check_format().is_err() =>
        {
            Some("how many views were lost could not be told, as another version had folded them".to_owned())
        }
        RebuildKind::Build | RebuildKind::VerifyOnly => None,
    };
    if more.is_some() || plan.kind.is_built() {
        store::note_surplus(&path, plan.generation, more)?;
    }
    if !plan.kind.is_built() {
        // It takes its place again.
        store::note_surplus(&store::directory(data_dir, plan.generation), plan.generation, None)?;
    }
    // It was to be shown frozen, and never came to that: it must not after the next start.
    FrozenMark::clear_of(data_dir, plan.generation)?;
    store::make_current(data_dir, plan.generation)?;
    if let Err(error) = FrozenMark::clear(data_dir) {
        // It names another generation, and so counts for nothing.
        tracing::warn!(%error, "what `optview rollback --frozen` left could not be removed");
    }
    Ok(())
}

/// The partitions that the live generation was read from an earlier offset of, as from an archive.
fn began_earlier(live: &Reader, new: &Reader) -> anyhow::Result<Option<String>> {
    let (ours, theirs) = (live.origins()?, new.origins()?);
    let is_earlier = |(key, origin): &(&(String, i32), &i64)| theirs.get(*key).is_some_and(|new| *origin < new);
    let earlier = ours
        .iter()
        .filter(is_earlier)
        .map(|((topic, partition), from)| format!("{topic}/{partition} from {from}"));
    let earlier: Vec<String> = earlier.collect();
    Ok((!earlier.is_empty()).then(|| format!("only it was built from {}", earlier.join(", "))))
}

fn start(engine: &Arc<Engine>, plan: &Plan, shared: &Shared) -> anyhow::Result<GenerationRuntime> {
    let (data_dir, cache) = (&engine.config.data_dir, engine.config.store_cache_bytes);
    let RebuildOptions { max_rate, until_millis, .. } = plan.options;
    let restraint = Throttle { max_rate, until_millis, is_quiet: true };
    let is_there = store::exists(data_dir, plan.generation)?;
    let archive = plan.options.from_archive.as_ref();
    let archive = archive.map(|directory| archive_check::open(&engine.config.kafka, directory)).transpose()?;
    if plan.kind.is_built() && !is_there {
        let live = engine.with_live(|live| live.reader.clone())?;
        preflight::refuse_other_cluster(&engine.config.kafka, &live)?;
        if let (Some(archive), Some(directory)) = (&archive, &plan.options.from_archive) {
            archive_check::check(&engine.config.kafka, directory, archive.manifest())?;
        }
        if !plan.options.accept_loss {
            let archive = archive.as_ref().map(ArchiveSource::manifest);
            preflight::refuse_loss(&engine.config, &live, plan.kind, archive, &|| shared.is_told_to_end())?;
        }
        refuse_full_disk(engine)?;
    }
    plan.keep(data_dir)?;
    let opened = match (plan.kind, is_there) {
        (RebuildKind::Build | RebuildKind::VerifyOnly, false) => begin_beside(engine, plan)?,
        (RebuildKind::Rollback | RebuildKind::Discard, _) => store::open_beside(data_dir, plan.generation, cache)?,
        (RebuildKind::Build | RebuildKind::VerifyOnly, true) => {
            match store::open_beside(data_dir, plan.generation, cache) {
                // It was left half made.
                Err(error) if error.is_damage() => {
                    store::remove(data_dir, plan.generation)?;
                    begin_beside(engine, plan)?
                }
                opened => opened?,
            }
        }
    };
    topics::refuse_others_opened(plan.generation, &opened.writer.reader(), &engine.config.kafka.topics)?;
    engine.run(opened, restraint, archive)
}

/// It is built from the cluster that the live one is built from, also where the brokers are others after a crash.
fn begin_beside(engine: &Engine, plan: &Plan) -> anyhow::Result<OpenStore> {
    let opened = store::begin_beside(&engine.config.data_dir, plan.generation, engine.config.store_cache_bytes)?;
    if let Some(id) = engine.with_live(|live| live.reader.cluster())?? {
        opened.writer.note_cluster(&id)?;
    }
    Ok(opened)
}

/// It takes about as much as the live one.
fn refuse_full_disk(engine: &Engine) -> anyhow::Result<()> {
    let config = &engine.config;
    let Some(live) = store::list(&config.data_dir)?.into_iter().find(|listed| listed.live) else { return Ok(()) };
    let wanted = live.bytes + config.min_free_disk_bytes;
    if disk::free_bytes(&config.data_dir)? < wanted {
        bail!(
            "there is too little room on the disk of {}: another generation takes about {} bytes, and --min-free-disk \
             are to be left",
            config.data_dir.display(),
            live.bytes
        );
    }
    Ok(())
}

struct Prepared {
    comparison: Comparison,
    not_compared: Option<String>,
    records: u64,
    held: Held,
    /// Why readers are not to see it.
    kept_because: Option<String>,
}

fn prepare(engine: &Engine, plan: &Plan, shared: &Shared, new: &GenerationRuntime) -> anyhow::Result<Prepared> {
    let (live, live_reader) =
        engine.with_live(|live| ((live.control.clone(), live.status.clone()), live.reader.clone()))?;
    let stands_at = engine.with_live(|live| StandsAt::of(live, &engine.config))??;
    let RebuildOptions { until_millis, examples, .. } = plan.options;
    // Where records are left out, positions say nothing.
    let to_compare_at = stands_at.as_ref().filter(|_| until_millis.is_none());
    let mut not_compared = to_compare_at.and_then(|_| StandsAt::not_compared(plan));
    let mut comparison = Comparison::default();
    if let Some(stands_at) = to_compare_at.filter(|_| not_compared.is_none()) {
        let mut builder = Builder::begin(engine, shared, new);
        match stands_at.compare(shared, &plan.options, &live_reader, new, &mut builder)? {
            Ok(compared) => comparison = compared,
            Err(why) => not_compared = Some(why),
        }
    }
    let records = build(engine, shared, new)?;
    new.set_built();
    let comparing = match plan.kind {
        RebuildKind::Build | RebuildKind::VerifyOnly if stands_at.is_none() || until_millis.is_some() => {
            Some(compare(shared, &live_reader, &new.reader)?)
        }
        RebuildKind::Build | RebuildKind::VerifyOnly | RebuildKind::Rollback | RebuildKind::Discard => None,
    };
    if let (Some(_), RebuildKind::Build, None) = (&stands_at, plan.kind, until_millis) {
        let losses = StandsAt::losses(&live_reader, &new.reader, shared)?;
        comparison.losses = std::mem::take(&mut comparison.losses).or_more(losses);
    }
    tell(shared, "switching", records, Some(records), None);
    let live = stands_at.is_none().then_some(live);
    let names = engine.config.kafka.topics.clone();
    let held = Held::new(live, (new.control.clone(), new.status.clone()), names);
    let is_only_compared = plan.options.dry_run || until_millis.is_some();
    let positions = match until_millis {
        Some(_) => hold_wherever(&held)?,
        None => hold_both(shared, &held, !is_only_compared)?,
    };
    if let Some(comparing) = comparing {
        comparison = comparing.finish(examples)?;
    }
    let kept_because = kept_because(plan, &comparison, not_compared.as_deref());
    if kept_because.is_none() {
        comparison.losses.refuse(plan)?;
        stands_at.map_or(Ok(()), |stands_at| stands_at.refuse_less(&positions, plan))?;
    }
    Ok(Prepared { comparison, not_compared, records, held, kept_because })
}

/// Why readers are not to see the new one, where that was asked for.
fn kept_because(plan: &Plan, comparison: &Comparison, not_compared: Option<&str>) -> Option<String> {
    let RebuildOptions { dry_run, until_millis, expect_same, .. } = plan.options;
    let because = if dry_run || until_millis.is_some() {
        "it was only to be compared"
    } else if expect_same && not_compared.is_some() {
        "the views could not be compared, and --expect-same was given"
    } else if expect_same && comparison.found_differences() {
        "views differ, and --expect-same was given"
    } else {
        return None;
    };
    Some(because.to_owned())
}

pub(super) fn compare<'a>(
    shared: &Shared,
    old: &'a Reader,
    new: &'a Reader,
) -> anyhow::Result<GenerationDiff<'a>> {
    let begin = Instant::now();
    let mut comparing = GenerationDiff::begin(old, new);
    let all = comparing.look(&mut |done, total| {
        let rate = done as f64 / begin.elapsed().as_secs_f64().max(0.001);
        tell(shared, "comparing", done, Some(total), Some(rate));
        !shared.is_told_to_end()
    })?;
    if !all {
        bail!("it was told to end");
    }
    Ok(comparing)
}
