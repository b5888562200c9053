//! The bound on the memory that bodies of responses take, all together, until their clients have read them. No caller gets
//! more than half of it, so that a caller whose clients do not read takes nothing from the others. Small bodies are not
//! counted, so that most reads pay nothing for it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::caller_shares::{CallerIdentity, CallerPermits, CallerShares};
use super::errors::HttpError;

/// Number of bytes that the counted bodies under way may have together: 64 MiB.
pub const LIMIT: usize = 64 << 20;

/// The size in bytes up to which a body is not counted. Each of the connections (`--max-connections`) may have one such body.
const SMALL: usize = 16 << 10;

/// The time that a request waits for memory before it is refused.
const REFUSED_AFTER: Duration = Duration::from_secs(5);

/// The memory for bodies of responses. It is cheap to clone.
#[derive(Clone)]
pub struct ResponseMemory {
    /// The free memory, with one permit a byte.
    available: Arc<Semaphore>,
    /// The memory that each caller may have of it, with one permit a byte.
    shares: Arc<CallerShares>,
    /// Number of bytes of one caller's share.
    share: usize,
    refusals: metrics::Counter,
    bytes_in_use: metrics::Gauge,
}

impl ResponseMemory {
    /// Makes a memory of `limit` bytes. Its metrics are bound to the recorder that is installed at this moment.
    pub fn new(limit: usize) -> ResponseMemory {
        metrics::describe_counter!(
            "optview_http_memory_refusals_total",
            "Responses that were refused with 503, or broken off, because those under way take all the memory for responses"
        );
        metrics::describe_gauge!(
            "optview_http_response_memory_bytes",
            "Bodies of responses, above 16 KiB each, that clients have not read yet"
        );
        ResponseMemory {
            available: Arc::new(Semaphore::new(limit)),
            shares: CallerShares::new(limit / 2),
            share: limit / 2,
            refusals: metrics::counter!("optview_http_memory_refusals_total"),
            bytes_in_use: metrics::gauge!("optview_http_response_memory_bytes"),
        }
    }

    /// Counts a body as long as any part of it is held.
    ///
    /// # Errors
    /// Returns a 503 if there is not enough memory for it now.
    pub fn count(&self, body: Bytes, caller: impl FnOnce() -> CallerIdentity) -> Result<Bytes, HttpError> {
        if body.len() <= SMALL {
            return Ok(body);
        }
        match self.try_reserve(&caller(), self.permits(body.len())) {
            Some(reservation) => Ok(reservation.into_bytes(body)),
            None => Err(self.refuse()),
        }
    }

    /// Waits for `bytes` of memory. A request for more than a caller's share gets all of the share.
    ///
    /// # Errors
    /// Returns a 503 if the memory does not become free in time.
    pub async fn reserve(&self, caller: &CallerIdentity, bytes: usize) -> Result<MemoryReservation, HttpError> {
        self.reserve_within(REFUSED_AFTER, caller, bytes).await
    }

    /// Waits for `bytes` of memory as [`ResponseMemory::reserve`] does, but for no longer than `longest`.
    ///
    /// # Errors
    /// Returns a 503 if the memory does not become free in time.
    pub async fn reserve_within(
        &self,
        longest: Duration,
        caller: &CallerIdentity,
        bytes: usize,
    ) -> Result<MemoryReservation, HttpError> {
        let permits = self.permits(bytes);
        // Nearly always there is enough memory, and no timer is needed.
        if let Some(reservation) = self.try_reserve(caller, permits) {
            return Ok(reservation);
        }
        let reserved = async {
            let of_share = self.shares.acquire(caller, permits).await;
            let of_all = Arc::clone(&self.available).acquire_many_owned(permits).await;
            self.reservation(of_share, of_all.expect("the semaphore of responses is never closed"))
        };
        timeout(longest, reserved).await.map_err(|_| self.refuse())
    }

    /// Reserves all of the memory, if none of it is in use.
    #[cfg(test)]
    pub fn try_all(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.available).try_acquire_many_owned(u32::try_from(2 * self.share).ok()?).ok()
    }

    fn try_reserve(&self, caller: &CallerIdentity, permits: u32) -> Option<MemoryReservation> {
        let of_share = self.shares.try_acquire(caller, permits)?;
        let of_all = Arc::clone(&self.available).try_acquire_many_owned(permits).ok()?;
        Some(self.reservation(of_share, of_all))
    }

    /// Returns the part of `bytes` that a caller can reserve at all.
    pub fn at_most(&self, bytes: usize) -> usize {
        bytes.min(self.share)
    }

    fn permits(&self, bytes: usize) -> u32 {
        u32::try_from(self.at_most(bytes)).unwrap_or(u32::MAX)
    }

    fn reservation(&self, of_share: CallerPermits, of_all: OwnedSemaphorePermit) -> MemoryReservation {
        self.bytes_in_use.increment(of_all.num_permits() as f64);
        MemoryReservation { of_all, of_share, bytes_in_use: self.bytes_in_use.clone() }
    }

    fn refuse(&self) -> HttpError {
        self.refusals.increment(1);
        HttpError::unavailable(
            "too many large responses are under way that their clients do not read: ask again shortly",
        )
    }
}

/// Memory that is reserved for a body. It is given back when this is dropped.
pub struct MemoryReservation {
    of_all: OwnedSemaphorePermit,
    of_share: CallerPermits,
    bytes_in_use: metrics::Gauge,
}

impl MemoryReservation {
    /// Number of bytes that are reserved.
    pub fn bytes_reserved(&self) -> usize {
        self.of_all.num_permits()
    }

    /// Gives back the memory that is not needed for `bytes`.
    pub fn shrink(&mut self, bytes: usize) {
        let spare = self.of_all.num_permits().saturating_sub(bytes);
        drop(self.of_all.split(spare));
        self.of_share.shrink(bytes);
        self.bytes_in_use.decrement(spare as f64);
    }

    /// Adds the memory of another reservation of the same caller to this one.
    ///
    /// # Panics
    /// Panics if it is another caller's.
    pub fn merge(&mut self, mut other: MemoryReservation) {
        if let Some(permits) = other.of_all.split(other.of_all.num_permits()) {
            self.of_all.merge(permits);
        }
        self.of_share.take(&mut other.of_share);
    }

    /// Ties the reservation to the body that it was made for.
    pub fn into_bytes(self, body: impl AsRef<[u8]> + Send + 'static) -> Bytes {
        Bytes::from_owner(ReservedBody { body, _reservation: self })
    }
}

impl Drop for MemoryReservation {
    fn drop(&mut self) {
        self.bytes_in_use.decrement(self.of_all.num_permits() as f64);
    }
}

/// A body with the reservation of its memory.
struct ReservedBody<T> {
    body: T,
    _reservation: MemoryReservation,
}

impl<T: AsRef<[u8]>> AsRef<[u8]> for ReservedBody<T> {
    fn as_ref(&self) -> &[u8] {
        self.body.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(name: &str) -> CallerIdentity {
        CallerIdentity::Key(name.to_owned())
    }

    fn available(memory: &ResponseMemory) -> usize {
        memory.available.available_permits()
    }

    #[test]
    fn the_large_bodies_of_a_caller_have_half_of_the_memory_and_small_ones_do_not_count() {
        let memory = ResponseMemory::new(200_000);
        let count = |len: usize| memory.count(Bytes::from(vec![b'x'; len]), || caller("one"));
        let held = [60_000, 40_000].map(|len| count(len).unwrap());
        assert!(matches!(count(SMALL + 1), Err(HttpError::Unavailable { .. })));
        assert_eq!(count(SMALL).unwrap().len(), SMALL);
        let [first, second] = held;
        let part = first.slice(5..10);
        drop((first, second));
        assert_eq!(available(&memory), 140_000, "a part of a body keeps all of it");
        drop(part);
        assert_eq!(available(&memory), 200_000);
        // A body that is larger than the share is accepted while the caller has no other.
        let held = count(1_000_000).unwrap();
        assert_eq!((available(&memory), held.len()), (100_000, 1_000_000));
        assert!(count(SMALL + 1).is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_whose_clients_do_not_read_leaves_half_of_the_memory_to_the_others() {
        let memory = ResponseMemory::new(100);
        let unread = [memory.reserve(&caller("greedy"), 30).await, memory.reserve(&caller("greedy"), 20).await];
        assert!(unread.iter().all(Result::is_ok));
        assert!(memory.reserve(&caller("greedy"), 1).await.is_err());
        let other = memory.reserve(&caller("other"), 50).await.expect("the rest is free");
        assert_eq!(available(&memory), 0);
        // Where others have the rest, even a new caller waits.
        assert!(memory.reserve(&caller("third"), 1).await.is_err());
        drop((unread, other));
        assert_eq!((available(&memory), memory.shares.callers()), (100, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_room_gets_it_when_another_is_done_or_is_refused() {
        let memory = ResponseMemory::new(200);
        let one = caller("one");
        let mut first = memory.reserve(&one, 80).await.unwrap();
        let waiting = tokio::spawn({
            let (memory, one) = (memory.clone(), one.clone());
            async move { memory.reserve(&one, 60).await.map(|reservation| reservation.bytes_reserved()) }
        });
        tokio::task::yield_now().await;
        first.shrink(30);
        assert_eq!(waiting.await.unwrap().unwrap(), 60);
        first.merge(memory.reserve(&one, 70).await.unwrap());
        assert_eq!(first.bytes_reserved(), 100);
        // Tokio's paused clock advances by itself while every task waits.
        assert!(matches!(memory.reserve(&one, 1).await, Err(HttpError::Unavailable { .. })));
        drop(first);
        assert_eq!(available(&memory), 200);
    }
}
