//! The resource `GET /optimizations/{id}/transitions`: the statuses that an optimization took. It decodes a record, which reads by id
//! never do, so that the view itself need not carry them.

use std::sync::Arc;

use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::json;

use super::api::Api;
use super::caller_shares::PeerAddress;
use super::endpoint::{Answer, HandlerResult};
use super::errors::{self, HttpError};
use super::freshness::Freshness;
use super::incomplete_views;
use super::json_response::to_json;
use super::optimizations::{id_of, identity, organization_of};
use super::view_read::{NO_SUCH, may_come};
use super::view_wait::{ViewTarget, ViewWait};
use crate::explain::status_changes;

/// Answers with the statuses, the oldest first. An optimization that is not there yet is waited for as by a read by id.
pub fn transitions(api: &Arc<Api>, request: &Request, peer: Option<PeerAddress>) -> Result<Answer, HttpError> {
    let caller = api.access.caller(request.headers(), peer)?;
    let organization_id = organization_of(&caller)?;
    let path = request.uri().path().strip_suffix("/transitions");
    let id = path.and_then(id_of).ok_or(NO_SUCH)?;
    let Transitions { response, may_come } = read(api, &id, organization_id)?;
    let begun = match may_come {
        true => {
            let target = ViewTarget { id: id.into_owned(), organization_id: organization_id.map(str::to_owned) };
            ViewWait::begin_for_missing(api, target, identity(&caller, peer))
        }
        false => None,
    };
    Ok(match begun {
        None => Answer::Now(response),
        Some(wait) => Answer::Later(Box::pin(read_after(Arc::clone(api), wait))),
    })
}

/// The answer to a request for the statuses.
struct Transitions {
    response: Response,
    /// True if there is no such optimization, and records are read from which it could come.
    may_come: bool,
}

async fn read_after(api: Arc<Api>, wait: ViewWait) -> HandlerResult {
    let (id, organization_id) = (wait.target().id.clone(), wait.target().organization_id.clone());
    drop(wait.answer().await?);
    Ok(read(&api, &id, organization_id.as_deref())?.response)
}

fn read(api: &Api, id: &str, organization_id: Option<&str>) -> Result<Transitions, HttpError> {
    let reader = api.reader()?;
    // Before anything is looked up, so that the answer is the same for every id.
    reader.check_events()?;
    let freshness = Freshness::of(&reader, &api.status);
    let changes = status_changes(&reader, id, organization_id)?;
    let may_come = changes.is_none() && may_come(freshness.answer_state);
    let response = match changes {
        Some(changes) => to_json(StatusCode::OK, &json!({ "transitions": changes })),
        None => errors::response(&incomplete_views::not_found(freshness.answer_state, reader.status(), NO_SUCH)),
    };
    Ok(Transitions { response: freshness.mark(response), may_come })
}
