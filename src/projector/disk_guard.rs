//! The guard of the free disk space. Reading rests while the store's disk is nearly full: a store whose disk is full cannot
//! even be opened again.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::disk::DiskReserve;

/// The interval between two looks at the free space: a catch-up writes a hundred megabytes a second and more.
pub const CHECK_EVERY: Duration = Duration::from_millis(50);

/// Keeps `--min-free-disk` bytes free by having the projector rest.
pub struct DiskGuard {
    store: PathBuf,
    reserve: DiskReserve,
    next_check: Instant,
    /// The reason for which nothing is read at the moment.
    reason: Option<String>,
}

impl DiskGuard {
    pub fn new(store: PathBuf, reserve: DiskReserve, now: Instant) -> DiskGuard {
        DiskGuard { store, reserve, next_check: now, reason: None }
    }

    /// Returns true if nothing may be read. Looks at the disk if a look is due.
    pub fn is_too_full(&mut self, now: Instant) -> bool {
        if now >= self.next_check {
            self.next_check = now + CHECK_EVERY;
            self.check();
        }
        self.reason.is_some()
    }

    /// The reason for which nothing is read; `None` if there is room.
    pub fn reason(&self) -> Option<&str> {
        self.reason.as_deref()
    }

    fn check(&mut self) {
        match self.reserve.shortage(&self.store, 0) {
            Ok(Some(free)) => {
                let reason = format!(
                    "only {free} bytes are free on the disk of {}, fewer than the {} of --min-free-disk: nothing is read until \
                     there is room",
                    self.store.display(),
                    self.reserve.floor_bytes
                );
                if self.reason.is_none() {
                    tracing::warn!("{reason}");
                }
                self.reason = Some(reason);
            }
            Ok(None) => {
                if self.reason.take().is_some() {
                    tracing::info!("there is room on the disk again: reading goes on");
                }
            }
            Err(error) => tracing::warn!(%error, "cannot tell how full the disk is"),
        }
    }
}
