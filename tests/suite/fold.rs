//! Any interleaving, repetition and batching of the same events gives the same records, byte for byte.

use std::borrow::Cow;

use optview::domain::event::{
    Body, JobChange, JsonObject, Metadata, OptimizationChange, OptimizationCreated, RunChange,
};
use optview::domain::{Envelope, Event, PartitionOffset, Timestamp, Topic};
use proptest::prelude::*;

use crate::support::{MapStore, Then, fold_with_kills};

/// Generates few ids, so that events collide often.
fn optimization_id() -> impl Strategy<Value = Cow<'static, str>> {
    prop_oneof![Just("o1"), Just("o2"), Just("o3")].prop_map(Cow::Borrowed)
}

fn job_id() -> impl Strategy<Value = Cow<'static, str>> {
    (0..12u8).prop_map(|number| Cow::Owned(format!("j{number}")))
}

fn text() -> impl Strategy<Value = Option<Cow<'static, str>>> {
    prop_oneof![Just(None), Just(Some("")), Just(Some("a")), Just(Some("ü\"\n"))]
        .prop_map(|text| text.map(Cow::Borrowed))
}

fn object() -> impl Strategy<Value = Option<JsonObject<'static>>> {
    proptest::option::of((0..9u8).prop_map(|n| JsonObject(Cow::Owned(format!(r#"{{"Time [s]":{n}}}"#)))))
}

prop_compose! {
    fn created()(
        name in text(), description in text(), cell_name in text(), objectives in object(),
        job_id in proptest::option::of(job_id()), project in 0..2u8,
    ) -> OptimizationChange<'static> {
        OptimizationChange::Created(Box::new(OptimizationCreated {
            organization_id: Cow::Borrowed("org-1"),
            project_id: Cow::Owned(format!("p{project}")),
            name, description, cell_name, objectives, job_id,
            ..OptimizationCreated::default()
        }))
    }
}

fn optimization_change() -> impl Strategy<Value = OptimizationChange<'static>> {
    prop_oneof![
        3 => created(),
        2 => (text(), text()).prop_map(|(name, description)| OptimizationChange::DetailsChanged { name, description }),
        1 => (text(), text()).prop_map(|(cell_name, parameterized_model_name)| {
            OptimizationChange::DisplayNamesChanged { cell_name, parameterized_model_name }
        }),
        8 => job_id().prop_map(|job_id| OptimizationChange::JobLinked { job_id }),
        1 => Just(OptimizationChange::Deleted),
    ]
}

fn job_change() -> impl Strategy<Value = JobChange<'static>> {
    prop_oneof![
        Just(JobChange::Pending),
        Just(JobChange::Waiting),
        Just(JobChange::Processing),
        object().prop_map(|metrics| JobChange::Completed { metrics }),
        (text(), text()).prop_map(|(error, error_code)| JobChange::Failed { error, error_code }),
        Just(JobChange::Canceled),
    ]
}

/// Generates indexes of more than one block, often the same.
fn run_index() -> impl Strategy<Value = u32> {
    prop_oneof![0..200u32, 198..200u32]
}

fn run_change() -> impl Strategy<Value = RunChange<'static>> {
    let completed =
        RunChange::Completed { cost: None, parameter_values: None, iterations: None, evaluations: None };
    prop_oneof![
        Just(RunChange::Started),
        Just(completed),
        Just(RunChange::Failed { error: None }),
        Just(RunChange::Canceled),
    ]
}

fn body() -> impl Strategy<Value = Body<'static>> {
    prop_oneof![
        (optimization_id(), optimization_change())
            .prop_map(|(optimization_id, change)| Body::Optimization { optimization_id, change }),
        (job_id(), proptest::option::of(optimization_id()), job_change())
            .prop_map(|(job_id, optimization_id, change)| Body::Job { job_id, optimization_id, change }),
        (job_id(), proptest::option::of(optimization_id()), run_index(), run_change()).prop_map(
            |(job_id, optimization_id, run_index, change)| Body::Run {
                job_id,
                run_index,
                optimization_id,
                change,
            }
        ),
    ]
}

/// Generates the times at which records were written. Some lie long before the time that the event states.
fn written_seconds() -> impl Strategy<Value = Option<i64>> {
    prop_oneof![1 => Just(None), 3 => (-2_000..6i64).prop_map(Some), 3 => (0..6i64).prop_map(Some)]
}

/// Generates a history. Sequences are often missing and times often equal, but event ids are unique.
pub fn history(len: std::ops::Range<usize>) -> impl Strategy<Value = Vec<Envelope<'static>>> {
    let event = (body(), 0..4u64, 0..6i64, written_seconds(), 0..2i32);
    proptest::collection::vec(event, len).prop_map(|events| {
        (0..)
            .zip(events)
            .map(|(number, (body, sequence, time, written, partition))| {
                let topic = body.topic();
                let metadata = Metadata {
                    event_id: Cow::Owned(format!("e{number}")),
                    occurred_at: Timestamp::new(1_772_355_600 + time, 0).unwrap(),
                    sequence,
                };
                Envelope {
                    event: Event { metadata, body },
                    position: PartitionOffset { topic, partition, offset: number },
                    written_millis: written.map(|seconds| (1_772_355_600 + seconds) * 1000),
                    nulled_numbers: 0,
                }
            })
            .collect()
    })
}

pub fn fold_all<'a>(history: impl Iterator<Item = &'a Envelope<'static>>, pauses: &[bool]) -> MapStore {
    let mut store = MapStore::default();
    for (at, envelope) in history.enumerate() {
        store.fold(envelope);
        if !pauses.is_empty() && pauses[at % pauses.len()] {
            store.forget();
        }
    }
    store.write();
    store
}

pub fn then() -> impl Strategy<Value = Then> {
    prop_oneof![
        4 => Just(Then::Nothing),
        3 => Just(Then::Epoch),
        4 => (0..3u32).prop_map(Then::Write),
        1 => Just(Then::Checkpoint),
        1 => any::<u8>().prop_map(Then::Kill),
    ]
}

fn is_the_same(folded: &MapStore, expected: &MapStore) -> Result<(), TestCaseError> {
    prop_assert!(!expected.optimizations.is_empty() || !expected.jobs.is_empty());
    for (id, bytes) in &expected.optimizations {
        prop_assert_eq!(folded.response(id), expected.response(id));
        prop_assert_eq!(folded.optimizations.get(id), Some(bytes), "{}", id);
    }
    prop_assert_eq!(&folded.optimizations, &expected.optimizations);
    prop_assert_eq!(&folded.jobs, &expected.jobs);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn order_repetition_and_batching_do_not_matter(
        (history, shuffled) in history(1..60).prop_flat_map(|history| {
            let again = history.iter().step_by(3).cloned();
            let repeated: Vec<_> = history.iter().cloned().chain(again).collect();
            (Just(history), Just(repeated).prop_shuffle())
        }),
        pauses in proptest::collection::vec(proptest::bool::weighted(0.3), 1..40),
    ) {
        let expected = fold_all(history.iter(), &[]);
        let folded = fold_all(shuffled.iter(), &pauses);
        is_the_same(&folded, &expected)?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    /// Each record is written when it has not been touched for a while, without the records that a job binds it
    /// to.
    #[test]
    fn whenever_what_is_written_a_kill_changes_nothing(
        history in history(1..80),
        then in proptest::collection::vec(then(), 1..160),
    ) {
        is_the_same(&fold_with_kills(&history, &then), &fold_all(history.iter(), &[]))?;
    }
}

/// A job is pushed out of one optimization by later links and linked by another, and one commit writes both.
#[test]
fn a_kill_between_the_optimizations_that_a_job_moved_between_changes_nothing() {
    let link = |optimization_id: &'static str, job_id: String| Body::Optimization {
        optimization_id: optimization_id.into(),
        change: OptimizationChange::JobLinked { job_id: job_id.into() },
    };
    let pending = Body::Job { job_id: "j0".into(), optimization_id: None, change: JobChange::Pending };
    let filler = Body::Job { job_id: "j20".into(), optimization_id: None, change: JobChange::Pending };
    let mut bodies = vec![link("o1", "j0".to_owned()), pending];
    bodies.extend((1..=8).map(|number| link("o1", format!("j{number}"))));
    bodies.extend([link("o2", "j0".to_owned()), filler]);
    let history: Vec<_> = (0_u32..)
        .zip(bodies)
        .map(|(number, body)| {
            let topic = body.topic();
            let (event_id, sequence) = (format!("e{number}").into(), u64::from(number) + 1);
            let metadata = Metadata { event_id, occurred_at: Timestamp::default(), sequence };
            let position = PartitionOffset { topic, partition: 0, offset: i64::from(number) };
            Envelope { event: Event { metadata, body }, position, written_millis: None, nulled_numbers: 0 }
        })
        .collect();
    let expected = fold_all(history.iter(), &[]);
    for survives in 0..=u8::MAX {
        let mut then = vec![Then::Nothing; history.len()];
        then[1] = Then::Checkpoint;
        then[history.len() - 2] = Then::Write(0);
        then[history.len() - 1] = Then::Kill(survives);
        is_the_same(&fold_with_kills(&history, &then), &expected).unwrap();
    }
}

#[test]
fn ten_thousand_runs_make_a_record_of_less_than_7_kb_whatever_their_pattern() {
    let patterns: [fn(u32) -> u32; 3] = [|at| at, |at| 9_999 - at, |at| (at * 7_919) % 10_000];
    for index_of in patterns {
        let mut store = MapStore::default();
        let body = Body::Optimization {
            optimization_id: "o1".into(),
            change: OptimizationChange::Created(Box::new(OptimizationCreated {
                organization_id: "org-1".into(),
                project_id: "p1".into(),
                job_id: Some("j1".into()),
                ..OptimizationCreated::default()
            })),
        };
        let envelope = |body, offset| Envelope {
            event: Event {
                metadata: Metadata {
                    event_id: format!("e{offset}").into(),
                    occurred_at: Timestamp::default(),
                    sequence: 1,
                },
                body,
            },
            position: PartitionOffset { topic: Topic::MultistartRuns, partition: 0, offset },
            written_millis: None,
            nulled_numbers: 0,
        };
        store.fold(&envelope(body, 0));
        for at in 0..10_000 {
            let run_index = index_of(at);
            let body =
                Body::Run { job_id: "j1".into(), run_index, optimization_id: None, change: RunChange::Started };
            store.fold(&envelope(body, i64::from(at) + 1));
        }
        store.write();
        assert_eq!(store.response("o1").unwrap()["run_count"], 10_000);
        let len = store.optimizations["o1"].len();
        assert!(len < 7_000, "{len} bytes");
    }
}
