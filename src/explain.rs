//! The explanation of a view: each of its fields with the event that set it, and everything known of the jobs that it follows
//! from. It reads the store and changes nothing, and it marks as odd only what the fold flags, too.

mod causes;
mod outranked_events;
mod status_changes;
mod unlinked_job;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::domain::job::{HISTORY_LIMIT, is_irregular};
use crate::domain::optimization::LINKS_LIMIT;
use crate::domain::{Job, Link, Optimization, OptimizationEvent, RunSet, View};
use crate::source::TopicNames;
use crate::store::{Reader, StoreError, StoredRecord};
pub use causes::Cause;
use causes::Causes;
pub use outranked_events::OutrankedCause;
pub use status_changes::{StatusChange, status_changes};
pub use unlinked_job::unlinked_job;

/// The explanation of one optimization's view.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Explanation {
    /// The id of the optimization.
    pub id: String,
    /// The view as `GET /optimizations/{id}` answers it, byte for byte; `None` if readers do not see it.
    pub view: Option<Box<RawValue>>,
    /// The reason for which readers do not see the optimization.
    pub hidden: Option<HiddenReason>,
    /// Each key of the view, with the event that set its value; `None` if no event did. For `run_count` that is the
    /// first event of the run of the greatest index, as only the indexes are kept of the other runs.
    pub fields: BTreeMap<String, Option<Cause>>,
    /// The statuses that the linked job took, ascending by version.
    pub transitions: Vec<Transition>,
    /// The jobs linked now and before, the latest link first.
    pub jobs: Vec<LinkedJob>,
    /// The runs of the linked job; `None` if no job is linked.
    pub runs: Option<RunSummary>,
    /// For each part, the newest event that changed nothing although it is newer than the event that it lost to.
    #[serde(default)]
    pub outranked: Vec<OutrankedCause>,
    /// Descriptions of everything odd.
    pub odd: Vec<String>,
}

/// The reason for which readers do not see an optimization.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "why")]
pub enum HiddenReason {
    /// The optimization's `created` event has not arrived.
    NotCreated,
    /// The optimization was deleted.
    Deleted {
        /// The event that deleted it.
        by: Cause,
    },
}

/// A status that a job took.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transition {
    /// The status as the view shows it.
    pub status: String,
    /// The event that gave the status.
    #[serde(flatten)]
    pub cause: Cause,
    /// The reason for which the job should not have taken this status. The status is followed all the same.
    pub odd: Option<String>,
}

/// A job that the optimization links now, or linked before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkedJob {
    /// The id of the job.
    pub job_id: String,
    /// True for the job that the view follows from, which is the first in [`Explanation::jobs`].
    pub linked_now: bool,
    /// The event that linked the job.
    pub linked_by: Cause,
    /// The status that the view shows while the job is linked.
    pub status: String,
    /// The statuses that the job took, ascending by version; empty if none is known.
    pub transitions: Vec<Transition>,
    /// The runs of the job.
    pub runs: RunSummary,
    /// The optimizations other than this one that the job's events named.
    pub names_others: Vec<String>,
}

/// The runs of a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunSummary {
    /// Number of runs.
    pub count: u64,
    /// The first and the last index of each unbroken range.
    pub ranges: Vec<(u32, u32)>,
}

/// Number of times that the records are read anew because the optimization changed meanwhile.
const TRIES: usize = 100;

/// Explains an optimization. Returns `None` if nothing is known of it.
pub fn explain(reader: &Reader, id: &str, topics: &TopicNames) -> Result<Option<Explanation>, StoreError> {
    let Some(mut stored) = reader.stored_record(id)? else { return Ok(None) };
    for _ in 0..TRIES {
        let before = jobs_before(reader, &stored.optimization)?;
        // A job's state may move from one record to another between two reads.
        let Some(again) = reader.stored_record(id)? else { return Ok(None) };
        if again == stored {
            return Ok(Some(explanation(&stored, &before, topics)));
        }
        stored = again;
    }
    Ok(Some(explanation(&stored, &BTreeMap::new(), topics)))
}

/// Returns the known states of the jobs that were linked before.
fn jobs_before(reader: &Reader, optimization: &Optimization) -> Result<BTreeMap<String, Job>, StoreError> {
    let mut jobs = BTreeMap::new();
    for link in optimization.links().iter().skip(1) {
        if let Some(job) = reader.parked_job(&link.job_id)? {
            jobs.insert(link.job_id.to_string(), job);
        }
    }
    Ok(jobs)
}

fn explanation(stored: &StoredRecord, before: &BTreeMap<String, Job>, topics: &TopicNames) -> Explanation {
    let optimization = &stored.optimization;
    let causes = Causes { optimization, topics };
    let unknown = Job::default();
    let jobs: Vec<LinkedJob> = (optimization.links().iter().enumerate())
        .map(|(at, link)| match at {
            0 => linked_job(&causes, link, &optimization.job, true),
            _ => linked_job(&causes, link, before.get(&*link.job_id).unwrap_or(&unknown), false),
        })
        .collect();
    let outranked = outranked_events::outranked(&causes, before);
    Explanation {
        id: optimization.id.to_string(),
        view: stored.response.as_ref().and_then(|response| serde_json::from_slice(&response.body).ok()),
        hidden: hidden(&causes),
        fields: View::hidden_fields().map(|field| (field.name.to_owned(), causes.of_field(field.origin))).into(),
        transitions: jobs.first().map(|job| job.transitions.clone()).unwrap_or_default(),
        runs: jobs.first().map(|job| job.runs.clone()),
        odd: outranked.iter().map(OutrankedCause::odd).chain(odd(&jobs)).collect(),
        outranked,
        jobs,
    }
}

fn hidden(causes: &Causes<'_>) -> Option<HiddenReason> {
    match (&causes.optimization.deleted, &causes.optimization.created) {
        (Some(deleted), _) => {
            Some(HiddenReason::Deleted { by: causes.cause(OptimizationEvent::Deleted, &deleted.stamp) })
        }
        (None, None) => Some(HiddenReason::NotCreated),
        (None, Some(_)) => None,
    }
}

fn linked_job(causes: &Causes<'_>, link: &Link, job: &Job, linked_now: bool) -> LinkedJob {
    let history = job.history();
    let transitions = history.iter().enumerate().map(|(index, entry)| Transition {
        status: entry.status.view_status().as_str().to_owned(),
        cause: causes.cause(entry.status, &entry.stamp),
        odd: is_irregular(history, index).then(|| {
            let before = history[index - 1].status.as_str();
            format!("a job that is {before} can only become pending, not {}", entry.status.as_str())
        }),
    });
    let optimization_id = &*causes.optimization.id;
    LinkedJob {
        job_id: link.job_id.to_string(),
        linked_now,
        linked_by: causes.link(link),
        status: job.status().map_or("queued", |status| status.view_status().as_str()).to_owned(),
        transitions: transitions.collect(),
        runs: runs(&job.runs),
        names_others: job.named().filter(|named| *named != optimization_id).map(str::to_owned).collect(),
    }
}

fn runs(runs: &RunSet) -> RunSummary {
    let mut ranges: Vec<(u32, u32)> = Vec::new();
    for index in runs.iter() {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == index => *last = index,
            _ => ranges.push((index, index)),
        }
    }
    RunSummary { count: runs.len(), ranges }
}

fn odd(jobs: &[LinkedJob]) -> Vec<String> {
    let mut odd = Vec::new();
    for job in jobs {
        let id = &job.job_id;
        for transition in &job.transitions {
            if let Some(why) = &transition.odd {
                odd.push(format!("job {id} at {}: {why}", transition.cause.place()));
            }
        }
        if !job.names_others.is_empty() {
            odd.push(format!(
                "events of job {id} name {}, but this optimization links or linked it",
                job.names_others.join(", ")
            ));
        }
        if job.transitions.len() == HISTORY_LIMIT {
            odd.push(format!("job {id} took so many statuses that only the last {HISTORY_LIMIT} are kept"));
        }
    }
    if jobs.len() == LINKS_LIMIT {
        odd.push(format!("so many jobs were linked that only the last {LINKS_LIMIT} are kept"));
    }
    odd
}
