//! Bearer tokens: JSON Web Tokens (RFC 7519) that an identity provider has signed by one of the keys in a file. The file is a JSON Web Key
//! Set (RFC 7517); nothing is fetched. A token is never kept, and never shown.
//!
//! `jsonwebtoken` decides on a token. What it is not left to decide is the algorithm: each key has one, which follows from the key
//! and not from the token, so that no token can choose `none`, or have a public key taken for a secret.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::jwk::{
    AlgorithmParameters, EllipticCurve, Jwk, JwkSet, KeyAlgorithm, KeyOperations, PublicKeyUse,
};
use jsonwebtoken::{Algorithm, DecodingKey, DecodingKeyKind, Header, Validation, decode, decode_header};
use serde_json::{Map, Value};

use super::principal::Principal;
use super::signatures;

/// The time by which the clocks of the provider and of this machine may differ.
const CLOCK_SKEW_SECONDS: u64 = 60;

/// Number of bytes that a token may have. A head of a request has no room for many more.
const TOKEN_BYTES_MAX: usize = 16 << 10;

/// Number of keys that a file may have. A token without a key's id is tried with each.
const KEYS_MAX: usize = 100;

/// The least number of bytes of an RSA modulus (2048 bits), and the greatest (8192 bits).
const MODULUS_BYTES: std::ops::RangeInclusive<usize> = 256..=1024;

/// The claims that a token must have, and the values of some.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRules {
    /// The value of `iss`.
    pub issuer: String,
    /// A value of `aud`.
    pub audience: String,
    /// The name of the claim with the organizations: the id of one, or a list of ids.
    pub organizations_claim: String,
}

/// The keys that tokens are verified with, and the rules for what the tokens claim.
#[derive(Clone, Debug)]
pub struct BearerTokens {
    rules: TokenRules,
    keys: Vec<VerificationKey>,
    /// The text that the keys were read from.
    document: String,
}

#[derive(Clone, Debug)]
struct VerificationKey {
    id: Option<String>,
    key: DecodingKey,
    algorithm: Algorithm,
    validation: Validation,
}

impl VerificationKey {
    /// Returns true if a token with this header may be signed by the key. The key's id is a hint, which may be left out.
    fn may_have_signed(&self, header: &Header) -> bool {
        let is_named = match (&self.id, &header.kid) {
            (Some(own), Some(named)) => own == named,
            _ => true,
        };
        is_named && self.algorithm == header.alg
    }
}

impl PartialEq for BearerTokens {
    fn eq(&self, other: &BearerTokens) -> bool {
        (&self.rules, &self.document) == (&other.rules, &other.document)
    }
}

impl Eq for BearerTokens {}

/// The reason for which a token is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenError {
    /// It is no token at all.
    Malformed,
    /// No key fits its algorithm and its key's id.
    UnknownKey,
    /// The signature is another's, or of another text.
    WrongSignature,
    /// Its `exp` is past.
    Expired,
    /// Its `nbf` is to come.
    NotYetValid,
    /// Its `iss` is not the one that is accepted.
    WrongIssuer,
    /// Its `aud` is not the one that is accepted.
    WrongAudience,
    /// It lacks `exp`, `iss`, `aud` or `sub`, or one of them has no proper value.
    MissingClaim,
    /// It names no organization.
    NoOrganization,
}

impl TokenError {
    /// Returns the message for whoever sent the token.
    pub fn message(self) -> &'static str {
        match self {
            TokenError::Malformed => "the bearer token is not a signed JWT: check Authorization: Bearer",
            TokenError::UnknownKey => {
                "the bearer token is not signed by a key and an algorithm that are accepted here: is it of the right provider?"
            }
            TokenError::WrongSignature => "the signature of the bearer token is wrong",
            TokenError::Expired => "the bearer token has expired: get another",
            TokenError::NotYetValid => "the bearer token is not valid yet: are the clocks right?",
            TokenError::WrongIssuer => "the bearer token is of another issuer than the one that is accepted here",
            TokenError::WrongAudience => "the bearer token is for another audience than this server",
            TokenError::MissingClaim => "the bearer token needs the claims exp, iss, aud and sub",
            TokenError::NoOrganization => {
                "the bearer token names no organization, or something else, in the claim that this server reads them from"
            }
        }
    }
}

impl BearerTokens {
    /// Reads the keys from a file. An error never shows a key.
    ///
    /// # Errors
    /// Fails if the file cannot be read, is no key set, or has no key that tokens can be verified with.
    pub fn from_file(path: &Path, rules: TokenRules) -> Result<BearerTokens, String> {
        let document = fs::read_to_string(path).map_err(|error| format!("the file cannot be read: {error}"))?;
        BearerTokens::parse(document, rules)
    }

    fn parse(document: String, rules: TokenRules) -> Result<BearerTokens, String> {
        let set: JwkSet = serde_json::from_str(&document).map_err(|error| {
            // The parser's own message may quote a value.
            format!(
                "line {}, column {}: it is no JSON Web Key Set ({{\"keys\": [...]}})",
                error.line(),
                error.column()
            )
        })?;
        if set.keys.len() > KEYS_MAX {
            return Err(format!("it has more than {KEYS_MAX} keys"));
        }
        let mut keys = Vec::new();
        for (index, jwk) in set.keys.iter().enumerate() {
            if let Some(algorithm) = algorithm_of(jwk) {
                let key = decoding_key(jwk).map_err(|why| format!("key {}: {why}", index + 1))?;
                let id = jwk.common.key_id.clone();
                keys.push(VerificationKey { id, key, algorithm, validation: validation(algorithm, &rules) });
            }
        }
        if keys.is_empty() {
            return Err("it has no key for signatures by RS256, ES256 or EdDSA (Ed25519)".to_owned());
        }
        signatures::install();
        Ok(BearerTokens { rules, keys, document })
    }

    /// Returns the number of keys that tokens are verified with.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Returns true if there is no such key, which no file can bring about.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Returns the rules for what tokens claim.
    pub fn rules(&self) -> &TokenRules {
        &self.rules
    }

    /// Returns true if a credential has the form of a token: three parts with dots between them.
    pub fn is_token(credential: &[u8]) -> bool {
        credential.iter().filter(|byte| **byte == b'.').count() == 2
    }

    /// Verifies a token, and returns whom it stands for.
    ///
    /// # Errors
    /// Fails if the token is not signed by one of the keys, or does not claim what it must.
    pub fn verify(&self, token: &[u8]) -> Result<Principal, TokenError> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(TokenError::Malformed);
        }
        // It knows no algorithm `none`.
        let header = decode_header(token).map_err(|_| TokenError::Malformed)?;
        let mut refused = TokenError::UnknownKey;
        for key in self.keys.iter().filter(|key| key.may_have_signed(&header)) {
            match decode::<Map<String, Value>>(token, &key.key, &key.validation) {
                Ok(token) => return self.principal(&token.claims),
                Err(error) => refused = token_error(error.kind()),
            }
            // Only a wrong signature may be right with another key.
            if refused != TokenError::WrongSignature {
                break;
            }
        }
        Err(refused)
    }

    fn principal(&self, claims: &Map<String, Value>) -> Result<Principal, TokenError> {
        let text = |name: &str| claims.get(name).and_then(Value::as_str).filter(|text| !text.trim().is_empty());
        let id = text("sub").ok_or(TokenError::MissingClaim)?.to_owned();
        let listed = match claims.get(&self.rules.organizations_claim) {
            Some(Value::Array(listed)) => listed.as_slice(),
            Some(one @ Value::String(_)) => std::slice::from_ref(one),
            _ => &[],
        };
        let mut organizations: Vec<String> = Vec::new();
        for organization in listed {
            match organization.as_str() {
                Some(id) if !id.trim().is_empty() => {
                    if !organizations.iter().any(|other| other == id) {
                        organizations.push(id.to_owned());
                    }
                }
                // What is no id may have been meant to be one: nothing is guessed.
                _ => return Err(TokenError::NoOrganization),
            }
        }
        if organizations.is_empty() {
            return Err(TokenError::NoOrganization);
        }
        Ok(Principal { id, email: text("email").map(str::to_owned), organizations })
    }
}

/// Returns the one algorithm by which a key may verify signatures; `None` if it is for something else.
fn algorithm_of(jwk: &Jwk) -> Option<Algorithm> {
    let common = &jwk.common;
    let is_for_signatures = matches!(common.public_key_use, None | Some(PublicKeyUse::Signature))
        && common.key_operations.as_ref().is_none_or(|operations| operations.contains(&KeyOperations::Verify));
    if !is_for_signatures {
        return None;
    }
    match (&jwk.algorithm, common.key_algorithm) {
        (AlgorithmParameters::RSA(_), None | Some(KeyAlgorithm::RS256)) => Some(Algorithm::RS256),
        (AlgorithmParameters::EllipticCurve(key), None | Some(KeyAlgorithm::ES256))
            if key.curve == EllipticCurve::P256 =>
        {
            Some(Algorithm::ES256)
        }
        (AlgorithmParameters::OctetKeyPair(key), None | Some(KeyAlgorithm::EdDSA))
            if key.curve == EllipticCurve::Ed25519 =>
        {
            Some(Algorithm::EdDSA)
        }
        _ => None,
    }
}

/// Makes the key of a JWK, and checks what would only show at the first token.
fn decoding_key(jwk: &Jwk) -> Result<DecodingKey, &'static str> {
    let key = DecodingKey::from_jwk(jwk).map_err(|_| "its numbers are not base64url")?;
    let is_sound = match (&jwk.algorithm, key.kind()) {
        (_, DecodingKeyKind::RsaModulusExponent { n, .. }) => MODULUS_BYTES.contains(&n.len()),
        (AlgorithmParameters::EllipticCurve(_), DecodingKeyKind::SecretOrDer(point)) => point.len() == 65,
        (_, DecodingKeyKind::SecretOrDer(point)) => point.len() == 32,
    };
    is_sound.then_some(key).ok_or("it is too short or too long (RSA needs 2048 bits at least)")
}

fn validation(algorithm: Algorithm, rules: &TokenRules) -> Validation {
    let mut validation = Validation::new(algorithm);
    validation.leeway = CLOCK_SKEW_SECONDS;
    validation.validate_nbf = true;
    validation.set_issuer(&[&rules.issuer]);
    validation.set_audience(&[&rules.audience]);
    validation.required_spec_claims =
        ["exp", "iss", "aud", "sub"].map(str::to_owned).into_iter().collect::<HashSet<_>>();
    validation
}

fn token_error(kind: &ErrorKind) -> TokenError {
    match kind {
        ErrorKind::InvalidSignature => TokenError::WrongSignature,
        ErrorKind::ExpiredSignature => TokenError::Expired,
        ErrorKind::ImmatureSignature => TokenError::NotYetValid,
        ErrorKind::InvalidIssuer => TokenError::WrongIssuer,
        ErrorKind::InvalidAudience => TokenError::WrongAudience,
        ErrorKind::MissingRequiredClaim(_) | ErrorKind::InvalidClaimFormat(_) => TokenError::MissingClaim,
        ErrorKind::InvalidAlgorithm | ErrorKind::UnsupportedAlgorithm => TokenError::UnknownKey,
        _ => TokenError::Malformed,
    }
}

#[cfg(test)]
pub(crate) mod tests;
