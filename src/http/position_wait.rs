//! The wait for a position: an answer that shows no less than what the records do that the client names. It comes before any resource
//! of the read address, which then answers as ever.

use std::sync::Arc;

use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue};
use axum::response::Response;
use serde_json::json;
use tokio::time::{Instant, timeout_at};

use super::access::Scope;
use super::api::Api;
use super::caller_shares::CallerIdentity;
use super::errors::{HttpError, Mistake};
use super::optimizations::identity;
use super::wait_places::WaitPlace;
use super::wait_query::PositionQuery;
use crate::domain::{RecordPlace, Topic, TopicPartition};
use crate::live_views::CurrentReader;
use crate::store::PositionWatch;

static OUTCOME: HeaderName = HeaderName::from_static("x-optview-after-outcome");

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
    caller: CallerIdentity,
    watch: PositionWatch,
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
        let caller = api.access.caller(request)?;
        let Some(query) = query? else { return Ok(None) };
        if caller.scope() == Scope::Nothing {
            return Ok(None);
        }
        check_topics(&api.reader()?, &query)?;
        Ok(Some(PositionWait {
            caller: identity(&caller, request),
            watch: api.reader.changes().watch_position(),
            until: Instant::now() + query.timeout,
            api: Arc::clone(api),
            query,
        }))
    }

    /// Waits until readers see all that the request wants to be included. Returns what has become of it.
    pub async fn outcome(mut self) -> Result<RecordOutcome, HttpError> {
        let (mut place, mut is_over) = (None, false);
        while !self.has_passed()? {
            if is_over {
                return Err(too_late(&self.api.reader()?));
            }
            if place.is_none() {
                place = Some(self.place()?);
            }
            is_over = timeout_at(self.until, self.watch.changed()).await.is_err()
                || self.api.reader.changes().is_closed();
        }
        let outcome = outcome_of(&self.api.reader()?, &self.query.after)?;
        if self.query.strict && outcome != RecordOutcome::Applied {
            return Err(not_applied(outcome));
        }
        Ok(outcome)
    }

    fn place(&self) -> Result<WaitPlace, HttpError> {
        self.api.waits.positions.take(&self.caller).ok_or_else(|| {
            HttpError::unavailable(
                "too many requests wait for a position, or too many of yours: ask again shortly",
            )
        })
    }

    fn has_passed(&self) -> Result<bool, HttpError> {
        let visible = self.api.reader()?.visible_position();
        Ok(self.query.after.iter().all(|place| visible.has_passed(place)))
    }
}

/// Adds the header with what has become of the records.
pub fn mark(mut response: Response, outcome: RecordOutcome) -> Response {
    response.headers_mut().insert(OUTCOME.clone(), HeaderValue::from_static(outcome.as_str()));
    response
}

/// Refuses topics that the views are not made from: nothing of them would ever come.
fn check_topics(reader: &CurrentReader, query: &PositionQuery) -> Result<(), HttpError> {
    let Some(names) = reader.topics()? else { return Ok(()) };
    let unknown = query.after.iter().find(|place| !names.contains(&place.partition.topic));
    unknown.map_or(Ok(()), |place| {
        let msg = format!("the views are made from {}, not from {}", names.join(", "), place.partition.topic);
        Err(HttpError::Invalid(vec![Mistake { loc: ["query", "after"], msg, kind: "value_error" }]))
    })
}

/// Returns what has become of records that have been read.
fn outcome_of(reader: &CurrentReader, places: &[RecordPlace]) -> Result<RecordOutcome, HttpError> {
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

fn too_late(reader: &CurrentReader) -> HttpError {
    let position = reader.visible_position();
    HttpError::TooLate {
        message:
            "what the request waits for has not been read in time: ask again, or wait for longer with `timeout`"
                .to_owned(),
        detail: json!({ "position": position.text() }),
    }
}

fn not_applied(outcome: RecordOutcome) -> HttpError {
    let message = match outcome {
        RecordOutcome::DeadLetter => {
            "a record that the request waits for could not be understood, so no view shows it: its producer has to correct it"
        }
        _ => "a record that the request waits for is of a job that no optimization links yet, so no view shows it",
    };
    HttpError::NotApplied { message: message.to_owned(), detail: json!({ "outcome": outcome.as_str() }) }
}
