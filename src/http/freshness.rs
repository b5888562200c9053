//! The freshness of answers: the header `x-optview-state` with the instance's state, and the answers that an instance refuses
//! because it may not have read everything yet. Only an instance that is live answers that an id does not exist, and only one
//! that was live once gives lists.
//!
//! The header is there in the state `live`, too: a cache that gets a 304 replaces the headers that it holds, and would keep
//! an old mark for ever if the new answer had none.

use axum::http::{HeaderName, HeaderValue};
use axum::response::Response;
use serde_json::json;

use super::errors::HttpError;
use crate::status::{AnswerState, State};

static STATE: HeaderName = HeaderName::from_static("x-optview-state");

/// Adds the header with the state of the instance that gave the answer. A header that is there already stays: it was set by the
/// code that read the generation.
pub fn mark(mut response: Response, state: State) -> Response {
    let headers = response.headers_mut();
    if !headers.contains_key(&STATE) {
        headers.insert(STATE.clone(), HeaderValue::from_static(state.as_str()));
    }
    response
}

/// Returns the error for an id that was not found: `no_such` if the instance is live, else a 503, since it may not have read
/// the id yet. The error does not depend on whether the id is unknown, deleted, or another organization's.
pub fn not_found(answer_state: AnswerState, no_such: HttpError) -> HttpError {
    if answer_state.is_current() {
        return no_such;
    }
    let state = answer_state.state.as_str();
    HttpError::Unavailable {
        message: format!(
            "nothing with this id is found, but this instance is {state} and may not have read it yet: ask again shortly"
        ),
        detail: json!({ "state": state }),
    }
}

/// Refuses a list from a generation that was never complete, since readers would take it for a list of everything.
pub fn check_list(answer_state: AnswerState) -> Result<(), HttpError> {
    if answer_state.was_live {
        return Ok(());
    }
    let state = answer_state.state.as_str();
    Err(HttpError::Unavailable {
        message: format!(
            "this instance is {state} and has not yet read what the topics hold for the first time, so its lists would be \
             incomplete: ask again shortly"
        ),
        detail: json!({ "state": state }),
    })
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    const NO_SUCH: HttpError = HttpError::NotFound("no such");

    #[test]
    fn only_a_live_instance_denies_an_id() {
        for state in State::ALL {
            for was_live in [false, true] {
                let error = not_found(AnswerState { state, was_live }, NO_SUCH);
                let is_said = matches!(error, HttpError::NotFound("no such"));
                assert_eq!(is_said, state == State::Live, "{state:?}: {error:?}");
                if let HttpError::Unavailable { message, detail } = error {
                    assert!(message.contains(state.as_str()), "{message}");
                    assert_eq!(detail, json!({ "state": state.as_str() }));
                }
            }
        }
    }

    #[test]
    fn lists_are_given_by_who_was_live_once() {
        for state in State::ALL {
            assert!(check_list(AnswerState { state, was_live: true }).is_ok());
            assert!(check_list(AnswerState { state, was_live: false }).is_err());
        }
    }

    #[test]
    fn every_state_is_a_header_and_the_first_mark_stays() {
        for state in State::ALL {
            let marked = mark(Response::new(Body::empty()), state);
            assert_eq!(marked.headers()["x-optview-state"], state.as_str());
            let again = mark(marked, State::Live);
            assert_eq!(again.headers().get_all("x-optview-state").iter().count(), 1);
            assert_eq!(again.headers()["x-optview-state"], state.as_str());
        }
    }
}
