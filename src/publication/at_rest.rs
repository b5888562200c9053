//! The publishing of a store that nobody keeps up to date: the topic is compared with it, what differs is published, and that is all.

use std::time::{Duration, Instant};

use serde::Serialize;

use super::generations::Publication;
use super::publisher::Publisher;
use crate::source::views_topic::{ViewsTopic, ViewsTopicError};

/// The longest time for which nothing may be published because no broker answers.
const PATIENCE: Duration = Duration::from_secs(60);
/// The pause before what failed is tried again.
const PAUSE: Duration = Duration::from_millis(200);

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
    publisher: Publisher<T>,
    publication: &Publication,
    watch: &mut dyn FnMut(u64) -> bool,
) -> Result<PublishedViews, AtRestError> {
    publish_by_clock(publisher, publication, watch, &mut |pause| {
        std::thread::sleep(pause);
        Instant::now()
    })
}

/// Publishes by a clock that waits for the time that it is given, and returns the time then.
fn publish_by_clock<T: ViewsTopic>(
    mut publisher: Publisher<T>,
    publication: &Publication,
    watch: &mut dyn FnMut(u64) -> bool,
    clock: &mut dyn FnMut(Duration) -> Instant,
) -> Result<PublishedViews, AtRestError> {
    let mut answered = clock(Duration::ZERO);
    loop {
        if !watch(publisher.published()) {
            return Err(AtRestError::Stopped);
        }
        let now = clock(Duration::ZERO);
        match publisher.step(now) {
            Ok(_) => {
                answered = now;
                // Nothing comes any more.
                if let Some(position) = publisher.awaited_position() {
                    return Err(AtRestError::Behind(position));
                }
            }
            Err(error @ (ViewsTopicError::Unavailable(_) | ViewsTopicError::Lost(_)))
                if now.saturating_duration_since(answered) > PATIENCE =>
            {
                return Err(error.into());
            }
            Err(ViewsTopicError::Unavailable(_) | ViewsTopicError::Lost(_)) => {
                clock(PAUSE);
            }
            Err(error) => return Err(error.into()),
        }
        // The mark comes once all is published.
        if publisher.marked().is_some() {
            return Ok(PublishedViews {
                topic: publication.topic().to_owned(),
                views: publication.current().map_or(0, |current| current.reader.views()),
                published: publisher.published(),
                version: publisher.version(),
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::published_view::ViewsFormat;
    use crate::publication::scripted_topic::{ScriptedStore, ScriptedTopic, position, value};
    use crate::publication::{PROGRESS_KEY, PublisherSettings};
    use crate::source::views_topic::ViewsRecord;

    /// Publishes a store of three views, one of them deleted, that has read up to an offset. The clock steps where it is to wait.
    fn publish(
        topic: ScriptedTopic,
        read_to: i64,
        steps_max: u64,
    ) -> (Result<PublishedViews, AtRestError>, Duration) {
        let mut store = ScriptedStore::new();
        for (id, name) in [("a", Some("name")), ("b", Some("name")), ("deleted", None)] {
            store.write(id, name);
        }
        store.rest_at(read_to);
        let publication = Publication::new("views", ViewsFormat::Json);
        publication.attach(&store.reader, store.path()).unwrap();
        let settings = PublisherSettings::new(Duration::from_secs(3_600));
        let publisher = Publisher::new(topic, publication.clone(), settings);
        let (begin, mut passed, mut steps) = (Instant::now(), Duration::ZERO, 0);
        let result = publish_by_clock(
            publisher,
            &publication,
            &mut |_| {
                steps += 1;
                steps <= steps_max
            },
            &mut |pause| {
                passed += pause;
                begin + passed
            },
        );
        (result, passed)
    }

    fn away() -> ViewsTopicError {
        ViewsTopicError::Unavailable("away".to_owned())
    }

    fn view_at(next_offset: i64) -> ViewsRecord {
        let headers = vec![("optview-position", position(next_offset).text().to_owned().into())];
        ViewsRecord { headers, ..value("a", Some("{}")) }
    }

    #[test]
    fn a_store_is_published_with_a_last_mark() {
        let topic = ScriptedTopic::default();
        let log = topic.log.clone();
        let (published, passed) = publish(topic, 0, 1_000);
        let published = published.unwrap();
        assert_eq!((published.topic.as_str(), published.views, published.published), ("views", 2, 2));
        assert_eq!(passed, Duration::ZERO);
        let log = log.lock();
        let last = log.last().unwrap();
        assert_eq!((last.len(), &last[0].key[..]), (2, PROGRESS_KEY));
        assert_eq!(log.iter().flatten().filter(|record| record.key != PROGRESS_KEY).count(), 2);
    }

    #[test]
    fn nothing_is_published_of_a_store_that_is_behind_the_topic() {
        let topic = ScriptedTopic { records: vec![view_at(8)], ends: 9, ..ScriptedTopic::default() };
        let log = topic.log.clone();
        assert_eq!(publish(topic, 7, 1_000).0, Err(AtRestError::Behind("jobs:0:7".to_owned())));
        assert!(log.lock().iter().flatten().all(|record| record.key == PROGRESS_KEY));
        let topic = ScriptedTopic { records: vec![view_at(7)], ends: 9, ..ScriptedTopic::default() };
        assert_eq!(publish(topic, 7, 1_000).0.map(|published| published.published), Ok(2));
    }

    #[test]
    fn brokers_that_are_away_are_waited_for_but_not_for_long() {
        for (failures, is_published) in [(0, true), (1, true), (300, true), (302, false)] {
            let topic = ScriptedTopic {
                outcomes: std::iter::repeat_with(away).take(failures).map(Some).collect(),
                ..ScriptedTopic::default()
            };
            let (published, passed) = publish(topic, 0, 1_000);
            assert_eq!(published.is_ok(), is_published, "{failures}: {published:?}");
            assert!(passed <= PATIENCE + PAUSE, "{failures}: {passed:?}");
        }
        // Each answer begins a new wait.
        let half = || std::iter::repeat_with(away).take(200).map(Some).chain([None]);
        let topic = ScriptedTopic { outcomes: half().chain(half()).collect(), ..ScriptedTopic::default() };
        assert!(publish(topic, 0, 1_000).0.is_ok());
    }

    #[test]
    fn a_topic_that_cannot_be_used_ends_it_at_once() {
        let refused = ViewsTopicError::Refused("no rights".to_owned());
        let topic = ScriptedTopic { outcomes: [Some(refused.clone())].into(), ..ScriptedTopic::default() };
        assert_eq!(publish(topic, 0, 1_000), (Err(refused.into()), Duration::ZERO));
    }

    #[test]
    fn it_ends_where_it_is_told_to() {
        assert_eq!(publish(ScriptedTopic::default(), 0, 0).0, Err(AtRestError::Stopped));
        assert_eq!(publish(ScriptedTopic::default(), 0, 1).0, Err(AtRestError::Stopped));
    }
}
