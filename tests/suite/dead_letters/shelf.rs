//! The store keeps the newest dead letters within its bound, and counts the rest exactly.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use optview::codec::stored_record;
use optview::dead_letters::{self, LetterSelection, PageRequest};
use optview::domain::{Commit, DeadLetter, PartitionOffset, Topic};
use optview::source::TopicNames;
use optview::store::{DeadLetterBound, OpenStore, Reader, Writer};
use proptest::prelude::*;

use crate::fixtures;

/// A dead letter whose record was written `age` milliseconds after the oldest.
fn letter(partition: i32, offset: i64, age: i64, size: usize) -> DeadLetter {
    let mut letter = fixtures::dead_letter(offset, vec![b'x'; size]);
    letter.position.partition = partition;
    letter.timestamp_millis = Some(1_700_000_000_000 + age);
    letter
}

fn positions(reader: &Reader) -> BTreeSet<PartitionOffset> {
    let letters = reader.dead_letters_after(None, usize::MAX, usize::MAX).unwrap();
    letters.iter().map(|letter| letter.position).collect()
}

/// Opens the store with this bound, and waits until it holds.
fn open_bounded(directory: &Path, bound: DeadLetterBound) -> Writer {
    let OpenStore { writer, .. } = fixtures::open(directory);
    writer.bound_dead_letters(bound).unwrap();
    writer.remove_dead_letters(Vec::new()).unwrap();
    writer
}

fn put(writer: &Writer, number: u64, letters: Vec<DeadLetter>) {
    writer.commit(Commit::default(), letters, number).unwrap();
    fixtures::wait_until_written(writer, number);
}

/// One step of a store's life.
#[derive(Clone, Debug)]
enum Step {
    /// A number of letters comes, in one partition.
    Put { partition: i32, count: usize, size: usize },
    /// The records of a partition from this offset on are read again.
    Again { partition: i32, from: usize },
    /// Every letter whose offset has this remainder is removed.
    Remove { partition: i32, of_each: i64 },
    /// The store is closed and opened, with another bound.
    Reopen { count: u64 },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..3, 1..12usize, prop_oneof![Just(10), Just(9_000)])
            .prop_map(|(partition, count, size)| Step::Put { partition, count, size }),
        1 => (0..3, 0..40usize).prop_map(|(partition, from)| Step::Again { partition, from }),
        1 => (0..3, 2..5i64).prop_map(|(partition, of_each)| Step::Remove { partition, of_each }),
        1 => (1..30u64).prop_map(|count| Step::Reopen { count }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn the_newest_are_kept_and_each_letter_is_kept_removed_or_counted_once(
        steps in proptest::collection::vec(step(), 1..24),
        first_bound in 1..30u64,
    ) {
        let directory = tempfile::tempdir().unwrap();
        let mut bound = DeadLetterBound { count: first_bound, ..DeadLetterBound::default() };
        let mut writer = open_bounded(directory.path(), bound);
        // The letters of each partition, the removed ones, and the model of what is kept, by age.
        let mut all: BTreeMap<i32, Vec<DeadLetter>> = BTreeMap::new();
        let (mut removed, mut kept) = (BTreeSet::new(), BTreeMap::new());
        let (mut age, mut commit, mut replaced) = (0, 0, 0);
        for step in steps {
            commit += 1;
            match step {
                Step::Put { partition, count, size } => {
                    let letters = all.entry(partition).or_default();
                    let come = (0..count).map(|_| {
                        age += 1;
                        letters.push(letter(partition, letters.len() as i64, age, size));
                        kept.insert(age, letters.last().unwrap().position);
                        letters.last().unwrap().clone()
                    });
                    put(&writer, commit, come.collect());
                }
                Step::Again { partition, from } => {
                    let letters = all.get(&partition).and_then(|letters| letters.get(from..)).unwrap_or_default();
                    put(&writer, commit, letters.to_vec());
                }
                Step::Remove { partition, of_each } => {
                    let is_removed = |at: &PartitionOffset| at.partition == partition && at.offset % of_each == 0;
                    let positions: Vec<_> = kept.values().copied().filter(is_removed).collect();
                    let count = writer.remove_dead_letters(positions.clone()).unwrap();
                    prop_assert_eq!(count, positions.len() as u64);
                    prop_assert_eq!(writer.remove_dead_letters(positions.clone()).unwrap(), 0);
                    kept.retain(|_, at| !is_removed(at));
                    removed.extend(positions);
                    commit -= 1;
                }
                Step::Reopen { count } => {
                    writer.finish().unwrap();
                    bound.count = count;
                    writer = open_bounded(directory.path(), bound);
                    commit = 0;
                }
            }
            while kept.len() as u64 > bound.count {
                kept.pop_first();
                replaced += 1;
            }
            let reader = writer.reader();
            prop_assert_eq!(positions(&reader), kept.values().copied().collect::<BTreeSet<_>>());
            prop_assert_eq!(writer.dead_letters(), kept.len() as u64);
            prop_assert_eq!(writer.replaced_dead_letters(), replaced);
            prop_assert_eq!(reader.replaced_letters().unwrap().counts, [0, replaced, 0]);
            let found: usize = all.values().map(Vec::len).sum();
            prop_assert_eq!(kept.len() + removed.len() + replaced as usize, found);
        }
        writer.finish().unwrap();
    }

    #[test]
    fn the_bytes_of_all_are_within_their_bound(
        sizes in proptest::collection::vec(1..20_000usize, 1..60),
        bytes in 1_000..60_000u64,
    ) {
        let directory = tempfile::tempdir().unwrap();
        let writer = open_bounded(directory.path(), DeadLetterBound { bytes, ..DeadLetterBound::default() });
        let letters: Vec<DeadLetter> =
            (0..).zip(sizes).map(|(offset, size)| letter(0, offset, offset, size)).collect();
        for (number, letter) in (1..).zip(&letters) {
            put(&writer, number, vec![letter.clone()]);
        }
        let stored = |letter: &DeadLetter| stored_record::encode_dead_letter(letter).unwrap().len() as u64;
        let mut room = bytes;
        let newest = letters.iter().rev().take_while(|letter| {
            let fits = stored(letter) <= room;
            room = room.saturating_sub(stored(letter));
            fits
        });
        let expected: BTreeSet<PartitionOffset> = newest.map(|letter| letter.position).collect();
        prop_assert_eq!(positions(&writer.reader()), expected);
        writer.finish().unwrap();
    }
}

#[test]
fn a_store_that_has_more_than_the_bound_is_reduced_when_it_is_opened() {
    let directory = tempfile::tempdir().unwrap();
    let OpenStore { writer, .. } = fixtures::open(directory.path());
    put(&writer, 1, (0..200).map(|offset| letter(0, offset, offset, 8_000)).collect());
    writer.finish().unwrap();
    // A version before this one kept no order by age.
    let db = fixtures::open_database(directory.path());
    assert!(db.drop_tree("dead-letter-ages").unwrap());
    drop(db);
    let bound = DeadLetterBound { count: 50, ..DeadLetterBound::default() };
    let writer = open_bounded(directory.path(), bound);
    assert_eq!((writer.dead_letters(), writer.replaced_dead_letters()), (50, 150));
    assert_eq!(positions(&writer.reader()).first().unwrap().offset, 150);
    writer.finish().unwrap();
    // The pieces of those that are gone are gone, too.
    let db = fixtures::open_database(directory.path());
    assert_eq!(db.open_tree("dead-letters").unwrap().len(), 50);
    assert_eq!(db.open_tree("dead-letter-ages").unwrap().len(), 50);
    assert_eq!(db.open_tree("pieces").unwrap().len(), 50 * 2);
}

#[test]
fn a_crash_between_the_count_and_the_removal_counts_no_letter_twice() {
    let directory = tempfile::tempdir().unwrap();
    let bound = DeadLetterBound { count: 5, ..DeadLetterBound::default() };
    let writer = open_bounded(directory.path(), bound);
    put(&writer, 1, (0..6).map(|offset| letter(0, offset, offset, 10)).collect());
    assert_eq!(writer.replaced_dead_letters(), 1);
    writer.finish().unwrap();
    // As a crash leaves it: the first is counted, and still there.
    let db = fixtures::open_database(directory.path());
    let first = letter(0, 0, 0, 10);
    let key = [&[1][..], &0_i32.to_be_bytes(), &0_i64.to_be_bytes()].concat();
    let value = stored_record::encode_dead_letter(&first).unwrap();
    db.open_tree("dead-letters").unwrap().insert(&key, value).unwrap();
    drop(db);
    let writer = open_bounded(directory.path(), bound);
    assert_eq!((writer.dead_letters(), writer.replaced_dead_letters()), (5, 1));
    assert_eq!(positions(&writer.reader()).first().unwrap().offset, 1);
    // Its record is read again, and is not kept anew.
    put(&writer, 1, vec![first]);
    assert_eq!((writer.dead_letters(), writer.replaced_dead_letters()), (5, 1));
    writer.finish().unwrap();
}

#[test]
fn records_without_a_time_count_as_the_oldest() {
    let directory = tempfile::tempdir().unwrap();
    let writer = open_bounded(directory.path(), DeadLetterBound { count: 2, ..DeadLetterBound::default() });
    let untimed = DeadLetter { timestamp_millis: None, ..letter(1, 0, 0, 10) };
    let before_1970 = DeadLetter { timestamp_millis: Some(-5), ..letter(2, 0, 0, 10) };
    put(&writer, 1, vec![letter(0, 0, 0, 10), before_1970.clone(), untimed]);
    let kept = BTreeSet::from([letter(0, 0, 0, 10).position, before_1970.position]);
    assert_eq!(positions(&writer.reader()), kept);
    assert_eq!(kept.first().unwrap().topic, Topic::Jobs);
    writer.finish().unwrap();
}

#[test]
fn ten_thousand_kinds_are_a_thousand_groups_and_one_of_the_rest_and_no_letter_is_left_out() {
    let directory = tempfile::tempdir().unwrap();
    let OpenStore { writer, .. } = fixtures::open(directory.path());
    let letters = (0..10_000).map(|offset| {
        let name: String = offset.to_string().bytes().map(|digit| char::from(digit - b'0' + b'a')).collect();
        DeadLetter { reason: format!("event: none is set; there is `{name}`"), ..letter(0, offset, offset, 10) }
    });
    put(&writer, 1, letters.collect());
    let long_key = DeadLetter { key: Some(vec![b'k'; 60_000]), ..letter(1, 0, 0, 10) };
    put(&writer, 2, vec![long_key]);
    let (reader, topics) = (writer.reader(), TopicNames::default());
    let listed = dead_letters::list(&reader, &topics, &LetterSelection::default()).unwrap();
    assert_eq!((listed.count, listed.groups.len()), (10_001, 1_001));
    assert_eq!(listed.groups.iter().map(|group| group.count).sum::<u64>(), 10_001);
    assert_eq!((listed.groups[0].kind.as_str(), listed.groups[0].count), ("of other kinds", 9_001));
    // A key is shown as far as an id could be one.
    let request =
        PageRequest { limit: 2, after: Some(letter(0, 9_999, 0, 0).position), topic: None, reason: None };
    let page = dead_letters::page(&reader, &topics, &request, 10_001).unwrap();
    assert_eq!(page.dead_letters[0].key.as_ref().map(String::len), Some(1_024));
    writer.finish().unwrap();
}

#[test]
fn the_newest_of_a_group_was_written_last_and_what_is_chosen_has_all_that_was_given() {
    let directory = tempfile::tempdir().unwrap();
    let OpenStore { writer, .. } = fixtures::open(directory.path());
    let ages = [3, 9, 1];
    let letters = ages.iter().zip(0..).map(|(age, offset)| DeadLetter {
        reason: if offset == 2 { "it is another" } else { "it is no event" }.to_owned(),
        ..letter(0, offset, *age, 10)
    });
    put(&writer, 1, letters.collect());
    let (reader, topics) = (writer.reader(), TopicNames::default());
    let list = |selection: &LetterSelection| dead_letters::list(&reader, &topics, selection).unwrap();
    let listed = list(&LetterSelection::default());
    assert_eq!(listed.groups.iter().map(|group| group.newest.offset).collect::<Vec<_>>(), [1, 2]);
    // An id that is given twice is of one letter.
    let ids = ["jobs/0@0", "jobs/0@2", "jobs/0@7", "jobs/0@2", "jobs/0@7"].map(str::to_owned).to_vec();
    let chosen = LetterSelection { ids, reason: Some("another".to_owned()), ..LetterSelection::default() };
    let listed = list(&chosen);
    assert_eq!((listed.count, listed.groups[0].newest.offset), (1, 2));
    assert_eq!(listed.missing, ["jobs/0@7"]);
    let request = PageRequest { limit: 5, after: None, topic: None, reason: Some("another".to_owned()) };
    let page = dead_letters::page(&reader, &topics, &request, 3).unwrap();
    assert_eq!(page.dead_letters.iter().map(|entry| entry.offset).collect::<Vec<_>>(), [2]);
    let request = PageRequest { topic: Some(Topic::Optimizations), reason: None, ..request };
    assert_eq!(dead_letters::page(&reader, &topics, &request, 3).unwrap().dead_letters, []);
    writer.finish().unwrap();
    drop(reader);
    // An age that a crash has left without its letter goes at the next start.
    let db = fixtures::open_database(directory.path());
    let stale = [&[0_u8; 8][..], &[1], &7_i32.to_be_bytes(), &7_i64.to_be_bytes()].concat();
    db.open_tree("dead-letter-ages").unwrap().insert(stale, &[]).unwrap();
    drop(db);
    open_bounded(directory.path(), DeadLetterBound::default()).finish().unwrap();
    let db = fixtures::open_database(directory.path());
    assert_eq!(db.open_tree("dead-letter-ages").unwrap().len(), 3);
}
