//! Reading rests while the store's disk is nearly full: one that is full cannot even be opened again.

use std::time::{Duration, Instant};

use super::{Projector, ProjectorError, REPORT_EVERY};
use crate::disk;
use crate::source::Source;

/// How often it is looked how full the disk is: a catch-up writes a hundred megabytes a second and more.
const LOOK_AT_DISK_EVERY: Duration = Duration::from_millis(50);

impl Projector {
    pub(super) fn must_rest(&mut self) -> bool {
        if self.last_look_at_disk.elapsed() >= LOOK_AT_DISK_EVERY {
            self.look_at_disk();
        }
        self.partitions.is_paused()
    }

    /// Nothing is read. What is in memory is written while live, when it is little; what a catch-up holds could fill the disk.
    pub(super) fn rest(&mut self, source: &mut dyn Source) -> Result<(), ProjectorError> {
        source.rest(LOOK_AT_DISK_EVERY);
        self.writer.check()?;
        if self.live {
            self.write_changes(false)?;
            if self.last_checkpoint.elapsed() >= self.sync_interval() {
                self.checkpoint()?;
            }
        }
        self.publish_checkpoint(source);
        if self.last_report.elapsed() >= REPORT_EVERY {
            self.report(source);
        }
        Ok(())
    }

    /// A full disk cannot even be opened again: nothing is read until there is room.
    pub(super) fn look_at_disk(&mut self) {
        self.last_look_at_disk = Instant::now();
        let (store, wanted) = (&self.settings.store_path, self.settings.min_free_disk);
        match disk::free_bytes(store) {
            Ok(free) if free < wanted => self.partitions.set_paused(Some(format!(
                "only {free} bytes are free on the disk of {}, fewer than the {wanted} of --min-free-disk: nothing is \
                 read until there is room",
                store.display()
            ))),
            Ok(_) => self.partitions.set_paused(None),
            Err(error) => tracing::warn!(%error, "cannot tell how full the disk is"),
        }
    }
}
