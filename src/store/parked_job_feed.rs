//! The feed of the jobs that the writer parks. An export follows it, because such a job's state may come from an optimization that
//! has not been copied yet.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use parking_lot::Mutex;

use crate::domain::Job;

/// A job's id and the state that was parked under it.
pub type ParkedJob = (Arc<str>, Arc<Job>);

/// The feed of the jobs that the writer parks, for the exports under way.
#[derive(Default)]
pub struct ParkedJobFeed(Mutex<Vec<Sender<ParkedJob>>>);

impl ParkedJobFeed {
    /// Passes on jobs that have been written. It must be called before any optimization is written without their states.
    pub fn note(&self, written: &[(Arc<str>, Option<Arc<Job>>)]) {
        let mut listeners = self.0.lock();
        let parked = || written.iter().filter_map(|(id, job)| Some((id.clone(), job.clone()?)));
        listeners.retain(|listener| parked().all(|parked| listener.send(parked).is_ok()));
    }

    /// Returns a receiver of the jobs that are parked from now on.
    pub fn listen(&self) -> Receiver<ParkedJob> {
        let (sender, listener) = channel();
        self.0.lock().push(sender);
        listener
    }
}
