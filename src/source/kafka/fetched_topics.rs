//! The topics that a consumer fetches from, by their ids.
//!
//! Since Kafka 3.1 a fetch names its topic by the id, so that no record of a topic that was created again comes before the consumer
//! has learnt the new id. librdkafka then goes on with the new topic at the old offset, and reports that in a debug line alone.
//! (2.12: `rd_kafka_topic_metadata_update0`, which has a note that more is wanted.)

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use parking_lot::Mutex;

use crate::domain::{Topic, TopicId};
use crate::source::TopicNames;

/// The part of librdkafka's debug lines that the reports of ids belong to, as its setting `debug` has it.
pub const DEBUG_CONTEXT: &str = "metadata";
/// The facility of these lines.
const FACILITY: &str = "METADATA";

/// The ids of the topics that a consumer fetches from, as it reported them last. A topic is absent until the first report.
#[derive(Default)]
pub struct FetchedTopics(Mutex<Vec<(Topic, TopicId)>>);

impl FetchedTopics {
    /// Takes in a line of librdkafka's log, if it reports the id of one of the topics.
    pub fn take_line(&self, names: &TopicNames, facility: &str, message: &str) {
        if facility != FACILITY {
            return;
        }
        let Some((topic, id)) = reported_id(message).and_then(|(name, id)| Some((names.topic_of(name)?, id)))
        else {
            return;
        };
        let mut ids = self.0.lock();
        ids.retain(|(known, _)| *known != topic);
        ids.push((topic, id));
    }

    /// Returns the id of the topic that is fetched from, if the consumer has reported one.
    pub fn id(&self, topic: Topic) -> Option<TopicId> {
        self.0.lock().iter().find(|(known, _)| *known == topic).map(|(_, id)| *id)
    }
}

/// Returns the name and the new id of the topic in `[thrd:main]: Topic NAME changed id from ID to ID`. A topic that has just
/// become known changes from the id with zeros alone.
fn reported_id(message: &str) -> Option<(&str, TopicId)> {
    let (_, report) = message.split_once("Topic ")?;
    let (name, ids) = report.split_once(" changed id from ")?;
    let (_, id) = ids.split_once(" to ")?;
    let bytes: [u8; 16] = STANDARD_NO_PAD.decode(id.trim_end()).ok()?.try_into().ok()?;
    let [most_significant, least_significant] =
        [&bytes[..8], &bytes[8..]].map(|half| i64::from_be_bytes(half.try_into().expect("half of sixteen bytes")));
    let id = TopicId { most_significant, least_significant };
    (id != TopicId { most_significant: 0, least_significant: 0 }).then_some((name, id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_id_that_was_reported_counts() {
        let names = TopicNames::default();
        let fetched = FetchedTopics::default();
        let name = names.get(Topic::Jobs);
        assert_eq!(fetched.id(Topic::Jobs), None);
        for (line, expected) in [
            (
                format!(
                    "[thrd:main]: Topic {name} changed id from AAAAAAAAAAAAAAAAAAAAAA to AAAAAAAAAAEAAAAAAAAAAg"
                ),
                (1, 2),
            ),
            (format!("Topic {name} changed id from AAAAAAAAAAEAAAAAAAAAAg to //////////8AAAAAAAAAAw"), (-1, 3)),
            (
                "[thrd:main]: Topic other changed id from AAAAAAAAAAEAAAAAAAAAAg to AAAAAAAAAAEAAAAAAAAAAg"
                    .to_owned(),
                (-1, 3),
            ),
            (format!("[thrd:main]: Topic {name} changed id from AAAAAAAAAAEAAAAAAAAAAg to nothing"), (-1, 3)),
            (format!("[thrd:main]: Topic {name} [0] Leader 1 Epoch 0"), (-1, 3)),
        ] {
            fetched.take_line(&names, FACILITY, &line);
            let expected = TopicId { most_significant: expected.0, least_significant: expected.1 };
            assert_eq!(fetched.id(Topic::Jobs), Some(expected), "{line}");
        }
        let line = format!("Topic {name} changed id from AAAAAAAAAAAAAAAAAAAAAA to AAAAAAAAAAEAAAAAAAAAAg");
        fetched.take_line(&names, "TOPPARREMOVE", &line);
        assert_eq!(fetched.id(Topic::Jobs).map(|id| id.most_significant), Some(-1), "a line of another facility");
        assert_eq!(fetched.id(Topic::Optimizations), None);
    }
}
