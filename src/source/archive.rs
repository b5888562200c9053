//! An archive: the topics' records, byte for byte, in files that standard tools read.
//!
//! A directory of NDJSON files compressed with zstd, one line a record, and `MANIFEST.json`, which lists them: how many
//! bytes of each are finished, their checksum, and which offsets are in them. What the manifest does not list is not
//! there: a file grows by whole zstd frames, the manifest is replaced by a synced rename once they are on the disk, and a
//! crash leaves at most a tail that nobody reads and the next export cuts off.
//!
//! Must never change a byte that the manifest lists, and never give a record that it does not list.

mod appender;
mod archive_source;
mod archive_then_topics;
mod checksum;
mod directory;
mod errors;
mod line;
mod manifest;
mod reader;
mod verification;

pub use appender::Appender;
pub use archive_source::ArchiveSource;
pub use archive_then_topics::{ArchiveThenTopics, Mismatch, check_same_topic};
pub use checksum::ChecksumStream;
pub use directory::{Archive, ArchiveIdentity};
pub use errors::{ArchiveError, ReadError};
pub use manifest::{ArchivedTopic, FileEntry, MANIFEST, Manifest, Span};
pub use reader::{ArchiveReader, last_records};
pub use verification::{VerificationReport, verify};
