//! A store of plain maps, to fold into without sled: the records are the bytes that sled would hold.

use std::collections::BTreeMap;
use std::sync::Arc;

use optview::codec::{self, stored_record};
use optview::domain::fold::{self, Effects, FoldStep};
use optview::domain::{Commit, Envelope, Job, PartitionOffset, Record, RecordKey, WorkingSet};
use serde_json::Value;

#[derive(Default)]
pub struct MapStore {
    pub optimizations: BTreeMap<String, Vec<u8>>,
    pub jobs: BTreeMap<String, Vec<u8>>,
    working: WorkingSet,
    folded: u64,
}

/// The number of events after each of which the working set is checked; then it is checked once in so many.
const CHECKED_EVENTS: u64 = 512;

impl MapStore {
    pub fn fold(&mut self, envelope: &Envelope<'_>) {
        self.effects(envelope);
    }

    /// Folds an event, and gives what an operator wants counted of that.
    pub fn effects(&mut self, envelope: &Envelope<'_>) -> Effects {
        loop {
            match fold::apply(&mut self.working, envelope) {
                FoldStep::Done(effects) => {
                    self.check_now_and_then();
                    return effects;
                }
                FoldStep::Needs(RecordKey::Optimization(id)) => self.load_optimization(&id),
                FoldStep::Needs(RecordKey::Job(id)) => self.load_job(&id),
            }
        }
    }

    /// Checks the working set after each event while it is small, and after some of them when it is large.
    fn check_now_and_then(&mut self) {
        self.folded += 1;
        if self.folded < CHECKED_EVENTS || self.folded.is_multiple_of(CHECKED_EVENTS) {
            self.working.check();
        }
    }

    fn load_job(&mut self, id: &Arc<str>) {
        for optimization_id in self.linking(id) {
            self.load_optimization(&optimization_id);
        }
        let parked = self.jobs.get(&**id).map(|bytes| stored_record::decode_job(bytes).unwrap());
        self.working.load_job(id, parked);
    }

    fn load_optimization(&mut self, id: &Arc<str>) {
        let held = self.optimizations.get(&**id).map(|bytes| stored_record::decode_optimization(bytes).unwrap());
        self.working.load_optimization(id, held);
    }

    fn linking(&self, job_id: &str) -> Vec<Arc<str>> {
        let optimizations =
            self.optimizations.values().map(|bytes| stored_record::decode_optimization(bytes).unwrap());
        let linking = optimizations.filter(|optimization| optimization.links_job(job_id));
        linking.map(|optimization| optimization.id.clone()).collect()
    }

    /// Writes all that has changed.
    pub fn write(&mut self) {
        self.take(None, None).into_iter().for_each(|put| self.put(put));
    }

    /// Takes what has changed and was last touched before an epoch, which may be another one for what has ended, in the order in
    /// which the store's writer puts it.
    fn take(&mut self, before_epoch: Option<u32>, ended_before_epoch: Option<u32>) -> Vec<MapWrite> {
        let Commit { optimizations, jobs } = self.working.take_rested(before_epoch, ended_before_epoch);
        self.working.check();
        let job = |(id, job): &(Arc<str>, Option<Arc<Job>>)| {
            MapWrite::Job(id.to_string(), job.as_ref().map(|job| stored_record::encode_job(job).unwrap()))
        };
        let parked = jobs.iter().filter(|(_, job)| job.is_some()).map(job);
        let removed = jobs.iter().filter(|(_, job)| job.is_none()).map(job);
        parked
            .chain(optimizations.iter().map(|optimization| {
                let mut bytes = Vec::new();
                stored_record::encode_optimization(optimization, &mut bytes).unwrap();
                MapWrite::Optimization(optimization.id.to_string(), bytes)
            }))
            .chain(removed)
            .collect()
    }

    fn put(&mut self, put: MapWrite) {
        match put {
            MapWrite::Optimization(id, bytes) => self.optimizations.insert(id, bytes),
            MapWrite::Job(id, Some(bytes)) => self.jobs.insert(id, bytes),
            MapWrite::Job(id, None) => self.jobs.remove(&id),
        };
    }

    /// Lets go of all that is in memory, as a restart does, but without losing anything.
    pub fn forget(&mut self) {
        self.write();
        let epoch = self.working.next_epoch();
        let commits = self.working.commits();
        self.working.evict(epoch, commits);
        self.working.check();
        assert_eq!(self.working.weight(), 0, "everything is written, so everything can go");
    }

    /// Returns the response that a reader gets.
    pub fn response(&self, id: &str) -> Option<Value> {
        let bytes = self.optimizations.get(id)?;
        let layout = stored_record::layout(bytes).unwrap();
        layout.shown.then(|| serde_json::from_slice(&bytes[layout.response]).unwrap())
    }
}

/// One insertion into the store, or the removal of a parked job.
#[derive(Clone, Debug)]
enum MapWrite {
    Optimization(String, Vec<u8>),
    Job(String, Option<Vec<u8>>),
}

/// An action after an event.
#[derive(Clone, Copy, Debug)]
pub enum Then {
    Nothing,
    /// An epoch ends.
    Epoch,
    /// Writes the records that were last touched this many epochs ago, and drops them from memory.
    Write(u32),
    Checkpoint,
    /// Loses a suffix of the writes since the checkpoint: this many 256ths of them survive, as any prefix may.
    Kill(u8),
}

/// Folds a history with a store whose process is killed now and then.
pub fn fold_with_kills(history: &[Envelope<'_>], then: &[Then]) -> MapStore {
    let mut store = MapStore::default();
    let (mut durable, mut written) = ((store.optimizations.clone(), store.jobs.clone()), Vec::new());
    let (mut checkpoint, mut at, mut epoch) = (0, 0, 0);
    let mut happens = then.iter().copied();
    while let Some(envelope) = history.get(at) {
        store.fold(envelope);
        at += 1;
        match happens.next().unwrap_or(Then::Nothing) {
            Then::Nothing => {}
            Then::Epoch => epoch = store.working.next_epoch(),
            Then::Write(age) => {
                let before = (epoch + 1).saturating_sub(age);
                // What has ended is written earlier, as in a catch-up.
                let ended_before = (epoch + 1).saturating_sub(age / 2);
                for put in store.take(Some(before), Some(ended_before)) {
                    written.push(put.clone());
                    store.put(put);
                }
                let commits = store.working.commits();
                store.working.evict(before, commits);
                store.working.check();
            }
            Then::Checkpoint => {
                store.write();
                (durable, checkpoint) = ((store.optimizations.clone(), store.jobs.clone()), at);
                written.clear();
            }
            Then::Kill(survives) => {
                let (optimizations, jobs) = durable.clone();
                store = MapStore { optimizations, jobs, ..MapStore::default() };
                written.truncate(written.len() * usize::from(survives) / 255);
                written.iter().cloned().for_each(|put| store.put(put));
                (at, epoch) = (checkpoint, 0);
            }
        }
    }
    store.write();
    // What a kill left parked of a job that lives in an optimization goes when the job is next looked at.
    let parked: Vec<Arc<str>> = store.jobs.keys().map(|id| id.as_str().into()).collect();
    parked.iter().for_each(|id| store.load_job(id));
    store.write();
    store
}

/// A record as a producer would write it.
#[derive(Clone)]
pub struct OwnedRecord {
    pub position: PartitionOffset,
    pub key: Vec<u8>,
    pub value: Option<Vec<u8>>,
}

impl OwnedRecord {
    pub fn record(&self) -> Record<'_> {
        Record {
            position: self.position,
            timestamp_millis: Some(1_772_355_600_000 + self.position.offset),
            key: Some(&self.key),
            value: self.value.as_deref(),
            headers: Vec::new(),
        }
    }

    pub fn decode(&self) -> Envelope<'_> {
        codec::decode(&self.record()).unwrap()
    }
}
