//! A record that arrived through the consumer's main queue. There should be none, since each partition has its own queue.

use rdkafka::message::{Headers as _, Message as _, OwnedMessage};

use super::super::decompression;
use crate::domain::{PartitionOffset, Record, Topic};
use crate::source::Records;

/// A record that arrived through the main queue.
pub struct StrayRecord {
    pub topic: Topic,
    pub message: OwnedMessage,
}

impl Records for StrayRecord {
    fn len(&self) -> usize {
        1
    }

    fn record(&self, _: usize) -> Record<'_> {
        let StrayRecord { topic, message } = self;
        let headers = message.headers().into_iter().flat_map(|held| {
            (0..held.count()).filter_map(|at| held.try_get(at)).map(|header| (header.key, header.value))
        });
        Record {
            position: PartitionOffset { topic: *topic, partition: message.partition(), offset: message.offset() },
            timestamp_millis: message.timestamp().to_millis(),
            key: message.key(),
            value: message.payload(),
            headers: headers.collect(),
        }
    }

    fn cut_from(&self, at: usize) -> Option<u64> {
        decompression::has_cut().then(|| decompression::cut_from(&self.record(at).headers)).flatten()
    }
}
