//! One API key, of which only the SHA-256 is kept.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use chrono::Utc;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq as _;

use super::principal::Principal;

/// The SHA-256 of a key. Two of them are compared in constant time.
#[derive(Clone, Copy, Debug)]
pub struct KeyHash(pub [u8; 32]);

impl KeyHash {
    /// Hashes a key as its client sends it.
    pub fn of(credential: &[u8]) -> KeyHash {
        KeyHash(Sha256::digest(credential).into())
    }

    /// Returns the start of the hash as a number, which identifies the key.
    pub fn start(&self) -> u64 {
        u64::from_be_bytes(self.0[..8].try_into().expect("eight bytes of thirty-two"))
    }
}

impl fmt::Display for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl PartialEq for KeyHash {
    fn eq(&self, other: &KeyHash) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for KeyHash {}

impl Hash for KeyHash {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // Equal hashes have equal starts.
        state.write_u64(self.start());
    }
}

/// One API key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKey {
    /// The owner of the key.
    pub principal: Arc<Principal>,
    /// The time from which on the key is refused, in milliseconds since 1970; `None` if it never expires.
    pub expires_millis: Option<i64>,
    /// A number that identifies the key among the others, and is no secret.
    pub number: u64,
}

impl ApiKey {
    /// Returns true if the key has expired by now.
    pub fn has_expired(&self) -> bool {
        // Most keys never expire, and need no clock.
        self.expires_millis.is_some_and(|expires| Utc::now().timestamp_millis() >= expires)
    }
}
