//! From a plan to its end: build, compare, switch. Whatever goes wrong before the switch leaves the live generation as it
//! was; a crash at any moment leaves one or the other.

use std::cell::Cell;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, bail};

use super::building::{Builder, build, tell};
use super::compared::Comparing;
use super::frozen::StandsAt;
use super::plan::{Options, Plan, What};
use super::{Comparison, Finished, Shared, archived, lost};
use crate::disk;
use crate::engine::running::{Restraint, Running};
use crate::engine::{Engine, missing_history};
use crate::projector::{Control, HoldError, Positions};
use crate::source::archive::ArchiveSource;
use crate::store::{self, Opened, Reader};

/// How long a projector may take to come to the other's positions: what readers see grows old meanwhile.
const HOLD_AT_MOST: Duration = Duration::from_millis(400);
/// How long the new generation's checkpoint may take to be on the disk. While both hold, views grow old meanwhile, so it gets
/// less at first.
const SYNC_AT_MOST: Duration = Duration::from_secs(10);
const HOLDS_TRIED: u32 = 120;

pub fn conduct(engine: &Arc<Engine>, plan: &Plan, shared: &Shared) -> anyhow::Result<Finished> {
    let data_dir = &engine.config.data_dir;
    let ended = attempt(engine, plan, shared);
    let is_aborted = ended.is_err() && shared.abort.load(Ordering::Acquire);
    let is_resumed = plan.what != What::Scratch;
    if ended.is_err() && !is_aborted && is_resumed && is_interrupted(engine, shared) {
        return ended.context(
            "it was interrupted, and goes on when `optview serve` starts again, or when asked for again",
        );
    }
    if !matches!(&ended, Ok(finished) if finished.cut_over) && plan.what.is_built() {
        plan.discard(data_dir);
        remove(data_dir, plan.generation);
    }
    Plan::forget(data_dir);
    if is_aborted {
        bail!("it was aborted; the live generation is as it was");
    }
    ended
}

/// Whether the process is about to end: told to, or because the live generation's projector has ended.
fn is_interrupted(engine: &Engine, shared: &Shared) -> bool {
    shared.interrupt.load(Ordering::Acquire) || engine.with_live(Running::has_ended).unwrap_or(true)
}

fn attempt(engine: &Arc<Engine>, plan: &Plan, shared: &Shared) -> anyhow::Result<Finished> {
    let data_dir = &engine.config.data_dir;
    let new = start(engine, plan)?;
    let prepared = prepare(engine, plan, shared, &new);
    let Prepared { comparison, not_compared, records, held, kept_because } = match prepared {
        Ok(prepared) => prepared,
        Err(error) => {
            stop(new);
            return Err(error);
        }
    };
    let finished = |cut_over, kept_because| Finished {
        phase: "done".to_owned(),
        generation: format!("{:06}", plan.generation),
        records,
        comparison,
        cut_over,
        kept_because,
        not_compared,
    };
    if let Some(because) = kept_because {
        drop(held);
        stop(new);
        return Ok(finished(false, Some(because)));
    }
    let accepted = engine
        .with_live(|live| live.reader.clone())
        .and_then(|live| missing_history::accept_in_rebuilt(&plan.options, &live, &new));
    // From here on a restart opens the new one, which is where the live one is, and on the disk.
    let made = accepted.and_then(|()| Ok(store::make_current(data_dir, plan.generation)?));
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
        prune(data_dir, generation, plan.options.keep);
    }
    Ok(finished(true, None))
}

fn start(engine: &Arc<Engine>, plan: &Plan) -> anyhow::Result<Running> {
    let (data_dir, cache) = (&engine.config.data_dir, engine.config.store_cache_bytes);
    let Options { max_rate, until_millis, .. } = plan.options;
    let restraint = Restraint { max_rate, until_millis, is_quiet: true };
    let is_there = store::exists(data_dir, plan.generation)?;
    let archive = plan.options.from_archive.as_ref();
    let archive = archive.map(|directory| archived::open(&engine.config.kafka, directory)).transpose()?;
    if plan.what.is_built() && !is_there {
        let live = engine.with_live(|live| live.reader.clone())?;
        lost::refuse_other_cluster(&engine.config.kafka, &live)?;
        if let (Some(archive), Some(directory)) = (&archive, &plan.options.from_archive) {
            archived::check(&engine.config.kafka, directory, archive.manifest())?;
        }
        if !plan.options.accept_loss {
            let archive = archive.as_ref().map(ArchiveSource::manifest);
            lost::refuse_loss(&engine.config, &live, plan.what, archive)?;
        }
        refuse_full_disk(engine)?;
    }
    plan.keep(data_dir)?;
    let opened = match (plan.what, is_there) {
        (What::Build | What::Scratch, false) => begin_beside(engine, plan)?,
        (What::Return | What::Discard, _) => store::open_beside(data_dir, plan.generation, cache)?,
        (What::Build | What::Scratch, true) => match store::open_beside(data_dir, plan.generation, cache) {
            // It was left half made.
            Err(error) if error.is_damage() => {
                store::remove(data_dir, plan.generation)?;
                begin_beside(engine, plan)?
            }
            opened => opened?,
        },
    };
    engine.run(opened, restraint, archive)
}

/// It is built from the cluster that the live one is built from, also where the brokers are others after a crash.
fn begin_beside(engine: &Engine, plan: &Plan) -> anyhow::Result<Opened> {
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

/// Both projectors hold until this is dropped.
struct Held {
    /// `None`: it stands still anyway.
    live: Option<Arc<Control>>,
    new: Arc<Control>,
    /// When the live one was told to.
    since: Cell<Instant>,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.go_on();
        tracing::debug!(after = ?self.since.get().elapsed(), "both generations go on");
    }
}

impl Held {
    fn go_on(&self) {
        if let Some(live) = &self.live {
            live.go_on();
        }
        self.new.go_on();
    }
}

fn prepare(engine: &Engine, plan: &Plan, shared: &Shared, new: &Running) -> anyhow::Result<Prepared> {
    let (live, live_reader) = engine.with_live(|live| (live.control.clone(), live.reader.clone()))?;
    let stands_at = engine.with_live(|live| StandsAt::of(live, &engine.config))??;
    let Options { until_millis, examples, .. } = plan.options;
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
    let comparing = match plan.what {
        What::Build | What::Scratch if stands_at.is_none() || until_millis.is_some() => {
            Some(compare(shared, &live_reader, &new.reader)?)
        }
        What::Build | What::Scratch | What::Return | What::Discard => None,
    };
    tell(shared, "switching", records, Some(records), None);
    let live = stands_at.is_none().then_some(live);
    let held = Held { live, new: new.control.clone(), since: Cell::new(Instant::now()) };
    let is_only_compared = plan.options.dry_run || until_millis.is_some();
    let positions = match until_millis {
        Some(_) => hold_wherever(&held)?,
        None => hold_both(shared, &held, !is_only_compared)?,
    };
    if let Some(comparing) = comparing {
        comparison = comparing.finish(examples)?;
    }
    let kept_because = if is_only_compared {
        Some("it was only to be compared".to_owned())
    } else if plan.options.expect_same && not_compared.is_some() {
        Some("the views could not be compared, and --expect-same was given".to_owned())
    } else if plan.options.expect_same && comparison.found_differences() {
        Some("views differ, and --expect-same was given".to_owned())
    } else {
        if let Some(stands_at) = &stands_at {
            stands_at.refuse_less(&positions, &plan.options)?;
        }
        None
    };
    Ok(Prepared { comparison, not_compared, records, held, kept_because })
}

pub(super) fn compare<'a>(shared: &Shared, old: &'a Reader, new: &'a Reader) -> anyhow::Result<Comparing<'a>> {
    let begin = Instant::now();
    let mut comparing = Comparing::begin(old, new);
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

/// Has both hold where the one is that is further. Where it `syncs`, the new one's checkpoint of that is on the disk.
fn hold_both(shared: &Shared, held: &Held, syncs: bool) -> anyhow::Result<Positions> {
    let mut why = None;
    for tried in 0..HOLDS_TRIED {
        let sync_at_most = (HOLD_AT_MOST * 2_u32.pow(tried.min(5))).min(SYNC_AT_MOST);
        match try_to_hold(held, syncs.then_some(sync_at_most)) {
            Ok(positions) => return Ok(positions),
            Err(error @ HoldError::TooLong(_)) => {
                tracing::debug!("trying again to bring the generations to the same positions: {error}");
                why = Some(error);
            }
            Err(error) => return Err(error).context("the generations cannot be brought to the same positions"),
        }
        held.go_on();
        if shared.is_told_to_end() {
            bail!("it was told to end");
        }
        std::thread::sleep(Duration::from_millis(500));
    }
    let why = why.map_or_else(|| anyhow!("nothing was tried"), anyhow::Error::from);
    Err(why).context("the generations could not be brought to the same positions")
}

fn try_to_hold(held: &Held, sync_at_most: Option<Duration>) -> Result<Positions, HoldError> {
    if sync_at_most.is_some() {
        sync_ahead(&held.new)?;
    }
    held.since.set(Instant::now());
    let of_live = match &held.live {
        Some(live) => live.hold_here(HOLD_AT_MOST)?,
        None => Positions::new(),
    };
    let mut furthest = held.new.hold_here(HOLD_AT_MOST)?;
    for (partition, &position) in &of_live {
        let furthest = furthest.entry(*partition).or_default();
        *furthest = position.max(*furthest);
    }
    // What the live one cannot read any further is no reason to stay with it.
    let readable = |(partition, _): &(&(_, _), &i64)| of_live.contains_key(*partition);
    let for_live = furthest.iter().filter(readable).map(|(partition, position)| (*partition, *position)).collect();
    if let Some(live) = &held.live {
        live.hold_at(for_live, HOLD_AT_MOST)?;
    }
    held.new.hold_at(furthest.clone(), HOLD_AT_MOST)?;
    if let Some(at_most) = sync_at_most {
        held.new.sync_at(furthest.clone(), at_most)?;
    }
    Ok(furthest)
}

/// What was built since its last checkpoint may be much, and a disk slow: the live one goes on meanwhile, and little is left to
/// be synced while neither does.
fn sync_ahead(new: &Control) -> Result<(), HoldError> {
    let positions = new.hold_here(SYNC_AT_MOST)?;
    new.sync_at(positions, SYNC_AT_MOST)?;
    new.go_on();
    Ok(())
}

/// Where records are left out, positions say nothing.
fn hold_wherever(held: &Held) -> Result<Positions, HoldError> {
    if let Some(live) = &held.live {
        live.hold_here(SYNC_AT_MOST)?;
    }
    held.new.hold_here(SYNC_AT_MOST)
}

fn stop(running: Running) {
    let generation = running.generation;
    if let Err(error) = running.stop() {
        tracing::error!(generation, "a generation did not end as it should: {error:#}");
    }
}

/// Leaves so many beside the live one, the one that was live until now first, then the latest.
fn prune(data_dir: &Path, before: u64, keep: usize) {
    let current = store::current(data_dir).ok().flatten();
    let mut others = store::usable(data_dir).unwrap_or_default();
    others.retain(|&number| Some(number) != current && number != before);
    others.push(before);
    for generation in others.into_iter().rev().skip(keep) {
        remove(data_dir, generation);
    }
}

fn remove(data_dir: &Path, generation: u64) {
    if let Err(error) = store::remove(data_dir, generation) {
        tracing::warn!(generation, %error, "a generation that is not needed could not be removed");
    }
}
