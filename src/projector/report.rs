//! What the projector says of itself: the state, all that is wrong, and since when. A trouble is over only where its own proof
//! has come, and as long as any stands, `last_error` is never empty.

use std::collections::BTreeMap;
use std::time::Instant;

use chrono::{DateTime, Utc};
use metrics::gauge;

use super::health::{Doubt, Health, Moment, shown};
use super::{Projector, Source};
use crate::domain::Topic;
use crate::source::TopicNames;
use crate::status::{Judgement, KafkaReport, State};

/// How many partitions are named where many have the same trouble.
const NAMED_MAX: usize = 6;

/// Since when each trouble that does not say so itself has stood, and whether staleness has been logged.
#[derive(Default)]
pub struct TroubleHistory {
    since: BTreeMap<&'static str, DateTime<Utc>>,
    is_stale: bool,
}

/// One trouble that stands.
struct Trouble {
    text: String,
    since: DateTime<Utc>,
}

impl TroubleHistory {
    fn standing(&mut self, about: &'static str, text: Option<String>, moment: Moment) -> Option<Trouble> {
        let Some(text) = text else {
            self.since.remove(about);
            return None;
        };
        Some(Trouble { text, since: *self.since.entry(about).or_insert(moment.wall) })
    }

    fn log(&mut self, is_stale: bool, why: &[Trouble]) {
        if std::mem::replace(&mut self.is_stale, is_stale) == is_stale {
            return;
        }
        if is_stale {
            let why: Vec<&str> = why.iter().map(|standing| standing.text.as_str()).collect();
            tracing::warn!("stale: what is shown may be old: {}", why.join("; "));
        } else {
            tracing::info!("no longer stale: every partition that is read is confirmed again");
        }
    }
}

impl Projector {
    pub(super) fn report(&mut self, source: &dyn Source) {
        self.last_report = Instant::now();
        let moment = Moment::now();
        self.partitions.compare(|topic, partition| source.observation(topic, partition), moment.now);
        self.health.observe_cluster(moment, source.cluster_health(), self.live);
        for reading in self.partitions.readings() {
            let (topic, partition) = (reading.topic, reading.partition);
            let (observation, error) =
                (source.observation(topic, partition), source.partition_error(topic, partition));
            self.health.observe(moment, reading, observation, error);
        }
        let watermarks = |topic, partition| source.watermarks(topic, partition);
        let partitions = self.partitions.reports(&self.health, moment, watermarks);
        let stopped = self.partitions.stopped_reason();
        let stale_from = self.health.stale_from();
        let is_stale = stale_from.is_some_and(|from| moment.now >= from);
        let state = match (&stopped, self.live, partitions.is_empty()) {
            (Some(_), _, _) => State::Stalled,
            (None, true, _) if is_stale => State::Stale,
            (None, true, _) => State::Live,
            (None, false, true) if self.status.answer_state().was_live => State::Stale,
            (None, false, true) => State::Starting,
            (None, false, false) => State::CatchingUp,
        };
        let mut troubles: Vec<Trouble> = self.reporting.standing("stopped", stopped, moment).into_iter().collect();
        troubles.extend(partition_errors(&self.health, &self.settings.topics));
        let cluster = self.health.cluster.error.as_ref();
        match cluster.map(|error| Trouble { text: error.text.clone(), since: error.since }) {
            Some(standing) => troubles.push(standing),
            None => troubles.extend(self.reporting.standing("source", source.trouble(), moment)),
        }
        troubles.extend(doubts(&self.health, &self.settings.topics, moment));
        self.notice_switch();
        self.publish_findings();
        if !self.is_quiet() {
            troubles.extend(self.reporting.standing("understanding", self.understanding.problem(), moment));
            self.reporting.log(is_stale, &troubles);
        }
        let missing = self.report_missing_history();
        troubles.extend(self.reporting.standing("missing history", missing, moment));
        self.status.set_progress(partitions, self.writer.views(), self.writer.dead_letters());
        self.status.judge(Judgement {
            state,
            error: joined(troubles),
            warnings: hidden(&self.health, &self.settings.topics, moment),
            kafka: KafkaReport { cluster_id: self.cluster.clone(), ..self.health.kafka(moment) },
            stale_from,
        });
        if !self.is_quiet() {
            gauge!("optview_working_set_records").set(self.working.weight() as f64);
            gauge!("optview_working_set_bytes").set(self.memory_used() as f64);
        }
    }
}

/// All troubles as one text, with since when the oldest has stood.
fn joined(troubles: Vec<Trouble>) -> Option<(String, String)> {
    let since = troubles.iter().map(|standing| standing.since).min()?;
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
    partitions: Vec<(Topic, i32)>,
    since: DateTime<Utc>,
}

/// Brings together what has the same trouble, in the troubles' order.
fn by_trouble<T: Ord>(
    all: impl Iterator<Item = (T, (Topic, i32), DateTime<Utc>)>,
) -> BTreeMap<T, AffectedPartitions> {
    let mut affected: BTreeMap<T, AffectedPartitions> = BTreeMap::new();
    for (trouble, partition, since) in all {
        let held = affected.entry(trouble).or_insert(AffectedPartitions { partitions: Vec::new(), since });
        held.partitions.push(partition);
        held.since = held.since.min(since);
    }
    affected
}

/// The errors that stand on partitions, each told once with all the partitions that it is about.
fn partition_errors(health: &Health, names: &TopicNames) -> Vec<Trouble> {
    let errors = health.errors().map(|(partition, error)| {
        // The source may have named it already.
        let name = format!("{}: ", named(&[partition], names));
        (error.text.strip_prefix(&name).unwrap_or(&error.text), partition, error.since)
    });
    let told = |(text, affected): (&str, AffectedPartitions)| Trouble {
        text: format!("{}: {text}", named(&affected.partitions, names)),
        since: affected.since,
    };
    by_trouble(errors).into_iter().map(told).collect()
}

/// Why what is shown may be old, each reason told once with all the partitions that it is about.
fn doubts(health: &Health, names: &TopicNames, moment: Moment) -> Vec<Trouble> {
    let doubts = health.doubts(moment).into_iter();
    let doubts = doubts.map(|(partition, doubt, since)| (doubt, partition, moment.wall_at(since)));
    let told = |(doubt, affected): (Doubt, AffectedPartitions)| {
        let text = format!(
            "{}: not known since {} to be read to the end, so what is shown may be older than that: {}",
            named(&affected.partitions, names),
            shown(affected.since),
            doubt.explained()
        );
        Trouble { text, since: affected.since }
    };
    by_trouble(doubts).into_iter().map(told).collect()
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

/// What open transactions have hidden for long.
fn hidden(health: &Health, names: &TopicNames, moment: Moment) -> Vec<String> {
    let told = |((topic, partition), records, since): ((Topic, i32), i64, Instant)| {
        format!(
            "{}/{partition}: {records} offsets lie behind a transaction that has been open since {}: nothing of them is \
             shown before it ends. If its producer is gone, the broker ends it after the producer's \
             `transaction.timeout.ms`; `kafka-transactions.sh find-hanging` finds one that hangs",
            names.get(topic),
            shown(moment.wall_at(since))
        )
    };
    health.hidden(moment).into_iter().map(told).collect()
}

/// The partitions by name: all of a few, the first of many.
fn named(partitions: &[(Topic, i32)], names: &TopicNames) -> String {
    let name = |(topic, partition): &(Topic, i32)| format!("{}/{partition}", names.get(*topic));
    let mut text = partitions.iter().take(NAMED_MAX).map(name).collect::<Vec<_>>().join(", ");
    if partitions.len() > NAMED_MAX {
        text.push_str(&format!(" and {} more", partitions.len() - NAMED_MAX));
    }
    text
}
