//! The memory that bodies of responses may take until their clients have read them: all together, whoever asks. Small bodies
//! are not counted, so that the reads that nearly all are pay nothing for it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::errors::HttpError;

/// How many bytes counted bodies may have that are under way: 64 MiB.
pub const LIMIT: usize = 64 << 20;

/// A body has more bytes than this to be counted. As many connections as there may be (`--max-connections`) can each have one
/// that is not.
const SMALL: usize = 16 << 10;

/// How long a request waits for room before it is refused.
const REFUSED_AFTER: Duration = Duration::from_secs(5);

/// Cheap to clone.
#[derive(Clone)]
pub struct ResponseMemory {
    /// A permit is a byte.
    room: Arc<Semaphore>,
    limit: usize,
    refused: metrics::Counter,
    held: metrics::Gauge,
}

impl ResponseMemory {
    /// Metrics are bound to the recorder that is installed by now.
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
            room: Arc::new(Semaphore::new(limit)),
            limit,
            refused: metrics::counter!("optview_http_memory_refusals_total"),
            held: metrics::gauge!("optview_http_response_memory_bytes"),
        }
    }

    /// A body that counts as long as any of it is held.
    ///
    /// # Errors
    /// 503, where there is no room for it now.
    pub fn counted(&self, body: Bytes) -> Result<Bytes, HttpError> {
        if body.len() <= SMALL {
            return Ok(body);
        }
        let permit = Arc::clone(&self.room).try_acquire_many_owned(self.permits(body.len()));
        match permit {
            Ok(permit) => Ok(self.held(permit).bytes(body)),
            Err(_) => Err(self.refuse()),
        }
    }

    /// Room for so many bytes, waited for. What asks for more than there is gets all.
    ///
    /// # Errors
    /// 503, where there is none for long.
    pub async fn room(&self, bytes: usize) -> Result<Room, HttpError> {
        // Nearly always there is room, and no timer is needed.
        if let Ok(permit) = Arc::clone(&self.room).try_acquire_many_owned(self.permits(bytes)) {
            return Ok(self.held(permit));
        }
        let acquired = Arc::clone(&self.room).acquire_many_owned(self.permits(bytes));
        match timeout(REFUSED_AFTER, acquired).await {
            Ok(permit) => Ok(self.held(permit.expect("the semaphore of responses is never closed"))),
            Err(_) => Err(self.refuse()),
        }
    }

    /// How many of so many bytes can be asked for.
    pub fn most(&self, bytes: usize) -> usize {
        bytes.min(self.limit)
    }

    fn permits(&self, bytes: usize) -> u32 {
        u32::try_from(self.most(bytes)).unwrap_or(u32::MAX)
    }

    fn held(&self, permit: OwnedSemaphorePermit) -> Room {
        self.held.increment(permit.num_permits() as f64);
        Room { permit, held: self.held.clone() }
    }

    fn refuse(&self) -> HttpError {
        self.refused.increment(1);
        HttpError::unavailable(
            "too many large responses are under way that their clients do not read: ask again shortly",
        )
    }
}

/// Room that was got, given back when it is dropped.
pub struct Room {
    permit: OwnedSemaphorePermit,
    held: metrics::Gauge,
}

impl Room {
    /// How many bytes it is for.
    pub fn bytes_held(&self) -> usize {
        self.permit.num_permits()
    }

    /// Gives back what is not needed for `bytes`.
    pub fn shrink(&mut self, bytes: usize) {
        let spare = self.permit.num_permits().saturating_sub(bytes);
        if let Some(permit) = self.permit.split(spare) {
            drop(Room { permit, held: self.held.clone() });
        }
    }

    /// Takes in what another has.
    pub fn merge(&mut self, mut other: Room) {
        if let Some(permit) = other.permit.split(other.permit.num_permits()) {
            self.permit.merge(permit);
        }
    }

    /// The body that it is for.
    pub fn bytes(self, body: impl AsRef<[u8]> + Send + 'static) -> Bytes {
        Bytes::from_owner(Held { body, _room: self })
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.held.decrement(self.permit.num_permits() as f64);
    }
}

struct Held<T> {
    body: T,
    _room: Room,
}

impl<T: AsRef<[u8]>> AsRef<[u8]> for Held<T> {
    fn as_ref(&self) -> &[u8] {
        self.body.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room_left(memory: &ResponseMemory) -> usize {
        memory.room.available_permits()
    }

    #[test]
    fn large_bodies_together_have_as_many_bytes_as_may_be_and_small_ones_do_not_count() {
        let memory = ResponseMemory::new(100_000);
        let body = |len: usize| Bytes::from(vec![b'x'; len]);
        let held = [60_000, 40_000].map(|len| memory.counted(body(len)).unwrap());
        assert!(matches!(memory.counted(body(SMALL + 1)), Err(HttpError::Unavailable { .. })));
        assert_eq!(memory.counted(body(SMALL)).unwrap().len(), SMALL);
        let [first, second] = held;
        let part = first.slice(5..10);
        drop((first, second));
        assert_eq!(room_left(&memory), 40_000, "a part of a body keeps all of it");
        drop(part);
        assert_eq!(room_left(&memory), 100_000);
        // One that is larger than the limit is given when there is no other.
        let held = memory.counted(body(1_000_000)).unwrap();
        assert_eq!((room_left(&memory), held.len()), (0, 1_000_000));
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_room_gets_it_when_another_is_done_or_is_refused() {
        let memory = ResponseMemory::new(100);
        let mut first = memory.room(80).await.unwrap();
        let waiting = tokio::spawn({
            let memory = memory.clone();
            async move { memory.room(60).await.map(|room| room.bytes_held()) }
        });
        tokio::task::yield_now().await;
        first.shrink(30);
        assert_eq!(waiting.await.unwrap().unwrap(), 60);
        first.merge(memory.room(70).await.unwrap());
        assert_eq!(first.bytes_held(), 100);
        // The clock is the test's: it goes on by itself where nothing else can.
        assert!(matches!(memory.room(1).await, Err(HttpError::Unavailable { .. })));
        drop(first);
        assert_eq!(room_left(&memory), 100);
    }
}
