//! The places of the latest records whose jobs no optimization linked when they were folded.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::domain::PartitionOffset;

/// Number of records that are remembered.
const CAPACITY: usize = 16_384;

#[derive(Default)]
pub struct UnlinkedRecords(Mutex<LatestRecords>);

#[derive(Default)]
struct LatestRecords {
    jobs: HashMap<PartitionOffset, Arc<str>>,
    order: VecDeque<PartitionOffset>,
}

impl UnlinkedRecords {
    /// Notes a record that was folded into a job that no optimization links.
    pub fn note(&self, position: PartitionOffset, job_id: Arc<str>) {
        let mut latest = self.0.lock();
        if latest.jobs.insert(position, job_id).is_some() {
            return;
        }
        latest.order.push_back(position);
        if latest.order.len() > CAPACITY
            && let Some(oldest) = latest.order.pop_front()
        {
            latest.jobs.remove(&oldest);
        }
    }

    pub fn job_of(&self, position: PartitionOffset) -> Option<Arc<str>> {
        self.0.lock().jobs.get(&position).cloned()
    }
}
