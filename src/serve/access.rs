//! The read address as it is composed of its settings: who may read, and what stands before every answer.

use std::io;

use crate::config::{AccessConfig, ServeConfig};
use crate::credentials::{ApiKeys, BearerTokens, ReloadedFile};
use crate::http::{Access, AccessLog, CrossOrigin, FrontSettings};
use crate::logging::{self, LogQueue};
use crate::output;

/// Returns the rule by which callers are recognized. Keys and tokens' keys follow their files.
pub fn access(config: &AccessConfig) -> Access {
    let keys = config.api_keys_file.as_ref().zip(config.api_keys.as_ref()).map(|(path, keys)| {
        ReloadedFile::new(path.clone(), keys.clone(), |path| {
            ApiKeys::from_changed_file(path).map_err(|error| error.mistakes.join("; "))
        })
    });
    let tokens = config.jwt_jwks.as_ref().zip(config.bearer_tokens.as_ref()).map(|(path, tokens)| {
        let rules = tokens.rules().clone();
        ReloadedFile::new(path.clone(), tokens.clone(), move |path| BearerTokens::from_file(path, rules.clone()))
    });
    if keys.is_none() && tokens.is_none() { Access::open() } else { Access::checked(keys, tokens) }
}

/// Returns what stands before every answer of the read address.
///
/// # Errors
/// Fails if there is to be an access log, and stdout or a thread for it cannot be had.
pub fn front(config: &ServeConfig, access: &Access) -> io::Result<FrontSettings> {
    let access_log = match config.access_log {
        None => None,
        Some(format) => {
            let queue: LogQueue = logging::start_access_log(output::as_file()?)?;
            Some((AccessLog { format, queue }, access.clone()))
        }
    };
    Ok(FrontSettings { cross_origin: CrossOrigin::new(config.access.cors_origins.clone()), access_log })
}
