//! A watch over the files of credentials. It looks at them on a thread of its own, so that no request waits for a file.

use std::io;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use super::access::Access;
use crate::status::Status;

/// The time between two looks. A change counts after two of them.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// A watch that looks until it is dropped.
pub struct CredentialsWatch(#[expect(dead_code, reason = "dropping it ends the watch")] Sender<()>);

/// Begins to look at the files of credentials, whose reports go into the status.
///
/// # Errors
/// Fails if no thread can be started.
pub fn watch_credentials(access: Access, status: Status) -> io::Result<CredentialsWatch> {
    let (watch, ended) = channel();
    status.set_credentials(access.look_at_files());
    thread::Builder::new().name("credentials".to_owned()).spawn(move || {
        while ended.recv_timeout(LOOK_INTERVAL) == Err(RecvTimeoutError::Timeout) {
            status.set_credentials(access.look_at_files());
        }
    })?;
    Ok(CredentialsWatch(watch))
}
