//! The promises of a replica, which is made of a topic of views alone: its answers are those of the instance that publishes; no view goes
//! back, whoever is killed; and it never calls itself more current than it is.

mod failures;
mod forms;
mod topic;
mod world;

use std::collections::BTreeMap;
use std::time::Duration;

use axum::http::Method;
use optview::codec::published_view::ViewsFormat;
use optview::domain::event::{JobChange, JsonObject};
use optview::domain::{Optimization, Register, Timestamp};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::fixtures::{self, Random};
use topic::MemoryTopic;
use world::{PublishingInstance, ReplicaInstance, Site};

/// Number of optimizations of a history.
const OPTIMIZATIONS: u64 = 14;

/// An optimization as its `version`-th change left it: its name is that number.
fn optimization(id: u64, version: u64, random: &mut Random) -> Optimization {
    let description = match random.below(8) {
        0 => fixtures::text(version, 9_000),
        _ => "a \"text\" \\ with é\n".to_owned(),
    };
    let mut optimization = fixtures::optimization(&id_of(id), version, version.to_string(), description);
    let created = &mut optimization.created.as_mut().unwrap().value;
    // Some move to another organization, and back.
    created.organization_id = if random.percent(20) { "org-2" } else { "org-1" }.into();
    created.project_id = format!("prj/{}", id % 2).into();
    created.kind = Some(if id.is_multiple_of(5) { "datafit" } else { "optimize" }.into());
    created.created_at = Timestamp::new(i64::try_from(id / 2).unwrap(), 5_000_000).unwrap();
    if id.is_multiple_of(3) {
        created.objectives = Some(r#"{"Time [s]":1e-14,"n":18446744073709551615,"q":"\""}"#.into());
    }
    if random.percent(70) {
        optimization.link(&format!("job-{id}").into(), fixtures::stamp(2));
        let change = match random.below(3) {
            0 => JobChange::Processing,
            1 => JobChange::Completed { metrics: Some(JsonObject(r#"{"Cost":0.10000000000000000555}"#.into())) },
            _ => JobChange::Failed { error: Some("it \"broke\"".into()), error_code: Some("E1".into()) },
        };
        optimization.job.apply(&change, fixtures::stamp(3));
    }
    optimization
}

fn id_of(id: u64) -> String {
    format!("o {id}/é")
}

fn path_of(id: u64) -> String {
    format!("/optimizations/o%20{id}%2F%C3%A9")
}

/// The changes of a history, and what a reader may at the least expect at each position.
struct History {
    random: Random,
    /// The version of each optimization, and whether it is deleted, after each write.
    states: Vec<BTreeMap<u64, (u64, bool)>>,
}

impl History {
    fn new(seed: u64) -> History {
        History { random: Random(seed), states: vec![BTreeMap::new()] }
    }

    /// Writes the next changes.
    fn write(&mut self, instance: &mut PublishingInstance) {
        let mut state = self.states.last().unwrap().clone();
        let mut changed = Vec::new();
        for _ in 0..=self.random.below(3) {
            let id = self.random.below(OPTIMIZATIONS);
            let (version, is_deleted) = state.get(&id).copied().unwrap_or_default();
            if is_deleted || changed.iter().any(|(other, _)| *other == id) {
                continue;
            }
            let mut next = optimization(id, version + 1, &mut self.random);
            let is_deleted = self.random.percent(7);
            if is_deleted {
                next.deleted = Some(Register::new((), fixtures::stamp(version + 1)));
            }
            state.insert(id, (version + 1, is_deleted));
            changed.push((id, next));
        }
        instance.write(changed.into_iter().map(|(_, optimization)| optimization).collect());
        self.states.push(state);
    }

    /// Checks that no view that a replica shows is older than its position, or than it was before.
    fn check_monotone(&self, site: &Site, before: &mut BTreeMap<u64, (u64, bool)>) -> Result<(), TestCaseError> {
        let Some(reader) = site.reader.get() else { return Ok(()) };
        let position = reader.visible_position();
        let passed = position.next_offsets().values().next().copied().unwrap_or(0) as usize;
        for id in 0..OPTIMIZATIONS {
            let shown = reader.get(&id_of(id), None).unwrap();
            let version = shown.map(|view| version_of(&view.body));
            let (least, was_deleted) = before.entry(id).or_default();
            match version {
                Some(version) => {
                    prop_assert!(!*was_deleted, "{id} is there again");
                    prop_assert!(version >= *least, "{id} goes back from {least} to {version}");
                    *least = version;
                }
                None if *least > 0 => *was_deleted = true,
                None => {}
            }
            if let Some((covered, is_deleted)) = self.states[passed].get(&id) {
                prop_assert!(
                    version.is_some_and(|version| version >= *covered)
                        || version.is_none() && (*is_deleted || self.is_deleted_later(id, passed)),
                    "{id} has {version:?} at {passed}, where it should have {covered}"
                );
            }
        }
        Ok(())
    }

    fn is_deleted_later(&self, id: u64, from: usize) -> bool {
        self.states[from..].iter().any(|state| state.get(&id).is_some_and(|(_, is_deleted)| *is_deleted))
    }
}

fn version_of(body: &[u8]) -> u64 {
    let view: Value = serde_json::from_slice(body).unwrap();
    view["name"].as_str().unwrap().parse().unwrap()
}

/// Every kind of request that is answered from the views.
fn paths() -> Vec<String> {
    let mut paths: Vec<String> = (0..=OPTIMIZATIONS).map(path_of).collect();
    let lists = [
        "",
        "?limit=3",
        "?limit=3&offset=2",
        "?status=succeeded&status=failed",
        "?status=none",
        "?kind=datafit",
        "?project_id=prj%2F1",
        "?name=1",
        "?sort=name",
        "?sort=-name&project_id=prj%2F0",
        "?sort=created_at",
        "?created_after=1970-01-01T00:00:02Z&created_before=1970-01-01T00:00:05Z",
        "?summary=true",
        "?cursor=&limit=4",
        "/summary",
        "/summary?project_id=prj%2F0",
    ];
    paths.extend(lists.map(|list| format!("/optimizations{list}")));
    paths.push("/users/me".to_owned());
    paths
}

/// Checks that two instances answer every request alike, for callers of both organizations.
async fn check_equal(one: &Site, other: &Site) {
    let mut views = 0;
    for key in ["own", "foreign"] {
        for path in paths() {
            let (expected, found) = (one.get(&path, key).await, other.get(&path, key).await);
            let same = [expected.status, found.status];
            assert_eq!(expected.body, found.body, "{key} {path} {same:?}");
            assert_eq!(same[0], same[1], "{key} {path}");
            for name in ["content-type", "etag", "x-optview-position", "link", "x-total-count"] {
                let large =
                    name == "etag" && path.contains("/optimizations") && !path.contains("/optimizations/o");
                if !large {
                    assert_eq!(expected.header(name), found.header(name), "{key} {path}: {name}");
                }
            }
            views += usize::from(expected.status == 200);
        }
        let mut path = "/optimizations?limit=2&cursor=".to_owned();
        loop {
            let (expected, found) = (one.get(&path, key).await, other.get(&path, key).await);
            assert_eq!(expected.body, found.body, "{key} {path}");
            let Some(next) = found.json()["next_cursor"].as_str().map(str::to_owned) else { break };
            path = format!("/optimizations?limit=2&cursor={next}");
        }
        let ids: Vec<String> = (0..OPTIMIZATIONS).map(id_of).collect();
        let body = json!({ "optimization_ids": ids }).to_string();
        let (expected, found) = (
            one.send(Method::POST, "/optimizations/statuses", key, body.clone()).await,
            other.send(Method::POST, "/optimizations/statuses", key, body).await,
        );
        // A view does not say when its status came about.
        let mut expected = expected.json();
        for status in expected.as_array_mut().unwrap() {
            status["updated_at"] = Value::Null;
        }
        assert_eq!(expected, found.json(), "{key}");
    }
    assert!(views > 10, "{views}");
}

/// The course of one history.
#[derive(Clone, Debug)]
struct Course {
    seed: u64,
    /// The steps, in their order.
    steps: Vec<CourseStep>,
}

#[derive(Clone, Copy, Debug)]
enum CourseStep {
    Write,
    Publish,
    /// All is published, with a mark.
    PublishAll,
    Read,
    /// The publisher is killed, and another one of its kind begins, which may publish in another form.
    KillPublisher(ViewsFormat),
    /// The replica is killed, or stopped, and begins again.
    EndReplica {
        is_killed: bool,
    },
    Compact,
}

fn course_step() -> impl Strategy<Value = CourseStep> {
    let form = proptest::sample::select(&ViewsFormat::ALL[..]);
    prop_oneof![
        12 => Just(CourseStep::Write),
        12 => Just(CourseStep::Publish),
        2 => Just(CourseStep::PublishAll),
        12 => Just(CourseStep::Read),
        1 => form.prop_map(CourseStep::KillPublisher),
        1 => any::<bool>().prop_map(|is_killed| CourseStep::EndReplica { is_killed }),
        2 => Just(CourseStep::Compact),
    ]
}

fn course() -> impl Strategy<Value = Course> {
    (any::<u64>(), proptest::collection::vec(course_step(), 20..120))
        .prop_map(|(seed, steps)| Course { seed, steps })
}

impl Course {
    async fn run(&self) -> Result<(), TestCaseError> {
        let topic = MemoryTopic::new(3);
        let mut instance = PublishingInstance::new(&topic, ViewsFormat::Json);
        let (mut history, mut replica) = (History::new(self.seed), ReplicaInstance::new(&topic));
        let mut seen = BTreeMap::new();
        for step in &self.steps {
            match *step {
                CourseStep::Write => history.write(&mut instance),
                CourseStep::Publish => instance.publish_step(replica.now()),
                CourseStep::PublishAll => instance.publish_all(replica.now()),
                CourseStep::Read => drop(replica.step()),
                CourseStep::KillPublisher(format) => instance.kill_publisher(format),
                CourseStep::EndReplica { is_killed } => {
                    replica.stop(is_killed);
                    replica.start();
                }
                // Nulls stay: no replica is away for longer than they are kept.
                CourseStep::Compact => topic.compact(false),
            }
            replica.pass(Duration::from_millis(2));
            history.check_monotone(&replica.site, &mut seen)?;
        }
        // Every kind of view is there at the end.
        for _ in 0..20 {
            history.write(&mut instance);
        }
        instance.publish_all(replica.now());
        replica.settle();
        history.check_monotone(&replica.site, &mut seen)?;
        check_equal(&instance.site, &replica.site).await;
        prop_assert_eq!(replica.report().generation, 1, "nothing was wrong with the topic");
        // One that begins with what compaction has left comes to the same.
        topic.compact(true);
        let mut late = ReplicaInstance::new(&topic);
        late.pass(replica.now().instant - late.now().instant);
        late.settle();
        check_equal(&instance.site, &late.site).await;
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 60, ..ProptestConfig::default() })]

    #[test]
    fn a_replica_answers_as_the_publishing_instance_does_whoever_is_killed(course in course()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(course.run())?;
    }
}
