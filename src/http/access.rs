//! Access control: who sends a request, and which organization's views they may see. Open access decides nothing by itself:
//! a gateway in front has checked the caller, and names in `X-Organization-Id` the organization that it let them through for.
//!
//! A header must never widen what a caller sees: one that names no organization of the caller's finds nothing, as if
//! nothing were there.

mod checks;

use std::sync::Arc;

use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, HeaderName, HeaderValue};

use super::caller_shares::PeerAddress;
use super::errors::{HttpError, Mistake};
use crate::credentials::{ApiKeys, BearerTokens, Principal, ReloadedFile};
use checks::Checks;

static ORGANIZATION_ID: HeaderName = HeaderName::from_static("x-organization-id");

/// The rule by which callers are recognized. Clones share it.
#[derive(Clone)]
pub struct Access(Option<Arc<Checks>>);

/// The views that a request may see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope<'a> {
    Everything,
    Organization(&'a str),
    /// The caller asked for an organization that is not theirs.
    Nothing,
}

/// The sender of a request, and the views that it may see.
#[derive(Clone, Debug)]
pub(super) struct Caller<'a> {
    /// The owner of the caller's credential; `None` if access is open, where nobody is checked.
    pub principal: Option<Arc<Principal>>,
    /// The scope that the request names; `None` if it names none.
    named: Option<Scope<'a>>,
}

impl<'a> Caller<'a> {
    /// Makes the caller of a request with these headers. `principal` is `None` if access is open.
    fn of(headers: &'a HeaderMap, principal: Option<Arc<Principal>>) -> Result<Caller<'a>, HttpError> {
        let named = named_organization(headers)?;
        let Some(own) = principal.as_ref().map(|principal| principal.organizations.as_slice()) else {
            return Ok(Caller { principal, named });
        };
        let named = match named {
            Some(Scope::Organization(named)) if own.iter().any(|one| one == named) => {
                Some(Scope::Organization(named))
            }
            Some(_) => Some(Scope::Nothing),
            None if own.len() > 1 => return Err(unclear(own)),
            None => None,
        };
        Ok(Caller { principal, named })
    }

    /// Returns the views that the request may see.
    pub(super) fn scope(&self) -> Scope<'_> {
        match (self.named, &self.principal) {
            (Some(named), _) => named,
            (None, Some(principal)) => {
                principal.organizations.first().map_or(Scope::Nothing, |id| Scope::Organization(id))
            }
            (None, None) => Scope::Everything,
        }
    }
}

impl Access {
    /// Open access, for use behind a gateway: takes any credentials or none, and shows everything unless `X-Organization-Id`
    /// narrows it.
    pub fn open() -> Access {
        Access(None)
    }

    /// Access for callers that send one of these keys.
    pub fn with_keys(keys: ApiKeys) -> Access {
        Access::checked(Some(ReloadedFile::fixed(keys)), None)
    }

    /// Access for callers that send one of the keys, or a token, of which the files may change.
    ///
    /// # Panics
    /// Panics if there are neither keys nor tokens, since nobody could read.
    pub fn checked(keys: Option<ReloadedFile<ApiKeys>>, tokens: Option<ReloadedFile<BearerTokens>>) -> Access {
        assert!(keys.is_some() || tokens.is_some(), "access is checked by keys or tokens");
        Access(Some(Arc::new(Checks::new(keys, tokens))))
    }

    /// Recognizes the caller of a request by its headers and the address that it comes from. Without a known credential the error is a 401; if it is not clear which
    /// organization is meant, a 422; and a 429 for an address that has failed too often.
    pub(super) fn caller<'a>(
        &self,
        headers: &'a HeaderMap,
        peer: Option<PeerAddress>,
    ) -> Result<Caller<'a>, HttpError> {
        let principal = match &self.0 {
            None => None,
            Some(checks) => Some(checks.principal(headers, peer.map(|PeerAddress(address)| address))?),
        };
        Caller::of(headers, principal)
    }

    /// Recognizes the caller of a request again, by the headers that it had. This is no attempt: nothing is counted, and no limit
    /// is in the way.
    pub(super) fn caller_again<'a>(&self, headers: &'a HeaderMap) -> Result<Caller<'a>, HttpError> {
        const NOT_ANY_MORE: HttpError = HttpError::Unauthorized("the credential is not accepted any more");
        let principal = match &self.0 {
            None => None,
            Some(checks) => Some(checks.known_principal(headers).ok_or(NOT_ANY_MORE)?),
        };
        Caller::of(headers, principal)
    }

    /// Returns the owner of a request's credential, if it is known, for a line of a log: nothing is counted.
    pub(super) fn known_principal(&self, headers: &HeaderMap) -> Option<Arc<Principal>> {
        self.0.as_ref()?.known_principal(headers)
    }

    /// Returns the files of keys and of tokens' keys, as far as there are any.
    pub(super) fn files(&self) -> (Option<&ReloadedFile<ApiKeys>>, Option<&ReloadedFile<BearerTokens>>) {
        match &self.0 {
            None => (None, None),
            Some(checks) => (checks.keys.as_ref(), checks.tokens.as_ref()),
        }
    }
}

/// Copies the headers by which a caller is recognized. The others, and the head of the request that all of them are parts of, need not
/// be held for it.
pub(super) fn identifying_headers(headers: &HeaderMap) -> HeaderMap {
    let mut identifying = HeaderMap::with_capacity(2);
    for name in [&ORGANIZATION_ID, &checks::API_KEY, &AUTHORIZATION] {
        for value in headers.get_all(name) {
            let mut copy = HeaderValue::from_bytes(value.as_bytes()).expect("it is the value of a header");
            copy.set_sensitive(true);
            identifying.append(name, copy);
        }
    }
    identifying
}

/// Reads `X-Organization-Id`, if it is there. An id that is empty or not UTF-8 belongs to no organization, so it finds nothing.
fn named_organization(headers: &HeaderMap) -> Result<Option<Scope<'_>>, HttpError> {
    let Some(first) = headers.get(&ORGANIZATION_ID) else { return Ok(None) };
    // A gateway that adds its own header to the caller's leaves two: guessing could show the wrong organization.
    if headers.get_all(&ORGANIZATION_ID).iter().any(|other| other != first) {
        return Err(mistaken("the header names different organizations: send it once".to_owned(), "value_error"));
    }
    Ok(Some(match str::from_utf8(first.as_bytes()) {
        Ok(id) if !id.is_empty() => Scope::Organization(id),
        _ => Scope::Nothing,
    }))
}

fn unclear(organizations: &[String]) -> HttpError {
    let organizations = organizations.join(", ");
    mistaken(
        format!("the key or token is for several organizations, name one of them: {organizations}"),
        "missing",
    )
}

fn mistaken(msg: String, kind: &'static str) -> HttpError {
    HttpError::Invalid(vec![Mistake { loc: ["header", "x-organization-id"], msg, kind }])
}

#[cfg(test)]
mod tests;
