//! The description of a job that no optimization links.

use crate::domain::Job;
use crate::source::TopicNames;
use crate::store::{Reader, StoreError};

/// Explains why a job is shown nowhere. Returns `None` if the job is not known, or if an optimization links it.
pub fn unlinked_job(reader: &Reader, id: &str, topics: &TopicNames) -> Result<Option<String>, StoreError> {
    if !reader.linking(id).is_empty() {
        return Ok(None);
    }
    Ok(reader.parked_job(id)?.map(|job| words(id, &job, topics)))
}

fn words(id: &str, job: &Job, topics: &TopicNames) -> String {
    let status = match job.history().last() {
        Some(last) => {
            let at = last.stamp.source;
            let (status, occurred_at) = (last.status.as_str(), last.stamp.version.occurred_at);
            format!("it is {status} since {occurred_at}, by {}", topics.offset(at))
        }
        None => "it has taken no status".to_owned(),
    };
    let named: Vec<&str> = job.named().collect();
    let named = if named.is_empty() { String::new() } else { format!("; its events name {}", named.join(", ")) };
    format!(
        "{id:?} is a job that no optimization links: {status}, and {} of its runs are known{named}. All of it is kept, and \
         counts when a `created` or a `job_linked` of an optimization gives its id",
        job.runs.len()
    )
}
