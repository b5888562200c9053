//! The credentials by which the callers of the read API are recognized: API keys and bearer tokens, each from a file that is read
//! again when it changes. Nothing here may show a key or a token: not in an error, not in a log.

mod api_key;
mod api_keys;
mod bearer_tokens;
mod key_entries;
mod key_file;
mod principal;
mod reloaded_file;
mod signatures;

pub use api_key::ApiKey;
pub use api_keys::{ApiKeys, ApiKeysError};
pub use bearer_tokens::{BearerTokens, TokenError, TokenRules};
pub use key_entries::KeyEntry;
pub use key_file::{AddedKey, KeyFileError, NewKey, RevokedKey, add_key, list_keys, revoke_key};
pub use principal::Principal;
pub use reloaded_file::{FileState, Look, ReloadedFile};

#[cfg(test)]
pub(crate) use api_keys::tests::keys;
#[cfg(test)]
pub(crate) use bearer_tokens::tests::{Provider, claims, rules};
