//! The options about who may read: keys, tokens, origins, and access that is open on purpose.

use super::*;
use crate::credentials::BearerTokens;
use crate::origins::OriginPattern;

#[test]
fn every_mistake_in_the_keys_is_one_of_the_configuration() {
    let keys = file("[[keys]]\nkey = \"k\"\n[[keys]]\nsha256 = \"12\"\norganizations = [\"o\"]\n");
    let line = format!("{LEAST} --listen nonsense --api-keys {}", keys.path().display());
    let of_keys = "cannot be used for keys: key 1: `organizations` must be a list of one organization id or more; key 2: `sha256` must";
    check_mistakes(&line, &[], &["--listen (OPTVIEW_LISTEN): ", of_keys]);
    let none = file("keys = 3");
    let line = format!("{LEAST} --api-keys {}", none.path().display());
    check_mistakes(&line, &[], &["`keys` is no list: begin each entry with [[keys]]"]);
}

#[test]
fn an_address_that_others_reach_needs_keys_or_open_access_said_aloud() {
    let keys = file("[[keys]]\nkey = \"k\"\norganizations = [\"o\"]\n");
    let with_keys = format!("{LEAST} --api-keys {}", keys.path().display());
    for open in ["0.0.0.0:1", "[::]:1", "10.0.0.1:1", "[2001:db8::1]:1", "[::ffff:10.0.0.1]:1"] {
        let remedy = "could read every view; give --api-keys FILE (`optview keys add` makes one), --jwt-jwks FILE, or --open-access";
        check_mistakes(&format!("{LEAST} --listen {open}"), &[], &[remedy]);
        check_mistakes(&format!("{LEAST} --listen {open} --open-access=false"), &[], &[remedy]);
        assert!(serve(&format!("{LEAST} --listen {open} --open-access"), &[]).access.open_access);
        assert!(!serve(&format!("{with_keys} --listen {open}"), &[]).access.open_access);
    }
    for own in ["127.0.0.1:1", "127.0.0.2:1", "[::1]:1", "[::ffff:127.0.0.1]:1"] {
        serve(&format!("{LEAST} --listen {own}"), &[]);
    }
    check_mistakes(
        &format!("{with_keys} --open-access"),
        &[],
        &["--open-access (OPTVIEW_OPEN_ACCESS): is given beside keys or tokens"],
    );
    // A file of keys that cannot be used is one mistake, and not two.
    check_mistakes(&format!("{LEAST} --listen 0.0.0.0:1 --api-keys /no/such/file"), &[], &["/no/such/file"]);
}

#[test]
fn tokens_need_their_keys_their_issuer_and_their_audience() {
    let (keys, wrong) = (file(A_KEY_SET), file("{\"keys\": []}"));
    let path = keys.path().display();
    let line = format!("{LEAST} --jwt-jwks {path} --jwt-issuer https://id --jwt-audience optview");
    let config = serve(&format!("{line} --listen 0.0.0.0:1"), &[]);
    assert_eq!(config.access.bearer_tokens.as_ref().map(BearerTokens::len), Some(1));
    check_mistakes(
        &format!("{line} --open-access"),
        &[],
        &["--open-access (OPTVIEW_OPEN_ACCESS): is given beside"],
    );
    check_mistakes(
        &format!("{LEAST} --jwt-jwks {path}"),
        &[],
        &[
            "--jwt-issuer (OPTVIEW_JWT_ISSUER): is required with --jwt-jwks",
            "--jwt-audience (OPTVIEW_JWT_AUDIENCE): is required with --jwt-jwks",
        ],
    );
    check_mistakes(
        &format!("{LEAST} --jwt-issuer https://id"),
        &[],
        &["--jwt-issuer (OPTVIEW_JWT_ISSUER): has no effect without --jwt-jwks"],
    );
    check_mistakes(
        &format!("{LEAST} --jwt-jwks {} --jwt-issuer https://id --jwt-audience optview", wrong.path().display()),
        &[],
        &["cannot be used to verify tokens: it has no key for signatures by RS256, ES256 or EdDSA"],
    );
}

#[test]
fn origins_are_taken_from_every_layer_and_must_be_as_browsers_write_them() {
    let file = file("cors_origin = [\"https://file.example.com\"]");
    let line = format!("{LEAST} --cors-origin https://*.flag.example.com --config {}", file.path().display());
    let config = serve(&line, &[("OPTVIEW_CORS_ORIGIN", "https://one.example.com\nhttps://two.example.com")]);
    assert_eq!(config.access.cors_origins.len(), 4);
    assert_eq!(serve(&format!("{LEAST} --cors-origin *"), &[]).access.cors_origins, [OriginPattern::Any]);
    check_mistakes(
        &format!("{LEAST} --cors-origin https://app.example.com/ --access-log text"),
        &[],
        &["is no origin; give for instance https://app.example.com", "is neither json nor common"],
    );
}

#[test]
fn keys_are_added_with_all_that_a_header_can_name() {
    let add = |line: &str| match read(&format!("keys add --api-keys /tmp/keys.toml {line}"), &[]) {
        Ok(Command::Keys(KeysConfig::Add(config))) => config,
        other => panic!("{other:?}"),
    };
    let config = add("--organization org-1 --organization org-2 --expires 2027-01-01T00:00:00Z");
    assert_eq!((config.organizations.len(), config.expires), (2, Some(Expiry::At(1_798_761_600_000))));
    let config = add("--organization org-1 --expires 90days");
    assert_eq!(config.expires, Some(Expiry::After(Duration::from_secs(90 * 24 * 3600))));
    check_mistakes(
        "keys add --expires soon",
        &[("OPTVIEW_ORGANIZATION", "org-1")],
        &[
            "--api-keys (OPTVIEW_API_KEYS): is required",
            "is neither a time nor a duration; give for instance 2027",
        ],
    );
    check_mistakes(
        "keys add --api-keys /tmp/keys.toml --organization=",
        &[],
        &["--organization (OPTVIEW_ORGANIZATION): \"\" is empty; give the id"],
    );
}
