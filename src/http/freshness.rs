//! The freshness of answers: the header `x-optview-state` with the instance's state, `x-optview-lag-seconds` with the greatest age of
//! what has not been read, and `x-optview-position` with what has. Every answer that follows from what has been read has the position,
//! errors too.
//!
//! The header with the state is there in the state `live`, too: a cache that gets a 304 replaces the headers that it holds, and would keep
//! an old mark for ever if the new answer had none.

use std::io::Write as _;
use std::sync::Arc;

use axum::http::header::Entry;
use axum::http::{HeaderName, HeaderValue};
use axum::response::Response;

use crate::domain::ReadPosition;
use crate::live_views::CurrentReader;
use crate::status::{AnswerState, State, Status};

static STATE: HeaderName = HeaderName::from_static("x-optview-state");
static LAG: HeaderName = HeaderName::from_static("x-optview-lag-seconds");
static POSITION: HeaderName = HeaderName::from_static("x-optview-position");

/// The part of an answer's state that its headers show. Answers with equal ones have the same headers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct FreshnessMark {
    state: State,
    /// The lag, rounded up to tenths of a second; `None` if it is not known.
    lag_tenths: Option<u64>,
}

impl FreshnessMark {
    /// Makes the mark of a state.
    pub fn of(answer_state: AnswerState) -> FreshnessMark {
        let lag_tenths = answer_state.lag_micros.map(|micros| micros.div_ceil(100_000));
        FreshnessMark { state: answer_state.state, lag_tenths }
    }
}

/// The freshness of one answer: the state and the position of the generation that it is read from.
#[derive(Clone, Debug)]
pub struct Freshness {
    pub answer_state: AnswerState,
    pub position: Arc<ReadPosition>,
}

impl Freshness {
    /// Returns the freshness of what this reader shows from now on. `whole` is the instance's status.
    pub fn of(reader: &CurrentReader, whole: &Status) -> Freshness {
        let answer_state = reader.answer_state(whole);
        Freshness { answer_state, position: Arc::clone(&reader.visible_position()) }
    }

    /// Adds all headers of the freshness.
    pub fn mark(&self, response: Response) -> Response {
        mark(mark_position(response, &self.position), self.answer_state)
    }
}

/// Adds the headers with the state of the instance that gave the answer, and with the age of what it may lack. Headers that are
/// there already stay: they were set by the code that read the generation.
pub fn mark(mut response: Response, answer_state: AnswerState) -> Response {
    let headers = response.headers_mut();
    if let Entry::Vacant(state) = headers.entry(&STATE) {
        state.insert(HeaderValue::from_static(answer_state.state.as_str()));
        headers.insert(LAG.clone(), lag_seconds(FreshnessMark::of(answer_state).lag_tenths));
    }
    response
}

/// Adds the header with the position that the views in the answer have come to. It must have been read before they were. Before the
/// first record there is none.
pub fn mark_position(mut response: Response, position: &ReadPosition) -> Response {
    if !position.text().is_empty()
        && let Ok(value) = HeaderValue::from_str(position.text())
    {
        response.headers_mut().insert(POSITION.clone(), value);
    }
    response
}

/// Formats a lag of so many tenths of a second. It is there also where it is not known, since caches would keep an old one.
fn lag_seconds(tenths: Option<u64>) -> HeaderValue {
    match tenths {
        Some(0) => HeaderValue::from_static("0"),
        None => HeaderValue::from_static("unknown"),
        Some(tenths) => {
            let mut text = [0; 24];
            let mut rest = &mut text[..];
            write!(rest, "{}.{}", tenths / 10, tenths % 10).expect("20 digits and a point have room");
            let unused = rest.len();
            HeaderValue::from_bytes(&text[..24 - unused]).expect("digits are a valid header value")
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    fn of(state: State, was_live: bool) -> AnswerState {
        AnswerState { state, was_live, lag_micros: Some(1) }
    }

    #[test]
    fn every_state_is_a_header_and_the_first_mark_stays() {
        for state in State::ALL {
            let marked = mark(Response::new(Body::empty()), of(state, true));
            assert_eq!(marked.headers()["x-optview-state"], state.as_str());
            let again = mark(marked, of(State::Live, true));
            assert_eq!(again.headers().get_all("x-optview-state").iter().count(), 1);
            assert_eq!(again.headers()["x-optview-state"], state.as_str());
        }
    }

    #[test]
    fn the_lag_is_rounded_up_and_never_0_where_it_is_not_known() {
        for (micros, expected) in [
            (Some(0), "0"),
            (Some(1), "0.1"),
            (Some(100_000), "0.1"),
            (Some(100_001), "0.2"),
            (Some(61_000_000), "61.0"),
            (None, "unknown"),
        ] {
            let answer_state = AnswerState { lag_micros: micros, ..of(State::Live, true) };
            let marked = mark(Response::new(Body::empty()), answer_state);
            assert_eq!(marked.headers()["x-optview-lag-seconds"], expected);
        }
    }
}
