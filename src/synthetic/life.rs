//! The life of one optimization: its plan, carried out event by event.

use std::borrow::Cow;

use crate::domain::event::{JobChange, OptimizationChange, OptimizationCreated, RunChange};
use crate::domain::{Body, Event, Metadata, Timestamp};

use super::facts;
use super::plan::{Fate, JobAction, OptimizationAction, Plan, PlanStep, RunAction};
use super::random::Random;
use super::settings::HistorySettings;

pub struct Life {
    id: String,
    /// The number of the life, counted from 1. It also determines the project.
    number: u64,
    random: Random,
    steps: std::vec::IntoIter<PlanStep>,
    fate: Fate,
    /// Sequence number of the optimization's last event.
    sequence: u64,
    /// The jobs linked so far.
    jobs: Vec<SyntheticJob>,
}

struct SyntheticJob {
    id: String,
    /// Sequence number of the job's last event.
    sequence: u64,
    /// Sequence number of each run's last event.
    runs: Vec<u64>,
}

impl Life {
    pub fn new(settings: &HistorySettings, number: u64) -> Life {
        let mut random = Random::new(settings.seed, number);
        let plan = Plan::new(&mut random, settings.runs);
        Life {
            id: random.uuid(),
            number,
            random,
            steps: plan.steps.into_iter(),
            fate: plan.fate,
            sequence: 0,
            jobs: Vec::new(),
        }
    }

    pub fn fate(&self) -> Fate {
        self.fate
    }

    /// Returns true if no event is left.
    pub fn is_over(&self) -> bool {
        self.steps.len() == 0
    }

    pub fn next(&mut self, settings: &HistorySettings, occurred_at: Timestamp) -> Option<Event<'static>> {
        let (sequence, body) = match self.steps.next()? {
            PlanStep::Job { job, became } => self.job_event(settings, job, became),
            PlanStep::Run { job, run, did } => self.run_event(settings, job, run, did),
            PlanStep::Optimization(change) => self.optimization_event(settings, change, occurred_at),
        };
        let event_id = Cow::Owned(self.random.uuid());
        Some(Event { metadata: Metadata { event_id, occurred_at, sequence }, body })
    }

    fn optimization_event(
        &mut self,
        settings: &HistorySettings,
        change: OptimizationAction,
        occurred_at: Timestamp,
    ) -> (u64, Body<'static>) {
        let change = match change {
            OptimizationAction::Created { links } => {
                OptimizationChange::Created(Box::new(self.created(settings, links, occurred_at)))
            }
            OptimizationAction::Linked { job } => {
                OptimizationChange::JobLinked { job_id: self.job_id(settings, job) }
            }
            OptimizationAction::Renamed => OptimizationChange::DetailsChanged {
                name: Some(Cow::Owned(facts::name(&mut self.random))),
                description: self.random.percent(20).then_some(Cow::Borrowed("")),
            },
            OptimizationAction::DisplayNamesChanged => OptimizationChange::DisplayNamesChanged {
                cell_name: Some(Cow::Borrowed(facts::cell(&mut self.random))),
                parameterized_model_name: None,
            },
            OptimizationAction::Deleted => OptimizationChange::Deleted,
        };
        self.sequence += 1;
        (self.sequence, Body::Optimization { optimization_id: Cow::Owned(self.id.clone()), change })
    }

    fn created(&mut self, settings: &HistorySettings, links: bool, at: Timestamp) -> OptimizationCreated<'static> {
        let job_id = links.then(|| self.job_id(settings, 0));
        let project = (self.number - 1) % settings.projects + 1;
        let organization = (project - 1) % settings.organizations + 1;
        let random = &mut self.random;
        OptimizationCreated {
            organization_id: Cow::Owned(format!("org-{organization}")),
            project_id: Cow::Owned(format!("prj-{project}")),
            name: Some(Cow::Owned(facts::name(random))),
            description: random.percent(50).then_some(Cow::Borrowed("Made by `optview load`.")),
            kind: Some(Cow::Borrowed(facts::kind(random))),
            created_at: random.percent(80).then_some(at),
            created_by_email: Some(Cow::Owned(facts::email(random))),
            cell_spec_id: Some(Cow::Owned(random.uuid())),
            cell_name: Some(Cow::Borrowed(facts::cell(random))),
            parameterized_model_id: Some(Cow::Owned(random.uuid())),
            parameterized_model_name: Some(Cow::Borrowed(facts::model(random))),
            optimization_template_id: random.percent(30).then(|| Cow::Owned(random.uuid())),
            objectives: Some(facts::objectives(random)),
            job_id,
        }
    }

    fn job_event(&mut self, settings: &HistorySettings, job: usize, became: JobAction) -> (u64, Body<'static>) {
        let job_id = self.job_id(settings, job);
        let random = &mut self.random;
        let change = match became {
            JobAction::Pending => JobChange::Pending,
            JobAction::Processing => JobChange::Processing,
            JobAction::Waiting => JobChange::Waiting,
            JobAction::Completed => JobChange::Completed { metrics: Some(facts::metrics(random)) },
            JobAction::Failed => {
                let (code, text) = facts::failure(random);
                // Now and then a worker dies without an error text.
                let error = random.percent(95).then_some(Cow::Borrowed(text));
                JobChange::Failed { error, error_code: Some(Cow::Borrowed(code)) }
            }
            JobAction::Canceled => JobChange::Canceled,
        };
        let optimization_id = self.optimization_id_as_most_know_it();
        let sequence = &mut self.jobs[job].sequence;
        *sequence += 1;
        (*sequence, Body::Job { job_id, optimization_id, change })
    }

    fn run_event(
        &mut self,
        settings: &HistorySettings,
        job: usize,
        run: u32,
        did: RunAction,
    ) -> (u64, Body<'static>) {
        let job_id = self.job_id(settings, job);
        let random = &mut self.random;
        let change = match did {
            RunAction::Start => RunChange::Started,
            RunAction::Complete => RunChange::Completed {
                cost: Some(random.fraction(0, 2)),
                parameter_values: Some(facts::parameter_values(random)),
                iterations: Some(20 + random.below(200)),
                evaluations: Some(80 + random.below(2000)),
            },
            RunAction::Fail => RunChange::Failed { error: Some(Cow::Borrowed("diverged")) },
            RunAction::Cancel => RunChange::Canceled,
        };
        let optimization_id = self.optimization_id_as_most_know_it();
        let sequence = &mut self.jobs[job].runs[run as usize];
        *sequence += 1;
        (*sequence, Body::Run { job_id, run_index: run, optimization_id, change })
    }

    /// Returns a job's id. Jobs are linked one after the other, so that the next new one is made here.
    fn job_id(&mut self, settings: &HistorySettings, job: usize) -> Cow<'static, str> {
        if job == self.jobs.len() {
            self.jobs.push(SyntheticJob {
                id: self.random.uuid(),
                sequence: 0,
                runs: vec![0; settings.runs as usize],
            });
        }
        Cow::Owned(self.jobs[job].id.clone())
    }

    /// Returns the optimization's id in seven events of ten. The other producers do not know for which
    /// optimization a job runs.
    fn optimization_id_as_most_know_it(&mut self) -> Option<Cow<'static, str>> {
        self.random.percent(70).then(|| Cow::Owned(self.id.clone()))
    }
}
