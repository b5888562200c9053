use proptest::prelude::*;

use super::*;

/// Returns a limit over nothing that was read.
fn limit_of(limit: u64) -> DeadLetterLimit {
    DeadLetterLimit { topics: TopicNames::default(), limit, streams: <[StreamLimit; 3]>::default() }
}

/// Counts records one by one until the topic is to stop. Returns the number of records that were counted.
fn stops_after(limit: &mut DeadLetterLimit, is_letter: impl Iterator<Item = bool>) -> Option<usize> {
    let (mut understood, mut count) = (0, 0);
    for is_letter in is_letter {
        count += 1;
        if !is_letter {
            understood += 1;
        } else if limit.count_letter(Topic::Jobs, std::mem::take(&mut understood)) {
            return Some(count);
        }
    }
    limit.count_understood(Topic::Jobs, understood);
    None
}

#[test]
fn a_topic_of_nothing_but_letters_stops_at_the_first_beyond_the_limit() {
    assert_eq!(stops_after(&mut limit_of(10_000), std::iter::repeat(true)), Some(10_001));
    assert_eq!(stops_after(&mut limit_of(3), std::iter::repeat(true)), Some(4));
    assert_eq!(stops_after(&mut limit_of(500_000), std::iter::repeat(true)), Some(500_001));
}

#[test]
fn a_tenth_of_the_latest_records_is_never_too_much() {
    let one_in_ten = (0..3_000_000).map(|at| at % 10 == 9);
    assert_eq!(stops_after(&mut limit_of(10_000), one_in_ten.clone()), None);
    assert_eq!(stops_after(&mut limit_of(1), one_in_ten), None);
}

#[test]
fn a_topic_that_was_well_for_long_stops_once_a_tenth_of_the_latest_records_is_beyond_it() {
    let mut limit = limit_of(100);
    assert_eq!(stops_after(&mut limit, std::iter::repeat_n(false, 1_000_000)), None);
    let at = stops_after(&mut limit, std::iter::repeat(true)).expect("it stops");
    // The latest records are forgotten in parts of a hundredth.
    assert!((10_000..=10_201).contains(&at), "{at}");
}

#[test]
fn letters_that_lie_far_back_are_forgotten() {
    let mut limit = limit_of(1_000);
    for _ in 0..50 {
        assert_eq!(stops_after(&mut limit, std::iter::repeat_n(true, 900)), None);
        assert_eq!(stops_after(&mut limit, std::iter::repeat_n(false, 110_000)), None);
    }
}

#[test]
fn a_topic_that_is_read_on_is_counted_anew() {
    let mut limit = limit_of(3);
    assert_eq!(stops_after(&mut limit, std::iter::repeat(true)), Some(4));
    limit.stop(Topic::Jobs, Moment::now());
    let reason = limit.stop_reason(Topic::Jobs).expect("it has stopped");
    assert_eq!(reason.code, StopCode::DeadLetters);
    assert!(reason.text.contains("of the latest 4 records of the topic `jobs`, 4 could not"), "{reason}");
    assert_eq!(limit.stop_reason(Topic::Optimizations), None);
    assert!(limit.resume(Topic::Jobs) && !limit.resume(Topic::Jobs));
    assert_eq!(limit.stop_reason(Topic::Jobs), None);
    assert_eq!(stops_after(&mut limit, std::iter::repeat(true)), Some(4));
}

proptest! {
    /// The parts in which records are forgotten make a difference of two hundredths at the most.
    #[test]
    fn the_counts_are_those_of_the_latest_records(
        limit in 1..30_000u64,
        runs in proptest::collection::vec((any::<bool>(), 1..60_000usize), 1..12),
    ) {
        let records: Vec<bool> =
            runs.iter().flat_map(|(is_letter, count)| std::iter::repeat_n(*is_letter, *count)).collect();
        let mut counted = limit_of(limit);
        let stopped = stops_after(&mut counted, records.iter().copied()).unwrap_or(records.len());
        let sum = counted.streams[Topic::Jobs as usize].latest.sum;
        let window = counted.window();
        prop_assert!(sum.records >= window.min(stopped as u64));
        prop_assert!(sum.records <= window + window / 50);
        let latest = records[..stopped].iter().rev().zip(0..sum.records).map(|(is_letter, _)| *is_letter);
        prop_assert_eq!(sum.letters, latest.map(u64::from).sum::<u64>());
    }
}
