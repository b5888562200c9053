//! The wait for a position: an answer that shows no less than what the records do that the client names. It comes before any resource
//! of the read address, which then answers as ever.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::Request;
use axum::http::HeaderValue;
use axum::response::Response;
use serde_json::json;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::access::Scope;
use super::api::Api;
use super::caller_shares::{CallerIdentity, PeerAddress};
use super::errors::{HttpError, Mistake, OUTCOME};
use super::freshness::Freshness;
use super::incomplete_views::Outlook;
use super::optimizations::identity;
use super::view_read::may_come;
use super::wait_places::WaitPlace;
use super::wait_query::PositionQuery;
use crate::domain::{NamedPartition, ReadPosition, RecordPlace, Topic, TopicPartition};
use crate::live_views::CurrentReader;
use crate::status::{State, Status};
use crate::store::{Reader, SignalSetWatch};

/// The longest time for which a wait rests between two looks at the position.
const REST_MAX: Duration = Duration::from_millis(25);

/// The outcome of the records that a client waited for, which is the worst of several.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RecordOutcome {
    /// The records have been folded, and readers see what they changed.
    Applied,
    /// A record's job waits for an optimization that links it, so that no view shows it yet.
    Parked,
    /// A record could not be understood. It is kept, and no view shows it.
    DeadLetter,
}

impl RecordOutcome {
    const fn as_str(self) -> &'static str {
        match self {
            RecordOutcome::Applied => "applied",
            RecordOutcome::Parked => "parked",
            RecordOutcome::DeadLetter => "dead_letter",
        }
    }
}

/// The wait of one request.
pub struct PositionWait {
    api: Arc<Api>,
    query: PositionQuery,
    /// The last of the records in each partition, which all the others come before.
    last: Vec<RecordPlace>,
    caller: CallerIdentity,
    watch: SignalSetWatch,
    begun: Instant,
    until: Instant,
}

impl PositionWait {
    /// Begins the wait that a request asks for; `None` if it asks for none, or may see nothing, which the resource then answers.
    pub fn begin(api: &Arc<Api>, request: &Request) -> Result<Option<PositionWait>, HttpError> {
        let query = PositionQuery::of(request.uri(), request.headers());
        if matches!(query, Ok(None)) {
            return Ok(None);
        }
        // Who may not read is not told of other mistakes, and does not wait. The resource would count a second failed attempt.
        let caller = api.access.caller(request.headers(), PeerAddress::of(request))?;
        let Some(query) = query? else { return Ok(None) };
        if caller.scope() == Scope::Nothing {
            return Ok(None);
        }
        let reader = api.reader()?;
        check_topics(&reader, &query)?;
        if query.strict && reader.is_made_of_views() {
            return Err(HttpError::NotOffered(
                "this instance is made of a topic of views, which does not say what has become of a record: ask without `strict`, or an \
                 instance that reads the events",
            ));
        }
        let begun = Instant::now();
        Ok(Some(PositionWait {
            caller: identity(&caller, PeerAddress::of(request)),
            watch: api.reader.changes().watch_position(),
            begun,
            until: begun + query.timeout,
            api: Arc::clone(api),
            last: last_of_each_partition(&query.after),
            query,
        }))
    }

    /// Waits until readers see all that the request wants to be included. Returns what has become of it; `None` where that cannot be known,
    /// since the views are made of a topic of views.
    pub async fn outcome(mut self) -> Result<Option<RecordOutcome>, HttpError> {
        let (mut place, mut is_over) = (None, false);
        let (reader, freshness) = loop {
            if let Some(passed) = self.look(is_over)? {
                break passed;
            }
            if place.is_none() {
                place = Some(self.place()?);
            }
            let now = Instant::now();
            let look_again = async {
                self.watch.changed().await;
                sleep_until(now + rest_after(now - self.begun)).await;
            };
            is_over = timeout_at(self.until, look_again).await.is_err() || self.api.reader.changes().is_closed();
        };
        if reader.is_made_of_views() {
            return Ok(None);
        }
        // The store is searched for parked records once, which takes its time.
        let PositionQuery { after, strict, .. } = self.query;
        let outcome = spawn_blocking(move || outcome_of(&reader, &after)).await;
        let outcome = outcome.map_err(|error| HttpError::Internal(format!("the look-up panicked: {error}")))??;
        if strict && outcome != RecordOutcome::Applied {
            return Err(not_applied(outcome).of_views(freshness));
        }
        Ok(Some(outcome))
    }

    fn place(&self) -> Result<WaitPlace, HttpError> {
        self.api.waits.positions.take(&self.caller).ok_or_else(|| {
            HttpError::unavailable(
                "too many requests wait for a position, or too many of yours: ask again shortly",
            )
        })
    }

    /// Returns a reader that shows all that the request wants to be included, with its freshness; `None` as long as none does.
    ///
    /// # Errors
    /// The time is over, or nothing is read any more.
    fn look(&self, is_over: bool) -> Result<Option<(Reader, Freshness)>, HttpError> {
        let current = self.api.reader()?;
        let freshness = Freshness::of(&current, &self.api.status);
        if self.last.iter().all(|place| freshness.position.has_passed(place)) {
            return Ok(Some((Reader::clone(&current), freshness)));
        }
        match is_over || !may_come(freshness.answer_state) {
            true => Err(too_late(&freshness, current.status()).of_views(freshness)),
            false => Ok(None),
        }
    }
}

/// Returns the last of the places in each partition: one request may name many, and looks at them whenever the position changes.
fn last_of_each_partition(places: &[RecordPlace]) -> Vec<RecordPlace> {
    let mut last: BTreeMap<&NamedPartition, i64> = BTreeMap::new();
    for RecordPlace { partition, offset } in places {
        last.entry(partition).and_modify(|last| *last = (*last).max(*offset)).or_insert(*offset);
    }
    last.into_iter().map(|(partition, offset)| RecordPlace { partition: partition.clone(), offset }).collect()
}

/// Returns the time for which a request that has waited for so long does not look again. The position changes with every commit, and
/// thousands may wait: who waits for long is not woken each time, and who does not is answered hardly later.
fn rest_after(waited: Duration) -> Duration {
    (waited / 4).min(REST_MAX)
}

/// Adds the header with what has become of the records, if that is known.
pub fn mark(mut response: Response, outcome: Option<RecordOutcome>) -> Response {
    if let Some(outcome) = outcome {
        response.headers_mut().insert(OUTCOME.clone(), HeaderValue::from_static(outcome.as_str()));
    }
    response
}

/// Refuses topics that the views are not made from: nothing of them would ever come.
fn check_topics(reader: &CurrentReader, query: &PositionQuery) -> Result<(), HttpError> {
    let names = match reader.topics()? {
        Some(names) => names.to_vec(),
        None => match covered_topics(&reader.visible_position()) {
            Some(names) => names,
            None => return Ok(()),
        },
    };
    let unknown = query.after.iter().find(|place| !names.contains(&place.partition.topic));
    unknown.map_or(Ok(()), |place| {
        let msg = format!("the views are made from {}, not from {}", names.join(", "), place.partition.topic);
        Err(HttpError::Invalid(vec![Mistake { loc: ["query", "after"], msg, kind: "value_error" }]))
    })
}

/// Returns the topics that views are made from which come from a topic of views, by the position that its marks cover. It names every
/// partition that the publisher has found, read or not; `None` if it does not name as many topics as there are, so that others may come.
fn covered_topics(position: &ReadPosition) -> Option<Vec<String>> {
    let names: BTreeSet<&str> = position.next_offsets().keys().map(|partition| &*partition.topic).collect();
    (names.len() >= Topic::ALL.len()).then(|| names.into_iter().map(str::to_owned).collect())
}

/// Returns what has become of records that have been read.
fn outcome_of(reader: &Reader, places: &[RecordPlace]) -> Result<RecordOutcome, HttpError> {
    let Some(names) = reader.topics()? else { return Ok(RecordOutcome::Applied) };
    let mut worst = RecordOutcome::Applied;
    for RecordPlace { partition, offset } in places {
        let topic = Topic::ALL.into_iter().zip(&names).find(|(_, name)| **name == partition.topic);
        let Some((topic, _)) = topic else { continue };
        let position = TopicPartition::new(topic, partition.partition).at(*offset);
        if reader.is_dead_letter(position)? {
            worst = worst.max(RecordOutcome::DeadLetter);
        } else if topic != Topic::Optimizations && reader.is_parked(position)? {
            worst = worst.max(RecordOutcome::Parked);
        }
    }
    Ok(worst)
}

fn too_late(freshness: &Freshness, generation: &Status) -> HttpError {
    let state = freshness.answer_state.state;
    // One that is stalled may read on, but seldom without anybody's doing.
    let message = match may_come(freshness.answer_state) && state != State::Stalled {
        true => {
            "what the request waits for has not been read in time: ask again, or wait for longer with `timeout`"
                .to_owned()
        }
        false => {
            let Outlook { reason, advice, .. } = Outlook::of(state, generation);
            format!(
                "what the request waits for has not been read, and this instance is {} and {reason}: {advice}",
                state.as_str()
            )
        }
    };
    HttpError::TooLate { message, detail: json!({ "position": freshness.position.text() }) }
}

fn not_applied(outcome: RecordOutcome) -> HttpError {
    let message = match outcome {
        RecordOutcome::DeadLetter => {
            "a record that the request waits for could not be understood, so no view shows it: its producer has to correct it"
        }
        _ => "a record that the request waits for is of a job that no optimization links yet, so no view shows it",
    };
    HttpError::NotApplied { message, outcome: outcome.as_str() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn place() -> impl Strategy<Value = RecordPlace> {
        ("[a-c]", 0..2_i32, 0..9_i64).prop_map(|(topic, partition, offset)| RecordPlace {
            partition: NamedPartition::new(&topic, partition),
            offset,
        })
    }

    proptest! {
        #[test]
        fn who_has_passed_the_last_of_each_partition_has_passed_all(
            places in proptest::collection::vec(place(), 0..20),
            next in proptest::collection::btree_map(place().prop_map(|place| place.partition), 0..12_i64, 0..6),
        ) {
            let last = last_of_each_partition(&places);
            prop_assert!(last.len() <= 6, "one a partition: {last:?}");
            let position = ReadPosition::new(next);
            let has_passed = |places: &[RecordPlace]| places.iter().all(|place| position.has_passed(place));
            prop_assert_eq!(has_passed(&last), has_passed(&places));
        }

        #[test]
        fn resting_makes_a_wait_longer_by_a_quarter_at_most(millis in 0..40_000_u64) {
            let waited = Duration::from_millis(millis);
            prop_assert!(rest_after(waited) <= (waited / 4).min(REST_MAX));
            prop_assert!(millis < 100 || rest_after(waited) == REST_MAX);
        }
    }
}
