//! The limit of failed attempts to authenticate: whoever guesses keys gets few answers. Failures are counted by the address that they come
//! from. Behind one address there may be others, so that a credential that was accepted from it before is still taken.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Number of failures that an address has at once, before any is held against it.
const BURST: f64 = 100.0;

/// Number of failures a second that an address may go on with.
const PER_SECOND: f64 = 10.0;

/// Number of addresses that are counted each for itself. The others share one count.
const ADDRESSES: usize = 10_000;

/// Number of slots for pairs of an address and a credential. A pair may lose its slot to another one.
const PAIRS: usize = 4096;

/// The failed attempts of all addresses.
pub struct FailedAttempts {
    allowances: Mutex<HashMap<Option<IpAddr>, Allowance>>,
    /// The pairs of addresses and credentials that were accepted, as hashes that nobody can foresee.
    accepted: Box<[AtomicU64]>,
    hasher: RandomState,
}

/// The number of failures that an address has left.
struct Allowance {
    left: f64,
    at: Instant,
}

impl Allowance {
    fn at(&self, now: Instant) -> f64 {
        let since = now.saturating_duration_since(self.at).as_secs_f64();
        (self.left + since * PER_SECOND).min(BURST)
    }
}

impl FailedAttempts {
    pub fn new() -> FailedAttempts {
        FailedAttempts {
            allowances: Mutex::default(),
            accepted: (0..PAIRS).map(|_| AtomicU64::new(0)).collect(),
            hasher: RandomState::new(),
        }
    }

    /// Returns true if a credential with this number was accepted from the address before.
    pub fn was_accepted(&self, address: Option<IpAddr>, credential: u64) -> bool {
        let (slot, pair) = self.pair(address, credential);
        slot.load(Ordering::Relaxed) == pair
    }

    /// Notes that a credential with this number was accepted from the address.
    pub fn note_accepted(&self, address: Option<IpAddr>, credential: u64) {
        let (slot, pair) = self.pair(address, credential);
        slot.store(pair, Ordering::Relaxed);
    }

    fn pair(&self, address: Option<IpAddr>, credential: u64) -> (&AtomicU64, u64) {
        let pair = self.hasher.hash_one((address, credential)) | 1;
        (&self.accepted[usize::try_from(pair >> 32).unwrap_or_default() % PAIRS], pair)
    }

    /// Returns the time after which the address may try again; `None` if it may now.
    pub fn wait(&self, address: Option<IpAddr>, now: Instant) -> Option<Duration> {
        let allowances = self.allowances.lock();
        let left = allowances.get(&counted_address(&allowances, address))?.at(now);
        (left < 1.0).then(|| Duration::from_secs_f64((1.0 - left) / PER_SECOND))
    }

    /// Notes a failure of the address.
    pub fn note_failure(&self, address: Option<IpAddr>, now: Instant) {
        let mut allowances = self.allowances.lock();
        if allowances.len() >= ADDRESSES {
            allowances.retain(|_, allowance| allowance.at(now) < BURST);
        }
        let address = counted_address(&allowances, address);
        let allowance = allowances.entry(address).or_insert(Allowance { left: BURST, at: now });
        *allowance = Allowance { left: (allowance.at(now) - 1.0).max(0.0), at: now };
    }
}

/// Returns the address by which failures are counted: of IPv6 the network, since one host has as many addresses in it as it likes.
/// If there are too many already, a new one is counted with all others of which there are too many.
fn counted_address(known: &HashMap<Option<IpAddr>, Allowance>, address: Option<IpAddr>) -> Option<IpAddr> {
    let address = match address?.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
        address => address,
    };
    (known.len() < ADDRESSES || known.contains_key(&Some(address))).then_some(address)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn v4(number: u32) -> Option<IpAddr> {
        Some(IpAddr::V4(Ipv4Addr::from_bits(number)))
    }

    #[test]
    fn an_address_has_a_hundred_failures_and_then_ten_a_second() {
        let (attempts, begin) = (FailedAttempts::new(), Instant::now());
        let at = |millis| begin + Duration::from_millis(millis);
        for _ in 0..100 {
            assert_eq!(attempts.wait(v4(1), begin), None);
            attempts.note_failure(v4(1), begin);
        }
        assert_eq!(attempts.wait(v4(1), begin), Some(Duration::from_millis(100)));
        assert_eq!(attempts.wait(v4(2), begin), None, "another address is another matter");
        assert_eq!(attempts.wait(None, begin), None);
        assert_eq!(attempts.wait(v4(1), at(50)), Some(Duration::from_millis(50)));
        let mut taken = 0;
        for millis in 0..=10_000 {
            if attempts.wait(v4(1), at(millis)).is_none() {
                attempts.note_failure(v4(1), at(millis));
                taken += 1;
            }
        }
        assert!((99..=100).contains(&taken), "{taken}");
        // Failures that were refused do not keep it waiting for longer.
        (0..1000).for_each(|_| attempts.note_failure(v4(1), at(10_000)));
        assert_eq!(attempts.wait(v4(1), at(10_101)), None);
    }

    #[test]
    fn the_addresses_of_one_network_of_ipv6_are_one_and_ipv4_in_ipv6_is_ipv4() {
        let (attempts, now) = (FailedAttempts::new(), Instant::now());
        let v6 = |text: &str| Some(text.parse::<IpAddr>().unwrap());
        for address in ["2001:db8::1", "::ffff:10.0.0.1"] {
            (0..100).for_each(|_| attempts.note_failure(v6(address), now));
        }
        for (address, must_wait) in [
            ("2001:db8::2", true),
            ("2001:db8:0:0:ffff::2", true),
            ("2001:db8:0:1::2", false),
            ("10.0.0.1", true),
            ("::ffff:10.0.0.1", true),
            ("10.0.0.2", false),
        ] {
            assert_eq!(attempts.wait(v6(address), now).is_some(), must_wait, "{address}");
        }
    }

    #[test]
    fn what_was_accepted_from_an_address_is_known_there_only() {
        let attempts = FailedAttempts::new();
        attempts.note_accepted(v4(1), 7);
        assert!(attempts.was_accepted(v4(1), 7));
        assert!(!attempts.was_accepted(v4(2), 7) && !attempts.was_accepted(v4(1), 8));
        assert!(!attempts.was_accepted(None, 7));
    }

    #[test]
    fn the_addresses_are_bounded_and_those_that_rest_are_forgotten() {
        let (attempts, begin) = (FailedAttempts::new(), Instant::now());
        for number in 0..20_000 {
            attempts.note_failure(v4(number), begin);
        }
        assert!(attempts.allowances.lock().len() <= ADDRESSES + 1);
        assert!(attempts.wait(v4(19_999), begin).is_some(), "those beyond the bound share one allowance");
        assert_eq!(attempts.wait(v4(1), begin), None);
        let later = begin + Duration::from_secs(60);
        attempts.note_failure(v4(30_000), later);
        assert_eq!(attempts.allowances.lock().len(), 1);
    }
}
