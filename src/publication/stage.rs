//! The stages of a publisher, and the results of its steps.

use std::time::Duration;

/// The settings of a publisher.
#[derive(Clone, Copy, Debug)]
pub struct PublisherSettings {
    /// The time between two marks.
    pub mark_interval: Duration,
    /// The time within which a publisher that has taken the topic over has written its first marks. Until then, one that the brokers
    /// refuse does not know whether there is another.
    pub takeover_time: Duration,
}

impl PublisherSettings {
    /// Makes the settings of a publisher that writes a mark so often.
    pub fn new(mark_interval: Duration) -> PublisherSettings {
        PublisherSettings { mark_interval, takeover_time: Duration::from_secs(30) }
    }
}

/// The stage of a publisher on its way to publishing what changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The topic is not taken over yet.
    Starting,
    /// The views are behind those on the topic, or still catching up.
    Waiting,
    /// The topic is compared with the store, or what differs is published.
    Reconciling,
    /// Everything that a checkpoint covers is on the topic.
    Publishing,
    /// Another publisher has taken the topic over.
    Fenced,
}

impl Stage {
    /// All stages.
    pub const ALL: [Stage; 5] =
        [Stage::Starting, Stage::Waiting, Stage::Reconciling, Stage::Publishing, Stage::Fenced];

    /// Returns the name, as the status has it.
    pub const fn name(self) -> &'static str {
        match self {
            Stage::Starting => "starting",
            Stage::Waiting => "waiting",
            Stage::Reconciling => "reconciling",
            Stage::Publishing => "publishing",
            Stage::Fenced => "fenced",
        }
    }
}

/// The result of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// There is more to do, and nothing was published.
    Again,
    /// Something was published, and there may be more to do.
    Published,
    /// There is nothing to do for this time, unless something changes.
    Rest(Duration),
}
