//! The resource `GET /optimizations/{id}/transitions`: the statuses that an optimization took. It decodes a record, which reads by id
//! never do, so that the view itself need not carry them.

use std::sync::Arc;

use axum::extract::Request;
use axum::http::StatusCode;
use serde_json::json;

use super::api::Api;
use super::caller_shares::PeerAddress;
use super::endpoint::Answer;
use super::errors::{self, HttpError};
use super::freshness;
use super::ignored_parameters::name_in_answer;
use super::json_response::to_json;
use super::list_query::WAIT_PARAMETERS;
use super::optimizations::{id_of, organization_of};
use super::view_read::NO_SUCH;
use crate::explain::status_changes;

/// Answers with the statuses, the oldest first.
pub fn transitions(api: &Arc<Api>, request: &Request, peer: Option<PeerAddress>) -> Result<Answer, HttpError> {
    let caller = api.access.caller(request.headers(), peer)?;
    let organization_id = organization_of(&caller)?;
    let path = request.uri().path().strip_suffix("/transitions");
    let id = path.and_then(id_of).ok_or(NO_SUCH)?;
    let reader = api.reader()?;
    // Before anything is looked up, so that the answer is the same for every id.
    reader.check_events()?;
    let (answer_state, position) = (reader.answer_state(&api.status), reader.visible_position());
    let response = match status_changes(&reader, &id, organization_id)? {
        Some(changes) => to_json(StatusCode::OK, &json!({ "transitions": changes })),
        None => errors::response(&freshness::not_found(answer_state, NO_SUCH)),
    };
    let response = freshness::mark(freshness::mark_position(response, &position), answer_state);
    Ok(name_in_answer(Answer::Now(response), request.uri(), &WAIT_PARAMETERS))
}
