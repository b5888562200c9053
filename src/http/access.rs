//! Access control: who sends a request, and which organization's views they may see. Open access decides nothing by itself:
//! a gateway in front has checked the caller, and names in `X-Organization-Id` the organization that it let them through for.
//!
//! A header must never widen what a caller sees: one that names no organization of the caller's finds nothing, as if
//! nothing were there.

use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, HeaderName};

use super::errors::{HttpError, Mistake};
use crate::api_keys::{ApiKey, ApiKeys};

static API_KEY: HeaderName = HeaderName::from_static("x-api-key");
static ORGANIZATION_ID: HeaderName = HeaderName::from_static("x-organization-id");

/// The rule by which callers are recognized.
pub struct Access(Mode);

enum Mode {
    Open,
    Keys(ApiKeys),
}

/// The views that a request may see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope<'a> {
    Everything,
    Organization(&'a str),
    /// The caller asked for an organization that is not theirs.
    Nothing,
}

/// The sender of a request, and the views that it may see.
#[derive(Clone, Copy, Debug)]
pub(super) struct Caller<'a> {
    /// The caller's key; `None` if access is open, where nobody is checked.
    pub key: Option<&'a ApiKey>,
    pub scope: Scope<'a>,
}

impl Access {
    /// Open access, for use behind a gateway: takes any credentials or none, and shows everything unless `X-Organization-Id`
    /// narrows it.
    pub fn open() -> Access {
        Access(Mode::Open)
    }

    /// Access for callers that send one of these keys.
    pub fn with_keys(keys: ApiKeys) -> Access {
        Access(Mode::Keys(keys))
    }

    /// Recognizes the caller of a request by its headers. Without a known key the error is a 401; if it is not clear which
    /// organization is meant, a 422.
    pub(super) fn caller<'a>(&'a self, headers: &'a HeaderMap) -> Result<Caller<'a>, HttpError> {
        let Mode::Keys(keys) = &self.0 else {
            let scope = named_organization(headers)?.unwrap_or(Scope::Everything);
            return Ok(Caller { key: None, scope });
        };
        let key = keys.find(credential(headers)?).ok_or(HttpError::Unauthorized(
            "the API key is not known: check X-API-Key or Authorization: Bearer",
        ))?;
        let scope = match (named_organization(headers)?, key.organizations.as_slice()) {
            (Some(Scope::Organization(named)), own) if own.iter().any(|one| one == named) => {
                Scope::Organization(named)
            }
            (Some(_), _) => Scope::Nothing,
            (None, [only]) => Scope::Organization(only),
            (None, several) => return Err(unclear(several)),
        };
        Ok(Caller { key: Some(key), scope })
    }
}

/// Returns the value of `X-API-Key` if it is there, else the bearer token.
fn credential(headers: &HeaderMap) -> Result<&[u8], HttpError> {
    if let Some(key) = headers.get(&API_KEY) {
        return Ok(key.as_bytes());
    }
    headers
        .get(AUTHORIZATION)
        .and_then(|value| bearer(value.as_bytes()))
        .ok_or(HttpError::Unauthorized("an API key is needed: send it as X-API-Key or as Authorization: Bearer"))
}

/// Returns the token of a `Bearer` header. The scheme's case does not matter (RFC 9110, 11.1).
fn bearer(authorization: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = authorization.split_at_checked(6)?;
    let token = token.strip_prefix(b" ")?.trim_ascii();
    scheme.eq_ignore_ascii_case(b"bearer").then_some(token)
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
    mistaken(format!("this key is for several organizations, name one of them: {organizations}"), "missing")
}

fn mistaken(msg: String, kind: &'static str) -> HttpError {
    HttpError::Invalid(vec![Mistake { loc: ["header", "x-organization-id"], msg, kind }])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api_keys::tests::keys;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|&(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect()
    }

    fn check(access: &Access, pairs: &[(&'static str, &str)], expected: Result<Scope<'_>, &str>) {
        let headers = headers(pairs);
        let found = access.caller(&headers).map(|caller| caller.scope).map_err(|error| match error {
            HttpError::Unauthorized(_) => "401",
            HttpError::Invalid(_) => "422",
            other => panic!("{other:?}"),
        });
        assert_eq!(found, expected, "{pairs:?}");
    }

    #[test]
    fn open_access_takes_anybody_and_narrows_by_the_header() {
        let open = Access::open();
        check(&open, &[], Ok(Scope::Everything));
        check(&open, &[("x-api-key", "whatever"), ("authorization", "Basic eA==")], Ok(Scope::Everything));
        check(&open, &[("x-organization-id", "org-1")], Ok(Scope::Organization("org-1")));
        check(&open, &[("x-organization-id", "Ünal")], Ok(Scope::Organization("Ünal")));
        check(&open, &[("x-organization-id", "")], Ok(Scope::Nothing));
        check(&open, &[("x-organization-id", "a"), ("x-organization-id", "a")], Ok(Scope::Organization("a")));
        check(&open, &[("x-organization-id", "a"), ("x-organization-id", "b")], Err("422"));
    }

    #[test]
    fn a_key_sees_its_own_organization_and_no_other() {
        let access = Access(Mode::Keys(keys(&[("one", &["org-1"]), ("two", &["org-2", "org-3"])])));
        let one = ("x-api-key", "one");
        let two = ("authorization", "Bearer two");
        check(&access, &[one], Ok(Scope::Organization("org-1")));
        check(&access, &[one, ("x-organization-id", "org-1")], Ok(Scope::Organization("org-1")));
        check(&access, &[one, ("x-organization-id", "org-2")], Ok(Scope::Nothing));
        check(&access, &[one, ("x-organization-id", "")], Ok(Scope::Nothing));
        check(&access, &[two], Err("422"));
        check(&access, &[two, ("x-organization-id", "org-3")], Ok(Scope::Organization("org-3")));
        check(&access, &[two, ("x-organization-id", "org-1")], Ok(Scope::Nothing));
        // Where both are sent, X-API-Key counts.
        check(&access, &[one, two], Ok(Scope::Organization("org-1")));
        check(&access, &[("x-api-key", "three"), two], Err("401"));
    }

    #[test]
    fn without_a_known_key_it_is_a_401() {
        let access = Access(Mode::Keys(keys(&[("one", &["org-1"])])));
        for pairs in [
            &[][..],
            &[("x-organization-id", "org-1")],
            &[("x-api-key", "")],
            &[("x-api-key", "onee")],
            &[("authorization", "one")],
            &[("authorization", "Basic one")],
            &[("authorization", "Bearer")],
            &[("authorization", "Bearer ")],
            &[("authorization", "Bearerone")],
        ] {
            check(&access, pairs, Err("401"));
        }
        check(&access, &[("authorization", "bearer  one")], Ok(Scope::Organization("org-1")));
    }
}
