//! Tokens as an identity provider signs them, and as others would like to.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use chrono::Utc;
use proptest::prelude::*;
use ring::hmac;
use ring::rand::SystemRandom;
use ring::rsa::PublicKeyComponents;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair,
};
use serde_json::json;

use super::*;

/// An identity provider with one key of each kind, whose ids are the names of their algorithms.
pub struct Provider {
    rsa: RsaKeyPair,
    ec: EcdsaKeyPair,
    ed: Ed25519KeyPair,
    random: SystemRandom,
}

const ALGORITHMS: [&str; 3] = ["RS256", "ES256", "EdDSA"];

/// Returns a key that was made for these tests, since ring makes none.
fn rsa_key() -> Vec<u8> {
    STANDARD.decode(include_str!("rsa_key_of_tests.base64").replace('\n', "")).unwrap()
}

fn base64url(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

pub fn rules() -> TokenRules {
    TokenRules {
        issuer: "https://id.example.com".to_owned(),
        audience: "optview".to_owned(),
        organizations_claim: "orgs".to_owned(),
    }
}

/// The claims of a sound token, with changes; a claim that is null is left out.
pub fn claims(changes: Value) -> Value {
    let mut claims = json!({
        "iss": "https://id.example.com", "aud": "optview", "sub": "ada", "email": "ada@example.com",
        "exp": Utc::now().timestamp() + 600, "orgs": ["org-1", "org-2"],
    });
    let fields = claims.as_object_mut().unwrap();
    for (name, value) in changes.as_object().unwrap() {
        fields.insert(name.clone(), value.clone());
    }
    fields.retain(|_, value| !value.is_null());
    claims
}

impl Provider {
    pub fn new() -> Provider {
        let random = SystemRandom::new();
        let ec = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        let ed = Ed25519KeyPair::generate_pkcs8(&random).unwrap();
        Provider {
            rsa: RsaKeyPair::from_der(&rsa_key()).unwrap(),
            ec: EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, ec.as_ref(), &random).unwrap(),
            ed: Ed25519KeyPair::from_pkcs8(ed.as_ref()).unwrap(),
            random,
        }
    }

    /// The public keys, as the provider publishes them.
    pub fn key_set(&self) -> Value {
        let rsa = PublicKeyComponents::<Vec<u8>>::from(self.rsa.public_key());
        let point = self.ec.public_key().as_ref();
        json!({"keys": [
            {"kty": "RSA", "kid": "RS256", "use": "sig", "alg": "RS256", "n": base64url(rsa.n), "e": base64url(rsa.e)},
            {"kty": "EC", "kid": "ES256", "crv": "P-256", "x": base64url(&point[1..33]), "y": base64url(&point[33..])},
            {"kty": "OKP", "kid": "EdDSA", "crv": "Ed25519", "x": base64url(self.ed.public_key())},
        ]})
    }

    pub fn tokens(&self) -> BearerTokens {
        BearerTokens::parse(self.key_set().to_string(), rules()).unwrap()
    }

    /// Signs a token by the key that has the algorithm's name.
    pub fn sign(&self, algorithm: &str, claims: &Value) -> String {
        self.sign_as(&json!({"alg": algorithm, "kid": algorithm, "typ": "JWT"}), algorithm, claims)
    }

    /// Signs a token by one key, whatever its header says.
    fn sign_as(&self, header: &Value, key: &str, claims: &Value) -> String {
        let message = format!("{}.{}", base64url(header.to_string()), base64url(claims.to_string()));
        let signature = match key {
            "RS256" => {
                let mut signature = vec![0; self.rsa.public().modulus_len()];
                self.rsa.sign(&RSA_PKCS1_SHA256, &self.random, message.as_bytes(), &mut signature).unwrap();
                signature
            }
            "ES256" => self.ec.sign(&self.random, message.as_bytes()).unwrap().as_ref().to_vec(),
            _ => self.ed.sign(message.as_bytes()).as_ref().to_vec(),
        };
        format!("{message}.{}", base64url(signature))
    }
}

fn verify(tokens: &BearerTokens, token: &str) -> Result<Principal, TokenError> {
    assert!(BearerTokens::is_token(token.as_bytes()), "{token}");
    tokens.verify(token.as_bytes())
}

#[test]
fn a_token_of_each_algorithm_stands_for_its_subject() {
    let provider = Provider::new();
    let tokens = provider.tokens();
    assert_eq!(tokens.len(), 3);
    for algorithm in ALGORITHMS {
        let principal = Principal {
            id: "ada".to_owned(),
            email: Some("ada@example.com".to_owned()),
            organizations: vec!["org-1".to_owned(), "org-2".to_owned()],
        };
        assert_eq!(verify(&tokens, &provider.sign(algorithm, &claims(json!({})))), Ok(principal.clone()));
        let without_id = provider.sign_as(&json!({"alg": algorithm}), algorithm, &claims(json!({})));
        assert_eq!(verify(&tokens, &without_id), Ok(principal), "the key's id is a hint");
    }
}

#[test]
fn a_token_without_a_signature_or_with_another_algorithm_than_its_keys_is_refused() {
    let provider = Provider::new();
    let tokens = provider.tokens();
    let claims = claims(json!({}));
    for none in ["none", "None", "NONE", ""] {
        let header = json!({"alg": none, "kid": "RS256"});
        let unsigned = format!("{}.{}.", base64url(header.to_string()), base64url(claims.to_string()));
        assert_eq!(verify(&tokens, &unsigned), Err(TokenError::Malformed), "{none}");
        assert_eq!(verify(&tokens, &provider.sign_as(&header, "RS256", &claims)), Err(TokenError::Malformed));
    }
    // The public key, which everybody knows, taken for a secret.
    let key_set = provider.key_set();
    let rsa = PublicKeyComponents::<Vec<u8>>::from(provider.rsa.public_key());
    let secrets = [rsa.n, provider.ec.public_key().as_ref().to_vec(), provider.ed.public_key().as_ref().to_vec()];
    let texts = [key_set.to_string(), key_set["keys"][0]["n"].as_str().unwrap().to_owned(), String::new()];
    for secret in secrets.into_iter().chain(texts.map(String::into_bytes)) {
        for kid in [Some("RS256"), Some("ES256"), Some("EdDSA"), None] {
            let mut header = json!({"alg": "HS256"});
            if let Some(kid) = kid {
                header["kid"] = json!(kid);
            }
            let message = format!("{}.{}", base64url(header.to_string()), base64url(claims.to_string()));
            let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &secret), message.as_bytes());
            let token = format!("{message}.{}", base64url(tag));
            assert_eq!(verify(&tokens, &token), Err(TokenError::UnknownKey));
        }
    }
    for named in ALGORITHMS {
        for signed_by in ALGORITHMS.into_iter().filter(|other| *other != named) {
            let mixed = provider.sign_as(&json!({"alg": named, "kid": signed_by}), signed_by, &claims);
            assert_eq!(verify(&tokens, &mixed), Err(TokenError::UnknownKey), "{named} by {signed_by}");
            let foreign = provider.sign_as(&json!({"alg": named, "kid": named}), signed_by, &claims);
            assert_eq!(verify(&tokens, &foreign), Err(TokenError::WrongSignature), "{named} by {signed_by}");
        }
        for other in ["RS384", "RS512", "PS256", "ES384", "HS512"] {
            let unknown = provider.sign_as(&json!({"alg": other, "kid": named}), named, &claims);
            assert_eq!(verify(&tokens, &unknown), Err(TokenError::UnknownKey), "{other}");
        }
        let unknown = provider.sign_as(&json!({"alg": named, "kid": "other"}), named, &claims);
        assert_eq!(verify(&tokens, &unknown), Err(TokenError::UnknownKey));
    }
}

#[test]
fn a_key_that_comes_with_the_token_is_not_asked() {
    let (own, other) = (Provider::new(), Provider::new());
    let tokens = own.tokens();
    let jwk = other.key_set()["keys"][2].clone();
    for header in [
        json!({"alg": "EdDSA", "jwk": jwk}),
        json!({"alg": "EdDSA", "kid": "EdDSA", "jku": "https://evil.example"}),
    ] {
        let token = other.sign_as(&header, "EdDSA", &claims(json!({})));
        assert_eq!(verify(&tokens, &token), Err(TokenError::WrongSignature));
    }
}

#[test]
fn a_token_is_valid_for_its_time_and_a_minute_for_the_clocks() {
    let provider = Provider::new();
    let tokens = provider.tokens();
    let now = Utc::now().timestamp();
    for (changes, expected) in [
        (json!({"exp": now - 30}), None),
        (json!({"exp": now - 3600}), Some(TokenError::Expired)),
        (json!({"exp": 0}), Some(TokenError::Expired)),
        (json!({"nbf": now + 30}), None),
        (json!({"nbf": now + 3600}), Some(TokenError::NotYetValid)),
        (json!({"nbf": "soon"}), Some(TokenError::MissingClaim)),
        (json!({"exp": null}), Some(TokenError::MissingClaim)),
        (json!({"exp": "never"}), Some(TokenError::MissingClaim)),
        (json!({"iss": null}), Some(TokenError::MissingClaim)),
        (json!({"iss": "https://id.example.com/"}), Some(TokenError::WrongIssuer)),
        (json!({"iss": 5}), Some(TokenError::MissingClaim)),
        (json!({"aud": null}), Some(TokenError::MissingClaim)),
        (json!({"aud": "another"}), Some(TokenError::WrongAudience)),
        (json!({"aud": ["another", "optview"]}), None),
        (json!({"aud": []}), Some(TokenError::WrongAudience)),
        (json!({"sub": null}), Some(TokenError::MissingClaim)),
        (json!({"sub": " "}), Some(TokenError::MissingClaim)),
    ] {
        let found = verify(&tokens, &provider.sign("EdDSA", &claims(changes.clone())));
        assert_eq!(found.err(), expected, "{changes}");
    }
}

#[test]
fn organizations_are_one_id_or_a_list_of_ids() {
    let provider = Provider::new();
    let tokens = provider.tokens();
    for (claim, expected) in [
        (json!("org-1"), Ok(vec!["org-1"])),
        (json!(["b", "a", "b"]), Ok(vec!["b", "a"])),
        (json!(null), Err(TokenError::NoOrganization)),
        (json!([]), Err(TokenError::NoOrganization)),
        (json!(""), Err(TokenError::NoOrganization)),
        (json!(["a", 5]), Err(TokenError::NoOrganization)),
        (json!({"a": {}}), Err(TokenError::NoOrganization)),
        (json!(true), Err(TokenError::NoOrganization)),
    ] {
        let found = verify(&tokens, &provider.sign("ES256", &claims(json!({"orgs": claim}))));
        let expected = expected.map(|ids| ids.into_iter().map(str::to_owned).collect::<Vec<_>>());
        assert_eq!(found.map(|principal| principal.organizations), expected, "{claim}");
    }
}

#[test]
fn keys_for_something_else_are_left_out_and_keys_that_cannot_be_right_are_a_mistake() {
    let provider = Provider::new();
    let parse = |keys: Value| BearerTokens::parse(json!({ "keys": keys }).to_string(), rules());
    let key = |index: usize, changes: Value| {
        let mut key = provider.key_set()["keys"][index].clone();
        for (name, value) in changes.as_object().unwrap() {
            key[name] = value.clone();
        }
        key
    };
    let sound = key(2, json!({}));
    for other in [
        json!({"kty": "oct", "k": "c2VjcmV0"}),
        json!({"kty": "future", "a": 1}),
        key(0, json!({"use": "enc"})),
        key(0, json!({"alg": "RS512"})),
        key(0, json!({"alg": "RSA-OAEP"})),
        key(1, json!({"crv": "P-384"})),
        key(2, json!({"key_ops": ["sign"]})),
    ] {
        assert_eq!(parse(json!([other, sound])).unwrap().len(), 1, "{other}");
        let error = parse(json!([other])).unwrap_err();
        assert!(error.contains("no key for signatures by RS256, ES256 or EdDSA"), "{error}");
    }
    for (wrong, why) in [
        (key(0, json!({"n": base64url([0xFF; 128])})), "key 1: it is too short"),
        (key(1, json!({"x": "AA"})), "key 1: it is too short"),
        (key(2, json!({"x": "AA"})), "key 1: it is too short"),
        (key(2, json!({"x": "?secret?"})), "key 1: its numbers are not base64url"),
    ] {
        assert!(parse(json!([wrong, sound])).unwrap_err().contains(why), "{wrong}");
    }
    let too_many: Vec<Value> = (0..=KEYS_MAX).map(|_| sound.clone()).collect();
    assert!(parse(json!(too_many)).unwrap_err().contains("more than 100 keys"));
    for text in ["", "{", "[]", "{\"keys\": 1}", "{\"keys\": [{\"kty\": \"RSA\", \"n\": 12345678}]}"] {
        let error = BearerTokens::parse(text.to_owned(), rules()).unwrap_err();
        assert!(!error.contains("12345678"), "{error}");
    }
    assert!(BearerTokens::from_file(Path::new("no/such/file"), rules()).unwrap_err().contains("cannot be read"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_token_survives_a_change(at in any::<prop::sample::Index>(), algorithm in 0_usize..3, other in "[A-Za-z0-9._-]") {
        let provider = Provider::new();
        let tokens = provider.tokens();
        let token = provider.sign(ALGORITHMS[algorithm], &claims(json!({})));
        prop_assert!(tokens.verify(token.as_bytes()).is_ok());
        let at = at.index(token.len());
        prop_assume!(token[at..=at] != *other);
        let changed = format!("{}{other}{}", &token[..at], &token[at + 1..]);
        prop_assert!(tokens.verify(changed.as_bytes()).is_err());
        prop_assert!(tokens.verify(&token.as_bytes()[..at]).is_err());
    }

    #[test]
    fn what_is_no_token_is_refused(text in "(?s).{0,60}") {
        let tokens = Provider::new().tokens();
        prop_assert!(tokens.verify(text.as_bytes()).is_err());
    }
}
