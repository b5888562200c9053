//! The queue in which lists wait for their turn to be read. They are read in pieces on blocking threads, no more at a time than
//! there are cores: they may be long, and the reads by id must not wait for them.
//!
//! Each caller has no more places in the queue than lists are read at a time. So a caller waits for one piece of each other
//! caller at the most, however many lists that one requests. A caller alone may use all turns.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The address that a request comes from. Reads by id do not carry it, since nothing distinguishes them by it.
#[derive(Clone, Copy)]
pub struct PeerAddress(pub IpAddr);

/// The identity by which requests share the places of one caller in the queue.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ListCaller {
    /// The name of the API key.
    Key(String),
    /// A caller that nobody has checked: the address that the connection comes from, and the organization that the request
    /// names. Behind a gateway only the latter distinguishes callers.
    Unchecked { address: Option<IpAddr>, organization_id: Option<String> },
}

/// The queue of all lists, with the places of each caller.
pub struct ListTurns {
    at_a_time: usize,
    queue: Arc<Semaphore>,
    callers: Mutex<HashMap<ListCaller, CallerPlaces>>,
}

struct CallerPlaces {
    places: Arc<Semaphore>,
    /// Number of the caller's lists that wait or are being read. A caller without any is removed.
    lists: usize,
}

/// The right to read one piece of a list. Dropping it gives the turn to the next in the queue.
pub struct ListTurn {
    _turn: OwnedSemaphorePermit,
    _place: OwnedSemaphorePermit,
    _registration: Registration,
}

/// An entry that keeps a caller in the map. It must outlast the caller's permit.
struct Registration {
    turns: Arc<ListTurns>,
    caller: ListCaller,
}

impl ListTurns {
    pub fn new(at_a_time: usize) -> Arc<ListTurns> {
        let queue = Arc::new(Semaphore::new(at_a_time));
        Arc::new(ListTurns { at_a_time, queue, callers: Mutex::default() })
    }

    /// Waits until it is this caller's turn. The future can be dropped at any time, which gives up its place.
    pub async fn turn(self: Arc<ListTurns>, caller: ListCaller) -> ListTurn {
        let (registration, places) = self.register(caller);
        let closed = "the lists' semaphores are never closed";
        let place = places.acquire_owned().await.expect(closed);
        let turn = self.queue.clone().acquire_owned().await.expect(closed);
        ListTurn { _turn: turn, _place: place, _registration: registration }
    }

    fn register(self: &Arc<ListTurns>, caller: ListCaller) -> (Registration, Arc<Semaphore>) {
        let mut callers = self.callers.lock();
        let entry = callers
            .entry(caller.clone())
            .or_insert_with(|| CallerPlaces { places: Arc::new(Semaphore::new(self.at_a_time)), lists: 0 });
        entry.lists += 1;
        (Registration { turns: self.clone(), caller }, entry.places.clone())
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let mut callers = self.turns.callers.lock();
        if let Some(entry) = callers.get_mut(&self.caller) {
            entry.lists -= 1;
            if entry.lists == 0 {
                callers.remove(&self.caller);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::pin::Pin;
    use std::task::Poll;

    use super::*;

    type PendingTurn = Pin<Box<dyn Future<Output = ListTurn>>>;

    fn waiting(turns: &Arc<ListTurns>, key: &str) -> PendingTurn {
        Box::pin(turns.clone().turn(ListCaller::Key(key.to_owned())))
    }

    async fn turn(waiting: &mut PendingTurn) -> Option<ListTurn> {
        let polled = poll_fn(|context| Poll::Ready(waiting.as_mut().poll(context))).await;
        match polled {
            Poll::Ready(turn) => Some(turn),
            Poll::Pending => None,
        }
    }

    #[tokio::test]
    async fn a_caller_waits_for_one_list_of_another_and_not_for_all_of_them() {
        let turns = ListTurns::new(2);
        let mut greedy: Vec<PendingTurn> = (0..30).map(|_| waiting(&turns, "greedy")).collect();
        let mut held = Vec::new();
        for waiting in &mut greedy {
            held.extend(turn(waiting).await);
        }
        assert_eq!(held.len(), 2, "a caller alone has all turns");
        let mut dashboard = waiting(&turns, "dashboard");
        assert!(turn(&mut dashboard).await.is_none());
        held.pop();
        assert!(turn(&mut dashboard).await.is_some(), "the next turn is another caller's");
    }

    #[tokio::test]
    async fn whoever_has_its_list_or_stops_waiting_is_forgotten() {
        let turns = ListTurns::new(1);
        let held = turn(&mut waiting(&turns, "one")).await.expect("nobody waits");
        let mut others = [waiting(&turns, "one"), waiting(&turns, "two"), waiting(&turns, "three")];
        for waiting in &mut others {
            assert!(turn(waiting).await.is_none());
        }
        assert_eq!(turns.callers.lock().len(), 3);
        let [one, two, mut three] = others;
        drop((one, two));
        assert_eq!(turns.callers.lock().len(), 2);
        drop(held);
        drop(turn(&mut three).await.expect("nobody else waits"));
        drop(three);
        assert_eq!(turns.callers.lock().len(), 0);
    }
}
