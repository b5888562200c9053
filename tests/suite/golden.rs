//! The contract's golden cases hold in every order and with every repetition.

use optview::domain::PartitionOffset;
use proptest::prelude::*;
use proptest::sample::Index;

use crate::cases::{Case, cases};
use crate::support::{MapStore, OwnedRecord};

fn records(case: &Case) -> Vec<OwnedRecord> {
    (0..)
        .zip(&case.records)
        .map(|(offset, record)| OwnedRecord {
            position: PartitionOffset { topic: record.topic(), partition: 0, offset },
            key: record.key.clone().into_bytes(),
            value: (!record.value.is_null()).then(|| serde_json::to_vec(&record.value).unwrap()),
        })
        .collect()
}

fn check(case: &Case, order: impl Iterator<Item = usize>) {
    let records = records(case);
    let mut store = MapStore::default();
    let mut folded = 0;
    for at in order {
        store.fold(&records[at].decode());
        folded += 1;
    }
    assert!(folded >= records.len(), "{}: nothing is left out", case.name);
    store.write();
    assert_eq!(store.response(case.id()), case.view, "{}", case.name);
}

#[test]
fn every_case_holds_in_the_order_given_and_in_reverse() {
    let cases = cases();
    assert!(cases.len() >= 17, "the cases are all there");
    for case in &cases {
        let count = case.records.len();
        check(case, 0..count);
        check(case, (0..count).rev());
        check(case, (0..count).chain(0..count));
    }
}

proptest! {
    #[test]
    fn every_case_holds_in_any_order_with_any_repetition(
        picks in proptest::collection::vec(any::<Index>(), 0..24),
        seed in any::<u64>(),
    ) {
        for case in &cases() {
            let count = case.records.len();
            let mut order: Vec<usize> =
                (0..count).chain(picks.iter().map(|pick| pick.index(count))).collect();
            order.sort_by_key(|at| (*at as u64 + 1).wrapping_mul(seed | 1).rotate_left(29) ^ seed);
            let turn = seed as usize % order.len();
            order.rotate_left(turn);
            check(case, order.into_iter());
        }
    }
}
