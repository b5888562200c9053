//! Tests of which changes are taken when.

use super::*;
use crate::domain::PartitionOffset;
use crate::domain::event::{Envelope, JobChange, Metadata, OptimizationChange, RunChange};
use crate::domain::fold::{FoldStep, apply};

fn fold(working: &mut WorkingSet, offset: i64, body: Body<'static>) {
    let position = PartitionOffset { topic: body.topic(), partition: 0, offset };
    let metadata = Metadata {
        event_id: offset.to_string().into(),
        occurred_at: Default::default(),
        sequence: offset.unsigned_abs() + 1,
    };
    let event = Event { metadata, body };
    let envelope = Envelope { event, position, written_millis: None, nulled_numbers: 0 };
    while let FoldStep::Needs(needed) = apply(working, &envelope) {
        match needed {
            RecordKey::Optimization(id) => working.load_optimization(&id, None),
            RecordKey::Job(id) => working.load_job(&id, None),
        }
    }
}

#[test]
fn optimizations_whose_job_has_ended_are_taken_before_others() {
    let mut working = WorkingSet::default();
    let changes = [("under-way", JobChange::Processing), ("ended", JobChange::Canceled)];
    for (offset, (id, change)) in (0..).zip(changes) {
        let linked = OptimizationChange::JobLinked { job_id: format!("job-{id}").into() };
        fold(&mut working, 2 * offset, Body::Optimization { optimization_id: id.into(), change: linked });
        let job = Body::Job { job_id: format!("job-{id}").into(), optimization_id: None, change };
        fold(&mut working, 2 * offset + 1, job);
    }
    let ids = |commit: &Commit| -> Vec<String> {
        commit.optimizations.iter().map(|optimization| optimization.id.to_string()).collect()
    };
    working.next_epoch();
    assert!(working.take_rested(Some(0), Some(0)).is_empty());
    assert_eq!(ids(&working.take_rested(Some(0), Some(1))), ["ended"]);
    // A new submission changes it again, and it is under way then.
    fold(
        &mut working,
        9,
        Body::Job { job_id: "job-ended".into(), optimization_id: None, change: JobChange::Pending },
    );
    assert_eq!(working.take_changed_again(), ChangedAgain { ended: 1, under_way: 0 });
    assert_eq!(ids(&working.take_rested(Some(1), Some(2))), ["under-way"]);
    assert_eq!(working.changed(), 1);
    working.check();
}

#[test]
fn a_job_has_ended_in_whatever_order_its_status_its_link_and_its_runs_come() {
    let link = || {
        let change = OptimizationChange::JobLinked { job_id: "job".into() };
        Body::Optimization { optimization_id: "linked".into(), change }
    };
    let run =
        || Body::Run { job_id: "job".into(), run_index: 0, optimization_id: None, change: RunChange::Started };
    let ended = || Body::Job { job_id: "job".into(), optimization_id: None, change: JobChange::Canceled };
    for bodies in [[ended(), link(), run()], [link(), ended(), run()], [run(), ended(), link()]] {
        let mut working = WorkingSet::default();
        (0..).zip(bodies).for_each(|(offset, body)| fold(&mut working, offset, body));
        assert_eq!(working.take_rested(Some(0), None).optimizations.len(), 1);
        // What is loaded again has ended, too.
        let stored = Optimization::clone(&working.optimizations[0].record);
        let mut working = WorkingSet::default();
        working.load_optimization(&"linked".into(), Some(stored));
        working.load_job(&"job".into(), None);
        fold(
            &mut working,
            9,
            Body::Run { job_id: "job".into(), run_index: 1, optimization_id: None, change: RunChange::Started },
        );
        assert_eq!(working.take_rested(Some(0), None).optimizations.len(), 1);
        working.check();
    }
}

#[test]
fn a_link_that_is_there_already_marks_its_optimization_only_where_that_is_asked_for() {
    let mut working = WorkingSet::default();
    let link = |working: &mut WorkingSet| {
        let change = OptimizationChange::JobLinked { job_id: "job".into() };
        fold(working, 0, Body::Optimization { optimization_id: "linked".into(), change });
        working.take_changes(None).optimizations.len()
    };
    assert_eq!((link(&mut working), link(&mut working)), (1, 0));
    working.set_marks_unchanged(true);
    assert_eq!(link(&mut working), 1);
    working.set_marks_unchanged(false);
    assert_eq!(link(&mut working), 0);
    working.check();
}
