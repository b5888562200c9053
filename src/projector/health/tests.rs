//! The health of partitions, judged with a clock that the tests step.

use super::*;
use crate::domain::{Topic, TopicPartition};
use crate::projector::checkpoints::Checkpoints;
use crate::projector::partitions::{FoundPartition, Partitions};
use crate::source::{StopCode, StopReason, TopicNames, Watermarks};
use crate::store::{Anchor, Checkpoint};

const JOBS: TopicPartition = TopicPartition::new(Topic::Jobs, 0);

/// A health that is live from its begin on, with one partition, and a clock.
struct World {
    health: Health,
    begin: Moment,
    seconds: u64,
    time: Option<i64>,
    error: Option<StandingError>,
    topic_id: Option<TopicId>,
}

impl World {
    fn new() -> World {
        let begin = Moment { instant: Instant::now(), wall: "2026-11-28T10:00:00Z".parse().unwrap() };
        let mut health = Health::new(begin.instant);
        health.observe_cluster(begin, ClusterHealth::default(), true);
        World { health, begin, seconds: 0, time: None, error: None, topic_id: None }
    }

    fn moment(&self) -> Moment {
        self.begin.after(Duration::from_secs(self.seconds))
    }

    /// The projector is at `position`, and the cluster, asked now, answers that the partition ends at `last_stable` and `high`.
    fn sees(&mut self, position: i64, last_stable: i64, high: i64) {
        let asked_at = self.moment().instant;
        let observation = PartitionObservation { topic_id: self.topic_id, low: 0, last_stable, high, asked_at };
        self.observe(position, None, Some(observation));
    }

    /// The projector is at `position`, and the cluster does not answer.
    fn hears_nothing(&mut self, position: i64) {
        self.observe(position, None, None);
    }

    fn observe(&mut self, position: i64, stopped: Option<&StopReason>, observation: Option<PartitionObservation>) {
        let moment = self.moment();
        self.health.observe_cluster(moment, ClusterHealth::default(), true);
        let reading = PartitionReading { partition: JOBS, position, time: self.time, stopped };
        self.health.observe(moment, reading, observation, self.error.clone());
    }

    fn pass(&mut self, seconds: u64) {
        self.seconds += seconds;
    }

    fn freshness(&self) -> PartitionFreshness {
        self.health.freshness(self.moment(), JOBS)
    }

    /// The age of what is served, in whole seconds, where something may be unread.
    fn age(&self) -> Option<u64> {
        let since = self.freshness().instants.oldest_unread?;
        Some(self.moment().instant.saturating_duration_since(since).as_secs())
    }

    fn is_stale(&self) -> bool {
        self.health.stale_from().is_some_and(|from| self.moment().instant >= from)
    }

    fn doubt(&self) -> Option<Doubt> {
        self.health.doubts(self.moment()).first().map(|(_, doubt, _)| *doubt)
    }
}

fn error() -> StandingError {
    StandingError {
        code: "TopicAuthorizationFailed".to_owned(),
        text: "not allowed".to_owned(),
        since: "2026-11-28T09:59:00Z".parse().unwrap(),
    }
}

#[test]
fn a_partition_whose_broker_does_not_answer_becomes_stale_and_is_confirmed_again_by_an_answer_only() {
    let mut world = World::new();
    world.sees(9, 9, 9);
    assert_eq!((world.age(), world.is_stale()), (Some(0), false));
    world.pass(29);
    world.hears_nothing(9);
    assert!(!world.is_stale());
    world.pass(1);
    world.hears_nothing(9);
    assert!(world.is_stale(), "no record came, and that proves nothing");
    assert_eq!(world.doubt(), Some(Doubt::NoAnswer));
    assert_eq!(world.freshness().confirmed_at.as_deref(), Some("2026-11-28T10:00:00.000Z"));
    world.pass(690);
    world.hears_nothing(9);
    assert_eq!(world.age(), Some(720), "it grows for as long as nothing is known");
    world.sees(9, 12, 12);
    assert!(world.is_stale(), "an answer that there is more confirms nothing");
    assert_eq!((world.health.lag_records(JOBS), world.age()), (Some(3), Some(720)));
    world.hears_nothing(12);
    assert_eq!((world.is_stale(), world.age(), world.doubt()), (false, Some(0), None));
}

#[test]
fn what_was_never_confirmed_is_stale_soon_after_it_went_live_and_never_before() {
    let mut world = World::new();
    world.hears_nothing(9);
    assert_eq!((world.age(), world.is_stale()), (None, false));
    world.pass(30);
    world.hears_nothing(9);
    assert_eq!((world.is_stale(), world.doubt()), (true, Some(Doubt::NeverAnswered)));
    let moment = world.moment();
    world.health.observe_cluster(moment, ClusterHealth::default(), false);
    assert_eq!((world.is_stale(), world.doubt()), (false, None), "what has not caught up says so itself");
}

#[test]
fn a_partition_that_appears_later_has_its_own_time_to_be_confirmed() {
    let mut world = World::new();
    let sees_both = |world: &mut World| {
        world.sees(5, 5, 5);
        let moment = world.moment();
        let unread =
            PartitionObservation { topic_id: None, low: 0, last_stable: 9, high: 9, asked_at: moment.instant };
        let reading = PartitionReading {
            partition: TopicPartition { partition: 1, ..JOBS },
            position: 0,
            time: None,
            stopped: None,
        };
        world.health.observe(moment, reading, Some(unread), None);
    };
    world.sees(5, 5, 5);
    world.pass(3600);
    sees_both(&mut world);
    assert_eq!((world.is_stale(), world.doubt()), (false, None), "it was found this moment");
    world.pass(30);
    sees_both(&mut world);
    assert!(world.is_stale() && world.doubt().is_some());
}

#[test]
fn what_was_read_since_the_cluster_was_asked_is_below_its_end() {
    let mut world = World::new();
    let mut partitions = Partitions::new(TopicNames::default());
    let checkpoints = Checkpoints::new(Checkpoint::new(), Duration::ZERO, Duration::ZERO, world.begin.instant);
    let watermarks = Watermarks { low: 0, high: 5 };
    partitions.begin(FoundPartition { partition: JOBS, watermarks, topic_id: None }, None, None);
    world.sees(5, 5, 5);
    partitions.advance(JOBS, Anchor { offset: 7, hash: 0 }, None);
    let reports = partitions.reports(&checkpoints, &world.health, world.moment(), |_| None);
    assert_eq!((reports[0].position, reports[0].high), (8, Some(8)));
}

#[test]
fn a_reader_that_is_always_some_seconds_behind_is_as_old_as_it_is_behind() {
    let mut world = World::new();
    for second in 0..1_000 {
        // 100 records a second, of which the last five seconds' are never read yet.
        world.sees((second - 5).max(0) * 100, second * 100, second * 100);
        assert!(!world.is_stale(), "at {second}");
        assert!(world.age().unwrap() <= 5, "at {second}: {:?}", world.age());
        world.pass(1);
    }
    for behind in [5, 45, 200] {
        world.sees((1_000 - behind) * 100, 100_000, 100_000);
        world.pass(1);
        world.sees((1_000 - behind) * 100 + 1, 100_000, 100_000);
        assert!(!world.is_stale(), "it was confirmed a moment ago, and reads on");
    }
    world.pass(30);
    world.sees(99_999, 200_000, 200_000);
    assert_eq!((world.is_stale(), world.doubt()), (true, Some(Doubt::TooSlow)));
    world.pass(11);
    world.sees(99_999, 200_000, 200_000);
    assert_eq!(world.doubt(), Some(Doubt::StandsStill));
}

#[test]
fn observations_that_wait_are_bounded_and_still_confirm() {
    let mut world = World::new();
    for second in 0..20_000 {
        world.sees(0, second + 1, second + 1);
        world.pass(1);
    }
    let waiting = world.health.tracks[&JOBS].ahead.len();
    assert!(waiting <= OBSERVATIONS_MAX, "{waiting}");
    world.hears_nothing(20_000);
    assert_eq!(world.age(), Some(1), "the newest is never dropped");
}

#[test]
fn one_young_record_on_an_idle_topic_is_as_old_as_it_is() {
    let mut world = World::new();
    let a_day_ago = world.begin.wall.timestamp_millis() - 86_400_000;
    world.time = Some(a_day_ago);
    world.sees(9, 9, 9);
    world.pass(10);
    world.sees(9, 10, 10);
    assert_eq!((world.health.lag_records(JOBS), world.age()), (Some(1), Some(10)));
}

#[test]
fn the_timestamp_of_the_last_record_bounds_the_age_where_its_clock_can_be_believed() {
    let mut world = World::new();
    let begin = world.begin.wall.timestamp_millis();
    world.pass(100);
    for (millis, age) in [
        (begin + 60_000, Some(40)),
        (begin - 60_000, Some(160)),
        // A year ahead, before 1970, and none at all.
        (begin + 31_536_000_000, None),
        (-1, None),
        (i64::MIN, None),
        (i64::MAX, None),
        (0, None),
    ] {
        world.time = Some(millis);
        world.hears_nothing(5);
        assert_eq!(world.age(), age, "{millis}");
    }
}

#[test]
fn an_error_that_stands_makes_a_confirmed_partition_stale_until_it_is_over() {
    let mut world = World::new();
    world.error = Some(error());
    for _ in 0..30 {
        world.sees(9, 9, 9);
        assert!(!world.is_stale());
        world.pass(1);
    }
    world.sees(9, 9, 9);
    assert!(world.is_stale());
    let freshness = world.freshness();
    assert_eq!(freshness.error.as_deref(), Some("not allowed"));
    assert_eq!(freshness.error_code.as_deref(), Some("TopicAuthorizationFailed"));
    assert_eq!(freshness.error_since.as_deref(), Some("2026-11-28T09:59:00.000Z"));
    assert_eq!(world.health.errors().count(), 1);
    world.error = None;
    world.sees(9, 9, 9);
    assert!(!world.is_stale());
    assert_eq!((world.freshness().error, world.health.errors().count()), (None, 0));
}

#[test]
fn a_topic_that_ends_before_what_was_read_or_that_is_another_one_confirms_nothing() {
    let id = |number| Some(TopicId { most_significant: 7, least_significant: number });
    let mut world = World::new();
    world.topic_id = id(1);
    world.sees(639, 639, 639);
    world.pass(1);
    for _ in 0..30 {
        world.sees(639, 5, 5);
        assert_eq!(world.health.lag_records(JOBS), None, "not 0");
        world.pass(1);
    }
    world.sees(639, 5, 5);
    assert_eq!((world.is_stale(), world.doubt()), (true, Some(Doubt::Shorter)));
    world.topic_id = id(2);
    world.pass(1);
    world.sees(639, 639, 639);
    assert_eq!((world.is_stale(), world.doubt()), (true, Some(Doubt::OtherTopic)));
    assert_eq!(world.health.lag_records(JOBS), None);
}

#[test]
fn an_answer_that_was_asked_for_before_more_was_read_confirms() {
    let mut world = World::new();
    world.sees(0, 5, 5);
    world.pass(1);
    world.hears_nothing(8);
    assert_eq!((world.health.lag_records(JOBS), world.age()), (Some(0), Some(1)));
}

#[test]
fn what_one_open_transaction_hides_is_shown_with_since_when_and_makes_nothing_stale() {
    let mut world = World::new();
    for _ in 0..40 {
        world.sees(1, 1, 104);
        world.pass(1);
    }
    assert!(!world.is_stale());
    let freshness = world.freshness();
    assert_eq!((freshness.last_stable, freshness.hidden_records), (Some(1), Some(103)));
    assert_eq!(freshness.hidden_since.as_deref(), Some("2026-11-28T10:00:01.000Z"));
    let hidden = world.health.hidden(world.moment());
    assert_eq!(hidden, [(JOBS, 103, world.begin.instant + Duration::from_secs(1))]);
    // It ended, and another is open: that is how a producer works that is well.
    world.sees(50, 50, 104);
    assert_eq!(world.health.hidden(world.moment()), []);
    assert_eq!(world.freshness().seconds_hidden(world.moment().instant), 0.0);
    world.pass(1);
    world.sees(104, 104, 104);
    assert_eq!((world.freshness().hidden_records, world.freshness().hidden_since), (Some(0), None));
}

#[test]
fn what_comes_between_two_questions_is_not_hidden() {
    let mut world = World::new();
    for second in 0..100 {
        // Without any transaction, 10 records a second: the high watermark is asked for a moment after the stable end.
        world.sees(second * 10, second * 10, second * 10 + 3);
        assert_eq!((world.freshness().hidden_records, world.freshness().hidden_since), (Some(0), None));
        world.pass(1);
    }
}

#[test]
fn a_partition_that_stopped_is_not_confirmed_and_its_reason_stands_as_an_error() {
    let mut world = World::new();
    world.sees(9, 9, 9);
    world.pass(100);
    let stopped = StopReason::new(StopCode::Recreated, "it was created again");
    for (end, age) in [(3, 100), (9, 101)] {
        let asked_at = world.moment().instant;
        let observation = PartitionObservation { topic_id: None, low: 0, last_stable: end, high: end, asked_at };
        world.observe(9, Some(&stopped), Some(observation));
        assert_eq!((world.age(), world.health.lag_records(JOBS)), (Some(age), None), "it ends at {end}");
        world.pass(1);
    }
    let freshness = world.freshness();
    assert_eq!((freshness.error_code.as_deref(), freshness.stop_code), (Some("Stopped"), Some("recreated")));
    assert_eq!(freshness.error_since.as_deref(), Some("2026-11-28T10:01:40.000Z"));
    assert_eq!(world.health.stale_from(), None, "the state says stalled");
}

#[test]
fn one_partition_of_many_makes_the_whole_stale() {
    let mut world = World::new();
    world.sees(9, 9, 9);
    for _ in 0..31 {
        world.pass(1);
        let moment = world.moment();
        let observation =
            PartitionObservation { topic_id: None, low: 0, last_stable: 4, high: 4, asked_at: moment.instant };
        let reading = PartitionReading {
            partition: TopicPartition { partition: 1, ..JOBS },
            position: 4,
            time: None,
            stopped: None,
        };
        world.health.observe(moment, reading, Some(observation), None);
    }
    assert!(world.is_stale());
    let doubts = world.health.doubts(world.moment());
    assert_eq!(doubts, [(JOBS, Doubt::NoAnswer, world.begin.instant)]);
}
