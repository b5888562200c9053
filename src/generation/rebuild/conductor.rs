//! The shell of a plan: carries out what [`Life`] asks for, and hands back what came of it. Whatever fails, in an action or by a
//! panic in it, is an answer like any other.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, bail};

use super::build_meter::BuildMeter;
use super::diff::{GenerationDiff, compare};
use super::exchange::RebuildExchange;
use super::outcome::RebuildOutcome;
use super::pair::PausedPair;
use super::{archive_check, at_frozen, handover, preflight, survey};
use crate::data_dir;
use crate::generation::life::action::{Action, Answer, Input};
use crate::generation::life::ending::{Ending, Failure};
use crate::generation::life::{Course, Life, Plan, Step};
use crate::generation::live::{LiveSlot, stop};
use crate::generation::runtime::{GenerationRuntime, Throttle};
use crate::generation::{files, topics};
use crate::projector::{PauseError, Positions};
use crate::source::archive::ArchiveSource;
use crate::status::RebuildCounts;
use crate::store::{self, OpenStore, Reader};

/// The reason for the end of what has panicked.
pub const PANICKED: &str = "it panicked; the log says where";
/// Time that a projector may take to answer where it is asked to pause on its way.
const PAUSES_WITHIN: Duration = Duration::from_millis(100);

/// Carries out a plan.
///
/// # Errors
/// The live generation is as it was.
pub fn conduct(live_slot: &LiveSlot, plan: &Plan, shared: &RebuildExchange) -> Result<RebuildOutcome, Failure> {
    let begin = Instant::now();
    let mut conductor = Conductor::new(live_slot, plan, shared);
    let mut step = Life::begin(plan.clone());
    loop {
        match step {
            Step::End(course, ending) => return conductor.outcome(*course, ending),
            Step::Act(life, action) => {
                let answer = conductor.answer(&action);
                step = life.step(Input { now: begin.elapsed(), order: shared.order(live_slot), answer });
            }
        }
    }
}

/// The resources that are open for the sake of a plan.
struct Conductor<'a> {
    live_slot: &'a LiveSlot,
    plan: &'a Plan,
    shared: &'a RebuildExchange,
    archive: Option<ArchiveSource>,
    new: NewGeneration,
    meter: BuildMeter,
    diff: Option<GenerationDiff>,
    paused: Option<PausedPair>,
    /// The generation that was live before, once it is not any more.
    old: Option<GenerationRuntime>,
    /// The counts of the new generation, once it is done with being built.
    found: Option<RebuildCounts>,
}

/// The generation that the plan makes.
enum NewGeneration {
    NotOpen,
    Open(OpenStore),
    Running(GenerationRuntime),
}

impl<'a> Conductor<'a> {
    fn new(live_slot: &'a LiveSlot, plan: &'a Plan, shared: &'a RebuildExchange) -> Conductor<'a> {
        Conductor {
            live_slot,
            plan,
            shared,
            archive: None,
            new: NewGeneration::NotOpen,
            meter: BuildMeter::new(),
            diff: None,
            paused: None,
            old: None,
            found: None,
        }
    }

    fn answer(&mut self, action: &Action) -> Answer {
        // sled reports damage by a panic as often as by an error.
        let answer = catch_unwind(AssertUnwindSafe(|| self.carry_out(action)));
        let answer = answer.unwrap_or_else(|_| Err(anyhow!(PANICKED)));
        answer.unwrap_or_else(|error| Answer::Failed(format!("{error:#}")))
    }

    fn carry_out(&mut self, action: &Action) -> anyhow::Result<Answer> {
        let Conductor { live_slot, plan, shared, .. } = *self;
        let data_dir = &live_slot.config.data_dir;
        match action {
            Action::Survey => return self.survey(),
            Action::Preflight { refuses_loss } => self.preflight(*refuses_loss)?,
            Action::File(action) => return files::carry_out(data_dir, action),
            Action::Create => self.new = NewGeneration::Open(self.create()?),
            Action::Open => return self.open(),
            Action::StartProjector => self.start_projector()?,
            Action::PauseNewAt(positions) => return self.pause_new_at(positions),
            Action::CompareAtFrozen { positions, compares_views } => {
                return self.compare_at_frozen(positions, *compares_views);
            }
            Action::ResumeNew => {
                self.running()?.control.resume();
                self.meter = BuildMeter::new();
                shared.show_phase("building", 0, None);
            }
            Action::LookAtBuild => {
                return Ok(Answer::Looked(self.meter.look(live_slot, shared, running(&self.new)?)?));
            }
            Action::Wait(time) => std::thread::sleep(*time),
            Action::LiftThrottle => self.running()?.set_built(),
            Action::CompareAll => self.diff = Some(self.compare()?),
            Action::CountLosses => return Ok(Answer::Lost(self.compare()?.finish(0)?.losses)),
            Action::AnnounceSwitch { records } => shared.show_phase("switching", *records, Some(*records)),
            Action::PauseBoth { checkpoint_within } => {
                let pair = self.pair()?;
                let answer = pair.meet(shared, *checkpoint_within)?;
                self.paused = matches!(answer, Answer::Paused(_)).then_some(pair);
                return Ok(answer);
            }
            Action::PauseAnywhere => {
                let pair = self.pair()?;
                let positions = pair.pause_anywhere()?;
                self.paused = Some(pair);
                return Ok(Answer::Paused(positions));
            }
            Action::FinishComparison => {
                let diff = self.diff.take().context("nothing has been compared")?;
                return Ok(Answer::Compared(diff.finish(plan.options.examples)?));
            }
            Action::ResumeBoth => {
                // What the two have come to is counted where they are held against each other.
                if self.paused.is_some() {
                    self.found.get_or_insert_with(|| shared.counts());
                }
                (self.diff, self.paused) = (None, None);
            }
            Action::AcceptMissingHistory => {
                handover::accept_missing_history(&plan.options, &self.live_reader()?, self.running()?)?;
            }
            Action::CompareOrigins => {
                let new = &self.running()?.reader;
                return Ok(Answer::BegunEarlier(handover::begun_earlier(&self.live_reader()?, new)?));
            }
            Action::SwitchReaders => self.switch_readers()?,
            Action::StopNew => {
                self.found.get_or_insert_with(|| shared.counts());
                if let NewGeneration::Running(new) = std::mem::replace(&mut self.new, NewGeneration::NotOpen) {
                    stop(new);
                }
            }
            Action::StopOld => match self.old.take() {
                Some(old) => stop(old),
                None => return Ok(Answer::NothingToStop),
            },
        }
        Ok(Answer::Done)
    }

    fn running(&self) -> anyhow::Result<&GenerationRuntime> {
        running(&self.new)
    }

    fn live_reader(&self) -> anyhow::Result<Reader> {
        self.live_slot.with_live(|live| live.reader.clone())
    }

    fn compare(&self) -> anyhow::Result<GenerationDiff> {
        compare(self.shared, self.live_reader()?, self.running()?.reader.clone())
    }

    fn survey(&mut self) -> anyhow::Result<Answer> {
        let config = &self.live_slot.config;
        let directory = self.plan.options.from_archive.as_ref();
        self.archive = directory.map(|directory| archive_check::open(&config.kafka, directory)).transpose()?;
        self.live_slot.with_live(|live| survey::of_served(live, config, self.plan.generation))?
    }

    fn preflight(&self, refuses_loss: bool) -> anyhow::Result<()> {
        let config = &self.live_slot.config;
        let live = self.live_reader()?;
        preflight::refuse_other_cluster(&config.kafka, &live)?;
        let archive = self.archive.as_ref().map(ArchiveSource::manifest);
        if let (Some(archive), Some(directory)) = (archive, &self.plan.options.from_archive) {
            archive_check::check(&config.kafka, directory, archive)?;
        }
        if refuses_loss {
            let is_told_to_end = || self.shared.is_told_to_end();
            preflight::refuse_loss(config, &live, self.plan.kind, archive, &is_told_to_end)?;
        }
        // A generation takes about as much as the live one.
        let listed = data_dir::list(&config.data_dir)?.into_iter().find(|listed| listed.live);
        let Some(bytes) = listed.map(|live| live.bytes) else { return Ok(()) };
        if config.disk_reserve.shortage(&config.data_dir, bytes)?.is_some() {
            bail!(
                "there is too little room on the disk of {}: another generation takes about {bytes} bytes, and \
                 --min-free-disk are to be left",
                config.data_dir.display(),
            );
        }
        Ok(())
    }

    /// The generation is built from the cluster that the live one is built from, also where the brokers are others after a crash.
    fn create(&self) -> anyhow::Result<OpenStore> {
        let config = &self.live_slot.config;
        let opened = store::begin_beside(&config.data_dir, self.plan.generation, config.store_cache_bytes)?;
        if let Some(id) = self.live_slot.with_live(|live| live.reader.cluster())?? {
            opened.writer.note_cluster(&id)?;
        }
        Ok(opened)
    }

    fn open(&mut self) -> anyhow::Result<Answer> {
        let config = &self.live_slot.config;
        match store::open_beside(&config.data_dir, self.plan.generation, config.store_cache_bytes) {
            Ok(opened) => {
                self.new = NewGeneration::Open(opened);
                Ok(Answer::Done)
            }
            Err(error) if error.is_damage() => Ok(Answer::Damaged(error.to_string())),
            Err(error) => Err(error.into()),
        }
    }

    fn start_projector(&mut self) -> anyhow::Result<()> {
        let NewGeneration::Open(opened) = std::mem::replace(&mut self.new, NewGeneration::NotOpen) else {
            bail!("no generation has been opened");
        };
        let (config, options) = (&self.live_slot.config, &self.plan.options);
        topics::refuse_others_opened(self.plan.generation, &opened.writer.reader(), &config.kafka.topics)?;
        let throttle = Throttle { max_rate: options.max_rate, until_millis: options.until_millis, is_quiet: true };
        let new = self.live_slot.run(opened, throttle, self.archive.take())?;
        self.shared.set_new(&new.status);
        self.new = NewGeneration::Running(new);
        Ok(())
    }

    fn pause_new_at(&mut self, positions: &Positions) -> anyhow::Result<Answer> {
        let new = running(&self.new)?;
        match new.control.pause_at(positions.clone(), PAUSES_WITHIN) {
            Err(PauseError::TooLong(_)) => {
                Ok(Answer::Looked(self.meter.look(self.live_slot, self.shared, new)?))
            }
            reached => Ok(Answer::Paused(
                reached.context("the new generation cannot be brought to where the live one is")?,
            )),
        }
    }

    fn compare_at_frozen(&self, positions: &Positions, compares_views: bool) -> anyhow::Result<Answer> {
        let new = self.running()?;
        at_frozen::refuse_other_records(&self.live_reader()?, new, positions)?;
        match compares_views {
            true => Ok(Answer::Compared(self.compare()?.finish(self.plan.options.examples)?)),
            false => Ok(Answer::Done),
        }
    }

    fn pair(&self) -> anyhow::Result<PausedPair> {
        let new = self.running()?;
        // A frozen generation stands still anyway.
        let live = self
            .live_slot
            .with_live(|live| (!live.reader.is_frozen()).then(|| (live.control.clone(), live.status.clone())))?;
        let names = self.live_slot.config.kafka.topics.clone();
        Ok(PausedPair::new(live, (new.control.clone(), new.status.clone()), names))
    }

    fn switch_readers(&mut self) -> anyhow::Result<()> {
        self.found = Some(self.shared.counts());
        let handed_over =
            self.live_reader().and_then(|live| handover::hand_over_letter_topic(&live, self.running()?));
        if let Err(error) = handed_over {
            tracing::warn!(%error, "the new generation writes all of its dead letters to their topic");
        }
        match std::mem::replace(&mut self.new, NewGeneration::NotOpen) {
            NewGeneration::Running(new) => self.old = self.live_slot.switch_to(new),
            NewGeneration::NotOpen | NewGeneration::Open(_) => bail!("no generation is kept up to date"),
        }
        Ok(())
    }

    fn outcome(self, course: Course, ending: Ending) -> Result<RebuildOutcome, Failure> {
        let outcome = RebuildOutcome {
            phase: "done".to_owned(),
            generation: format!("{:06}", self.plan.generation),
            records: course.records,
            found: self.found.unwrap_or_default(),
            comparison: course.comparison,
            cut_over: false,
            kept_because: None,
            not_compared: course.not_compared.map(|why| why.to_string()),
            frozen: false,
            spared: Vec::new(),
        };
        match ending {
            Ending::Switched { spared } => {
                let spared = spared.into_iter().map(|number| format!("{number:06}")).collect();
                Ok(RebuildOutcome { cut_over: true, spared, ..outcome })
            }
            Ending::NotSwitched(why) => Ok(RebuildOutcome { kept_because: Some(why.to_string()), ..outcome }),
            Ending::Failed(failure) => Err(failure),
        }
    }
}

fn running(new: &NewGeneration) -> anyhow::Result<&GenerationRuntime> {
    match new {
        NewGeneration::Running(new) => Ok(new),
        NewGeneration::NotOpen | NewGeneration::Open(_) => bail!("the new generation's projector does not run"),
    }
}
