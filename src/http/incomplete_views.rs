//! The answers that an instance refuses because its views may lack something, each with what there is to do then. Only an instance that is
//! live answers that an id does not exist, and only one that was live once gives lists.

use serde_json::json;

use super::errors::HttpError;
use super::freshness::Freshness;
use crate::status::{AnswerState, State, Status};

/// The outlook for a client that gets no answer, since the views of the instance may lack something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outlook {
    /// The conduct of the instance, as a verb and the rest of its sentence.
    pub reason: &'static str,
    pub advice: &'static str,
    /// True if the instance may answer before long without anybody's doing.
    pub is_worth_retrying: bool,
}

impl Outlook {
    /// Returns the outlook of an instance in this state, whose readers see the generation with this status.
    pub fn of(state: State, generation: &Status) -> Outlook {
        let (reason, advice, is_worth_retrying) = match state {
            State::Frozen if generation.is_frozen_on_request() => (
                "shows its views as they were left and reads no events until its operators end that",
                "ask another instance",
                false,
            ),
            State::Frozen => (
                "shows its views as another version left them until its own are built",
                "ask another instance, or this one again later",
                true,
            ),
            State::Stopping => {
                ("reads no more events", "ask another instance, or this one again after its restart", true)
            }
            State::Stalled => {
                ("may not have read everything yet", "ask another instance, or this one again later", true)
            }
            State::Starting | State::CatchingUp | State::Live | State::Stale => {
                ("may not have read everything yet", "ask again shortly", true)
            }
        };
        Outlook { reason, advice, is_worth_retrying }
    }
}

/// Returns the error for an id that was not found: `no_such` if the instance is live, else a 503, since the id may be in what the
/// instance has not read. The error does not depend on whether the id is unknown, deleted, or another organization's.
pub fn not_found(answer_state: AnswerState, generation: &Status, no_such: HttpError) -> HttpError {
    if answer_state.is_current() {
        return no_such;
    }
    let (state, outlook) = (answer_state.state, Outlook::of(answer_state.state, generation));
    let message = format!(
        "nothing with this id is found, but this instance is {} and {}: {}",
        state.as_str(),
        outlook.reason,
        outlook.advice
    );
    unavailable(message, state, outlook)
}

/// Refuses a list from a generation that was never complete, since readers would take it for a list of everything.
pub fn check_list(freshness: &Freshness, generation: &Status) -> Result<(), HttpError> {
    let answer_state = freshness.answer_state;
    if answer_state.was_live {
        return Ok(());
    }
    let (state, outlook) = (answer_state.state, Outlook::of(answer_state.state, generation));
    let message = format!(
        "this instance is {} and has never read all that its topics hold, so its lists would be incomplete: {}",
        state.as_str(),
        outlook.advice
    );
    Err(unavailable(message, state, outlook).of_views(freshness.clone()))
}

fn unavailable(message: String, state: State, outlook: Outlook) -> HttpError {
    let detail = json!({ "state": state.as_str() });
    HttpError::Unavailable { message, detail, is_worth_retrying: outlook.is_worth_retrying }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::status::FrozenAt;

    fn of(state: State, was_live: bool) -> AnswerState {
        AnswerState { state, was_live, lag_micros: Some(1) }
    }

    fn freshness(state: State, was_live: bool) -> Freshness {
        Freshness { answer_state: of(state, was_live), position: Arc::default() }
    }

    fn frozen(asked_at: Option<&str>) -> Status {
        let status = Status::new(1);
        status.set_frozen(FrozenAt {
            format: 1,
            own_format: 2,
            asked_at: asked_at.map(str::to_owned),
            ..FrozenAt::default()
        });
        status
    }

    const NO_SUCH: HttpError = HttpError::NotFound("no such");

    #[test]
    fn only_a_live_instance_denies_an_id() {
        let status = Status::new(1);
        for state in State::ALL {
            for was_live in [false, true] {
                let error = not_found(of(state, was_live), &status, NO_SUCH);
                let is_said = matches!(error, HttpError::NotFound("no such"));
                assert_eq!(is_said, state == State::Live, "{state:?}: {error:?}");
                if let HttpError::Unavailable { message, detail, .. } = error {
                    assert!(message.contains(state.as_str()), "{message}");
                    assert_eq!(detail, json!({ "state": state.as_str() }));
                }
            }
        }
    }

    #[test]
    fn lists_are_given_by_who_was_live_once() {
        let status = Status::new(1);
        for state in State::ALL {
            assert!(check_list(&freshness(state, true), &status).is_ok());
            let refused = check_list(&freshness(state, false), &status);
            assert!(matches!(refused, Err(HttpError::OfViews { .. })), "{state:?}: {refused:?}");
        }
    }

    #[test]
    fn nobody_is_told_to_ask_again_shortly_where_that_helps_nothing() {
        let [asked, other_version] = [frozen(Some("2026-11-28T12:00:00Z")), frozen(None)];
        for (state, generation, advice, expected) in [
            (State::Frozen, &asked, "ask another instance", false),
            (State::Frozen, &other_version, "ask another instance, or this one again later", true),
            (State::Stalled, &Status::new(1), "ask another instance, or this one again later", true),
            (State::Stopping, &Status::new(1), "ask another instance, or this one again after its restart", true),
            (State::CatchingUp, &Status::new(1), "ask again shortly", true),
        ] {
            let errors = [
                not_found(of(state, true), generation, NO_SUCH),
                check_list(&freshness(state, false), generation).unwrap_err(),
            ];
            for error in errors {
                let error = if let HttpError::OfViews { error, .. } = error { *error } else { error };
                let HttpError::Unavailable { message, is_worth_retrying, .. } = error else {
                    panic!("{state:?}: {error:?}");
                };
                assert!(message.ends_with(&format!(": {advice}")), "{message}");
                assert_eq!(is_worth_retrying, expected, "{message}");
            }
        }
    }
}
