//! What will happen to one optimization, and what must be shown of it at the end. The two are decided together, so the
//! expectation owes nothing to the fold that it is there to check.

use crate::domain::Status;

use super::random::Random;

/// One event to come. A job is the n-th that the optimization links.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Optimization(Change),
    Job { job: usize, became: Became },
    Run { job: usize, run: u32, did: Did },
}

/// What happens to the optimization itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// The event that creates may link the first job as well.
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

/// A job's status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Became {
    Pending,
    Processing,
    Waiting,
    Completed,
    Failed,
    Canceled,
}

/// What a run did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Did {
    Start,
    Complete,
    Fail,
    Cancel,
}

/// What is shown at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fate {
    pub status: Option<Status>,
    /// Of the job linked last.
    pub run_count: u64,
    pub deleted: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    pub steps: Vec<Step>,
    pub fate: Fate,
}

/// No optimization is submitted more often.
const ATTEMPTS_LIMIT: usize = 3;

impl Plan {
    /// Of most, 4 + 2 * `runs` steps.
    pub fn new(random: &mut Random, runs: u32) -> Plan {
        let mut steps = Vec::with_capacity(6 + 2 * runs as usize);
        let mut fate = Fate { status: None, run_count: 0, deleted: random.percent(1) };
        match random.below(100) {
            0 => steps.push(Step::Optimization(Change::Created { links: false })),
            linked_apart => {
                let links = linked_apart >= 10;
                steps.push(Step::Optimization(Change::Created { links }));
                if !links {
                    steps.push(linked(0));
                }
                live(random, runs, &mut steps, &mut fate);
            }
        }
        for (chance, change) in [(10, Change::Renamed), (3, Change::DisplayNamesChanged)] {
            if random.percent(chance) {
                steps.insert(1 + random.index(steps.len()), Step::Optimization(change));
            }
        }
        if fate.deleted {
            steps.push(Step::Optimization(Change::Deleted));
        }
        Plan { steps, fate }
    }
}

/// How one attempt of a job goes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ending {
    Completes,
    Fails,
    /// Before any worker had it.
    FailsAtOnce,
    IsCanceled,
    StaysProcessing,
    StaysPending,
}

fn live(random: &mut Random, runs: u32, steps: &mut Vec<Step>, fate: &mut Fate) {
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
        // The same job submitted again has the runs of both attempts, and counts each index once.
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

/// Links a new job; sometimes a run of the old one is heard of only afterwards, which must change nothing.
fn resubmit_as_new(random: &mut Random, steps: &mut Vec<Step>, job: usize) {
    let late = steps.iter().rposition(|step| matches!(step, Step::Run { did, .. } if *did != Did::Start));
    match late.filter(|_| random.percent(25)) {
        Some(late) => {
            let late = steps.remove(late);
            steps.extend([linked(job), late]);
        }
        None => steps.push(linked(job)),
    }
}

fn linked(job: usize) -> Step {
    Step::Optimization(Change::Linked { job })
}

/// Tells how many runs were started.
fn attempt(random: &mut Random, runs: u32, steps: &mut Vec<Step>, job: usize, ending: Ending) -> u64 {
    let became = |steps: &mut Vec<Step>, became| steps.push(Step::Job { job, became });
    became(steps, Became::Pending);
    match ending {
        Ending::StaysPending => return 0,
        Ending::FailsAtOnce => {
            became(steps, Became::Failed);
            return 0;
        }
        Ending::Completes | Ending::Fails | Ending::IsCanceled | Ending::StaysProcessing => {}
    }
    became(steps, Became::Processing);
    if random.percent(5) {
        became(steps, Became::Waiting);
        became(steps, Became::Processing);
    }
    let started = match ending {
        Ending::IsCanceled | Ending::StaysProcessing => {
            u32::try_from(random.below(u64::from(runs) + 1)).expect("at most all runs")
        }
        _ => runs,
    };
    let left_open = run(random, started, steps, job, ending == Ending::Completes || ending == Ending::Fails);
    match ending {
        Ending::Completes => became(steps, Became::Completed),
        Ending::Fails => became(steps, Became::Failed),
        Ending::IsCanceled => {
            steps.extend(left_open.into_iter().map(|run| Step::Run { job, run, did: Did::Cancel }));
            became(steps, Became::Canceled);
        }
        _ => {}
    }
    u64::from(started)
}

/// Starts runs in their order and ends them in any. Without `all`, leaves some open, which it returns.
fn run(random: &mut Random, started: u32, steps: &mut Vec<Step>, job: usize, all: bool) -> Vec<u32> {
    let mut open: Vec<u32> = Vec::new();
    let mut next = 0;
    while next < started || (all && !open.is_empty()) {
        if next < started && (open.is_empty() || random.percent(60)) {
            steps.push(Step::Run { job, run: next, did: Did::Start });
            open.push(next);
            next += 1;
        } else {
            let run = open.swap_remove(random.index(open.len()));
            let did = if random.percent(8) { Did::Fail } else { Did::Complete };
            steps.push(Step::Run { job, run, did });
        }
    }
    open
}
