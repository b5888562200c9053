//! The position of what a reader sees: how far each partition has been folded into the views that it shows.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::position::NamedPartition;

/// The next offset of each partition. All records before it are in the views, or count as dead letters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReadPosition {
    next_offsets: BTreeMap<NamedPartition, i64>,
    text: String,
}

/// The place of one record: its partition and its offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordPlace {
    /// The partition that holds the record.
    pub partition: NamedPartition,
    /// The record's offset.
    pub offset: i64,
}

impl ReadPosition {
    /// Makes the position of these next offsets.
    pub fn new(next_offsets: BTreeMap<NamedPartition, i64>) -> ReadPosition {
        let mut text = String::new();
        for (NamedPartition { topic, partition }, next) in &next_offsets {
            if *next > 0 {
                let comma = if text.is_empty() { "" } else { "," };
                write!(text, "{comma}{topic}:{partition}:{}", next - 1).expect("a string takes any text");
            }
        }
        ReadPosition { next_offsets, text }
    }

    /// Returns the text `TOPIC:PARTITION:OFFSET,...` of the last offset of each partition, as [`places_of`] reads it. Partitions of
    /// which nothing was read are left out.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Returns the next offset of each partition.
    pub fn next_offsets(&self) -> &BTreeMap<NamedPartition, i64> {
        &self.next_offsets
    }

    /// Returns true if the record at this place is folded, and all before it in its partition.
    pub fn has_passed(&self, place: &RecordPlace) -> bool {
        self.next_offsets.get(&place.partition).is_some_and(|next| place.offset < *next)
    }

    /// Returns true if every record that `other` has passed is passed here, too.
    pub fn includes(&self, other: &ReadPosition) -> bool {
        other.next_offsets.iter().all(|(partition, next)| self.next_offset(partition) >= *next)
    }

    fn next_offset(&self, partition: &NamedPartition) -> i64 {
        self.next_offsets.get(partition).copied().unwrap_or(0)
    }
}

/// Reads places as [`ReadPosition::text`] writes them. Returns `None` if the text is none.
pub fn places_of(text: &str) -> Option<Vec<RecordPlace>> {
    text.split(',').map(|place| place_of(place.trim())).collect()
}

/// Reads one place, `TOPIC:PARTITION:OFFSET`.
fn place_of(text: &str) -> Option<RecordPlace> {
    let (rest, offset) = text.rsplit_once(':')?;
    let (topic, partition) = rest.rsplit_once(':')?;
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if topic.is_empty() || !is_number(partition) || !is_number(offset) {
        return None;
    }
    let partition = NamedPartition::new(topic, partition.parse().ok()?);
    Some(RecordPlace { partition, offset: offset.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn position() -> impl Strategy<Value = ReadPosition> {
        let partition = ("[a-zA-Z0-9._-]{1,5}", 0..3_i32).prop_map(|(topic, n)| NamedPartition::new(topic, n));
        proptest::collection::btree_map(partition, 0..5_i64, 0..6).prop_map(ReadPosition::new)
    }

    proptest! {
        #[test]
        fn a_position_has_passed_each_place_of_its_own_text_and_none_beyond(position in position()) {
            let places = if position.text().is_empty() { Vec::new() } else { places_of(position.text()).unwrap() };
            prop_assert_eq!(places.len(), position.next_offsets().values().filter(|next| **next > 0).count());
            for place in places {
                prop_assert!(position.has_passed(&place));
                let next = RecordPlace { offset: place.offset + 1, ..place };
                prop_assert!(!position.has_passed(&next));
            }
        }

        #[test]
        fn a_position_includes_another_if_it_has_passed_all_its_places(one in position(), other in position()) {
            let places = if other.text().is_empty() { Vec::new() } else { places_of(other.text()).unwrap() };
            prop_assert_eq!(one.includes(&other), places.iter().all(|place| one.has_passed(place)));
            prop_assert!(one.includes(&one));
        }

        #[test]
        fn no_text_makes_it_panic(text: String) {
            let _ = places_of(&text);
        }
    }

    #[test]
    fn texts_that_are_no_places_are_refused() {
        for text in [
            "",
            "jobs",
            "jobs:0",
            "jobs:0:",
            "jobs::1",
            ":0:1",
            "jobs:0:-1",
            "jobs:+0:1",
            "jobs:0:1,",
            "jobs:0:1 2",
            "jobs:0:9999999999999999999",
        ] {
            assert_eq!(places_of(text), None, "{text}");
        }
        let places = places_of("a.b:0:1, jobs:12:34").unwrap();
        assert_eq!(places[1], RecordPlace { partition: NamedPartition::new("jobs", 12), offset: 34 });
    }
}
