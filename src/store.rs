//! The store of the views: one sled database a generation, written by one thread, read by any number. The data directory's files
//! name the generation that is opened. This is the only module that knows sled. It never uses sled's batches or transactions: the
//! first one would make readers wait for ever after.

mod catalog;
mod change_watch;
mod checkpoint;
mod content;
mod database;
mod dead_letters;
mod diff;
mod errors;
mod export;
mod failure;
mod frozen_reader;
mod journal;
mod keys;
mod letter_counts;
mod letter_topic_note;
mod list_query;
mod missing_history;
mod missing_jobs;
mod open_store;
mod panics;
mod parked_job_feed;
mod parked_records;
mod pieces;
mod preflight;
mod progress;
mod read_only;
mod reader;
mod sled_fsync;
mod touched_views;
mod unlinked_jobs;
mod unlinked_records;
pub mod verify;
mod view_changes;
mod writer;

pub use catalog::StatusCount;
pub use checkpoint::{Anchor, Checkpoint, PartitionCheckpoint, TopicIds, add_topic_ids, positions, topic_ids};
pub use dead_letters::{LetterStop, ReplacedLetters};
pub use diff::{ViewDiff, compare, is_parked_alike};
pub use errors::{OpenError, StoreError};
pub use export::{Export, ExportedRecord};
pub use keys::LAYOUT;
pub use letter_counts::DeadLetterBound;
pub use letter_topic_note::LetterTopicNote;
pub use list_query::{Cursor, ListQuery, PageStart, Sort, SortKey, ViewForm};
pub use missing_history::{MissingHistoryLedger, accept_missing_history};
pub use missing_jobs::is_missing_job;
#[cfg(test)]
pub use open_store::set_other_format;
pub use open_store::{OpenStore, begin_beside, begin_replica_beside, open, open_beside, open_replica};
pub use panics::catch_sled_panic;
pub use preflight::check_threads_to_serve;
pub use read_only::{GenerationPosition, ReadOnlyStore, open_existing, open_frozen, read_position};
pub use reader::{NumberedView, Page, PageReader, Reader, Response, ShownView, StoredRecord};
pub use touched_views::{Seal, TakenViews, TouchedViews};
pub use unlinked_jobs::{UnlinkedCursor, UnlinkedJob};
pub use view_changes::{
    IdWatch, ListScope, LogCursor, LogPlace, LogRead, ScopeChange, SignalSetWatch, ViewChange, ViewChanges,
};
pub use writer::{PublishedUpTo, ReplicatedRecord, Writer};

pub use crate::codec::stored_record::FORMAT;
use keys::Trees;
