//! A store of plain maps, to fold into without sled: the records are the bytes that sled would hold.

use std::collections::BTreeMap;
use std::sync::Arc;

use optview::codec::{self, stored};
use optview::domain::fold::{self, Step};
use optview::domain::{Commit, Envelope, Key, Position, Record, WorkingSet};
use serde_json::Value;

#[derive(Default)]
pub struct MapStore {
    pub optimizations: BTreeMap<String, Vec<u8>>,
    pub jobs: BTreeMap<String, Vec<u8>>,
    working: WorkingSet,
}

impl MapStore {
    pub fn fold(&mut self, envelope: &Envelope<'_>) {
        loop {
            match fold::apply(&mut self.working, envelope) {
                Step::Done(_) => return,
                Step::Needs(Key::Optimization(id)) => self.load_optimization(&id),
                Step::Needs(Key::Job(id)) => {
                    for optimization_id in self.linking(&id) {
                        self.load_optimization(&optimization_id);
                    }
                    let parked = self.jobs.get(&*id).map(|bytes| stored::decode_job(bytes).unwrap());
                    self.working.load_job(&id, parked);
                }
            }
        }
    }

    fn load_optimization(&mut self, id: &Arc<str>) {
        let held = self.optimizations.get(&**id).map(|bytes| stored::decode_optimization(bytes).unwrap());
        self.working.load_optimization(id, held);
    }

    fn linking(&self, job_id: &str) -> Vec<Arc<str>> {
        let optimizations = self.optimizations.values().map(|bytes| stored::decode_optimization(bytes).unwrap());
        let linking = optimizations.filter(|optimization| optimization.links_job(job_id));
        linking.map(|optimization| optimization.id.clone()).collect()
    }

    /// Writes all that has changed.
    pub fn write(&mut self) {
        let Commit { optimizations, jobs } = self.working.take_changes(None);
        for optimization in optimizations {
            let mut bytes = Vec::new();
            stored::encode_optimization(&optimization, &mut bytes).unwrap();
            self.optimizations.insert(optimization.id.to_string(), bytes);
        }
        for (id, job) in jobs {
            match job {
                Some(job) => self.jobs.insert(id.to_string(), stored::encode_job(&job).unwrap()),
                None => self.jobs.remove(&*id),
            };
        }
    }

    /// Lets go of all that is in memory, as a restart does, but without losing anything.
    pub fn forget(&mut self) {
        self.write();
        let epoch = self.working.next_epoch();
        let commits = self.working.commits();
        self.working.evict(epoch, commits);
        assert_eq!(self.working.weight(), 0, "everything is written, so everything can go");
    }

    /// What a reader gets.
    pub fn response(&self, id: &str) -> Option<Value> {
        let bytes = self.optimizations.get(id)?;
        let layout = stored::layout(bytes).unwrap();
        layout.shown.then(|| serde_json::from_slice(&bytes[layout.response]).unwrap())
    }
}

/// A record as a producer would write it.
pub struct OwnedRecord {
    pub position: Position,
    pub key: Vec<u8>,
    pub value: Option<Vec<u8>>,
}

impl OwnedRecord {
    pub fn decode(&self) -> Envelope<'_> {
        codec::decode(&Record {
            position: self.position,
            timestamp_millis: Some(1_772_355_600_000),
            key: Some(&self.key),
            value: self.value.as_deref(),
            headers: &[],
        })
        .unwrap()
    }
}
