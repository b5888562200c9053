//! The position of what a reader sees: how far each partition has been folded into the views that it shows.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::str::FromStr;

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
        let mut before: Option<&NamedPartition> = None;
        for (partition, next) in next_offsets.iter().filter(|(_, next)| **next > 0) {
            let NamedPartition { topic, partition: number } = partition;
            let follows = before.is_some_and(|before| before.topic == *topic && before.partition + 1 == *number);
            let comma = if text.is_empty() { "" } else { "," };
            let offset = next - 1;
            match follows {
                true => write!(text, "~{offset}"),
                false => write!(text, "{comma}{topic}:{number}:{offset}"),
            }
            .expect("a string takes any text");
            before = Some(partition);
        }
        ReadPosition { next_offsets, text }
    }

    /// Returns the last offset of each partition as a text that [`places_of`] reads: `TOPIC:PARTITION:OFFSET,...`, where the offsets of
    /// the partitions that follow within a topic stand after it, as in `jobs:0:71~70~69`. It goes out with each answer, and the names of topics
    /// are most of it. Partitions of which nothing was read are left out.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Reads a position as [`ReadPosition::text`] writes it; `None` if the text is none.
    pub fn of_text(text: &str) -> Option<ReadPosition> {
        if text.is_empty() {
            return Some(ReadPosition::default());
        }
        // Anybody may have written any offset.
        let next = places_of(text)?.into_iter().map(|place| (place.partition, place.offset.saturating_add(1)));
        Some(ReadPosition::new(next.collect()))
    }

    /// Returns the least position that includes both.
    pub fn joined(&self, other: &ReadPosition) -> ReadPosition {
        let mut next = self.next_offsets.clone();
        for (partition, offset) in &other.next_offsets {
            let held = next.entry(partition.clone()).or_insert(*offset);
            *held = (*held).max(*offset);
        }
        ReadPosition::new(next)
    }

    /// Returns this position without what lies beyond these ends. A partition without an end is left out.
    pub fn cut(&self, ends: &BTreeMap<NamedPartition, i64>) -> ReadPosition {
        let within = |(partition, next): (&NamedPartition, &i64)| {
            ends.get(partition).map(|end| (partition.clone(), *end.min(next)))
        };
        ReadPosition::new(self.next_offsets.iter().filter_map(within).collect())
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
    let mut places = Vec::new();
    for group in text.split(',') {
        read_group(group.trim(), &mut places)?;
    }
    Some(places)
}

/// Reads the places of partitions that follow each other, `TOPIC:PARTITION:OFFSET[~OFFSET...]`.
fn read_group(text: &str, places: &mut Vec<RecordPlace>) -> Option<()> {
    let (rest, offsets) = text.rsplit_once(':')?;
    let (topic, partition) = rest.rsplit_once(':')?;
    if topic.is_empty() {
        return None;
    }
    let mut number: i32 = number_of(partition)?;
    for (index, offset) in offsets.split('~').enumerate() {
        if index > 0 {
            number = number.checked_add(1)?;
        }
        places.push(RecordPlace { partition: NamedPartition::new(topic, number), offset: number_of(offset)? });
    }
    Some(())
}

/// Reads a number of digits only, without a sign.
fn number_of<N: FromStr>(text: &str) -> Option<N> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
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
        fn a_position_is_read_back_from_its_text(position in position()) {
            let read = ReadPosition::of_text(position.text()).unwrap();
            prop_assert!(read.includes(&position) && position.includes(&read));
        }

        #[test]
        fn a_joined_position_is_the_least_that_includes_both(one in position(), other in position()) {
            let joined = one.joined(&other);
            prop_assert!(joined.includes(&one) && joined.includes(&other));
            for (partition, next) in joined.next_offsets() {
                let is_of = |held: &ReadPosition| held.next_offsets().get(partition) == Some(next);
                prop_assert!(is_of(&one) || is_of(&other));
            }
        }

        #[test]
        fn a_cut_position_is_within_the_ends(position in position(), ends in position()) {
            let cut = position.cut(ends.next_offsets());
            prop_assert!(position.includes(&cut) && ends.includes(&cut));
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
            "jobs:0:1~",
            "jobs:0:~1",
            "jobs:0:1~-1",
            "jobs:2147483647:1~1",
        ] {
            assert_eq!(places_of(text), None, "{text}");
        }
        let places = places_of("a.b:0:1, jobs:12:34").unwrap();
        assert_eq!(places[1], RecordPlace { partition: NamedPartition::new("jobs", 12), offset: 34 });
    }

    #[test]
    fn a_topic_is_named_once_for_partitions_that_follow_each_other() {
        let next = [("a", 0, 5), ("a", 1, 1), ("a", 2, 0), ("a", 3, 8), ("b", 4, 9), ("b", 5, 9)];
        let next = next.map(|(topic, partition, next)| (NamedPartition::new(topic, partition), next));
        assert_eq!(ReadPosition::new(BTreeMap::from(next)).text(), "a:0:4~0,a:3:7,b:4:8~8");
    }
}
