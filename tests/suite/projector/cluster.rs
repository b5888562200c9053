//! A store is kept up to date from the cluster that it was built from, and from no other.

use std::path::Path;
use std::time::Duration;

use optview::domain::{PartitionOffset, Topic, TopicPartition};
use optview::projector::PauseHandle;
use optview::source::{Source, SourceEvent, StopReason, Watermarks};
use optview::status::{Report, State, Status};

use super::script;
use super::stepped_projector::{Clock, SteppedProjector};
use crate::fixtures;

/// A cluster with three empty topics.
struct NamedCluster {
    id: Option<&'static str>,
    /// The id that it has once its partitions are read.
    later: Option<&'static str>,
    found: bool,
    assigned: Vec<Topic>,
    stopped: Vec<Topic>,
}

impl Source for NamedCluster {
    fn poll(&mut self, _: Duration, take: &mut dyn FnMut(SourceEvent)) -> bool {
        if !std::mem::replace(&mut self.found, true) {
            for topic in Topic::ALL {
                let partition = TopicPartition::new(topic, 0);
                take(SourceEvent::Found { partition, watermarks: Watermarks { low: 0, high: 0 } });
            }
        } else if !self.assigned.is_empty() {
            self.id = self.later.or(self.id);
        }
        false
    }

    fn assign(&mut self, TopicPartition { topic, .. }: TopicPartition, _: i64) -> Result<(), StopReason> {
        self.assigned.push(topic);
        Ok(())
    }

    fn stop(&mut self, TopicPartition { topic, .. }: TopicPartition) {
        self.stopped.push(topic);
    }

    fn watermarks(&self, _: TopicPartition) -> Option<Watermarks> {
        None
    }

    fn trouble(&self) -> Option<String> {
        None
    }

    fn is_complete(&self) -> bool {
        self.found
    }

    fn cluster_id(&self) -> Option<String> {
        self.id.map(str::to_owned)
    }

    fn publish(&mut self, _: &[PartitionOffset]) {}
}

/// Turns the projector until its state is this one.
fn project(
    data: &Path,
    id: Option<&'static str>,
    later: Option<&'static str>,
    until: State,
) -> (Report, NamedCluster) {
    let opened = fixtures::open(data);
    let source = NamedCluster { id, later, found: false, assigned: Vec::new(), stopped: Vec::new() };
    let (status, control) = (Status::new(1), PauseHandle::default());
    let settings = script::settings(&opened.path, 1 << 20);
    let mut stepped = SteppedProjector::new(opened.writer, settings, source, status, &control, Clock::new());
    let report = stepped.turn_until("the state", |report| report.state == until);
    (report, stepped.finish())
}

fn stored_cluster(data: &Path) -> Option<String> {
    fixtures::open(data).writer.reader().cluster().unwrap()
}

#[test]
fn a_store_adopts_the_first_cluster_that_has_a_name_and_refuses_every_other() {
    let data = tempfile::tempdir().unwrap();
    assert_eq!(project(data.path(), None, None, State::Live).1.assigned, Topic::ALL);
    assert_eq!(stored_cluster(data.path()), None, "it has no name");
    for _ in 0..2 {
        let (report, source) = project(data.path(), Some("one"), None, State::Live);
        assert_eq!((report.last_error, source.assigned.as_slice()), (None, &Topic::ALL[..]));
        assert_eq!(stored_cluster(data.path()).as_deref(), Some("one"));
    }
    let (report, source) = project(data.path(), Some("other"), None, State::Stalled);
    assert_eq!(source.assigned, [], "nothing is read");
    let why = report.last_error.expect("the report names it");
    for part in ["cluster one", "cluster other", "--brokers", "--data-dir"] {
        assert!(why.contains(part), "no {part}: {why}");
    }
    assert_eq!(stored_cluster(data.path()).as_deref(), Some("one"));
    project(data.path(), Some("one"), None, State::Live);
}

#[test]
fn an_address_that_leads_to_another_cluster_by_now_is_not_read_any_further() {
    let data = tempfile::tempdir().unwrap();
    let (report, source) = project(data.path(), Some("one"), Some("other"), State::Stalled);
    assert_eq!(source.assigned, Topic::ALL);
    assert!(report.last_error.is_some_and(|why| why.contains("cluster other")));
    let codes: Vec<_> = report.partitions.iter().map(|held| held.freshness.stop_code).collect();
    assert_eq!(codes, [Some("other_cluster"); 3]);
    let mut stopped = source.stopped;
    stopped.sort();
    assert_eq!(stopped, Topic::ALL);
}
