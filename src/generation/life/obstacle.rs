//! An obstacle between a generation and a position: which partition does not come there, and why. Judges by the generation's status;
//! waits for nothing.

use std::fmt;

use crate::domain::{NamedPartition, TopicPartition};
use crate::projector::Positions;
use crate::source::TopicNames;
use crate::status::{LastAnswer, PartitionReport, PartitionState, Report};

/// One of the two generations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Live,
    New,
}

/// The first partition that does not come to where it should.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Obstacle {
    side: Side,
    partition: NamedPartition,
    /// The generation's position. `target` is the position of the other generation, which this one has to reach.
    position: i64,
    target: i64,
    cause: Cause,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Cause {
    /// The partition has stopped: why.
    Stopped(String),
    /// The partition ends here, as far as the cluster answered this generation last.
    Ends {
        high: i64,
        answered: LastAnswer,
    },
    /// Something is wrong with the cluster at the moment: what.
    Trouble(String),
    Unknown,
}

impl Obstacle {
    /// Returns what keeps a generation with this status from the `target`, if anything does.
    pub fn of(side: Side, report: &Report, target: &Positions, names: &TopicNames) -> Option<Obstacle> {
        let wanted = |held: &PartitionReport| {
            let partition = TopicPartition::new(names.topic_of(&held.topic)?, held.partition);
            target.get(&partition).copied().filter(|target| held.position < *target)
        };
        let behind = report.partitions.iter().filter_map(|held| Some((held, wanted(held)?)));
        // The live one does without what it cannot read any further.
        let counts = |held: &PartitionReport| side == Side::New || held.state != PartitionState::Stopped;
        let mut obstacles: Vec<Obstacle> = behind
            .filter(|(held, _)| counts(held))
            .map(|(held, target)| Obstacle {
                side,
                partition: NamedPartition::new(held.topic.as_str(), held.partition),
                position: held.position,
                target,
                cause: Cause::of(held, target, held.freshness.error.as_deref().or(report.last_error.as_deref())),
            })
            .collect();
        obstacles.sort_by_key(|obstacle| !obstacle.is_for_good());
        obstacles.into_iter().next()
    }

    /// Returns true if the obstacle will not go away by itself.
    pub fn is_for_good(&self) -> bool {
        matches!(self.cause, Cause::Stopped(_) | Cause::Ends { .. })
    }

    /// Returns true if the obstacle is known anew since it was seen `before`: the cluster has answered again, where its answer is the
    /// obstacle. A generation that gets no answers knows only ends that are old.
    pub fn is_confirmed_since(&self, before: &Obstacle) -> bool {
        match (&self.cause, &before.cause) {
            (Cause::Ends { answered, .. }, Cause::Ends { answered: earlier, .. }) => answered > earlier,
            _ => true,
        }
    }

    /// Returns true if nothing has moved since: the same partition waits at the same position, for the same kind of reason.
    pub fn is_same(&self, before: &Obstacle) -> bool {
        let same_partition =
            (self.side, &self.partition, self.position) == (before.side, &before.partition, before.position);
        same_partition && self.is_for_good() == before.is_for_good()
    }
}

impl Cause {
    fn of(held: &PartitionReport, target: i64, last_error: Option<&str>) -> Cause {
        match (held.state, held.high, last_error) {
            (PartitionState::Stopped, _, why) => Cause::Stopped(why.unwrap_or("it has stopped").to_owned()),
            (_, Some(high), _) if high < target => {
                Cause::Ends { high, answered: held.freshness.instants.last_answer() }
            }
            (_, _, Some(why)) => Cause::Trouble(why.to_owned()),
            (_, _, None) => Cause::Unknown,
        }
    }
}

impl fmt::Display for Obstacle {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Obstacle { side, partition, position, target, cause } = self;
        let (this, other) = match side {
            Side::Live => ("the live generation", "the new one"),
            Side::New => ("the new generation", "the live one"),
        };
        write!(formatter, "{this} is at {}, and {other} has read up to {target}", partition.at(*position))?;
        match cause {
            Cause::Stopped(why) => write!(formatter, ": {why}"),
            Cause::Ends { high, .. } => write!(
                formatter,
                ", but for {this} the partition ends at {high}: the topic was truncated or created again. Restart \
                 `optview serve`: at its start it compares the topics with what was read of them, and says what to do"
            ),
            Cause::Trouble(why) => write!(formatter, ": {why}"),
            Cause::Unknown => write!(formatter, "; no error is known"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Topic;
    use crate::status::{PartitionFreshness, Status};

    fn report(position: i64, high: Option<i64>, state: PartitionState, error: Option<&str>) -> Report {
        let status = Status::new(1);
        let held = PartitionReport {
            topic: "jobs".to_owned(),
            partition: 0,
            position,
            checkpoint: None,
            low: Some(0),
            high,
            lag_records: None,
            lag_seconds: None,
            state,
            freshness: PartitionFreshness::default(),
        };
        status.set_progress(vec![held], 0, 0);
        status.set_error(error.map(str::to_owned));
        status.report()
    }

    fn obstacle(side: Side, report: &Report) -> Option<Obstacle> {
        Obstacle::of(
            side,
            report,
            &Positions::from([(TopicPartition::new(Topic::Jobs, 0), 639)]),
            &TopicNames::default(),
        )
    }

    #[test]
    fn one_that_is_there_has_no_obstacle() {
        assert_eq!(obstacle(Side::New, &report(639, Some(639), PartitionState::Live, Some("trouble"))), None);
    }

    #[test]
    fn a_topic_that_ends_before_the_position_is_an_obstacle_for_good() {
        let found = obstacle(Side::New, &report(5, Some(5), PartitionState::Live, None)).unwrap();
        assert!(found.is_for_good());
        let said = found.to_string();
        for part in
            ["the new generation is at jobs/0@5", "the live one has read up to 639", "ends at 5", "created again"]
        {
            assert!(said.contains(part), "no {part}: {said}");
        }
    }

    #[test]
    fn what_stopped_is_an_obstacle_for_the_new_one_only() {
        let stopped = report(5, Some(700), PartitionState::Stopped, Some("jobs/0: a CRC that does not match"));
        let found = obstacle(Side::New, &stopped).unwrap();
        assert!(found.is_for_good() && found.to_string().ends_with("a CRC that does not match"), "{found}");
        assert_eq!(obstacle(Side::Live, &stopped), None, "it is done without");
    }

    #[test]
    fn an_error_that_may_end_is_said_and_waited_for() {
        let found =
            obstacle(Side::Live, &report(5, Some(700), PartitionState::Live, Some("not authorized"))).unwrap();
        assert!(!found.is_for_good());
        assert!(found.to_string().ends_with("has read up to 639: not authorized"), "{found}");
        let silent = obstacle(Side::Live, &report(5, Some(700), PartitionState::Live, None)).unwrap();
        assert!(silent.to_string().contains("no error is known"), "{silent}");
        assert!(
            !silent.is_same(&obstacle(Side::Live, &report(6, Some(700), PartitionState::Live, None)).unwrap())
        );
    }
}
