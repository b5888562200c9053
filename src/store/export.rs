//! The export of a generation, record by record, while its writer goes on. The copy is one that a crash might have left: every
//! record as it was at some moment after one checkpoint. So a reader that resumes from that checkpoint gets the same views.
//!
//! The one thing that could be lost is a job's state that moves between records while they are copied one by one. A state
//! never leaves an optimization without having been parked before. So parked jobs are copied first, then optimizations,
//! and last again every job that was parked meanwhile: one of these copies has the whole state of the checkpoint.

use std::collections::BTreeMap;
use std::sync::mpsc::Receiver;

use sled::{IVec, Tree};

use super::checkpoint::Checkpoint;
use super::parked_job_feed::ParkedJob;
use super::{Reader, StoreError, pieces};
use crate::codec::stored_record;
use crate::domain::NamedPartition;

/// Number of keys that are looked up at once.
const SLICE: usize = 256;

/// A record of an export, in its stored form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExportedRecord<'a> {
    /// A parked job: its id and its state. A later one of the same id replaces it.
    Job(&'a [u8], &'a [u8]),
    /// An optimization: its whole record.
    Optimization(&'a [u8]),
    /// A dead letter. The value contains its position.
    DeadLetter(&'a [u8]),
}

/// An export that has been begun.
pub struct Export {
    reader: Reader,
    parked: Receiver<ParkedJob>,
    /// The checkpoint from which a reader of the copy resumes.
    pub checkpoint: Checkpoint,
    /// The offset from which each partition was read first.
    pub origins: BTreeMap<NamedPartition, i64>,
    /// The id of the cluster that the generation is built from, if it is known.
    pub cluster: Option<String>,
    /// True if the generation has been live once.
    pub was_live: bool,
}

impl Reader {
    /// Begins an export.
    ///
    /// # Errors
    /// The errors of [`Reader::stored_record`].
    pub fn begin_export(&self) -> Result<Export, StoreError> {
        self.check_format()?;
        // Everything that the checkpoint covers lies in the store now. Jobs that are parked later come from beyond it. If the
        // generation has been live, the checkpoint that is read next covers the records that made it so.
        let was_live = self.was_live()?;
        let (checkpoint, origins, cluster) = (self.checkpoint()?, self.origins()?, self.cluster()?);
        let parked = self.progress.parked_jobs.listen();
        Ok(Export { reader: self.clone(), parked, checkpoint, origins, cluster, was_live })
    }
}

impl Export {
    /// Passes every record to `take`.
    ///
    /// # Errors
    /// The errors of [`Reader::stored_record`], and those of `take`.
    pub fn each<E: From<StoreError>>(
        self,
        take: &mut dyn FnMut(ExportedRecord<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let trees = &self.reader.trees;
        self.tree(&trees.jobs, None, |key, value| take(ExportedRecord::Job(key, value)))?;
        // Numbers only grow, so the export ends. A job's state may have moved to the last optimization while jobs were copied.
        let last = trees.optimizations.last().map_err(StoreError::from)?;
        if let Some((last, _)) = last {
            self.tree(&trees.optimizations, Some(last), |_, value| take(ExportedRecord::Optimization(value)))?;
        }
        for (id, job) in self.parked.try_iter() {
            let job = stored_record::encode_job(&job).map_err(StoreError::from)?;
            take(ExportedRecord::Job(id.as_bytes(), &job))?;
        }
        self.tree(&trees.dead_letters, None, |_, value| take(ExportedRecord::DeadLetter(value)))
    }

    /// Passes each key and value of a tree to `take`, up to the key `last`. Values that are removed meanwhile are left out.
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
            // The least key above the last one.
            from.push(0);
        }
    }
}
