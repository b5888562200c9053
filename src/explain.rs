//! Why a view says what it says: each of its fields with the event that set it, and all that is known of the jobs it
//! follows from. Reads the store; changes nothing, and judges nothing but what the fold flags too.

mod causes;
mod outranked;
mod unlinked;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::domain::job::{HISTORY_LIMIT, is_irregular};
use crate::domain::optimization::LINKS_LIMIT;
use crate::domain::{Job, Link, Optimization, RunSet};
use crate::source::TopicNames;
use crate::store::{Reader, StoreError, StoredRecord};
use causes::Causes;
pub use unlinked::unlinked_job;

/// The 19 keys of a view, in the contract's order.
pub const FIELDS: [&str; 19] = [
    "id",
    "name",
    "description",
    "project_id",
    "organization_id",
    "status",
    "kind",
    "created_at",
    "created_by_email",
    "cell_spec_id",
    "parameterized_model_id",
    "parameterized_model_name",
    "cell_name",
    "optimization_template_id",
    "metrics",
    "objectives",
    "error",
    "error_code",
    "run_count",
];

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Explanation {
    pub id: String,
    /// As `GET /optimizations/{id}` answers it, byte for byte; `None` where readers do not see it.
    pub view: Option<Box<RawValue>>,
    /// Why readers do not see it.
    pub hidden: Option<Hidden>,
    /// Each key of the view, with the event that made it what it is; `None` where no event did. For `run_count` that is the
    /// first event of the run of the greatest index: of the others, only the indexes are kept.
    pub fields: BTreeMap<String, Option<Cause>>,
    /// The statuses that the linked job took, ascending by version.
    pub transitions: Vec<Transition>,
    /// The jobs linked now and before, the latest link first.
    pub jobs: Vec<LinkedJob>,
    /// Of the linked job; `None` where none is linked.
    pub runs: Option<Runs>,
    /// The newest event of each part that changed nothing although it is newer than what it lost to.
    #[serde(default)]
    pub outranked: Vec<Outranked>,
    /// Everything odd, in words.
    pub odd: Vec<String>,
}

/// An event that changed nothing although it is newer than what it lost to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outranked {
    pub event: Cause,
    pub lost_to: Cause,
    pub why: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "why")]
pub enum Hidden {
    /// Its `created` has not arrived.
    NotCreated,
    Deleted {
        by: Cause,
    },
}

/// An event that set something, and where it lies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    /// What kind of event it is, as the contract on the topics names it.
    pub event: String,
    /// The topic's name in the cluster.
    pub topic: String,
    pub partition: i32,
    /// The least, where the same event was seen more than once.
    pub offset: i64,
    pub occurred_at: String,
    /// `None` for a record with a null value, which carries none.
    pub event_id: Option<String>,
    /// 0: the producer has none.
    pub sequence: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transition {
    /// What a reader was told.
    pub status: String,
    #[serde(flatten)]
    pub cause: Cause,
    /// Why the job should not have taken this status. It is followed all the same.
    pub odd: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkedJob {
    pub job_id: String,
    pub linked_now: bool,
    pub linked_by: Cause,
    /// What a reader is told while it is linked.
    pub status: String,
    pub transitions: Vec<Transition>,
    pub runs: Runs,
    /// Optimizations other than this one that the job's events named.
    pub names_others: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Runs {
    pub count: u64,
    /// The first and the last index of each unbroken range.
    pub ranges: Vec<(u32, u32)>,
}

/// How often an optimization may change while it is being looked at.
const TRIES: usize = 100;

/// Explains an optimization. `None`: nothing is known of it.
pub fn explain(reader: &Reader, id: &str, topics: &TopicNames) -> Result<Option<Explanation>, StoreError> {
    let Some(mut kept) = reader.stored_record(id)? else { return Ok(None) };
    for _ in 0..TRIES {
        let before = jobs_before(reader, &kept.optimization)?;
        // A job's state may move from one record to another between two reads.
        let Some(again) = reader.stored_record(id)? else { return Ok(None) };
        if again == kept {
            return Ok(Some(explanation(&kept, &before, topics)));
        }
        kept = again;
    }
    Ok(Some(explanation(&kept, &BTreeMap::new(), topics)))
}

/// What is known of the jobs that were linked before.
fn jobs_before(reader: &Reader, optimization: &Optimization) -> Result<BTreeMap<String, Job>, StoreError> {
    let mut jobs = BTreeMap::new();
    for link in optimization.links().iter().skip(1) {
        if let Some(job) = reader.parked_job(&link.job_id)? {
            jobs.insert(link.job_id.to_string(), job);
        }
    }
    Ok(jobs)
}

fn explanation(kept: &StoredRecord, before: &BTreeMap<String, Job>, topics: &TopicNames) -> Explanation {
    let optimization = &kept.optimization;
    let causes = Causes { optimization, topics };
    let unknown = Job::default();
    let jobs: Vec<LinkedJob> = (optimization.links().iter().enumerate())
        .map(|(at, link)| match at {
            0 => linked_job(&causes, link, &optimization.job, true),
            _ => linked_job(&causes, link, before.get(&*link.job_id).unwrap_or(&unknown), false),
        })
        .collect();
    let outranked = outranked::outranked(&causes, before);
    Explanation {
        id: optimization.id.to_string(),
        view: kept.response.as_ref().and_then(|response| serde_json::from_slice(&response.body).ok()),
        hidden: hidden(&causes),
        fields: FIELDS.iter().map(|&field| (field.to_owned(), causes.of_field(field))).collect(),
        transitions: jobs.first().map(|job| job.transitions.clone()).unwrap_or_default(),
        runs: jobs.first().map(|job| job.runs.clone()),
        odd: outranked.iter().map(Outranked::odd).chain(odd(&jobs)).collect(),
        outranked,
        jobs,
    }
}

fn hidden(causes: &Causes<'_>) -> Option<Hidden> {
    match (&causes.optimization.deleted, &causes.optimization.created) {
        (Some(deleted), _) => Some(Hidden::Deleted { by: causes.cause("deleted", &deleted.stamp) }),
        (None, None) => Some(Hidden::NotCreated),
        (None, Some(_)) => None,
    }
}

fn linked_job(causes: &Causes<'_>, link: &Link, job: &Job, linked_now: bool) -> LinkedJob {
    let history = job.history();
    let transition = |at: usize| {
        let held = &history[at];
        let before = || history[at - 1].status.as_str();
        Transition {
            status: held.status.shown().as_str().to_owned(),
            cause: causes.cause(held.status.as_str(), &held.stamp),
            odd: is_irregular(history, at).then(|| {
                format!("a job that is {} can only become pending, not {}", before(), held.status.as_str())
            }),
        }
    };
    let optimization_id = &*causes.optimization.id;
    LinkedJob {
        job_id: link.job_id.to_string(),
        linked_now,
        linked_by: causes.link(link),
        status: job.status().map_or("queued", |status| status.shown().as_str()).to_owned(),
        transitions: (0..history.len()).map(transition).collect(),
        runs: runs(&job.runs),
        names_others: job.named().filter(|named| *named != optimization_id).map(str::to_owned).collect(),
    }
}

fn runs(runs: &RunSet) -> Runs {
    let mut ranges: Vec<(u32, u32)> = Vec::new();
    for index in runs.iter() {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == index => *last = index,
            _ => ranges.push((index, index)),
        }
    }
    Runs { count: runs.len(), ranges }
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
                "events of job {id} name {}, which is not what links it",
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

impl Cause {
    /// `jobs/3@1234`
    pub fn place(&self) -> String {
        format!("{}/{}@{}", self.topic, self.partition, self.offset)
    }
}
