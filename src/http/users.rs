//! The resource `GET /users/me`: the caller as the server knows it from the API key or the gateway. There is no list of users.

use axum::extract::Request;
use axum::http::StatusCode;
use serde_json::json;

use super::access::Scope;
use super::api::Api;
use super::caller_shares::PeerAddress;
use super::endpoint::HandlerResult;
use super::errors::HttpError;
use super::json_response::to_json;

/// The error for a caller who asks for an organization that is not theirs, where no other resource is asked for.
pub const NO_ORGANIZATION: HttpError =
    HttpError::NotFound("no such organization for this caller: check X-Organization-Id");

/// Answers with the caller's id, email, organization, and all organizations that the caller may name. All keys are always there. With
/// open access nobody was checked: the id is `anonymous` and the email null; the organization is the one that `X-Organization-Id`
/// names, and without it null, since it is not a single one.
pub fn me(api: &Api, request: &Request) -> HandlerResult {
    let caller = api.access.caller(request.headers(), PeerAddress::of(request))?;
    let organization = match caller.scope() {
        Scope::Everything => None,
        Scope::Organization(id) => Some(id),
        Scope::Nothing => return Err(NO_ORGANIZATION),
    };
    // The events name organizations by their ids only.
    let named = |id: &str| json!({"id": id, "name": id});
    let principal = caller.principal.as_deref();
    let organizations: Vec<_> = match principal {
        Some(principal) => principal.organizations.iter().map(|id| named(id)).collect(),
        None => organization.into_iter().map(named).collect(),
    };
    let body = json!({
        "id": principal.map_or("anonymous", |principal| &principal.id),
        "email": principal.and_then(|principal| principal.email.as_deref()),
        "authorized_organization": organization.map(named),
        "organizations": organizations,
    });
    Ok(to_json(StatusCode::OK, &body))
}
