//! The domain: events, the registers that they set, and the view that follows. Pure: no I/O, clock, randomness,
//! logging or hash order, and no knowledge of Kafka, sled, HTTP or an encoding.

pub mod dead_letter;
pub mod event;
pub mod fold;
pub mod gap;
mod id_index;
pub mod job;
pub mod job_status;
pub mod name_key;
pub mod optimization;
pub mod outranking;
pub mod position;
pub mod read_position;
pub mod record;
pub mod register;
pub mod runs;
pub mod shortfall;
pub mod stamp;
pub mod status;
pub mod timestamp;
pub mod topic_id;
pub mod view;
pub mod working_set;

pub use dead_letter::DeadLetter;
pub use event::{Body, Envelope, Event, Metadata, OptimizationEvent, RunEvent};
pub use gap::{Gap, PartitionBounds};
pub use job::{Job, Outcome};
pub use job_status::JobStatus;
pub use optimization::{CreationFacts, Link, Optimization};
pub use outranking::Outranking;
pub use position::{NamedPartition, PartitionOffset, Topic, TopicPartition};
pub use read_position::{ReadPosition, RecordPlace};
pub use record::{OwnedRecord, Record};
pub use register::Register;
pub use runs::{LastRun, RunSet};
pub use shortfall::Shortfall;
pub use stamp::{Stamp, Version};
pub use status::{Status, StatusSet};
pub use timestamp::Timestamp;
pub use topic_id::TopicId;
pub use view::{FieldOrigin, FieldValue, View, ViewField};
pub use working_set::{Commit, RecordKey, WorkingSet};
