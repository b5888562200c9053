//! The status of a job, as its events give it.

use serde::{Deserialize, Serialize};
use strum::IntoStaticStr;

use super::status::Status;

/// The status that a job's event gives the job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum JobStatus {
    /// The job is submitted and waits for a worker.
    Pending,
    /// A worker has the job, which waits for something, such as its children.
    Waiting,
    /// A worker has the job.
    Processing,
    /// The job succeeded.
    Completed,
    /// The job failed.
    Failed,
    /// A user or the platform canceled the job.
    Canceled,
}

impl JobStatus {
    /// Orders statuses of equal sequence and time: pending < waiting < processing < the terminal ones.
    pub fn rank(self) -> u8 {
        match self {
            JobStatus::Pending => 0,
            JobStatus::Waiting => 1,
            JobStatus::Processing => 2,
            JobStatus::Completed | JobStatus::Failed | JobStatus::Canceled => 3,
        }
    }

    /// Returns true if the job has ended. Only a new submission may follow.
    pub fn is_terminal(self) -> bool {
        self.rank() == 3
    }

    /// Returns the status that a reader of the optimization sees.
    pub fn view_status(self) -> Status {
        match self {
            JobStatus::Pending => Status::Queued,
            JobStatus::Waiting | JobStatus::Processing => Status::Running,
            JobStatus::Completed => Status::Succeeded,
            JobStatus::Failed => Status::Failed,
            JobStatus::Canceled => Status::Canceled,
        }
    }

    /// Returns the name of the status in the contract on the topics.
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// Returns true if a job may go from `self` to `next`. A job that has ended can only be submitted again.
    pub fn may_become(self, next: JobStatus) -> bool {
        self == next || !self.is_terminal() || next == JobStatus::Pending
    }
}
