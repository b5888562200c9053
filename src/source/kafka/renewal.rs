//! Decides when a silent client is replaced by a new one, and when a partition that stands still is assigned anew.
//! librdkafka 2.12 can lose its connections and never try another (confluentinc/librdkafka#5301). A new client
//! solves that and all failures of its kind, since the offsets are ours. Pure: the caller passes the time.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::domain::TopicPartition;

/// Time that a client may receive nothing, and that a partition may stand still.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// Age at which an error of a partition's fetch leads to a new assignment, and the interval of further ones. It is
/// well below the age at which views count as stale, so that an error that has passed by then never shows there.
pub const ERROR_PATIENCE: Duration = Duration::from_secs(10);
/// Maximum pause between new clients while they receive nothing either.
pub const LONGEST_PATIENCE: Duration = Duration::from_secs(300);
/// Pause between two checks after which the client was not being read, so that its silence means nothing.
const NOT_READING: Duration = Duration::from_secs(5);

/// The time for which one client has received nothing.
#[derive(Clone, Copy, Debug)]
pub struct Silence {
    since: Instant,
    patience: Duration,
}

impl Silence {
    pub fn new(now: Instant) -> Silence {
        Silence { since: now, patience: PATIENCE }
    }

    /// Notes that the cluster answered at the time `at`.
    pub fn note_answer(&mut self, at: Instant) {
        if at > self.since {
            *self = Silence::new(at);
        }
    }

    /// Returns true if a new client is due. Each one that is replaced in vain doubles the time until the next,
    /// unless the cluster answers another client (`others_hear`): then this client is the deaf one.
    pub fn is_too_long(&self, now: Instant, others_hear: bool) -> bool {
        let patience = if others_hear { PATIENCE } else { self.patience };
        now.saturating_duration_since(self.since) >= patience
    }

    /// Notes that a new client has taken this one's place.
    pub fn note_renewal(&mut self, now: Instant) {
        *self = Silence { since: now, patience: (self.patience * 2).min(LONGEST_PATIENCE) };
    }

    /// Restarts the measurement, because the time before means nothing.
    fn restart(&mut self, now: Instant) {
        self.since = self.since.max(now);
    }
}

/// The progress of one partition as the watchdog sees it.
#[derive(Clone, Copy, Debug)]
pub struct PartitionProgress {
    pub partition: TopicPartition,
    /// The next offset to deliver, or the next one that librdkafka will fetch if that is greater.
    pub position: i64,
    /// True if the queue may hold records of the partition.
    pub has_records: bool,
    /// The partition's end in the cluster's last answer.
    pub end: Option<i64>,
    /// True if an error of the partition's fetch stands.
    pub has_error: bool,
}

/// The action that the watchdog asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WatchdogAction {
    Nothing,
    /// Assign these partitions anew at their positions.
    Reassign(Vec<TopicPartition>),
    /// Replace the reading client by a new one, for this reason.
    Renew(String),
}

/// Watches the reading client. It is called about once a second.
pub struct Watchdog {
    silence: Silence,
    last_check: Instant,
    standstills: BTreeMap<TopicPartition, Standstill>,
    /// The time of the last replacement for a partition that stood still, and the wait until the next one.
    renewed_for_partition: Option<(Instant, Duration)>,
}

/// A partition whose position does not change.
struct Standstill {
    position: i64,
    since: Instant,
    reassigned: u32,
}

impl Watchdog {
    pub fn new(now: Instant) -> Watchdog {
        Watchdog {
            silence: Silence::new(now),
            last_check: now,
            standstills: BTreeMap::new(),
            renewed_for_partition: None,
        }
    }

    /// Returns the action that is due. `heard` is the time of the last answer to the reading client. `others_hear`
    /// is true if the cluster answers another client.
    pub fn check(
        &mut self,
        now: Instant,
        heard: Option<Instant>,
        others_hear: bool,
        seen: &[PartitionProgress],
    ) -> WatchdogAction {
        let was_reading = now.saturating_duration_since(self.last_check) < NOT_READING;
        self.last_check = now;
        if let Some(heard) = heard {
            self.silence.note_answer(heard);
        }
        // A client without assigned partitions sends no requests.
        if !was_reading || seen.is_empty() {
            self.silence.restart(now);
            self.standstills.clear();
            return WatchdogAction::Nothing;
        }
        if self.silence.is_too_long(now, others_hear) {
            let silent = now.saturating_duration_since(self.silence.since).as_secs();
            self.silence.note_renewal(now);
            self.standstills.clear();
            let others = if others_hear { ", although brokers answer another client" } else { "" };
            return WatchdogAction::Renew(format!(
                "no broker has answered the reading client for {silent} s{others}"
            ));
        }
        self.check_partitions(now, seen)
    }

    fn check_partitions(&mut self, now: Instant, seen: &[PartitionProgress]) -> WatchdogAction {
        self.standstills.retain(|held, _| seen.iter().any(|sight| sight.partition == *held));
        let mut reassign = Vec::new();
        let mut renew = None;
        for sight in seen {
            let begin = Standstill { position: sight.position, since: now, reassigned: 0 };
            let still = self.standstills.entry(sight.partition).or_insert(begin);
            let has_more = sight.end.is_some_and(|end| end > sight.position);
            if still.position != sight.position || sight.has_records || !(has_more || sight.has_error) {
                *still = Standstill { position: sight.position, since: now, reassigned: 0 };
                continue;
            }
            // If a new assignment has not helped, something else may be slow. Each further one waits longer.
            let patience = match sight.has_error {
                true => ERROR_PATIENCE,
                false => (PATIENCE * 2u32.pow(still.reassigned.min(4))).min(LONGEST_PATIENCE),
            };
            if now.saturating_duration_since(still.since) < patience {
                continue;
            }
            if !sight.has_error && still.reassigned > 0 {
                renew = Some((sight, now.saturating_duration_since(still.since)));
            }
            still.since = now;
            still.reassigned += 1;
            reassign.push(sight.partition);
        }
        match renew {
            Some((sight, time)) if self.may_renew_for_partition(now) => {
                self.standstills.clear();
                let PartitionProgress { partition, position, end, .. } = *sight;
                let end = end.unwrap_or(position);
                WatchdogAction::Renew(format!(
                    "{partition} has records from {position} to {end}, and none of them has arrived for {} s, \
                     although the partition was assigned anew",
                    time.as_secs()
                ))
            }
            _ if reassign.is_empty() => WatchdogAction::Nothing,
            _ => WatchdogAction::Reassign(reassign),
        }
    }

    fn may_renew_for_partition(&mut self, now: Instant) -> bool {
        let wait = match self.renewed_for_partition {
            Some((at, wait)) if now.saturating_duration_since(at) < wait => return false,
            Some((_, wait)) => (wait * 2).min(LONGEST_PATIENCE),
            None => PATIENCE,
        };
        self.renewed_for_partition = Some((now, wait));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Topic;

    const SECOND: Duration = Duration::from_secs(1);

    fn sight(position: i64, end: i64) -> PartitionProgress {
        let end = Some(end);
        let partition = TopicPartition::new(Topic::Jobs, 0);
        PartitionProgress { partition, position, has_records: false, end, has_error: false }
    }

    /// Checks once a second for a number of seconds. Returns the actions with their seconds.
    fn looked(
        watchdog: &mut Watchdog,
        from: Instant,
        seconds: std::ops::Range<u32>,
        see: impl Fn(Instant) -> (Option<Instant>, bool, PartitionProgress),
    ) -> Vec<(u32, WatchdogAction)> {
        seconds
            .map(|second| {
                let now = from + SECOND * second;
                let (heard, others_hear, sight) = see(now);
                (second, watchdog.check(now, heard, others_hear, &[sight]))
            })
            .filter(|(_, cure)| *cure != WatchdogAction::Nothing)
            .collect()
    }

    fn seconds(cures: &[(u32, WatchdogAction)]) -> Vec<u32> {
        cures.iter().map(|(second, _)| *second).collect()
    }

    #[test]
    fn a_client_that_no_broker_answers_is_replaced_every_30_s_while_others_are_answered() {
        let begin = Instant::now();
        let mut watchdog = Watchdog::new(begin);
        let cures = looked(&mut watchdog, begin, 0..200, |_| (None, true, sight(5, 5)));
        assert_eq!(seconds(&cures), [30, 60, 90, 120, 150, 180]);
        assert!(
            matches!(&cures[0].1, WatchdogAction::Renew(why) if why.contains("answer another client")),
            "{cures:?}"
        );
    }

    #[test]
    fn while_nobody_is_answered_new_clients_come_ever_more_rarely() {
        let begin = Instant::now();
        let mut watchdog = Watchdog::new(begin);
        let cures = looked(&mut watchdog, begin, 0..1400, |_| (None, false, sight(5, 5)));
        assert_eq!(seconds(&cures), [30, 90, 210, 450, 750, 1050, 1350]);
        // One answer restarts the whole schedule.
        let heard = begin + SECOND * 1400;
        let cures = looked(&mut watchdog, begin, 1400..1440, |_| (Some(heard), false, sight(5, 5)));
        assert_eq!(seconds(&cures), [1430]);
    }

    #[test]
    fn a_client_that_is_answered_is_left_alone() {
        let begin = Instant::now();
        let mut watchdog = Watchdog::new(begin);
        let cures = looked(&mut watchdog, begin, 0..500, |now| (Some(now), true, sight(5, 5)));
        assert_eq!(cures, []);
    }

    #[test]
    fn a_partition_that_does_not_move_is_assigned_anew_and_then_the_client_is_replaced() {
        let begin = Instant::now();
        let mut watchdog = Watchdog::new(begin);
        let cures = looked(&mut watchdog, begin, 0..100, |now| (Some(now), true, sight(5, 9)));
        assert_eq!(seconds(&cures), [30, 90], "{cures:?}");
        assert_eq!(cures[0].1, WatchdogAction::Reassign(vec![TopicPartition::new(Topic::Jobs, 0)]));
        assert!(
            matches!(&cures[1].1, WatchdogAction::Renew(why) if why.contains("jobs/0") && why.contains("5 to 9")),
            "{cures:?}"
        );
    }

    #[test]
    fn an_error_that_stands_is_tried_again_though_the_partition_has_nothing_more() {
        let begin = Instant::now();
        let mut watchdog = Watchdog::new(begin);
        let see = |now| (Some(now), true, PartitionProgress { has_error: true, ..sight(5, 5) });
        let cures = looked(&mut watchdog, begin, 0..45, see);
        assert_eq!(seconds(&cures), [10, 20, 30, 40]);
        assert!(cures.iter().all(|(_, cure)| matches!(cure, WatchdogAction::Reassign(_))), "{cures:?}");
    }

    #[test]
    fn a_partition_that_moves_or_waits_to_be_taken_is_left_alone() {
        let begin = Instant::now();
        let mut watchdog = Watchdog::new(begin);
        let moves = |now: Instant| {
            let position = (now - begin).as_secs() as i64 / 20;
            (Some(now), true, sight(position, 1000))
        };
        assert_eq!(looked(&mut watchdog, begin, 0..500, moves), []);
        let waits = |now| (Some(now), true, PartitionProgress { has_records: true, ..sight(99, 1000) });
        assert_eq!(looked(&mut watchdog, begin, 500..1000, waits), []);
    }

    #[test]
    fn the_time_in_which_nothing_was_read_does_not_count() {
        let begin = Instant::now();
        let mut watchdog = Watchdog::new(begin);
        let mut now = begin;
        for _ in 0..20 {
            for _ in 0..20 {
                now += SECOND;
                assert_eq!(watchdog.check(now, None, true, &[sight(5, 9)]), WatchdogAction::Nothing);
            }
            // The reader paused in between.
            now += 10 * SECOND;
        }
    }
}
