use proptest::prelude::*;

use super::*;
use crate::check::finding::Verdict;

fn facts(state: AddressState, limit: u64, threads: Result<(), String>) -> MachineFacts {
    let address = "127.0.0.1:8080".parse().unwrap();
    MachineFacts { addresses: vec![("--listen", address, state)], files: FileBudget::new(limit, 10_000), threads }
}

proptest! {
    #[test]
    fn every_fact_has_one_finding_and_what_serve_has_taken_itself_is_right(
        state in prop_oneof![Just(AddressState::Free), Just(AddressState::Taken), Just(AddressState::Refused("why".to_owned()))],
        limit in prop_oneof![Just(100_u64), Just(1024), Just(1 << 20)],
        has_threads in any::<bool>(),
        is_served in any::<bool>(),
    ) {
        let threads = if has_threads { Ok(()) } else { Err("why".to_owned()) };
        let found = findings(&facts(state.clone(), limit, threads), is_served);
        let verdicts: Vec<Verdict> = found.iter().map(|finding| finding.verdict).collect();
        let address = match state {
            AddressState::Free => Verdict::Right,
            AddressState::Taken if is_served => Verdict::Right,
            _ => Verdict::Wrong,
        };
        let files = match limit { 100 => Verdict::Wrong, 1024 => Verdict::Doubtful, _ => Verdict::Right };
        prop_assert_eq!(verdicts, [address, files, if has_threads { Verdict::Right } else { Verdict::Wrong }]);
        prop_assert!(found.iter().all(|finding| finding.remedy.is_some() == (finding.verdict != Verdict::Right)));
    }
}

#[test]
fn an_address_that_is_listened_on_is_taken_and_one_of_no_interface_is_refused() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let elsewhere = "192.0.2.1:8080".parse().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let look = |address| look(&[("--listen", address)], 100, directory.path()).addresses.remove(0).2;
    assert_eq!(look(address), AddressState::Taken);
    assert!(matches!(look(elsewhere), AddressState::Refused(_)));
    drop(taken);
    assert_eq!(look(address), AddressState::Free);
}
