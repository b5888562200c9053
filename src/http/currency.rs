//! How current an answer is: the header that says so with every answer, and what an instance does not answer at all while
//! it may have missed what is asked for. "There is no such thing" and "these are all" are said by who knows.
//!
//! The header is there while all is well, too: a cache that gets a 304 replaces the headers that it holds, and would keep
//! an old mark for ever where the new answer had none.

use axum::http::{HeaderName, HeaderValue};
use axum::response::Response;
use serde_json::json;

use super::errors::HttpError;
use crate::status::{AnswerState, State};

static STATE: HeaderName = HeaderName::from_static("x-optview-state");

/// Says with the answer in which state whoever gave it was. What is said already stays: it is by who knows better.
pub fn mark(mut response: Response, state: State) -> Response {
    let headers = response.headers_mut();
    if !headers.contains_key(&STATE) {
        headers.insert(STATE.clone(), HeaderValue::from_static(state.as_str()));
    }
    response
}

/// The answer to an id that is not found: `no_such` where that is known, else that it is not known yet. The same whether
/// the id is unknown, deleted, or another organization's.
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

/// Refuses a list of what was never complete: it would look like one of all that there is.
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
    fn only_who_is_live_says_that_there_is_nothing() {
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
