//! The check of a request's credential: an API key, or a bearer token. Failures are counted, and limited by the address that they come
//! from.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, HeaderName};
use metrics::{counter, describe_counter};

use super::super::errors::HttpError;
use super::super::failed_attempts::FailedAttempts;
use crate::credentials::{ApiKeys, BearerTokens, Principal, ReloadedFile, TokenError};

pub static API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// The credentials that are taken, and the attempts that failed.
pub struct Checks {
    pub keys: Option<ReloadedFile<ApiKeys>>,
    pub tokens: Option<ReloadedFile<BearerTokens>>,
    pub attempts: FailedAttempts,
    pub now: fn() -> Instant,
}

/// A credential as its client sends it.
#[derive(Clone, Copy)]
struct Credential<'a> {
    bytes: &'a [u8],
    /// True if it is a bearer token by its header and its form. It may still be a key.
    may_be_token: bool,
}

/// The result of looking for a key.
enum KeyLookup {
    Known(Arc<Principal>, u64),
    Expired,
    Unknown,
}

impl Checks {
    pub fn new(keys: Option<ReloadedFile<ApiKeys>>, tokens: Option<ReloadedFile<BearerTokens>>) -> Checks {
        describe_counter!(
            "optview_http_failed_authentications_total",
            "Requests that came without a credential that is known, by reason"
        );
        Checks { keys, tokens, attempts: FailedAttempts::new(), now: Instant::now }
    }

    /// Returns the owner of the credential that a request comes with.
    pub fn principal(&self, headers: &HeaderMap, address: Option<IpAddr>) -> Result<Arc<Principal>, HttpError> {
        let Some(credential) = Credential::of(headers) else {
            count_failure("missing");
            return Err(HttpError::Unauthorized(match (&self.keys, &self.tokens) {
                (_, None) => "an API key is needed: send it as X-API-Key or as Authorization: Bearer",
                (None, _) => "a bearer token is needed: send it as Authorization: Bearer",
                _ => "an API key or a bearer token is needed: send it as X-API-Key or as Authorization: Bearer",
            }));
        };
        let has_expired = match self.key(credential) {
            KeyLookup::Known(principal, number) => {
                if !self.attempts.was_accepted(address, number) {
                    // An address that has failed too often does not learn that a guess was right.
                    self.check_allowance(address)?;
                    self.attempts.note_accepted(address, number);
                }
                return Ok(principal);
            }
            KeyLookup::Expired => true,
            KeyLookup::Unknown => false,
        };
        // A signature cannot be guessed, so tokens are verified also for an address that has failed too often.
        let (reason, message) = match self.token(credential) {
            Some(Ok(principal)) => return Ok(Arc::new(principal)),
            Some(Err(TokenError::Expired)) => ("expired_token", TokenError::Expired.message()),
            Some(Err(error)) => ("wrong_token", error.message()),
            None if has_expired => {
                ("expired_key", "the API key has expired: ask whoever gave it to you for another")
            }
            None if self.keys.is_none() => ("wrong_token", TokenError::Malformed.message()),
            None => ("unknown_key", "the API key is not known: check X-API-Key or Authorization: Bearer"),
        };
        self.check_allowance(address)?;
        self.attempts.note_failure(address, (self.now)());
        count_failure(reason);
        Err(HttpError::Unauthorized(message))
    }

    /// Returns the owner of the credential, if it is known. Nothing is counted.
    pub fn known_principal(&self, headers: &HeaderMap) -> Option<Arc<Principal>> {
        let credential = Credential::of(headers)?;
        match self.key(credential) {
            KeyLookup::Known(principal, _) => Some(principal),
            KeyLookup::Expired | KeyLookup::Unknown => self.token(credential)?.ok().map(Arc::new),
        }
    }

    fn key(&self, credential: Credential<'_>) -> KeyLookup {
        let Some(keys) = self.keys.as_ref().map(ReloadedFile::get) else { return KeyLookup::Unknown };
        match keys.find(credential.bytes) {
            Some(key) if key.has_expired() => KeyLookup::Expired,
            Some(key) => KeyLookup::Known(Arc::clone(&key.principal), key.number),
            None => KeyLookup::Unknown,
        }
    }

    /// Verifies the credential as a token; `None` if it can be none.
    fn token(&self, credential: Credential<'_>) -> Option<Result<Principal, TokenError>> {
        let tokens = self.tokens.as_ref().filter(|_| credential.may_be_token)?;
        Some(tokens.get().verify(credential.bytes))
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

impl Credential<'_> {
    /// Returns the value of `X-API-Key` if it is there, else the bearer token.
    fn of(headers: &HeaderMap) -> Option<Credential<'_>> {
        if let Some(key) = headers.get(&API_KEY) {
            return Some(Credential { bytes: key.as_bytes(), may_be_token: false });
        }
        let bytes = bearer(headers.get(AUTHORIZATION)?.as_bytes())?;
        Some(Credential { bytes, may_be_token: BearerTokens::is_token(bytes) })
    }
}

/// Returns the token of a `Bearer` header. The scheme's case does not matter (RFC 9110, 11.1).
fn bearer(authorization: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = authorization.split_at_checked(6)?;
    let token = token.strip_prefix(b" ")?.trim_ascii();
    scheme.eq_ignore_ascii_case(b"bearer").then_some(token)
}

fn count_failure(reason: &'static str) {
    counter!("optview_http_failed_authentications_total", "reason" => reason).increment(1);
}
