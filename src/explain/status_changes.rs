//! The statuses that an optimization took, for readers: of the linked job and of those that were linked before, without their ids.

use serde::Serialize;

use crate::domain::job::is_irregular;
use crate::domain::{Job, JobStatus, Link, Status, Timestamp};
use crate::store::{Reader, StoreError};

/// One status that an optimization took.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StatusChange {
    /// The status, as the view shows it.
    pub status: &'static str,
    /// The time of the event, RFC 3339.
    pub occurred_at: String,
    /// The number of the submission that took the status, counted from 1 among those that are known.
    pub submission: u32,
    /// True if the job should not have taken the status after the one before it.
    pub odd: bool,
}

/// Returns the statuses that an optimization took, the oldest first; `None` if a reader of this organization (`None`: of any) does
/// not see it. They follow from the jobs whose links are kept, each with the statuses that are kept of it.
///
/// # Errors
/// The errors of [`Reader::stored_record`].
pub fn status_changes(
    reader: &Reader,
    id: &str,
    organization_id: Option<&str>,
) -> Result<Option<Vec<StatusChange>>, StoreError> {
    // What the caller may not see is not decoded, so that it hardly takes longer than what is not there.
    if reader.get(id, organization_id)?.is_none() {
        return Ok(None);
    }
    let Some(record) = reader.stored_record(id)? else { return Ok(None) };
    let created = record.optimization.visible_creation();
    let Some(created) = created else { return Ok(None) };
    if organization_id.is_some_and(|wanted| wanted != &*created.value.organization_id) {
        return Ok(None);
    }
    let (mut changes, mut submission) = (Vec::new(), 0);
    for (at, link) in record.optimization.links().iter().enumerate().rev() {
        submission += 1;
        if at == 0 {
            push_job(link, &record.optimization.job, &mut submission, &mut changes);
        } else if let Some(earlier) = reader.parked_job(&link.job_id)? {
            push_job(link, &earlier, &mut submission, &mut changes);
        }
    }
    Ok(Some(changes))
}

/// Appends the statuses of one job. A job without any has been queued by its link.
fn push_job(link: &Link, job: &Job, submission: &mut u32, changes: &mut Vec<StatusChange>) {
    let history = job.history();
    if history.is_empty() {
        changes.push(StatusChange::new(Status::Queued, link.stamp.happened_at(), *submission, false));
    }
    for (at, taken) in history.iter().enumerate() {
        let is_resubmitted = at > 0 && taken.status == JobStatus::Pending && history[at - 1].status.is_terminal();
        *submission += u32::from(is_resubmitted);
        let (status, time) = (taken.status.view_status(), taken.stamp.happened_at());
        changes.push(StatusChange::new(status, time, *submission, is_irregular(history, at)));
    }
}

impl StatusChange {
    fn new(status: Status, time: Timestamp, submission: u32, odd: bool) -> StatusChange {
        StatusChange { status: status.as_str(), occurred_at: time.to_string(), submission, odd }
    }
}
