//! What optview means: events, the registers they set, and the view that follows. Pure: no I/O, clock, randomness,
//! logging or hash order; nothing here knows Kafka, sled, HTTP or an encoding.

pub mod dead_letter;
pub mod event;
pub mod fold;
pub mod gap;
mod ids;
pub mod job;
pub mod optimization;
pub mod outranked;
pub mod position;
pub mod record;
pub mod register;
pub mod runs;
pub mod shortfall;
pub mod timestamp;
pub mod topic_id;
pub mod view;
pub mod working;

pub use dead_letter::DeadLetter;
pub use event::{Body, Envelope, Event, Metadata};
pub use gap::{Gap, PartitionBounds};
pub use job::{Job, JobStatus, Outcome};
pub use optimization::{Created, Link, Optimization};
pub use outranked::Outranked;
pub use position::{Position, Topic};
pub use record::{OwnedRecord, Record};
pub use register::{Register, Stamp, Version};
pub use runs::{LastRun, RunEvent, RunSet};
pub use shortfall::Shortfall;
pub use timestamp::Timestamp;
pub use topic_id::TopicId;
pub use view::{Status, View};
pub use working::{Commit, Key, WorkingSet};
