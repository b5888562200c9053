//! The bound on the requests that wait for something that may never come. No caller has more than half of the places, so that one
//! who waits for much takes nothing from the others.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::caller_shares::{CallerIdentity, CallerPermits, CallerShares};

/// Number of reads by id, and of requests for a position, that may wait at the same time.
const REQUESTS: usize = 10_000;

/// Number of streams that may be open at the same time.
const STREAMS: usize = 20_000;

/// The waits of requests: how long, and how many.
pub struct Waits {
    /// The time that a read of an unknown id waits for it; zero for none.
    pub missing: Duration,
    pub views: WaitPlaces,
    pub positions: WaitPlaces,
    pub streams: WaitPlaces,
}

impl Waits {
    pub fn new(missing: Duration) -> Waits {
        Waits {
            missing,
            views: WaitPlaces::new(REQUESTS, "view"),
            positions: WaitPlaces::new(REQUESTS, "position"),
            streams: WaitPlaces::new(STREAMS, "stream"),
        }
    }
}

/// The places for requests of one kind that wait.
pub struct WaitPlaces {
    free: Arc<Semaphore>,
    shares: Arc<CallerShares>,
    in_use: metrics::Gauge,
    refusals: metrics::Counter,
}

/// One place. Dropping it makes it free.
pub struct WaitPlace {
    _of_all: OwnedSemaphorePermit,
    _of_share: CallerPermits,
    in_use: metrics::Gauge,
}

impl WaitPlaces {
    /// Makes so many places for waits of this kind. Their metrics are bound to the recorder that is installed at this moment.
    pub fn new(places: usize, kind: &'static str) -> WaitPlaces {
        metrics::describe_gauge!("optview_http_waiting", "Requests that wait for a view, a change or a position");
        metrics::describe_counter!(
            "optview_http_wait_refusals_total",
            "Requests that could not wait, because too many do, or too many of the same caller"
        );
        WaitPlaces {
            free: Arc::new(Semaphore::new(places)),
            shares: CallerShares::new(places / 2),
            in_use: metrics::gauge!("optview_http_waiting", "kind" => kind),
            refusals: metrics::counter!("optview_http_wait_refusals_total", "kind" => kind),
        }
    }

    /// Takes a place, if one is free for this caller.
    pub fn take(&self, caller: &CallerIdentity) -> Option<WaitPlace> {
        let place = self.shares.try_acquire(caller, 1).and_then(|of_share| {
            let of_all = Arc::clone(&self.free).try_acquire_owned().ok()?;
            self.in_use.increment(1.0);
            Some(WaitPlace { _of_all: of_all, _of_share: of_share, in_use: self.in_use.clone() })
        });
        if place.is_none() {
            self.refusals.increment(1);
        }
        place
    }
}

impl Drop for WaitPlace {
    fn drop(&mut self) {
        self.in_use.decrement(1.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(name: &str) -> CallerIdentity {
        CallerIdentity::Key(name.to_owned())
    }

    #[test]
    fn a_caller_has_half_of_the_places_and_a_place_is_free_again_when_it_is_dropped() {
        let places = WaitPlaces::new(5, "test");
        let mut held: Vec<_> = (0..2).map(|_| places.take(&caller("one")).unwrap()).collect();
        assert!(places.take(&caller("one")).is_none());
        held.extend((0..2).map(|_| places.take(&caller("two")).unwrap()));
        held.extend(places.take(&caller("three")));
        assert_eq!(held.len(), 5);
        assert!(places.take(&caller("three")).is_none(), "all are taken");
        held.clear();
        assert!(places.take(&caller("three")).is_some());
    }
}
