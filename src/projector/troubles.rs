//! The troubles that a report names, and since when each stands. A trouble is over only once its own proof has come, and as long
//! as any stands, `last_error` is never empty.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::Moment;
use super::health::{Doubt, Health};
use super::moment::shown;
use crate::domain::TopicPartition;
use crate::source::TopicNames;

/// The most partitions that are named if many have the same trouble.
const NAMED_MAX: usize = 6;

/// Since when each trouble has stood that does not give its own begin, and whether staleness has been logged.
#[derive(Default)]
pub struct TroubleHistory {
    since: BTreeMap<&'static str, DateTime<Utc>>,
    is_stale: bool,
}

/// One trouble that stands.
pub struct Trouble {
    pub text: String,
    pub since: DateTime<Utc>,
}

impl TroubleHistory {
    /// Makes a trouble of a text: it stands since `about` first had one without a break. `None` ends it.
    pub fn trouble(&mut self, about: &'static str, text: Option<String>, now: Moment) -> Option<Trouble> {
        let Some(text) = text else {
            self.since.remove(about);
            return None;
        };
        Some(Trouble { text, since: *self.since.entry(about).or_insert(now.wall) })
    }

    /// Logs when staleness begins, with its causes, and when it ends.
    pub fn log_staleness(&mut self, is_stale: bool, causes: &[Trouble]) {
        if std::mem::replace(&mut self.is_stale, is_stale) == is_stale {
            return;
        }
        if is_stale {
            let causes: Vec<&str> = causes.iter().map(|trouble| trouble.text.as_str()).collect();
            tracing::warn!("stale: what is shown may be old: {}", causes.join("; "));
        } else {
            tracing::info!("no longer stale: every partition that is read is confirmed again");
        }
    }
}

/// Joins all troubles into one text, with since when the oldest has stood.
pub fn joined(troubles: Vec<Trouble>) -> Option<(String, String)> {
    let since = troubles.iter().map(|trouble| trouble.since).min()?;
    let mut texts: Vec<String> = Vec::new();
    for Trouble { text, .. } in troubles {
        if !texts.contains(&text) {
            texts.push(text);
        }
    }
    Some((texts.join("; "), shown(since)))
}

/// The partitions that have the same trouble, and since when the first has had it.
struct AffectedPartitions {
    partitions: Vec<TopicPartition>,
    since: DateTime<Utc>,
}

/// Groups partitions by their trouble, in the troubles' order.
fn by_trouble<T: Ord>(
    all: impl Iterator<Item = (T, TopicPartition, DateTime<Utc>)>,
) -> BTreeMap<T, AffectedPartitions> {
    let mut grouped: BTreeMap<T, AffectedPartitions> = BTreeMap::new();
    for (trouble, partition, since) in all {
        let affected = grouped.entry(trouble).or_insert(AffectedPartitions { partitions: Vec::new(), since });
        affected.partitions.push(partition);
        affected.since = affected.since.min(since);
    }
    grouped
}

/// The errors that stand on partitions, each once with all the partitions that it is about.
pub fn partition_errors(health: &Health, names: &TopicNames) -> Vec<Trouble> {
    let errors = health.errors().map(|(partition, error)| {
        // The source may have named it already.
        let name = format!("{}: ", named(&[partition], names));
        (error.text.strip_prefix(&name).unwrap_or(&error.text), partition, error.since)
    });
    by_trouble(errors)
        .into_iter()
        .map(|(text, affected)| Trouble {
            text: format!("{}: {text}", named(&affected.partitions, names)),
            since: affected.since,
        })
        .collect()
}

/// The reasons for which what is shown may be old, each once with all the partitions that it is about.
pub fn doubts(health: &Health, names: &TopicNames, now: Moment) -> Vec<Trouble> {
    let doubts = health.doubts(now).into_iter();
    by_trouble(doubts.map(|(partition, doubt, since)| (doubt, partition, now.wall_at(since))))
        .into_iter()
        .map(|(doubt, affected)| Trouble {
            text: format!(
                "{}: not known since {} to be read to the end, so what is shown may be older than that: {}",
                named(&affected.partitions, names),
                shown(affected.since),
                doubt.explained()
            ),
            since: affected.since,
        })
        .collect()
}

impl Doubt {
    /// The cause, and what to do about it.
    fn explained(self) -> &'static str {
        match self {
            Doubt::NeverAnswered => "the cluster has not said where it ends. Is the broker up that leads it?",
            Doubt::NoAnswer => "the cluster has stopped saying where it ends. Is the broker up that leads it?",
            Doubt::StandsStill => {
                "the cluster has records beyond what was read, and gives none. See whether other consumers get them; \
                 where they do, restart this process"
            }
            Doubt::TooSlow => {
                "records come faster than they are read. See `lag_records`, and what the machine is short of"
            }
            Doubt::Shorter => {
                "the topic ends before what was read of it: it was truncated, or an unclean leader was elected. If it \
                 stays so, `optview rebuild` says what that has cost, and what can be done"
            }
            Doubt::OtherTopic => {
                "the topic was created again. `optview rebuild` says what that has cost, and what can be done"
            }
        }
    }
}

/// Warnings about partitions of which open transactions have hidden records for long.
pub fn hidden_records(health: &Health, names: &TopicNames, now: Moment) -> Vec<String> {
    health
        .hidden(now)
        .into_iter()
        .map(|(partition, records, since)| {
            format!(
                "{}: {records} offsets lie behind a transaction that has been open since {}: nothing of them is \
             shown before it ends. If its producer is gone, the broker ends it after the producer's \
             `transaction.timeout.ms`; `kafka-transactions.sh find-hanging` finds one that hangs",
                names.partition(partition),
                shown(now.wall_at(since))
            )
        })
        .collect()
}

/// Names the partitions: all of a few, the first of many.
fn named(partitions: &[TopicPartition], names: &TopicNames) -> String {
    let mut text = partitions
        .iter()
        .take(NAMED_MAX)
        .map(|partition| names.partition(*partition).to_string())
        .collect::<Vec<_>>()
        .join(", ");
    if partitions.len() > NAMED_MAX {
        text.push_str(&format!(" and {} more", partitions.len() - NAMED_MAX));
    }
    text
}
