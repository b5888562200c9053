//! The check that a store can be continued from its topic: what the topic has now must begin with what was read of it, and nothing may
//! have been missed.

use std::collections::BTreeMap;
use std::time::Duration;

use super::moment::ReplicaMoment;
use super::note::ReplicaNote;
use crate::source::Watermarks;
use crate::source::views_feed::FoundViewsTopic;

/// The time for which a topic keeps nulls, where this client may not see it: Kafka's default.
const RETENTION_DEFAULT: Duration = Duration::from_secs(24 * 3600);

/// Returns the reason for which nulls may have gone unread between two times at which the topic was read to its end, if they may.
pub fn missed_nulls(note: &ReplicaNote, until_millis: i64, retention: Option<Duration>) -> Option<String> {
    let retention = retention.unwrap_or(RETENTION_DEFAULT);
    let away = until_millis.saturating_sub(note.complete_at_millis?);
    (away > i64::try_from(retention.as_millis()).unwrap_or(i64::MAX)).then(|| {
        format!(
            "the topic had last been read to its end {} s before, and keeps the nulls of views that are gone for {} s only \
             (delete.retention.ms): some may have gone unread",
            away / 1_000,
            retention.as_secs()
        )
    })
}

/// Returns the reason for which a store cannot be continued from the topic as it was found, if there is one. `next_when_asked` has the
/// offsets that were next when the cluster was asked: the answer is no older.
pub fn obstacle(
    note: &ReplicaNote,
    next_when_asked: &BTreeMap<i32, i64>,
    found: &FoundViewsTopic,
    now: ReplicaMoment,
) -> Option<String> {
    if note.next.is_empty() {
        return None;
    }
    if let (Some(read), Some(found)) = (note.topic_id, found.id)
        && read != found
    {
        return Some(format!("the topic was created again: its id was {read}, and is {found}"));
    }
    if found.partitions() != note.partitions {
        let (had, has) = (note.partitions, found.partitions());
        return Some(format!("the topic had {had} partitions and has {has}, so that ids have moved to others"));
    }
    for (partition, next) in next_when_asked {
        let Some(Watermarks { low, high }) = found.bounds.get(partition).copied() else { continue };
        if *next < low {
            return Some(format!("the records of partition {partition} from {next} to {low} are gone unread"));
        }
        if *next > high {
            return Some(format!("partition {partition} was read up to {next}, and ends at {high}"));
        }
    }
    missed_nulls(note, now.millis, found.delete_retention)
}
