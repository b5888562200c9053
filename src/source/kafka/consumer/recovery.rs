//! The recovery of a consumer that has gone deaf: partitions are assigned anew, or a new client replaces it.

use std::sync::Arc;
use std::time::Instant;

use chrono::Utc;
use rdkafka::consumer::Consumer;

use super::reading_client::{connect, know_topics};
use super::{ANSWERED_WITHIN, AssignedPartition, CHECK_INTERVAL, Client, ConsumerWatch, KafkaSource};
use crate::domain::{Topic, TopicPartition};
use crate::source::SourceEvent;
use crate::source::kafka::renewal::{PartitionProgress, WatchdogAction};

impl KafkaSource {
    /// Checks for a deaf consumer or partition, and heals it.
    pub(super) fn check_consumer(&mut self, now: Instant) {
        if now.saturating_duration_since(self.last_check) < CHECK_INTERVAL {
            return;
        }
        self.last_check = now;
        for held in &mut self.partitions {
            held.known_end = self.observer.watermarks(held.partition).map(|known| known.high);
            if let Some(gap) = held.out_of_range(self.observer.observation(held.partition)) {
                self.strays.push(SourceEvent::Failed { partition: held.partition, reason: gap.into() });
            }
        }
        self.read_refused_again();
        let watch = self.consumer.context();
        let seen: Vec<PartitionProgress> = self
            .partitions
            .iter()
            .map(|held| PartitionProgress {
                partition: held.partition,
                position: held.position.max(watch.fetched(held.partition).unwrap_or(i64::MIN)),
                has_records: held.is_ready(),
                end: held.known_end,
                has_error: held.error.is_some(),
            })
            .collect();
        let others_hear = self.observer.has_answered_within(ANSWERED_WITHIN);
        match self.watchdog.check(now, watch.last_answer(), others_hear, &seen) {
            WatchdogAction::Nothing => {}
            WatchdogAction::Reassign(partitions) => self.reassign(&partitions),
            WatchdogAction::Renew(why) => self.renew(&why),
        }
    }

    /// Has records fetched again that were refused, where the consumer fetches from the right topic again: a broker that lags behind
    /// the others may have given an older id.
    fn read_refused_again(&mut self) {
        let watch = self.consumer.context().clone();
        let mut again = Vec::new();
        for held in &mut self.partitions {
            if held.topic_id.is_none() {
                held.topic_id = self.observer.observation(held.partition).and_then(|seen| seen.topic_id);
            }
            if held.has_refused && held.is_of(watch.fetched_topic(held.partition.topic)) {
                held.has_refused = false;
                again.push(held.partition);
            }
        }
        if !again.is_empty() {
            self.reassign(&again);
        }
    }

    /// Assigns partitions anew at their positions. Records in their queues are fetched again.
    fn reassign(&mut self, which: &[TopicPartition]) {
        let held = || self.partitions.iter().filter(|held| which.contains(&held.partition));
        let assigned = self.list(held()).and_then(|list| {
            self.consumer.incremental_unassign(&list).map_err(|error| error.to_string())?;
            self.consumer.incremental_assign(&list).map_err(|error| error.to_string())
        });
        match assigned {
            Ok(()) => {
                // An error that stands has been logged.
                if held().any(|held| held.error.is_none()) {
                    let partitions: Vec<(Topic, i32)> =
                        which.iter().map(|held| (held.topic, held.partition)).collect();
                    tracing::info!(?partitions, "partitions that stand still were assigned anew");
                }
                held().for_each(AssignedPartition::mark_ready);
            }
            // Part of it may have been done, so that it cannot be repeated on the same client.
            Err(error) => self.renew(&format!("partitions cannot be assigned anew: {error}")),
        }
    }

    /// Replaces the reading consumer by a new one. Each partition continues at its position: records taken out of
    /// its old queue were delivered, and the others are fetched again.
    pub(super) fn renew(&mut self, why: &str) {
        match self.successor() {
            Ok((consumer, partitions)) => {
                tracing::warn!("the Kafka client that reads was replaced by a new one: {why}");
                let old = std::mem::replace(&mut self.consumer, consumer);
                // The old queues must go before their consumer.
                self.partitions = partitions;
                self.known_topics = know_topics(&self.consumer, &self.settings);
                old.context().mark_replaced();
                old.mark_replaced();
                self.renewals += 1;
                self.last_renewal = Some(Utc::now());
            }
            Err(error) => {
                tracing::warn!(
                    "the Kafka client that reads cannot be replaced by a new one ({error}), though {why}"
                );
            }
        }
    }

    fn successor(&self) -> Result<(Arc<Client<ConsumerWatch>>, Vec<AssignedPartition>), String> {
        let consumer = connect(&self.settings, &self.group_id, self.consumer.context().successor());
        let consumer = Arc::new(consumer.map_err(|error| error.to_string())?);
        let partitions = self
            .partitions
            .iter()
            .map(|held| {
                let (partition, name) = (held.partition, self.name(held.partition.topic));
                let mut split = AssignedPartition::split(&consumer, name, partition, held.position, &self.wake)?;
                (split.time, split.error) = (held.time, held.error.clone());
                split.topic_id = held.topic_id;
                split.known_end = held.known_end;
                Ok(split)
            })
            .collect::<Result<Vec<AssignedPartition>, String>>()?;
        let list = self.list(partitions.iter())?;
        consumer.incremental_assign(&list).map_err(|error| error.to_string())?;
        Ok((consumer, partitions))
    }
}
