//! Access control: who sends a request, and which organization's views they may see. Open access decides nothing by itself:
//! a gateway in front has checked the caller, and names in `X-Organization-Id` the organization that it let them through for.
//!
//! A header must never widen what a caller sees: one that names no organization of the caller's finds nothing, as if
//! nothing were there.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::Request;
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, HeaderName};
use chrono::SecondsFormat;
use metrics::{counter, describe_counter, describe_gauge, gauge};

use super::caller_shares::PeerAddress;
use super::errors::{HttpError, Mistake};
use super::failed_attempts::FailedAttempts;
use crate::credentials::{ApiKeys, Look, Principal, ReloadedFile};
use crate::status::CredentialsReport;

static API_KEY: HeaderName = HeaderName::from_static("x-api-key");
static ORGANIZATION_ID: HeaderName = HeaderName::from_static("x-organization-id");

/// The rule by which callers are recognized. Clones share it.
#[derive(Clone)]
pub struct Access(Option<Arc<Checks>>);

/// The credentials that are taken, and the attempts that failed.
struct Checks {
    keys: ReloadedFile<ApiKeys>,
    attempts: FailedAttempts,
    now: fn() -> Instant,
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
#[derive(Clone, Debug)]
pub(super) struct Caller<'a> {
    /// The owner of the caller's credential; `None` if access is open, where nobody is checked.
    pub principal: Option<Arc<Principal>>,
    /// The scope that the request names; `None` if it names none.
    named: Option<Scope<'a>>,
}

impl Caller<'_> {
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
        Access::checked(ReloadedFile::fixed(keys))
    }

    /// Access for callers that send one of the keys in a file.
    pub fn checked(keys: ReloadedFile<ApiKeys>) -> Access {
        describe();
        Access(Some(Arc::new(Checks { keys, attempts: FailedAttempts::new(), now: Instant::now })))
    }

    /// Recognizes the caller of a request by its headers. Without a known key the error is a 401; if it is not clear which
    /// organization is meant, a 422; and a 429 for an address that has failed too often.
    pub(super) fn caller<'a>(&self, request: &'a Request) -> Result<Caller<'a>, HttpError> {
        let headers = request.headers();
        let Some(checks) = &self.0 else {
            return Ok(Caller { principal: None, named: named_organization(headers)? });
        };
        let address = request.extensions().get().map(|PeerAddress(address)| *address);
        let principal = checks.principal(headers, address)?;
        let named = match (named_organization(headers)?, principal.organizations.as_slice()) {
            (Some(Scope::Organization(named)), own) if own.iter().any(|one| one == named) => {
                Some(Scope::Organization(named))
            }
            (Some(_), _) => Some(Scope::Nothing),
            (None, [_]) => None,
            (None, several) => return Err(unclear(several)),
        };
        Ok(Caller { principal: Some(principal), named })
    }

    /// Looks whether the files of credentials have changed, and reads those that have. Returns a report of each.
    pub fn look_at_files(&self) -> Vec<CredentialsReport> {
        let Some(checks) = &self.0 else { return Vec::new() };
        look_at("api_keys", &checks.keys, ApiKeys::len).into_iter().collect()
    }
}

/// Looks at one file, logs what has come of it, and reports its state.
fn look_at<T: PartialEq>(
    kind: &'static str,
    file: &ReloadedFile<T>,
    count: impl FnOnce(&T) -> usize,
) -> Option<CredentialsReport> {
    let path = file.path()?.display().to_string();
    let look = file.look();
    let entries = count(&file.get());
    match look {
        Look::Unchanged => {}
        Look::Reloaded => {
            tracing::info!(kind, file = path, entries, "the file of credentials has been read again")
        }
        Look::Broken(why) => tracing::error!(
            kind,
            file = path,
            entries,
            "the file of credentials has changed and cannot be used, so that what was read before stays in force: {why}"
        ),
    }
    let state = file.state();
    gauge!("optview_credentials_file_broken", "kind" => kind).set(if state.error.is_some() { 1.0 } else { 0.0 });
    let rfc3339 = |time: chrono::DateTime<chrono::Utc>| time.to_rfc3339_opts(SecondsFormat::Millis, true);
    Some(CredentialsReport {
        kind,
        file: path,
        entries,
        read_at: rfc3339(state.read_at),
        error: state.error,
        error_since: state.error_since.map(rfc3339),
    })
}

impl Checks {
    /// Returns the owner of the credential that a request comes with.
    fn principal(&self, headers: &HeaderMap, address: Option<IpAddr>) -> Result<Arc<Principal>, HttpError> {
        let credential = credential(headers).inspect_err(|_| count_failure("missing"))?;
        let keys = self.keys.get();
        match keys.find(credential).filter(|key| !key.has_expired()) {
            Some(key) if self.attempts.was_accepted(address, key.number) => Ok(Arc::clone(&key.principal)),
            Some(key) => {
                self.check_allowance(address)?;
                self.attempts.note_accepted(address, key.number);
                Ok(Arc::clone(&key.principal))
            }
            None => {
                // An address that has failed too often gets one answer, whatever it sends.
                self.check_allowance(address)?;
                self.attempts.note_failure(address, (self.now)());
                let has_expired = keys.find(credential).is_some();
                count_failure(if has_expired { "expired_key" } else { "unknown_key" });
                Err(HttpError::Unauthorized(if has_expired {
                    "the API key has expired: ask whoever gave it to you for another"
                } else {
                    "the API key is not known: check X-API-Key or Authorization: Bearer"
                }))
            }
        }
    }

    fn check_allowance(&self, address: Option<IpAddr>) -> Result<(), HttpError> {
        match self.attempts.wait(address, (self.now)()) {
            None => Ok(()),
            Some(wait) => {
                count_failure("limited");
                Err(HttpError::TooManyAttempts { retry_after: wait.max(Duration::from_secs(1)) })
            }
        }
    }
}

fn count_failure(reason: &'static str) {
    counter!("optview_http_failed_authentications_total", "reason" => reason).increment(1);
}

fn describe() {
    describe_counter!(
        "optview_http_failed_authentications_total",
        "Requests that came without a credential that is known, by reason"
    );
    describe_gauge!(
        "optview_credentials_file_broken",
        "1 if a file of credentials has changed and cannot be used, so that what was read before stays in force"
    );
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
    use std::net::Ipv4Addr;
    use std::sync::LazyLock;

    use axum::body::Body;

    use super::*;
    use crate::credentials::keys;

    fn request(address: u32, pairs: &[(&'static str, &str)]) -> Request {
        let mut request = Request::new(Body::empty());
        let headers = pairs.iter().map(|&(name, value)| (HeaderName::from_static(name), value.parse().unwrap()));
        *request.headers_mut() = headers.collect();
        request.extensions_mut().insert(PeerAddress(Ipv4Addr::from_bits(address).into()));
        request
    }

    fn check(access: &Access, pairs: &[(&'static str, &str)], expected: Result<Scope<'_>, &str>) {
        let request = request(1, pairs);
        let caller = access.caller(&request);
        let found = caller.as_ref().map(Caller::scope).map_err(code);
        assert_eq!(found, expected, "{pairs:?}");
    }

    fn code(error: &HttpError) -> &'static str {
        match error {
            HttpError::Unauthorized(_) => "401",
            HttpError::Invalid(_) => "422",
            HttpError::TooManyAttempts { .. } => "429",
            other => panic!("{other:?}"),
        }
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
        let access = Access::with_keys(keys(&[("one", &["org-1"]), ("two", &["org-2", "org-3"])]));
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
        let access = Access::with_keys(keys(&[("one", &["org-1"])]));
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

    /// Checks the answers to a key that comes from an address.
    fn check_answers(access: &Access, address: u32, key: &str, expected: &str, times: usize) {
        let request = request(address, &[("x-api-key", key)]);
        for _ in 0..times {
            let found = access.caller(&request).map(|_| "200");
            assert_eq!(found.unwrap_or_else(|error| code(&error)), expected, "{key} from {address}");
        }
    }

    #[test]
    fn an_address_that_fails_too_often_gets_no_answer_to_a_guess_and_others_are_answered() {
        static BEGIN: LazyLock<Instant> = LazyLock::new(Instant::now);
        let keys = ReloadedFile::fixed(keys(&[("one", &["org-1"]), ("two", &["org-2"])]));
        let now = || *BEGIN;
        let access = Access(Some(Arc::new(Checks { keys, attempts: FailedAttempts::new(), now })));
        check_answers(&access, 1, "one", "200", 1);
        check_answers(&access, 1, "wrong", "401", 100);
        check_answers(&access, 1, "wrong", "429", 10);
        // A right guess looks as a wrong one.
        check_answers(&access, 1, "two", "429", 10);
        check_answers(&access, 1, "one", "200", 100);
        check_answers(&access, 2, "two", "200", 1);
        check_answers(&access, 2, "wrong", "401", 1);
    }

    #[test]
    fn a_request_without_a_key_is_no_guess() {
        let access = Access::with_keys(keys(&[("one", &["org-1"])]));
        for _ in 0..1000 {
            check(&access, &[], Err("401"));
        }
        check(&access, &[("x-api-key", "one")], Ok(Scope::Organization("org-1")));
    }

    #[test]
    fn a_key_that_is_revoked_or_has_expired_is_refused_at_the_next_look_but_one() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("keys.toml");
        let entry = |key: &str, more: &str| format!("[[keys]]\nkey = {key:?}\norganizations = [\"o\"]\n{more}\n");
        let write = |text: &str| crate::disk::replace(&path, text.as_bytes()).unwrap();
        write(&(entry("one", "") + &entry("two", "")));
        let read =
            |path: &std::path::Path| ApiKeys::from_changed_file(path).map_err(|error| error.mistakes.join("; "));
        let access = Access::checked(ReloadedFile::new(path.clone(), read(&path).unwrap(), read));
        let look = || {
            (0..2).for_each(|_| drop(access.look_at_files()));
            access.look_at_files().remove(0)
        };
        assert_eq!((look().entries, look().error), (2, None));
        check_answers(&access, 1, "one", "200", 1);
        write("[[keys]]");
        let report = look();
        assert_eq!((report.kind, report.entries), ("api_keys", 2));
        assert!(
            report.error.is_some_and(|error| error.contains("key 1: it needs")) && report.error_since.is_some()
        );
        check_answers(&access, 1, "one", "200", 1);
        write(&(entry("two", "expires = 2020-01-01T00:00:00Z") + &entry("three", "")));
        assert_eq!((look().entries, look().error), (2, None));
        check_answers(&access, 1, "one", "401", 1);
        check_answers(&access, 1, "two", "401", 1);
        check_answers(&access, 1, "three", "200", 1);
        let expired = access.caller(&request(1, &[("x-api-key", "two")])).unwrap_err().cause();
        assert!(expired.contains("has expired"), "{expired}");
        write("keys = []");
        assert_eq!((look().entries, look().error), (0, None));
        check_answers(&access, 1, "three", "401", 1);
    }
}
