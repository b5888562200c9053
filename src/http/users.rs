//! `GET /users/me`: who the server takes the caller for. Knows no users, only what the key or the gateway says.

use axum::extract::Request;
use axum::http::StatusCode;
use serde_json::json;

use super::access::Scope;
use super::edge::Answer;
use super::errors::HttpError;
use super::{Api, to_json};

/// The keys are always all there. Where access is open nobody was checked: the id is `anonymous`, the email null, and
/// without `X-Organization-Id` the organization's id and name are null, for it is no single one.
pub fn me(api: &Api, request: &Request) -> Answer {
    let caller = api.access.caller(request.headers())?;
    let organization = match caller.scope {
        Scope::Everything => None,
        Scope::Organization(id) => Some(id),
        Scope::Nothing => {
            return Err(HttpError::NotFound("no such organization for this caller: check X-Organization-Id"));
        }
    };
    let body = json!({
        "id": caller.key.map_or("anonymous", |key| &key.id),
        "email": caller.key.and_then(|key| key.email.as_deref()),
        // The events name organizations by their ids only.
        "authorized_organization": {"id": organization, "name": organization},
    });
    Ok(to_json(StatusCode::OK, &body))
}
