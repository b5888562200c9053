//! Copies a generation record by record while its writer goes on. The copy is what a crash might have left: every record
//! as it was at some moment after one checkpoint. So whoever goes on from that checkpoint gets the same views.
//!
//! The one thing that could be lost is a job's state that moves between records while they are copied one by one. A state
//! never leaves an optimization without having been parked before. So parked jobs are copied first, then optimizations,
//! and last again every job that was parked meanwhile: of what the state was at the checkpoint, one of these has all.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use parking_lot::Mutex;
use sled::{IVec, Tree};

use super::checkpoint::Checkpoint;
use super::{Reader, StoreError, pieces};
use crate::codec::stored_record;
use crate::domain::Job;

/// How many keys are looked up at once.
const SLICE: usize = 256;

/// A job's id, and the state that was parked under it.
type Parked = (Arc<str>, Arc<Job>);

/// Where the writer says which jobs it parks, as long as anybody listens.
#[derive(Default)]
pub struct Parkings(Mutex<Vec<Sender<Parked>>>);

impl Parkings {
    /// Called when these have been written, before any optimization without their states is.
    pub fn note(&self, written: &[(Arc<str>, Option<Arc<Job>>)]) {
        let mut listeners = self.0.lock();
        let parked = || written.iter().filter_map(|(id, job)| Some((id.clone(), job.clone()?)));
        listeners.retain(|listener| parked().all(|parked| listener.send(parked).is_ok()));
    }

    fn listen(&self) -> Receiver<Parked> {
        let (told, listener) = channel();
        self.0.lock().push(told);
        listener
    }
}

/// A record of a copy, as it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Copied<'a> {
    /// Under its id. A later one of the same id replaces it.
    Job(&'a [u8], &'a [u8]),
    Optimization(&'a [u8]),
    DeadLetter(&'a [u8]),
}

/// A copy that is begun.
pub struct Copying {
    reader: Reader,
    parked: Receiver<Parked>,
    /// From where whoever has the copy must go on.
    pub checkpoint: Checkpoint,
    /// From which offset each partition was read first.
    pub origins: BTreeMap<(String, i32), i64>,
    /// Of the cluster, where it is known.
    pub cluster: Option<String>,
    /// Whether the generation has been live once.
    pub was_live: bool,
}

impl Reader {
    /// Begins a copy.
    ///
    /// # Errors
    /// As for [`Reader::kept`].
    pub fn begin_copy(&self) -> Result<Copying, StoreError> {
        self.check_format()?;
        // All that the checkpoint covers lies in the store now. What is parked later comes from beyond it.
        // Where it has been live, the checkpoint that is read next covers what made it so.
        let was_live = self.was_live()?;
        let (checkpoint, origins, cluster) = (self.checkpoint()?, self.origins()?, self.cluster()?);
        let parked = self.done.parkings.listen();
        Ok(Copying { reader: self.clone(), parked, checkpoint, origins, cluster, was_live })
    }
}

impl Copying {
    /// Gives every record to `take`.
    ///
    /// # Errors
    /// As for [`Reader::kept`], and what `take` fails at.
    pub fn each<E: From<StoreError>>(self, take: &mut dyn FnMut(Copied<'_>) -> Result<(), E>) -> Result<(), E> {
        let trees = &self.reader.trees;
        self.tree(&trees.jobs, None, |key, value| take(Copied::Job(key, value)))?;
        // Numbers only grow, so the copy ends. A job's state may have moved to the last of them while jobs were copied.
        let last = trees.optimizations.last().map_err(StoreError::from)?;
        if let Some((last, _)) = last {
            self.tree(&trees.optimizations, Some(last), |_, value| take(Copied::Optimization(value)))?;
        }
        for (id, job) in self.parked.try_iter() {
            let job = stored_record::encode_job(&job).map_err(StoreError::from)?;
            take(Copied::Job(id.as_bytes(), &job))?;
        }
        self.tree(&trees.dead_letters, None, |_, value| take(Copied::DeadLetter(value)))
    }

    /// Each value of a tree, up to the key `last`. What is removed meanwhile is left out.
    fn tree<E: From<StoreError>>(
        &self,
        tree: &Tree,
        last: Option<IVec>,
        mut take: impl FnMut(&[u8], &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut from = Vec::new();
        loop {
            let keys = tree.range(from.clone()..).keys().take(SLICE).collect::<Result<Vec<_>, _>>();
            let keys = keys.map_err(StoreError::from)?;
            let Some(end) = keys.last() else { return Ok(()) };
            for key in &keys {
                if last.as_ref().is_some_and(|last| key > last) {
                    return Ok(());
                }
                if let Some(value) = pieces::get(&self.reader.trees, tree, key)? {
                    take(key, &value)?;
                }
            }
            from.clear();
            from.extend_from_slice(end);
            // The least key above it.
            from.push(0);
        }
    }
}
