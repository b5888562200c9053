//! The bound on the memory that bodies of responses take, all together, until their clients have read them. Small bodies
//! are not counted, so that most reads pay nothing for it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

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
    limit: usize,
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
            limit,
            refusals: metrics::counter!("optview_http_memory_refusals_total"),
            bytes_in_use: metrics::gauge!("optview_http_response_memory_bytes"),
        }
    }

    /// Counts a body as long as any part of it is held.
    ///
    /// # Errors
    /// Returns a 503 if there is not enough memory for it now.
    pub fn count(&self, body: Bytes) -> Result<Bytes, HttpError> {
        if body.len() <= SMALL {
            return Ok(body);
        }
        let permit = Arc::clone(&self.available).try_acquire_many_owned(self.permits(body.len()));
        match permit {
            Ok(permit) => Ok(self.reservation(permit).into_bytes(body)),
            Err(_) => Err(self.refuse()),
        }
    }

    /// Waits for `bytes` of memory. A request for more than the limit gets all of it.
    ///
    /// # Errors
    /// Returns a 503 if the memory does not become free in time.
    pub async fn reserve(&self, bytes: usize) -> Result<MemoryReservation, HttpError> {
        // Nearly always there is enough memory, and no timer is needed.
        if let Ok(permit) = Arc::clone(&self.available).try_acquire_many_owned(self.permits(bytes)) {
            return Ok(self.reservation(permit));
        }
        let acquired = Arc::clone(&self.available).acquire_many_owned(self.permits(bytes));
        match timeout(REFUSED_AFTER, acquired).await {
            Ok(permit) => Ok(self.reservation(permit.expect("the semaphore of responses is never closed"))),
            Err(_) => Err(self.refuse()),
        }
    }

    /// Returns the part of `bytes` that can be reserved at all.
    pub fn at_most(&self, bytes: usize) -> usize {
        bytes.min(self.limit)
    }

    fn permits(&self, bytes: usize) -> u32 {
        u32::try_from(self.at_most(bytes)).unwrap_or(u32::MAX)
    }

    fn reservation(&self, permit: OwnedSemaphorePermit) -> MemoryReservation {
        self.bytes_in_use.increment(permit.num_permits() as f64);
        MemoryReservation { permit, bytes_in_use: self.bytes_in_use.clone() }
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
    permit: OwnedSemaphorePermit,
    bytes_in_use: metrics::Gauge,
}

impl MemoryReservation {
    /// Number of bytes that are reserved.
    pub fn bytes_reserved(&self) -> usize {
        self.permit.num_permits()
    }

    /// Gives back the memory that is not needed for `bytes`.
    pub fn shrink(&mut self, bytes: usize) {
        let spare = self.permit.num_permits().saturating_sub(bytes);
        if let Some(permit) = self.permit.split(spare) {
            drop(MemoryReservation { permit, bytes_in_use: self.bytes_in_use.clone() });
        }
    }

    /// Adds the memory of another reservation to this one.
    pub fn merge(&mut self, mut other: MemoryReservation) {
        if let Some(permit) = other.permit.split(other.permit.num_permits()) {
            self.permit.merge(permit);
        }
    }

    /// Ties the reservation to the body that it was made for.
    pub fn into_bytes(self, body: impl AsRef<[u8]> + Send + 'static) -> Bytes {
        Bytes::from_owner(ReservedBody { body, _reservation: self })
    }
}

impl Drop for MemoryReservation {
    fn drop(&mut self) {
        self.bytes_in_use.decrement(self.permit.num_permits() as f64);
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

    fn available(memory: &ResponseMemory) -> usize {
        memory.available.available_permits()
    }

    #[test]
    fn large_bodies_together_have_as_many_bytes_as_may_be_and_small_ones_do_not_count() {
        let memory = ResponseMemory::new(100_000);
        let body = |len: usize| Bytes::from(vec![b'x'; len]);
        let held = [60_000, 40_000].map(|len| memory.count(body(len)).unwrap());
        assert!(matches!(memory.count(body(SMALL + 1)), Err(HttpError::Unavailable { .. })));
        assert_eq!(memory.count(body(SMALL)).unwrap().len(), SMALL);
        let [first, second] = held;
        let part = first.slice(5..10);
        drop((first, second));
        assert_eq!(available(&memory), 40_000, "a part of a body keeps all of it");
        drop(part);
        assert_eq!(available(&memory), 100_000);
        // A body that is larger than the limit is accepted while there is no other.
        let held = memory.count(body(1_000_000)).unwrap();
        assert_eq!((available(&memory), held.len()), (0, 1_000_000));
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_room_gets_it_when_another_is_done_or_is_refused() {
        let memory = ResponseMemory::new(100);
        let mut first = memory.reserve(80).await.unwrap();
        let waiting = tokio::spawn({
            let memory = memory.clone();
            async move { memory.reserve(60).await.map(|reservation| reservation.bytes_reserved()) }
        });
        tokio::task::yield_now().await;
        first.shrink(30);
        assert_eq!(waiting.await.unwrap().unwrap(), 60);
        first.merge(memory.reserve(70).await.unwrap());
        assert_eq!(first.bytes_reserved(), 100);
        // Tokio's paused clock advances by itself while every task waits.
        assert!(matches!(memory.reserve(1).await, Err(HttpError::Unavailable { .. })));
        drop(first);
        assert_eq!(available(&memory), 100);
    }
}
