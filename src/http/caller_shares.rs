//! The shares of callers in something that all requests need: each caller gets no more than its share, so that some is left for
//! the others, however much one asks for.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::Request;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The address that a request comes from, as an extension of the request.
#[derive(Clone, Copy)]
pub struct PeerAddress(pub IpAddr);

impl PeerAddress {
    /// Returns the address that a request has as its extension.
    pub fn of(request: &Request) -> Option<PeerAddress> {
        request.extensions().get().copied()
    }
}

/// The identity by which requests share what one caller may have.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum CallerIdentity {
    /// The name of the API key.
    Key(String),
    /// A caller that nobody has checked: the address that the connection comes from, and the organization that the request
    /// names. Behind a gateway only the latter distinguishes callers.
    Unchecked { address: Option<IpAddr>, organization_id: Option<String> },
}

/// The shares of all callers, counted in permits. Only callers that have or want any are remembered.
pub struct CallerShares {
    permits_each: usize,
    callers: Mutex<HashMap<CallerIdentity, Share>>,
}

struct Share {
    permits: Arc<Semaphore>,
    /// Number of the caller's requests that have permits or wait for them. A caller without any is removed.
    requests: usize,
}

/// Permits of one caller's share. They are given back when this is dropped.
pub struct CallerPermits {
    permits: OwnedSemaphorePermit,
    _registration: Registration,
}

/// An entry that keeps a caller in the map. It must outlast the caller's permits.
struct Registration {
    shares: Arc<CallerShares>,
    caller: CallerIdentity,
}

impl CallerShares {
    /// Makes shares of `permits_each` permits.
    pub fn new(permits_each: usize) -> Arc<CallerShares> {
        Arc::new(CallerShares { permits_each, callers: Mutex::default() })
    }

    /// Waits until so many permits of the caller's share are free. The future can be dropped at any time, which gives up
    /// its place.
    pub async fn acquire(self: &Arc<CallerShares>, caller: &CallerIdentity, permits: u32) -> CallerPermits {
        let (registration, share) = self.register(caller);
        let permits = share.acquire_many_owned(permits).await.expect("the semaphores of shares are never closed");
        CallerPermits { permits, _registration: registration }
    }

    /// Takes so many permits of the caller's share, if they are free now.
    pub fn try_acquire(self: &Arc<CallerShares>, caller: &CallerIdentity, permits: u32) -> Option<CallerPermits> {
        let (registration, share) = self.register(caller);
        let permits = share.try_acquire_many_owned(permits).ok()?;
        Some(CallerPermits { permits, _registration: registration })
    }

    /// Number of callers that have permits or wait for them.
    #[cfg(test)]
    pub fn callers(&self) -> usize {
        self.callers.lock().len()
    }

    fn register(self: &Arc<CallerShares>, caller: &CallerIdentity) -> (Registration, Arc<Semaphore>) {
        let mut callers = self.callers.lock();
        let share = callers
            .entry(caller.clone())
            .or_insert_with(|| Share { permits: Arc::new(Semaphore::new(self.permits_each)), requests: 0 });
        share.requests += 1;
        (Registration { shares: Arc::clone(self), caller: caller.clone() }, Arc::clone(&share.permits))
    }
}

impl CallerPermits {
    /// Gives back all permits but the first `kept`.
    pub fn shrink(&mut self, kept: usize) {
        let spare = self.permits.num_permits().saturating_sub(kept);
        drop(self.permits.split(spare));
    }

    /// Moves all permits of `other`, which are the same caller's, to these.
    ///
    /// # Panics
    /// Panics if they are another caller's.
    pub fn take(&mut self, other: &mut CallerPermits) {
        if let Some(permits) = other.permits.split(other.permits.num_permits()) {
            self.permits.merge(permits);
        }
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let mut callers = self.shares.callers.lock();
        if let Some(share) = callers.get_mut(&self.caller) {
            share.requests -= 1;
            if share.requests == 0 {
                callers.remove(&self.caller);
            }
        }
    }
}
