//! A watch over the files of credentials. It looks at them on a thread of its own, so that no request waits for a file.

use std::io;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use metrics::{describe_gauge, gauge};

use super::access::Access;
use crate::credentials::{ApiKeys, BearerTokens, Look, ReloadedFile};
use crate::status::{CredentialsReport, Status};

/// The time between two looks. A change counts after two of them.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// A watch that looks until it is dropped.
pub struct CredentialsWatch(#[expect(dead_code, reason = "dropping it ends the watch")] Sender<()>);

/// Begins to look at the files of credentials, whose reports go into the status.
///
/// # Errors
/// Fails if no thread can be started.
pub fn watch_credentials(access: Access, status: Status) -> io::Result<CredentialsWatch> {
    describe_gauge!(
        "optview_credentials_file_broken",
        "1 if a file of credentials has changed and cannot be used, so that what was read before stays in force"
    );
    let (watch, ended) = channel();
    status.set_credentials(look_at_files(&access));
    thread::Builder::new().name("credentials".to_owned()).spawn(move || {
        while ended.recv_timeout(LOOK_INTERVAL) == Err(RecvTimeoutError::Timeout) {
            status.set_credentials(look_at_files(&access));
        }
    })?;
    Ok(CredentialsWatch(watch))
}

/// Looks whether the files of credentials have changed, and reads those that have. Returns a report of each.
pub fn look_at_files(access: &Access) -> Vec<CredentialsReport> {
    let (keys, tokens) = access.files();
    let keys = keys.and_then(|file| look_at("api_keys", file, ApiKeys::len));
    keys.into_iter().chain(tokens.and_then(|file| look_at("jwks", file, BearerTokens::len))).collect()
}

/// Looks at one file, logs what has come of it, and reports its state; `None` for credentials that come from no file.
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
    Some(CredentialsReport {
        kind,
        file: path,
        entries,
        read_at: rfc3339(state.read_at),
        error: state.error,
        error_since: state.error_since.map(rfc3339),
    })
}

fn rfc3339(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}
