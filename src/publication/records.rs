//! The records of a topic of views: of a view, of one that is gone, and the marks that show how far the topic is.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::codec::published_view::ViewsFormat;
use crate::codec::stored_record::CorruptValue;
use crate::domain::{NamedPartition, ReadPosition};
use crate::source::views_topic::{FoundRecord, ViewsRecord, partition_of};
use crate::store::ShownView;

/// The key of the marks. The last byte belongs to no UTF-8, and ids are UTF-8, so that no optimization has it.
pub const PROGRESS_KEY: &[u8] = b"optview-progress\xFF";
/// The header that records have which are no views.
pub const RECORD_HEADER: &str = "optview-record";
/// The value of that header on a mark.
pub const PROGRESS_RECORD: &str = "progress";

const VERSION_HEADER: &str = "optview-version";
const POSITION_HEADER: &str = "optview-position";
const PUBLISHER_HEADER: &str = "optview-publisher";
/// The header of records whose key has the character U+0000. Databases whose texts cannot have it set them aside by this header.
const NUL_ID_HEADER: &str = "optview-nul-id";
const AS_OF_HEADER: &str = "optview-as-of";

/// The form that the records of one transaction have in common.
pub struct RecordForm {
    pub partitions: i32,
    pub format: ViewsFormat,
    /// A position that no view is beyond which was read for these records.
    pub position: Bytes,
}

impl RecordForm {
    /// Makes the record of an optimization: of its view, or of there being none.
    pub fn view(&self, key: &[u8], view: Option<ShownView>, version: u64) -> Result<ViewsRecord, CorruptValue> {
        let mut headers = vec![
            (VERSION_HEADER, Bytes::from(version.to_string())),
            (POSITION_HEADER, self.position.clone()),
            ("content-type", Bytes::from_static(self.format.content_type().as_bytes())),
        ];
        if key.contains(&0) {
            headers.push((NUL_ID_HEADER, Bytes::from_static(b"true")));
        }
        let value = match view {
            Some(view) => {
                headers.push(("organization_id", view.organization_id.into()));
                headers.push(("project_id", view.project_id.into()));
                Some(self.format.encode(view.json)?)
            }
            None => None,
        };
        Ok(ViewsRecord { partition: partition_of(key, self.partitions), key: key.to_vec(), value, headers })
    }
}

/// The value of a mark.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// For each partition of the topics that views are made from, as `TOPIC/PARTITION`, the offset of which all before are in the views
    /// that stand before the mark.
    pub positions: std::collections::BTreeMap<String, i64>,
    /// The greatest version that was given before the mark.
    pub version: u64,
    /// The time at which the mark was written, RFC 3339.
    pub written_at: String,
}

impl Mark {
    /// Makes a mark that covers a position.
    pub fn new(position: &ReadPosition, version: u64, written_at: String) -> Mark {
        let positions = position.next_offsets().iter().map(|(partition, next)| (partition.to_string(), *next));
        Mark { positions: positions.collect(), version, written_at }
    }

    /// Returns the position that the mark covers. Names that are none are left out: anybody may have written them.
    pub fn position(&self) -> ReadPosition {
        let places = self.positions.iter().filter_map(|(name, next)| {
            let (topic, number) = name.rsplit_once('/')?;
            Some((NamedPartition::new(topic, number.parse().ok()?), *next))
        });
        ReadPosition::new(places.collect())
    }

    /// Makes the records of the mark, one for each partition of the topic.
    pub fn records(&self, partitions: i32, publisher: &str) -> Vec<ViewsRecord> {
        let value = serde_json::to_vec(self).unwrap_or_default();
        let headers = [
            (RECORD_HEADER, Bytes::from_static(PROGRESS_RECORD.as_bytes())),
            (VERSION_HEADER, Bytes::from(self.version.to_string())),
            (PUBLISHER_HEADER, Bytes::copy_from_slice(publisher.as_bytes())),
            ("content-type", Bytes::from_static(b"application/json")),
        ];
        (0..partitions)
            .map(|partition| ViewsRecord {
                partition,
                key: PROGRESS_KEY.to_vec(),
                value: Some(value.clone()),
                headers: headers.to_vec(),
            })
            .collect()
    }
}

/// Adds to the records of a mark the time at which everything that the topics held is in the views, RFC 3339.
pub fn with_as_of(mut records: Vec<ViewsRecord>, as_of: &str) -> Vec<ViewsRecord> {
    for record in &mut records {
        record.headers.push((AS_OF_HEADER, Bytes::copy_from_slice(as_of.as_bytes())));
    }
    records
}

/// Returns true if a record is no view.
pub fn is_mark(record: &FoundRecord<'_>) -> bool {
    record.header(RECORD_HEADER).is_some()
}

/// Returns the version of a record.
pub fn version_of(record: &FoundRecord<'_>) -> Option<u64> {
    record.header(VERSION_HEADER)?.parse().ok()
}

/// Returns the position that the record's view is not beyond, as a text.
pub fn position_of<'a>(record: &'a FoundRecord<'_>) -> Option<&'a str> {
    record.header(POSITION_HEADER)
}

/// Returns the id of the publisher that wrote a mark.
pub fn publisher_of<'a>(record: &'a FoundRecord<'_>) -> Option<&'a str> {
    record.header(PUBLISHER_HEADER)
}

/// Returns the time of a mark at which everything that the topics held is in the views, RFC 3339. A mark without it covers positions
/// alone: nothing is known of what the topics held beyond them.
pub fn as_of<'a>(record: &'a FoundRecord<'_>) -> Option<&'a str> {
    record.header(AS_OF_HEADER)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn a_mark_has_the_position_that_it_was_made_of() {
        let position = ReadPosition::new(BTreeMap::from([
            (NamedPartition::new("jobs", 0), 4),
            (NamedPartition::new("jobs", 11), 5),
            (NamedPartition::new("optimizations.v1", 0), 6),
        ]));
        let mut mark = Mark::new(&position, 1, String::new());
        assert_eq!(mark.position(), position);
        mark.positions.extend([("jobs".to_owned(), 1), ("jobs/x".to_owned(), 2)]);
        assert_eq!(mark.position(), position);
    }

    #[test]
    fn a_record_names_its_owner_its_version_its_position_and_a_key_that_not_every_database_can_have() {
        let form = RecordForm { partitions: 3, format: ViewsFormat::Protobuf, position: "jobs:0:1".into() };
        let headers = |key: &[u8], view| {
            let record = form.view(key, view, 7).unwrap();
            assert_eq!((&record.key[..], record.partition), (key, partition_of(key, 3)));
            let texts =
                record.headers.iter().map(|(name, value)| format!("{name}={}", String::from_utf8_lossy(value)));
            texts.collect::<Vec<_>>().join(" ")
        };
        let always = "optview-version=7 optview-position=jobs:0:1 content-type=application/protobuf";
        assert_eq!(headers(b"id", None), always);
        assert_eq!(headers(b"i\0d", None), format!("{always} optview-nul-id=true"));
        let form = RecordForm { format: ViewsFormat::Json, ..form };
        let view = ShownView { organization_id: "o".to_owned(), project_id: "p".to_owned(), json: b"{}".to_vec() };
        let record = form.view(b"i\0d", Some(view), 8).unwrap();
        assert_eq!(record.value.as_deref(), Some(&b"{}"[..]));
        let names: Vec<_> = record.headers.iter().map(|(name, _)| *name).collect();
        let owner = ["organization_id", "project_id"];
        assert_eq!(
            names,
            [&["optview-version", "optview-position", "content-type", NUL_ID_HEADER][..], &owner].concat()
        );
    }
}
