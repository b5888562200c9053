//! The queue in which lists wait for their turn to be read. They are read in pieces on blocking threads, no more at a time than
//! there are cores: they may be long, and the reads by id must not wait for them.
//!
//! Each caller has no more places in the queue than lists are read at a time. So a caller waits for one piece of each other
//! caller at the most, however many lists that one requests. A caller alone may use all turns.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::caller_shares::{CallerIdentity, CallerPermits, CallerShares};

/// The queue of all lists, with the places of each caller.
pub struct ListTurns {
    queue: Arc<Semaphore>,
    places: Arc<CallerShares>,
}

/// The right to read one piece of a list. Dropping it gives the turn to the next in the queue.
pub struct ListTurn {
    _turn: OwnedSemaphorePermit,
    _place: CallerPermits,
}

impl ListTurns {
    /// Makes a queue from which `at_a_time` lists are read at the same time.
    pub fn new(at_a_time: usize) -> Arc<ListTurns> {
        Arc::new(ListTurns { queue: Arc::new(Semaphore::new(at_a_time)), places: CallerShares::new(at_a_time) })
    }

    /// Waits until it is this caller's turn. The future can be dropped at any time, which gives up its place.
    pub async fn turn(self: Arc<ListTurns>, caller: CallerIdentity) -> ListTurn {
        let place = self.places.acquire(&caller, 1).await;
        let turn = Arc::clone(&self.queue).acquire_owned().await.expect("the queue of lists is never closed");
        ListTurn { _turn: turn, _place: place }
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
        Box::pin(turns.clone().turn(CallerIdentity::Key(key.to_owned())))
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
        assert_eq!(turns.places.callers(), 3);
        let [one, two, mut three] = others;
        drop((one, two));
        assert_eq!(turns.places.callers(), 2);
        drop(held);
        drop(turn(&mut three).await.expect("nobody else waits"));
        drop(three);
        assert_eq!(turns.places.callers(), 0);
    }
}
