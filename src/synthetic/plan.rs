//! The plan of one optimization: its events, and its expected view at the end. The two are decided together, so
//! that the expectation does not depend on the fold that it checks.

use crate::domain::Status;

use super::random::Random;

/// One planned event. A job is identified by its index among the optimization's links.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlanStep {
    Optimization(OptimizationAction),
    Job { job: usize, became: JobAction },
    Run { job: usize, run: u32, did: RunAction },
}

/// A planned event of the optimization itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OptimizationAction {
    /// The creation, which may link the first job as well.
    Created {
        links: bool,
    },
    Linked {
        job: usize,
    },
    Renamed,
    DisplayNamesChanged,
    Deleted,
}

/// A planned status of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobAction {
    Pending,
    Processing,
    Waiting,
    Completed,
    Failed,
    Canceled,
}

/// A planned event of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunAction {
    Start,
    Complete,
    Fail,
    Cancel,
}

/// The expected view at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fate {
    pub status: Option<Status>,
    /// Number of runs of the job that is linked last.
    pub run_count: u64,
    pub deleted: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    pub steps: Vec<PlanStep>,
    pub fate: Fate,
}

/// Maximum number of submissions of an optimization.
const ATTEMPTS_LIMIT: usize = 3;

impl Plan {
    /// Creates a plan. Most have 4 + 2 * `runs` steps.
    pub fn new(random: &mut Random, runs: u32) -> Plan {
        let mut steps = Vec::with_capacity(6 + 2 * runs as usize);
        let mut fate = Fate { status: None, run_count: 0, deleted: random.percent(1) };
        match random.below(100) {
            0 => steps.push(PlanStep::Optimization(OptimizationAction::Created { links: false })),
            linked_apart => {
                let links = linked_apart >= 10;
                steps.push(PlanStep::Optimization(OptimizationAction::Created { links }));
                if !links {
                    steps.push(linked(0));
                }
                live(random, runs, &mut steps, &mut fate);
            }
        }
        for (chance, change) in [(10, OptimizationAction::Renamed), (3, OptimizationAction::DisplayNamesChanged)] {
            if random.percent(chance) {
                steps.insert(1 + random.index(steps.len()), PlanStep::Optimization(change));
            }
        }
        if fate.deleted {
            steps.push(PlanStep::Optimization(OptimizationAction::Deleted));
        }
        Plan { steps, fate }
    }
}

/// The way in which one attempt of a job ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ending {
    Completes,
    Fails,
    /// The job fails before any worker has it.
    FailsAtOnce,
    IsCanceled,
    StaysProcessing,
    StaysPending,
}

fn live(random: &mut Random, runs: u32, steps: &mut Vec<PlanStep>, fate: &mut Fate) {
    let mut job = 0;
    for attempt in 1..=ATTEMPTS_LIMIT {
        let ending = match random.below(100) {
            0..=69 => Ending::Completes,
            70..=84 => Ending::Fails,
            85..=87 => Ending::FailsAtOnce,
            88..=92 => Ending::IsCanceled,
            93..=96 => Ending::StaysProcessing,
            _ => Ending::StaysPending,
        };
        // A job that is submitted again has the runs of both attempts, and each index counts once.
        fate.run_count = fate.run_count.max(self::attempt(random, runs, steps, job, ending));
        fate.status = Some(match ending {
            Ending::Completes => Status::Succeeded,
            Ending::Fails | Ending::FailsAtOnce => Status::Failed,
            Ending::IsCanceled => Status::Canceled,
            Ending::StaysProcessing => Status::Running,
            Ending::StaysPending => Status::Queued,
        });
        let again = fate.status == Some(Status::Failed) && attempt < ATTEMPTS_LIMIT && random.percent(40);
        if !again {
            return;
        }
        if random.percent(50) {
            job += 1;
            resubmit_as_new(random, steps, job);
            fate.run_count = 0;
        }
    }
}

/// Links a new job. Sometimes an event of the old job's run comes only afterwards, which must change nothing.
fn resubmit_as_new(random: &mut Random, steps: &mut Vec<PlanStep>, job: usize) {
    let late =
        steps.iter().rposition(|step| matches!(step, PlanStep::Run { did, .. } if *did != RunAction::Start));
    match late.filter(|_| random.percent(25)) {
        Some(late) => {
            let late = steps.remove(late);
            steps.extend([linked(job), late]);
        }
        None => steps.push(linked(job)),
    }
}

fn linked(job: usize) -> PlanStep {
    PlanStep::Optimization(OptimizationAction::Linked { job })
}

/// Plans one attempt of a job. Returns the number of started runs.
fn attempt(random: &mut Random, runs: u32, steps: &mut Vec<PlanStep>, job: usize, ending: Ending) -> u64 {
    let became = |steps: &mut Vec<PlanStep>, became| steps.push(PlanStep::Job { job, became });
    became(steps, JobAction::Pending);
    match ending {
        Ending::StaysPending => return 0,
        Ending::FailsAtOnce => {
            became(steps, JobAction::Failed);
            return 0;
        }
        Ending::Completes | Ending::Fails | Ending::IsCanceled | Ending::StaysProcessing => {}
    }
    became(steps, JobAction::Processing);
    if random.percent(5) {
        became(steps, JobAction::Waiting);
        became(steps, JobAction::Processing);
    }
    let started = match ending {
        Ending::IsCanceled | Ending::StaysProcessing => {
            u32::try_from(random.below(u64::from(runs) + 1)).expect("at most all runs")
        }
        _ => runs,
    };
    let left_open = run(random, started, steps, job, ending == Ending::Completes || ending == Ending::Fails);
    match ending {
        Ending::Completes => became(steps, JobAction::Completed),
        Ending::Fails => became(steps, JobAction::Failed),
        Ending::IsCanceled => {
            steps.extend(left_open.into_iter().map(|run| PlanStep::Run { job, run, did: RunAction::Cancel }));
            became(steps, JobAction::Canceled);
        }
        _ => {}
    }
    u64::from(started)
}

/// Starts runs in order and ends them in any order. Without `all`, leaves some open and returns them.
fn run(random: &mut Random, started: u32, steps: &mut Vec<PlanStep>, job: usize, all: bool) -> Vec<u32> {
    let mut open: Vec<u32> = Vec::new();
    let mut next = 0;
    while next < started || (all && !open.is_empty()) {
        if next < started && (open.is_empty() || random.percent(60)) {
            steps.push(PlanStep::Run { job, run: next, did: RunAction::Start });
            open.push(next);
            next += 1;
        } else {
            let run = open.swap_remove(random.index(open.len()));
            let did = if random.percent(8) { RunAction::Fail } else { RunAction::Complete };
            steps.push(PlanStep::Run { job, run, did });
        }
    }
    open
}
