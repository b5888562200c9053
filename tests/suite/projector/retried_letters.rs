//! Whoever sees that a letter is gone sees what became of it: it is removed after the view that its event became part of is written.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use optview::codec;
use optview::domain::{Body, DeadLetter, PartitionOffset, Topic};
use optview::projector::{LetterTask, PauseHandle};
use optview::status::Status;
use optview::store::{OpenStore, Reader};

use super::history;
use super::script::{self, Run, ScriptPlayer, partitions};
use super::stepped_projector::{A_REPORT, Clock, SteppedProjector};
use crate::fixtures;

/// Looks at the letters until all are gone, and at the view of each that is.
fn look(reader: &Reader, mut left: BTreeMap<PartitionOffset, String>, is_over: &AtomicBool) {
    while !left.is_empty() {
        let was_over = is_over.load(Ordering::Acquire);
        left.retain(|position, id| {
            let is_gone = reader.dead_letter(*position).unwrap().is_none();
            assert!(
                !is_gone || reader.get(id, None).unwrap().is_some(),
                "{id} is not shown, and its letter is gone"
            );
            !is_gone
        });
        assert!(left.is_empty() || !was_over, "{left:?} are still there");
    }
}

#[test]
fn a_letter_is_gone_only_once_its_view_is_shown() {
    let partitions = partitions(&history(3, 300));
    let (mut letters, mut ids) = (Vec::new(), BTreeMap::new());
    for partition in partitions.iter().filter(|partition| partition.topic == Topic::Optimizations) {
        for record in &partition.records {
            let envelope = record.decode();
            let Body::Optimization { optimization_id, .. } = &envelope.event.body else { continue };
            if envelope.event.body.kind() == "created" {
                ids.insert(record.position, optimization_id.to_string());
                letters.push(DeadLetter {
                    position: record.position,
                    key: Some(record.key.clone()),
                    value_len: record.value.as_ref().map_or(0, Vec::len) as u64,
                    value: record.value.clone(),
                    ..fixtures::dead_letter(0, Vec::new())
                });
            }
        }
    }
    assert!(letters.len() == 300 && codec::decode(&letters[0].record()).is_ok());
    let directory = tempfile::tempdir().unwrap();
    let OpenStore { writer, path, .. } = fixtures::open(directory.path());
    writer.commit(optview::domain::Commit::default(), letters.clone(), 1).unwrap();
    writer.finish().unwrap();
    let OpenStore { writer, .. } = fixtures::open(directory.path());
    let reader = writer.reader();
    let (status, control, clock) = (Status::new(1), Arc::new(PauseHandle::default()), Clock::new());
    let run = Run { until: |_| false, ..Run::to_the_end(1) };
    // The topics have nothing: only the letters make views.
    let mut source = ScriptPlayer::new(&[], run, status.clone(), control.clone());
    source.clock = Some(clock.clone());
    let settings = script::settings(&path, 64 << 20);
    let mut stepped = SteppedProjector::new(writer, settings, source, status, &control, clock);
    let (positions, is_over): (VecDeque<PartitionOffset>, _) =
        (ids.keys().copied().collect(), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| look(&reader, ids, &is_over));
        let asked = scope.spawn(|| control.about_letters(LetterTask::Retry(positions)).unwrap());
        while !asked.is_finished() {
            stepped.turn(A_REPORT);
        }
        assert_eq!(asked.join().unwrap().folded, 300);
        is_over.store(true, Ordering::Release);
    });
    stepped.finish();
}
