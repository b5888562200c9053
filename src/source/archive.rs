//! An archive: the topics' records, byte for byte, in files that standard tools read.
//!
//! A directory of NDJSON files compressed with zstd, one line a record, and `MANIFEST.json`, which lists them: how many
//! bytes of each are finished, their checksum, and which offsets are in them. What the manifest does not list is not
//! there: a file grows by whole zstd frames, the manifest is replaced by a synced rename once they are on the disk, and a
//! crash leaves at most a tail that nobody reads and the next export cuts off.
//!
//! Must never change a byte that the manifest lists, and never give a record that it does not list.

mod appender;
mod checksum;
mod continued;
mod directory;
mod errors;
mod line;
mod manifest;
mod play;
mod reader;
mod verify;

pub use appender::Appender;
pub use checksum::Checksummed;
pub use continued::{Continued, gap_remedy};
pub use directory::{Archive, Identity};
pub use errors::{ArchiveError, ReadError};
pub use manifest::{ArchivedTopic, FileEntry, MANIFEST, Manifest, Span};
pub use play::ArchiveSource;
pub use reader::{Reader, last_records};
pub use verify::{Verified, verify};
