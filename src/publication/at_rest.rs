//! The publishing of a store that nobody keeps up to date: the topic is compared with it, what differs is published, and that is all.

use std::time::{Duration, Instant};

use serde::Serialize;

use super::generations::Publication;
use super::publisher::Publisher;
use super::stage::{Stage, Step};
use crate::source::views_topic::{ViewsTopic, ViewsTopicError};

/// The longest time for which nothing may be published because no broker answers.
const PATIENCE: Duration = Duration::from_secs(60);

/// The result of a publishing at rest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PublishedViews {
    /// The name of the topic of views.
    pub topic: String,
    /// Number of views that readers of the store see.
    pub views: u64,
    /// Number of views and tombstones that were put on the topic.
    pub published: u64,
    /// The greatest version on the topic.
    pub version: u64,
}

/// The reason for which a store was not published.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AtRestError {
    /// The topic cannot be used.
    #[error(transparent)]
    Topic(#[from] ViewsTopicError),
    /// The views on the topic are newer.
    #[error(
        "the views on the topic are newer than those of this store, which has not read up to {0}: nothing was published. Bring the \
         store up to date first (`optview serve --publish-views` does both)"
    )]
    Behind(String),
    /// The process is to end.
    #[error("it was told to end: what was published stays, and the rest follows when it is published again")]
    Stopped,
}

/// Publishes what the publication has, until all of it is on the topic.
///
/// # Errors
/// The topic is ahead of the store, or cannot be used. What was published stays.
pub fn publish_at_rest<T: ViewsTopic>(
    mut publisher: Publisher<T>,
    publication: &Publication,
    watch: &mut dyn FnMut(u64) -> bool,
) -> Result<PublishedViews, AtRestError> {
    let mut answered = Instant::now();
    loop {
        if !watch(publisher.published()) {
            return Err(AtRestError::Stopped);
        }
        match publisher.step(Instant::now()) {
            Ok(step) => {
                answered = Instant::now();
                let is_behind = publisher.stage() == Stage::Waiting && step != Step::Again;
                if let Some(position) = publisher.awaited_position().filter(|_| is_behind) {
                    return Err(AtRestError::Behind(position));
                }
            }
            Err(error @ (ViewsTopicError::Unavailable(_) | ViewsTopicError::Lost(_)))
                if answered.elapsed() > PATIENCE =>
            {
                return Err(error.into());
            }
            Err(ViewsTopicError::Unavailable(_) | ViewsTopicError::Lost(_)) => {
                std::thread::sleep(Duration::from_millis(200));
            }
            Err(error) => return Err(error.into()),
        }
        let is_done = publisher.stage() == Stage::Publishing && publication.unpublished().0 == 0;
        if is_done && publisher.marked().is_some() {
            return Ok(PublishedViews {
                topic: publication.topic().to_owned(),
                views: publication.current().map_or(0, |current| current.reader.views()),
                published: publisher.published(),
                version: publisher.version(),
            });
        }
    }
}
