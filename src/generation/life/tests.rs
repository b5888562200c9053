use core::time::Duration;

use super::action::{
    Action, Answer, BuildProgress, Facts, FileAction, FrozenGeneration, Input, LiveGeneration, LiveProgress,
    NewProgress, Order,
};
use super::comparison::Comparison;
use super::ending::{Ending, Failure, NotCompared, NotSwitched, Reason};
use super::losses::Losses;
use super::obstacle::{Obstacle, Side};
use super::{Course, Life, Plan, RebuildKind, RebuildOptions, Step};
use crate::domain::{Topic, TopicPartition};
use crate::projector::Positions;
use crate::source::TopicNames;
use crate::status::{PartitionFreshness, PartitionInstants, PartitionReport, PartitionState, Status};

fn plan(kind: RebuildKind, options: RebuildOptions) -> Plan {
    Plan { generation: 2, kind, options, format: 1 }
}

/// A machine, and the time, which only a wait and a look let pass.
struct Machine {
    now: Duration,
    order: Order,
    /// The action during which an order to abort comes.
    abort_at: Option<Action>,
    facts: Facts,
    /// The answer to actions that `answer` has none for.
    answers: Vec<(Action, Answer)>,
    actions: Vec<Action>,
}

impl Machine {
    fn new(live: LiveGeneration) -> Machine {
        let facts = Facts { live_generation: 1, live, ..Facts::default() };
        let (answers, actions) = (Vec::new(), Vec::new());
        Machine { now: Duration::ZERO, order: Order::GoOn, abort_at: None, facts, answers, actions }
    }

    fn with(mut self, action: Action, answer: Answer) -> Machine {
        self.answers.push((action, answer));
        self
    }

    fn run(&mut self, plan: Plan) -> (Course, Ending) {
        let mut step = Life::begin(plan);
        for _ in 0..10_000 {
            match step {
                Step::End(course, ending) => return (*course, ending),
                Step::Act(life, action) => {
                    let answer = self.answer(&action);
                    self.actions.push(action);
                    step = life.step(Input { now: self.now, order: self.order, answer });
                }
            }
        }
        panic!("it does not end: {:?}", self.actions.last());
    }

    fn answer(&mut self, action: &Action) -> Answer {
        if self.abort_at.as_ref() == Some(action) {
            self.order = Order::Abort;
        }
        if let Some((_, answer)) = self.answers.iter().find(|(of, _)| of == action) {
            return answer.clone();
        }
        match action {
            Action::Survey => Answer::Surveyed(self.facts.clone()),
            Action::Wait(time) => {
                self.now += *time;
                Answer::Done
            }
            Action::LookAtBuild => Answer::Looked(progress(NewProgress::CaughtUp, LiveProgress::CaughtUp)),
            Action::PauseNewAt(positions) => Answer::Paused(positions.clone()),
            Action::PauseBoth { .. } | Action::PauseAnywhere => Answer::Paused(positions(9)),
            Action::CompareAtFrozen { compares_views: true, .. } | Action::FinishComparison => {
                Answer::Compared(Comparison::default())
            }
            Action::CountLosses => Answer::Lost(Losses::default()),
            Action::CompareOrigins => Answer::BegunEarlier(None),
            Action::File(FileAction::Prune { .. }) => Answer::Pruned(Vec::new()),
            _ => Answer::Done,
        }
    }

    fn did(&self, action: &Action) -> bool {
        self.actions.contains(action)
    }

    fn has_switched(&self) -> bool {
        self.did(&Action::File(FileAction::SetCurrent(2)))
    }
}

fn progress(new: NewProgress, live: LiveProgress) -> BuildProgress {
    BuildProgress { records: 7, new, live, has_trouble: false }
}

fn positions(offset: i64) -> Positions {
    Positions::from([(TopicPartition::new(Topic::Jobs, 0), offset)])
}

fn frozen(is_asked_for: bool) -> LiveGeneration {
    let has_other_format = !is_asked_for;
    LiveGeneration::Frozen(FrozenGeneration {
        positions: positions(9),
        is_asked_for,
        has_other_format,
        is_closed: true,
    })
}

/// The partition of jobs is at 3, and ends there though the other generation has read up to 9.
fn obstacle(end: i64) -> Option<Obstacle> {
    let status = Status::new(1);
    let held = PartitionReport {
        topic: "jobs".to_owned(),
        partition: 0,
        position: 3,
        checkpoint: None,
        low: Some(0),
        high: Some(end),
        lag_records: None,
        lag_seconds: None,
        state: PartitionState::Live,
        freshness: PartitionFreshness {
            instants: PartitionInstants::asked_now(),
            ..PartitionFreshness::default()
        },
    };
    status.set_progress(vec![held], 0, 0);
    Obstacle::of(Side::New, &status.report(), &positions(9), &TopicNames::default())
}

fn missed(obstacle: Option<Obstacle>) -> Answer {
    Answer::Missed { why: "too long".to_owned(), obstacle }
}

/// A machine in which no attempt to meet succeeds. `obstacle` gives the obstacle of each attempt.
fn apart(obstacle: impl Fn() -> Option<Obstacle>) -> Machine {
    let within = [400, 800, 1_600, 3_200, 6_400, 10_000].map(|millis| Some(Duration::from_millis(millis)));
    within.into_iter().fold(Machine::new(LiveGeneration::Following), |machine, checkpoint_within| {
        machine.with(Action::PauseBoth { checkpoint_within }, missed(obstacle()))
    })
}

#[test]
fn an_obstacle_that_is_for_good_is_believed_after_ten_seconds_and_ends_the_plan() {
    let mut machine = apart(|| obstacle(3));
    let (_, ending) = machine.run(plan(RebuildKind::Build, RebuildOptions::default()));
    assert!(matches!(ending, Ending::Failed(Failure::GivenUp(Reason::NeverMeet(_)))), "{ending:?}");
    assert_eq!(machine.now, Duration::from_millis(10_500));
    assert!(!machine.has_switched() && machine.did(&Action::File(FileAction::Remove(2))));
}

#[test]
fn an_obstacle_that_may_go_away_is_waited_for_a_minute() {
    // The last one is an end that the cluster has not confirmed since it was seen first.
    for obstacle in [obstacle(12), None, obstacle(3)] {
        let mut machine = apart(|| obstacle.clone());
        let (_, ending) = machine.run(plan(RebuildKind::Build, RebuildOptions::default()));
        assert!(matches!(ending, Ending::Failed(Failure::GivenUp(Reason::NotMet { .. }))), "{ending:?}");
        assert_eq!(machine.now, Duration::from_millis(119 * 500));
    }
}

#[test]
fn who_stands_still_on_the_way_to_a_frozen_one_is_not_compared_there() {
    let mut machine = Machine::new(frozen(false));
    let looked = Answer::Looked(progress(NewProgress::Behind, LiveProgress::Still));
    let mut step = Life::begin(plan(RebuildKind::Build, RebuildOptions::default()));
    let ending = loop {
        match step {
            Step::End(course, ending) => break (course.not_compared, ending),
            Step::Act(life, action) => {
                let answer = match action {
                    Action::PauseNewAt(_) => looked.clone(),
                    _ => machine.answer(&action),
                };
                if let Action::PauseNewAt(_) = action {
                    machine.now += Duration::from_secs(1);
                }
                step = life.step(Input { now: machine.now, order: Order::GoOn, answer });
            }
        }
    };
    assert_eq!(ending, (Some(NotCompared::NotReached), Ending::Switched { spared: Vec::new() }));
    assert_eq!(
        machine.now,
        Duration::from_secs(32),
        "it moved in the first second, and stood still for more than 30"
    );
}

#[test]
fn readers_are_kept_from_what_differs_is_lost_or_has_read_less() {
    let differs = Comparison { differing: 1, ..Comparison::default() };
    let loses = Comparison { losses: Losses { views: 1, ..Losses::default() }, ..Comparison::default() };
    let build = |options| plan(RebuildKind::Build, options);
    let expect_same = RebuildOptions { expect_same: true, ..RebuildOptions::default() };
    let accept_loss = RebuildOptions { accept_loss: true, ..RebuildOptions::default() };
    let finished = |comparison: &Comparison| {
        Machine::new(LiveGeneration::Following)
            .with(Action::FinishComparison, Answer::Compared(comparison.clone()))
    };
    let (_, ending) = finished(&differs).run(build(expect_same.clone()));
    assert_eq!(ending, Ending::NotSwitched(NotSwitched::ViewsDiffer));
    let (_, ending) = finished(&loses).run(build(RebuildOptions::default()));
    assert!(matches!(ending, Ending::Failed(Failure::GivenUp(Reason::Loss { .. }))), "{ending:?}");
    let mut machine = finished(&loses);
    let (_, ending) = machine.run(build(accept_loss));
    assert_eq!(ending, Ending::Switched { spared: Vec::new() });
    let is_noted = |action: &Action| {
        matches!(action, Action::File(FileAction::NoteSurplus { generation: 1, surplus: Some(_), .. }))
    };
    assert!(machine.actions.iter().any(is_noted), "nothing may remove what has more");
    let less = Answer::Paused(positions(8));
    let within = Some(Duration::from_millis(400));
    let behind = |live| Machine::new(live).with(Action::PauseBoth { checkpoint_within: within }, less.clone());
    let (_, ending) = behind(frozen(false)).run(build(RebuildOptions::default()));
    assert!(matches!(ending, Ending::Failed(Failure::GivenUp(Reason::ReadLess { .. }))), "{ending:?}");
    let back = plan(RebuildKind::Rollback, RebuildOptions::default());
    let (_, ending) = behind(frozen(true)).run(back);
    assert_eq!(ending, Ending::Switched { spared: Vec::new() }, "it is what somebody wants to see");
}

#[test]
fn what_is_only_to_be_compared_needs_no_checkpoint_and_is_removed() {
    for options in [
        RebuildOptions { dry_run: true, ..RebuildOptions::default() },
        RebuildOptions { until_millis: Some(5), ..RebuildOptions::default() },
    ] {
        for kind in [RebuildKind::Build, RebuildKind::VerifyOnly] {
            let mut machine = Machine::new(LiveGeneration::Following);
            let (_, ending) = machine.run(plan(kind, options.clone()));
            assert_eq!(ending, Ending::NotSwitched(NotSwitched::OnlyCompared));
            assert!(!machine.did(&Action::PauseBoth { checkpoint_within: Some(Duration::from_millis(400)) }));
            assert!(machine.did(&Action::File(FileAction::Remove(2))) && !machine.has_switched());
        }
    }
}

#[test]
fn an_order_ends_it_as_it_says_and_leaves_what_a_restart_resumes() {
    let build = plan(RebuildKind::Build, RebuildOptions::default());
    let verify = plan(RebuildKind::VerifyOnly, RebuildOptions { dry_run: true, ..RebuildOptions::default() });
    for (plan, order, is_left) in [
        (&build, Order::Interrupt, true),
        (&build, Order::Abort, false),
        (&verify, Order::Interrupt, false),
        (&verify, Order::Abort, false),
    ] {
        let mut machine = Machine { order, ..Machine::new(LiveGeneration::Following) };
        let (_, ending) = machine.run(plan.clone());
        let is_interrupted = matches!(ending, Ending::Failed(Failure::Interrupted(Reason::ToldToEnd)));
        assert_eq!(is_interrupted, is_left, "{ending:?}");
        assert_eq!(ending == Ending::Failed(Failure::Aborted), order == Order::Abort, "{ending:?}");
        assert_eq!(machine.did(&Action::File(FileAction::ForgetPlan)), !is_left);
    }
}

#[test]
fn an_abort_that_comes_while_what_was_built_is_removed_hides_no_reason() {
    for (during, is_aborted) in [(Action::StopNew, true), (Action::File(FileAction::Remove(2)), false)] {
        let mut machine =
            Machine::new(LiveGeneration::Following).with(Action::CompareAll, Answer::Failed("a CRC".to_owned()));
        machine.abort_at = Some(during);
        let (_, ending) = machine.run(plan(RebuildKind::Build, RebuildOptions::default()));
        let expected = match is_aborted {
            true => Failure::Aborted,
            false => Failure::GivenUp(Reason::Action("a CRC".to_owned())),
        };
        assert_eq!(ending, Ending::Failed(expected));
    }
}

#[test]
fn nothing_is_removed_while_the_end_of_the_process_has_the_old_generation_open() {
    for (stopped, is_pruned) in [(Answer::Done, true), (Answer::NothingToStop, false)] {
        let mut machine = Machine::new(LiveGeneration::Following).with(Action::StopOld, stopped);
        let (_, ending) = machine.run(plan(RebuildKind::Build, RebuildOptions::default()));
        assert_eq!(ending, Ending::Switched { spared: Vec::new() });
        let prune = |action: &Action| matches!(action, Action::File(FileAction::Prune { .. }));
        assert_eq!(machine.actions.iter().any(prune), is_pruned);
        assert!(machine.did(&Action::File(FileAction::ForgetPlan)));
    }
}

#[test]
fn an_answer_that_an_action_does_not_have_ends_the_plan() {
    let mut machine = Machine::new(LiveGeneration::Following).with(Action::CompareAll, Answer::Pruned(Vec::new()));
    let (_, ending) = machine.run(plan(RebuildKind::Build, RebuildOptions::default()));
    assert_eq!(ending, Ending::Failed(Failure::GivenUp(Reason::WrongAnswer("comparing"))));
}
