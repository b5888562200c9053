//! The world that answers the machines: the real files, and projectors that are simulated.

use core::time::Duration;
use std::fmt;

use super::images::{Change, Image, Images, Start};
use super::scenarios::{Aim, Scenario, positions};
use crate::generation::life::action::{
    Action, Answer, BuildProgress, Facts, FileAction, Input, LiveProgress, NewProgress, Order,
};
use crate::generation::life::comparison::Comparison;
use crate::generation::life::losses::Losses;
use crate::generation::life::show::{LiveBefore, Show, ShowAction, ShowStep};
use crate::generation::life::{Life, Plan, Step};

/// A machine and the action that it waits for.
#[derive(Clone, Debug)]
pub enum Machine {
    Life(Box<Life>, Action),
    Show(Show, ShowAction),
}

/// All that the process and the files know.
#[derive(Clone, Debug)]
pub struct World {
    pub image: Image,
    now: Duration,
    order: Order,
    /// Records that the new generation's projector has read, on the disk or not.
    read: u64,
    /// Readers see the new generation.
    pub has_switched: bool,
    /// `CURRENT` names the new generation, and readers are not to see it in this process any more.
    pub current_is_ahead: bool,
}

/// The way in which an action ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Alternative {
    Well,
    /// It fails, and changes nothing.
    Fails,
    /// It is done, and reported as failed.
    FailsAfterwards,
    /// It ends well, and somebody has ordered something meanwhile.
    Ordered(Order),
    /// The new generation's projector, or the live one's, has ended.
    NewEnds,
    LiveEnds,
    /// The generation has not come there yet.
    NotYet,
    /// The live generation was read from an earlier offset.
    BegunEarlier,
}

impl fmt::Display for Alternative {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{self:?}")
    }
}

impl World {
    pub fn begin(scenario: &Scenario, images: &mut Images) -> (Machine, World) {
        let mut image = images.empty();
        for change in &scenario.changes {
            image = images.change(&image, change).0;
        }
        let machine = match &scenario.aim {
            Aim::CarryOut(plan) => first(Life::begin(plan.clone())),
            Aim::ShowAsLeft(generation) => {
                let (live, is_frozen_as_asked) = (scenario.live_generation, scenario.is_asked_for());
                let before = LiveBefore { generation: live, is_frozen_as_asked, has_surplus: false };
                shown(Show::begin(*generation, before)).expect("an action")
            }
        };
        (machine, World::of(image))
    }

    /// The process that resumes a plan.
    pub fn resume(scenario: &Scenario, start: &Start, plan: Plan) -> (Machine, World) {
        assert!(matches!(&scenario.aim, Aim::CarryOut(planned) if *planned == plan), "{plan:?}");
        (first(Life::begin(plan)), World::of(start.image.clone()))
    }

    fn of(image: Image) -> World {
        World {
            image,
            now: Duration::ZERO,
            order: Order::GoOn,
            read: 0,
            has_switched: false,
            current_is_ahead: false,
        }
    }

    /// Records that readers may have seen of the new generation.
    pub fn readers_may_have_seen(&self, scenario: &Scenario) -> u64 {
        match &scenario.aim {
            Aim::CarryOut(plan) if plan.kind.is_built() => scenario.topics,
            Aim::CarryOut(_) => scenario.topics.max(scenario.shown),
            Aim::ShowAsLeft(generation) => self.image.records(*generation),
        }
    }

    pub fn alternatives(&self, machine: &Machine) -> Vec<Alternative> {
        let mut alternatives = vec![Alternative::Well, Alternative::Fails];
        let action = match machine {
            Machine::Life(_, action) => action,
            Machine::Show(_, ShowAction::File(_)) => {
                alternatives.push(Alternative::FailsAfterwards);
                return alternatives;
            }
            Machine::Show(..) => return alternatives,
        };
        match action {
            Action::File(_) => alternatives.push(Alternative::FailsAfterwards),
            Action::LookAtBuild => alternatives.extend([Alternative::NewEnds, Alternative::LiveEnds]),
            Action::PauseNewAt(_) => alternatives.extend([Alternative::NewEnds, Alternative::NotYet]),
            Action::PauseBoth { .. } if self.now < Duration::from_secs(1) => {
                alternatives.push(Alternative::NotYet);
            }
            Action::CompareOrigins => alternatives.push(Alternative::BegunEarlier),
            _ => {}
        }
        if self.order == Order::GoOn {
            let orders = [Order::Abort, Order::Interrupt, Order::LiveEnded];
            alternatives.extend(orders.map(Alternative::Ordered));
        }
        alternatives
    }

    /// Carries out the action. Gives the machine after that, unless it has ended.
    pub fn after(
        &self,
        machine: &Machine,
        alternative: &Alternative,
        scenario: &Scenario,
        images: &mut Images,
    ) -> (Option<Machine>, World) {
        let mut world = self.clone();
        let next = match machine.clone() {
            Machine::Life(life, action) => {
                let answer = world.answer(&action, alternative, scenario, images);
                if let Alternative::Ordered(order) = alternative {
                    world.order = *order;
                }
                match life.step(Input { now: world.now, order: world.order, answer }) {
                    Step::Act(life, action) => Some(Machine::Life(life, action)),
                    Step::End(..) => None,
                }
            }
            Machine::Show(show, action) => shown(show.step(world.show(&action, alternative, images))),
        };
        (next, world)
    }

    fn show(&mut self, action: &ShowAction, alternative: &Alternative, images: &mut Images) -> Result<(), String> {
        if *alternative == Alternative::Fails {
            self.current_is_ahead |= *action == ShowAction::SwitchReaders;
            return Err("it failed".to_owned());
        }
        match action {
            ShowAction::File(action) => drop(self.change(Change::File(action.clone()), images)),
            ShowAction::SwitchReaders => self.has_switched = true,
            ShowAction::OpenAsLeft | ShowAction::StopOld => {}
        }
        if *alternative == Alternative::FailsAfterwards {
            self.current_is_ahead |= matches!(action, ShowAction::File(FileAction::SetCurrent(_)));
            return Err("it failed afterwards".to_owned());
        }
        Ok(())
    }

    fn answer(
        &mut self,
        action: &Action,
        alternative: &Alternative,
        scenario: &Scenario,
        images: &mut Images,
    ) -> Answer {
        match (alternative, action) {
            (Alternative::Fails, _) => {
                self.current_is_ahead |= *action == Action::SwitchReaders;
                return Answer::Failed("it failed".to_owned());
            }
            (Alternative::FailsAfterwards, _) => {
                self.carry_out(action, scenario, images);
                self.current_is_ahead |= matches!(action, Action::File(FileAction::SetCurrent(_)));
                return Answer::Failed("it failed afterwards".to_owned());
            }
            (Alternative::NewEnds, _) => {
                return Answer::Looked(progress(NewProgress::Ended("it ended".to_owned()), LiveProgress::Behind));
            }
            (Alternative::LiveEnds, _) => {
                return Answer::Looked(progress(NewProgress::Behind, LiveProgress::Ended));
            }
            (Alternative::NotYet, Action::PauseNewAt(_)) => {
                self.now += Duration::from_secs(31);
                return Answer::Looked(progress(NewProgress::Behind, LiveProgress::Still));
            }
            (Alternative::NotYet, _) => return Answer::Missed { why: "too long".to_owned(), obstacle: None },
            (Alternative::BegunEarlier, _) => return Answer::BegunEarlier(Some("only it".to_owned())),
            (Alternative::Well | Alternative::Ordered(_), _) => {}
        }
        self.carry_out(action, scenario, images)
    }

    fn carry_out(&mut self, action: &Action, scenario: &Scenario, images: &mut Images) -> Answer {
        let new = scenario.new_generation();
        match action {
            Action::Survey => Answer::Surveyed(Facts {
                is_there: self.image.is_there(new),
                live_generation: scenario.live_generation,
                live: scenario.live.clone(),
            }),
            Action::File(action) => self.change(Change::File(action.clone()), images),
            Action::Create => self.change(Change::Create(new), images),
            Action::Open => self.change(Change::Open(new), images),
            Action::Wait(time) => {
                self.now += *time;
                Answer::Done
            }
            Action::LookAtBuild => Answer::Looked(progress(NewProgress::CaughtUp, LiveProgress::CaughtUp)),
            Action::PauseNewAt(positions) => Answer::Paused(positions.clone()),
            Action::PauseBoth { checkpoint_within } => {
                self.read_all(scenario);
                if checkpoint_within.is_some() {
                    self.change(Change::Write { generation: new, records: self.read }, images);
                }
                Answer::Paused(positions())
            }
            Action::PauseAnywhere => {
                self.read_all(scenario);
                Answer::Paused(positions())
            }
            Action::CompareAtFrozen { compares_views: true, .. } | Action::FinishComparison => {
                self.read_all(scenario);
                Answer::Compared(Comparison { losses: self.losses(scenario), ..Comparison::default() })
            }
            Action::CountLosses => {
                self.read_all(scenario);
                Answer::Lost(self.losses(scenario))
            }
            Action::CompareOrigins => Answer::BegunEarlier(None),
            Action::SwitchReaders => {
                self.has_switched = true;
                Answer::Done
            }
            _ => Answer::Done,
        }
    }

    fn change(&mut self, change: Change, images: &mut Images) -> Answer {
        let (image, answer) = images.change(&self.image, &change);
        self.image = image;
        answer
    }

    fn read_all(&mut self, scenario: &Scenario) {
        self.read = self.readers_may_have_seen(scenario);
    }

    fn losses(&self, scenario: &Scenario) -> Losses {
        Losses { views: scenario.shown.saturating_sub(self.read), ..Losses::default() }
    }
}

fn progress(new: NewProgress, live: LiveProgress) -> BuildProgress {
    BuildProgress { records: 7, new, live, has_trouble: false }
}

fn first(step: Step) -> Machine {
    match step {
        Step::Act(life, action) => Machine::Life(life, action),
        Step::End(..) => panic!("it has ended before it began"),
    }
}

fn shown(step: ShowStep) -> Option<Machine> {
    match step {
        ShowStep::Act(show, action) => Some(Machine::Show(show, action)),
        ShowStep::Shown | ShowStep::Failed(_) => None,
    }
}
