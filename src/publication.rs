//! The publication of views on a compacted topic, for whoever wants all of them: one record a view that has changed, and null where it is
//! gone. `docs/VIEWS_TOPIC.md` is what others may rely on.
//!
//! A publisher reads the newest state of what the store's writer has noted (`store/touched_views.rs`), and puts it on the topic on a thread
//! of its own. Nothing waits for it but checkpoints, and those only while the generation is noted as published: then everything that a
//! checkpoint covers is on the topic before it is written. A generation without the note is compared with the topic first.

mod at_rest;
mod fence;
mod generations;
mod local_error;
mod metrics;
mod progress;
mod publisher;
mod reconciliation;
mod records;
mod reporter;
mod runner;
#[cfg(test)]
mod scripted_topic;
mod stage;
mod topic_end;
mod verification;

pub use at_rest::{AtRestError, PublishedViews, publish_at_rest};
pub use generations::Publication;
pub use publisher::Publisher;
pub use records::{
    Mark, PROGRESS_KEY, PROGRESS_RECORD, RECORD_HEADER, as_of, is_mark, position_of, publisher_of, version_of,
};
pub use runner::{PublisherThread, start};
pub use stage::{PublisherSettings, Stage, Step};
pub use verification::{ViewsDifference, ViewsReport, verify};
