//! The files of credentials: what is in force of each, and why a newer one is not.

use serde::Serialize;

/// A file of credentials, as `/status` shows it. No credential is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CredentialsReport {
    /// The kind of the file: `api_keys`, or `jwks`.
    pub kind: &'static str,
    /// The path of the file.
    pub file: String,
    /// Number of keys in force.
    pub entries: usize,
    /// The time at which they were read, RFC 3339.
    pub read_at: String,
    /// The reason for which the file cannot be used as it is now; `null` if it can.
    pub error: Option<String>,
    /// The time since which it cannot be used, RFC 3339.
    pub error_since: Option<String>,
}

impl CredentialsReport {
    /// Describes a file that cannot be used, with the remedy; `None` if it can be used.
    pub(super) fn warning(&self) -> Option<String> {
        let CredentialsReport { kind, file, entries, read_at, error, .. } = self;
        let error = error.as_ref()?;
        Some(format!(
            "the file {file} ({kind}) has changed and cannot be used, so that the {entries} keys that were read at {read_at} stay in \
             force, also those that are not in it any more: {error}"
        ))
    }
}
