//! An archive holds the topics' records, byte for byte, in files that standard tools read.
//!
//! It is a directory of NDJSON files compressed with zstd, one line a record, and `MANIFEST.json`, which lists for
//! each file its finished bytes, their checksum, and the offsets in them. Bytes that the manifest does not list do
//! not count: a file grows by whole zstd frames, a synced rename replaces the manifest once they are on the disk,
//! and a crash leaves at most a tail that no reader reads and that the next export cuts off.
//!
//! This module never changes a byte that the manifest lists, and never delivers a record that it does not list.

mod appender;
mod archive_source;
mod archive_then_topics;
mod checksum;
mod directory;
mod errors;
mod format;
mod line;
mod manifest;
mod reader;
mod verification;

pub use appender::Appender;
pub use archive_source::ArchiveSource;
pub use archive_then_topics::{ArchiveThenTopics, gap_remedy};
pub use checksum::ChecksumStream;
pub use directory::{Archive, ArchiveIdentity};
pub use errors::{ArchiveError, ReadError};
pub use format::MANIFEST;
pub use line::{decode as decode_line, encode as encode_line};
pub use manifest::{ArchivedTopic, FileEntry, Manifest, Span};
pub use reader::{ArchiveReader, last_records};
pub use verification::{VerificationReport, verify};
