//! Callers by their headers and their addresses.

use std::net::Ipv4Addr;
use std::sync::LazyLock;
use std::time::Instant;

use axum::body::Body;
use axum::extract::Request;
use serde_json::json;

use super::*;
use crate::credentials::{Provider, claims, keys, rules};
use crate::http::credentials_watch::look_at_files;

fn request(address: u32, pairs: &[(&'static str, &str)]) -> Request {
    let mut request = Request::new(Body::empty());
    let headers = pairs.iter().map(|&(name, value)| (HeaderName::from_static(name), value.parse().unwrap()));
    *request.headers_mut() = headers.collect();
    request.extensions_mut().insert(PeerAddress(Ipv4Addr::from_bits(address).into()));
    request
}

fn caller_of<'a>(access: &Access, request: &'a Request) -> Result<Caller<'a>, HttpError> {
    access.caller(request.headers(), PeerAddress::of(request))
}

fn check(access: &Access, pairs: &[(&'static str, &str)], expected: Result<Scope<'_>, &str>) {
    let request = request(1, pairs);
    let caller = caller_of(access, &request);
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
        let found = caller_of(access, &request).map(|_| "200");
        assert_eq!(found.unwrap_or_else(|error| code(&error)), expected, "{key} from {address}");
    }
}

#[test]
fn an_address_that_fails_too_often_gets_no_answer_to_a_guess_and_others_are_answered() {
    static BEGIN: LazyLock<Instant> = LazyLock::new(Instant::now);
    let keys = ReloadedFile::fixed(keys(&[("one", &["org-1"]), ("two", &["org-2"])]));
    let checks = Checks { now: || *BEGIN, ..Checks::new(Some(keys), None) };
    let access = Access(Some(Arc::new(checks)));
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
    let access = Access::checked(Some(ReloadedFile::new(path.clone(), read(&path).unwrap(), read)), None);
    let look = || {
        (0..2).for_each(|_| drop(look_at_files(&access)));
        look_at_files(&access).remove(0)
    };
    assert_eq!((look().entries, look().error), (2, None));
    check_answers(&access, 1, "one", "200", 1);
    write("[[keys]]");
    let report = look();
    assert_eq!((report.kind, report.entries), ("api_keys", 2));
    assert!(report.error.is_some_and(|error| error.contains("key 1: it needs")) && report.error_since.is_some());
    check_answers(&access, 1, "one", "200", 1);
    write(&(entry("two", "expires = 2020-01-01T00:00:00Z") + &entry("three", "")));
    assert_eq!((look().entries, look().error), (2, None));
    check_answers(&access, 1, "one", "401", 1);
    check_answers(&access, 1, "two", "401", 1);
    check_answers(&access, 1, "three", "200", 1);
    let expired = caller_of(&access, &request(1, &[("x-api-key", "two")])).unwrap_err().cause();
    assert!(expired.contains("has expired"), "{expired}");
    write("keys = []");
    assert_eq!((look().entries, look().error), (0, None));
    check_answers(&access, 1, "three", "401", 1);
}

fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

#[test]
fn a_token_sees_the_organizations_that_it_names_and_keys_go_on_beside_it() {
    let provider = Provider::new();
    let tokens = || ReloadedFile::fixed(provider.tokens());
    let alone = Access::checked(None, Some(tokens()));
    // The first two dots make it look like a token.
    let both = Access::checked(Some(ReloadedFile::fixed(keys(&[("a.b.c", &["org-9"])]))), Some(tokens()));
    let sign = |changes| bearer(&provider.sign("ES256", &claims(changes)));
    let (one, several) = (sign(json!({"orgs": "org-1"})), sign(json!({})));
    for access in [&alone, &both] {
        check(access, &[("authorization", &one)], Ok(Scope::Organization("org-1")));
        check(access, &[("authorization", &one), ("x-organization-id", "org-2")], Ok(Scope::Nothing));
        check(access, &[("authorization", &several)], Err("422"));
        let named = [("authorization", several.as_str()), ("x-organization-id", "org-2")];
        check(access, &named, Ok(Scope::Organization("org-2")));
        check(access, &[("x-api-key", &one["Bearer ".len()..])], Err("401"));
        check(access, &[("authorization", &sign(json!({"aud": "another"})))], Err("401"));
        check(access, &[], Err("401"));
    }
    check(&both, &[("authorization", "Bearer a.b.c")], Ok(Scope::Organization("org-9")));
    check(&alone, &[("authorization", "Bearer a.b.c")], Err("401"));
    check(&alone, &[("authorization", "Bearer k")], Err("401"));
}

#[test]
fn a_refused_token_is_told_why_and_is_a_failed_attempt() {
    static BEGIN: LazyLock<Instant> = LazyLock::new(Instant::now);
    let provider = Provider::new();
    let checks = Checks { now: || *BEGIN, ..Checks::new(None, Some(ReloadedFile::fixed(provider.tokens()))) };
    let access = Access(Some(Arc::new(checks)));
    let sign = |changes| bearer(&provider.sign("EdDSA", &claims(changes)));
    for (token, why) in [
        (sign(json!({"exp": 1})), "has expired"),
        (sign(json!({"iss": "https://evil.example"})), "of another issuer"),
        (sign(json!({"orgs": null})), "names no organization"),
        ("Bearer a.b.c".to_owned(), "is not a signed JWT"),
        ("Bearer key".to_owned(), "is not a signed JWT"),
    ] {
        let error = caller_of(&access, &request(7, &[("authorization", &token)])).unwrap_err().cause();
        assert!(error.contains(why), "{error}");
    }
    for _ in 0..95 {
        assert!(
            caller_of(&access, &request(7, &[("authorization", "Bearer a.b.c")]))
                .is_err_and(|error| code(&error) == "401")
        );
    }
    let wrong = request(7, &[("authorization", "Bearer a.b.c")]);
    assert_eq!(code(&caller_of(&access, &wrong).unwrap_err()), "429");
    // A signature cannot be guessed.
    let right = sign(json!({}));
    assert!(caller_of(&access, &request(7, &[("authorization", &right), ("x-organization-id", "org-1")])).is_ok());
}

#[test]
fn the_keys_of_a_provider_change_with_their_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("jwks.json");
    let (old, new) = (Provider::new(), Provider::new());
    let write = |text: &str| crate::disk::replace(&path, text.as_bytes()).unwrap();
    write(&old.key_set().to_string());
    let read = |path: &std::path::Path| BearerTokens::from_file(path, rules());
    let access = Access::checked(None, Some(ReloadedFile::new(path.clone(), read(&path).unwrap(), read)));
    let look = || {
        (0..2).for_each(|_| drop(look_at_files(&access)));
        look_at_files(&access).remove(0)
    };
    let by = |provider: &Provider| bearer(&provider.sign("ES256", &claims(json!({"orgs": "org-1"}))));
    let own = Ok(Scope::Organization("org-1"));
    assert_eq!((look().kind, look().entries, look().error), ("jwks", 3, None));
    check(&access, &[("authorization", &by(&old))], own);
    check(&access, &[("authorization", &by(&new))], Err("401"));
    write("{}");
    assert!(look().error.is_some_and(|error| error.contains("no JSON Web Key Set")));
    check(&access, &[("authorization", &by(&old))], own);
    write(&new.key_set().to_string());
    assert_eq!(look().error, None);
    check(&access, &[("authorization", &by(&old))], Err("401"));
    check(&access, &[("authorization", &by(&new))], own);
}

#[test]
fn a_caller_that_is_looked_at_again_makes_no_attempt() {
    let access = Access::with_keys(keys(&[("one", &["org-1"])]));
    let (own, wrong) = (request(1, &[("x-api-key", "one")]), request(1, &[("x-api-key", "wrong")]));
    for _ in 0..200 {
        assert_eq!(access.caller_again(own.headers()).unwrap().scope(), Scope::Organization("org-1"));
        assert_eq!(code(&access.caller_again(wrong.headers()).unwrap_err()), "401");
    }
    check_answers(&access, 1, "wrong", "401", 1);
    let narrowed = request(1, &[("x-organization-id", "org-1")]);
    assert_eq!(Access::open().caller_again(narrowed.headers()).unwrap().scope(), Scope::Organization("org-1"));
}

#[test]
fn the_log_names_callers_without_counting_them() {
    let provider = Provider::new();
    let keys = ReloadedFile::fixed(keys(&[("one", &["org-1"])]));
    let access = Access::checked(Some(keys), Some(ReloadedFile::fixed(provider.tokens())));
    let token = bearer(&provider.sign("RS256", &claims(json!({}))));
    for (pairs, expected) in [
        (&[("x-api-key", "one")][..], Some("key-7692c3ad3540bb80")),
        (&[("authorization", &*token)], Some("ada")),
        (&[("x-api-key", "wrong")], None),
        (&[], None),
    ] {
        for _ in 0..200 {
            let known = access.known_principal(request(1, pairs).headers());
            assert_eq!(known.map(|principal| principal.id.clone()).as_deref(), expected);
        }
    }
    assert!(Access::open().known_principal(request(1, &[("x-api-key", "one")]).headers()).is_none());
    check(&access, &[("x-api-key", "wrong")], Err("401"));
}
