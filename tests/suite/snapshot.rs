//! A snapshot is taken while its store is being written to, and a store made of it gives the same views. A damaged
//! file makes none, and changes nothing.

mod file;

use std::sync::Arc;

use optview::codec::stored_record;
use optview::domain::fold::{self, FoldStep};
use optview::domain::{Commit, Envelope, NamedPartition, RecordKey, WorkingSet};
use optview::store::{Checkpoint, ExportedRecord, PartitionCheckpoint, StoreError, Writer};
use proptest::prelude::*;

use crate::fixtures;
use crate::fold::{fold_all, history, then};
use crate::support::{MapStore, Then};

/// A projector's actions, one by one, on a real store.
struct LiveStore<'a> {
    history: &'a [Envelope<'static>],
    at: usize,
    writer: Writer,
    working: WorkingSet,
    epoch: u32,
    checkpoints: u64,
}

impl<'a> LiveStore<'a> {
    fn new(history: &'a [Envelope<'static>], at: usize, writer: Writer) -> LiveStore<'a> {
        LiveStore { history, at, writer, working: WorkingSet::default(), epoch: 0, checkpoints: 0 }
    }

    fn step(&mut self, then: Then) {
        let Some(envelope) = self.history.get(self.at) else { return };
        self.fold(envelope);
        self.at += 1;
        match then {
            Then::Nothing | Then::Kill(_) => {}
            Then::Epoch => self.epoch = self.working.next_epoch(),
            Then::Write(age) => {
                let before = (self.epoch + 1).saturating_sub(age);
                self.write(Some(before));
                self.working.evict(before, self.writer.commits_written());
            }
            Then::Checkpoint => self.checkpoint(),
        }
    }

    fn fold(&mut self, envelope: &Envelope<'_>) {
        loop {
            match fold::apply(&mut self.working, envelope) {
                FoldStep::Done(_) => return,
                FoldStep::Needs(RecordKey::Optimization(id)) => self.load_optimization(&id),
                FoldStep::Needs(RecordKey::Job(id)) => self.load_job(&id),
            }
        }
    }

    fn load_optimization(&mut self, id: &Arc<str>) {
        self.working.load_optimization(id, self.writer.optimization(id).unwrap());
    }

    fn load_job(&mut self, id: &Arc<str>) {
        for optimization in self.writer.linking(id) {
            self.load_optimization(&optimization);
        }
        self.working.load_job(id, self.writer.parked_job(id).unwrap());
    }

    fn write(&mut self, before_epoch: Option<u32>) {
        let commit = self.working.take_changes(before_epoch);
        let number = self.working.commits();
        self.writer.commit(commit, Vec::new(), number).unwrap();
        fixtures::wait_until_written(&self.writer, number);
    }

    fn checkpoint(&mut self) {
        self.write(None);
        let held = PartitionCheckpoint { next_offset: self.at as i64, anchor: None, topic_id: None };
        self.writer.checkpoint(Checkpoint::from([(NamedPartition::new("all", 0), held)])).unwrap();
        self.checkpoints += 1;
        while self.writer.checkpoints_written() < self.checkpoints {
            self.writer.check().unwrap();
            std::thread::yield_now();
        }
    }

    /// Folds the remaining events. A state that was left parked of a job with a home is removed when the job is
    /// next touched.
    fn finish(&mut self) {
        while self.at < self.history.len() {
            self.step(Then::Nothing);
        }
        (0..12).for_each(|number| self.load_job(&format!("j{number}").into()));
        self.write(None);
    }
}

/// Writes a store of the copied records.
fn store_of(copied: Commit, directory: &std::path::Path) -> Writer {
    let writer = fixtures::open(directory).writer;
    writer.commit(copied, Vec::new(), 1).unwrap();
    writer.finish().unwrap();
    fixtures::open(directory).writer
}

fn is_the_same(writer: &Writer, expected: &MapStore) -> Result<(), TestCaseError> {
    prop_assert!(!expected.optimizations.is_empty() || !expected.jobs.is_empty());
    for (id, bytes) in &expected.optimizations {
        let optimization = writer.optimization(id).unwrap().expect("it is there");
        let mut again = Vec::new();
        stored_record::encode_optimization(&optimization, &mut again).unwrap();
        prop_assert_eq!(&again, bytes, "{}", id);
    }
    for id in (0..12).map(|number| format!("j{number}")) {
        let parked = writer.parked_job(&id).unwrap().map(|job| stored_record::encode_job(&job).unwrap());
        prop_assert_eq!(parked.as_ref(), expected.jobs.get(&id), "{}", id);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, max_shrink_iters: 200, ..ProptestConfig::default() })]

    /// Between any two copied records, any number of events is folded, and the changes may or may not be written.
    #[test]
    fn whatever_is_written_while_it_is_copied_the_copy_catches_up_to_the_same(
        history in history(1..80),
        then in proptest::collection::vec(then(), 80),
        before in 0..60usize,
        between in proptest::collection::vec(0..12usize, 1..24),
    ) {
        let directories = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let mut live = LiveStore::new(&history, 0, fixtures::open(directories[0].path()).writer);
        then.iter().take(before).for_each(|then| live.step(*then));
        let copying = live.writer.reader().begin_export().unwrap();
        let from = copying.checkpoint.values().map(|held| held.next_offset).max().unwrap_or(0);
        let (mut copied, mut pauses) = (Commit::default(), between.iter().cycle());
        copying.each::<StoreError>(&mut |record| {
            match record {
                ExportedRecord::Optimization(bytes) => {
                    copied.optimizations.push(Arc::new(stored_record::decode_optimization(bytes)?));
                }
                ExportedRecord::Job(id, bytes) => {
                    let id = String::from_utf8_lossy(id).as_ref().into();
                    copied.jobs.push((id, Some(Arc::new(stored_record::decode_job(bytes)?))));
                }
                ExportedRecord::DeadLetter(_) => unreachable!("there is none"),
            }
            for _ in 0..*pauses.next().unwrap_or(&0) {
                live.step(then.get(live.at).copied().unwrap_or(Then::Nothing));
            }
            Ok(())
        }).unwrap();
        let expected = fold_all(history.iter(), &[]);
        let mut replica = LiveStore::new(&history, from as usize, store_of(copied, directories[1].path()));
        for one in [&mut live, &mut replica] {
            one.finish();
            is_the_same(&one.writer, &expected)?;
        }
    }
}
