//! The data that one state of an optimization lacks compared with another. States only grow by events, so that a
//! state that lacks something was made without an event that the other one was made with: a reader who sees it
//! next sees a view that has gone back, or none.
//!
//! A state that has seen more events lacks nothing, however different it is. So states at different positions can
//! be compared.

use super::job::{HISTORY_LIMIT, Job};
use super::optimization::{LINKS_LIMIT, Optimization};
use super::register::Register;
use super::stamp::{Stamp, Version};

/// The data that a newer state lacks compared with an older one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shortfall {
    /// True if readers see the older state but not the newer one, whose creation is missing.
    pub view: bool,
    /// The fields of the view that the newer state takes from an earlier event, or from none.
    pub fields: Vec<String>,
    /// True if data is missing that readers do not see, such as an earlier status of the job.
    pub history: bool,
}

impl Shortfall {
    /// Compares two states of one optimization.
    pub fn of(old: &Optimization, new: &Optimization) -> Shortfall {
        // A deletion wins for ever, so that nothing else would ever be visible.
        if new.deleted.is_some() {
            return Shortfall::default();
        }
        let mut shortfall = Shortfall::default();
        if old.visible_creation().is_some() && new.created.is_none() {
            return Shortfall { view: true, ..shortfall };
        }
        for (field, old, new) in registers(old, new) {
            if is_behind(old, new) {
                shortfall.fields.push(field.to_owned());
            }
        }
        shortfall.add_links(old, new);
        if old.visible_creation().is_none() && old.deleted.is_none() && !shortfall.fields.is_empty() {
            // No reader saw the optimization, so that nothing visible goes back.
            shortfall.fields.clear();
            shortfall.history = true;
        }
        shortfall
    }

    /// Compares two states of one job.
    pub fn of_job(old: &Job, new: &Job) -> Shortfall {
        let mut shortfall = Shortfall::default();
        shortfall.add_job(old, new);
        shortfall
    }

    /// Returns true if the newer state lacks nothing.
    pub fn is_empty(&self) -> bool {
        !self.view && self.fields.is_empty() && !self.history
    }

    fn add_links(&mut self, old: &Optimization, new: &Optimization) {
        let (Some(old_link), new_link) = (old.links().first(), new.links().first()) else { return };
        if new_link.is_none_or(|new_link| new_link.stamp.version < old_link.stamp.version) {
            self.fields.push("status".to_owned());
        } else if new_link.is_some_and(|new_link| new_link.job_id == old_link.job_id) {
            self.add_job(&old.job, &new.job);
        }
        let is_full = new.links().len() == LINKS_LIMIT;
        let is_missing = |job_id: &str| !is_full && !new.links().iter().any(|link| *link.job_id == *job_id);
        self.history |= old.links().iter().any(|link| is_missing(&link.job_id));
    }

    fn add_job(&mut self, old: &Job, new: &Job) {
        let last = |job: &Job| job.history().last().map(|last| last.stamp.version.clone());
        if last(new) < last(old) {
            self.fields.push("status".to_owned());
        }
        let mut both = new.runs.clone();
        both.join(&old.runs);
        if both != new.runs {
            self.fields.push("run_count".to_owned());
        }
        let is_full = new.history().len() == HISTORY_LIMIT;
        self.history |= old.history().iter().any(|transition| {
            let version = &transition.stamp.version;
            let is_there = new.history().iter().any(|held| held.stamp.version == *version);
            let is_dropped = is_full && new.history().first().is_some_and(|first| *version < first.stamp.version);
            !is_there && !is_dropped
        });
    }
}

/// Returns the versions that set each field of the view, in the older and the newer state.
fn registers<'a>(
    old: &'a Optimization,
    new: &'a Optimization,
) -> [(&'static str, Option<&'a Version>, Option<&'a Version>); 6] {
    let created = |held: &'a Optimization| version(held.created.as_ref());
    let deleted = |held: &'a Optimization| version(held.deleted.as_ref());
    // A creation states these fields too.
    let changed = |field, of: fn(&'a Optimization) -> Option<&'a Stamp>| {
        let version = |held: &'a Optimization| of(held).map(|stamp| &stamp.version).max(created(held));
        (field, version(old), version(new))
    };
    [
        ("deleted", deleted(old), deleted(new)),
        ("created_at", created(old), created(new)),
        changed("name", |held| held.name.as_ref().map(|register| &register.stamp)),
        changed("description", |held| held.description.as_ref().map(|register| &register.stamp)),
        changed("cell_name", |held| held.cell_name.as_ref().map(|register| &register.stamp)),
        changed("parameterized_model_name", |held| {
            held.parameterized_model_name.as_ref().map(|register| &register.stamp)
        }),
    ]
}

fn version<T>(register: Option<&Register<T>>) -> Option<&Version> {
    register.map(|register| &register.stamp.version)
}

fn is_behind(old: Option<&Version>, new: Option<&Version>) -> bool {
    new < old
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::event::{JobChange, Metadata, RunChange};
    use super::super::{PartitionOffset, Timestamp, Topic};
    use super::*;

    fn metadata(sequence: u64) -> Metadata<'static> {
        Metadata { event_id: format!("e{sequence}").into(), occurred_at: Timestamp::default(), sequence }
    }

    fn position(sequence: u64) -> PartitionOffset {
        PartitionOffset { topic: Topic::Jobs, partition: 0, offset: sequence.cast_signed() }
    }

    fn stamp(sequence: u64) -> Stamp {
        Stamp::new(&metadata(sequence), 0, position(sequence))
    }

    fn named(sequence: u64) -> Box<Register<Box<str>>> {
        Box::new(Register::new("a name".into(), stamp(sequence)))
    }

    fn created() -> Optimization {
        let mut optimization = Optimization::new(Arc::from("o1"));
        let event = super::super::event::OptimizationCreated::default();
        let created = super::super::CreationFacts::new(&event, Timestamp::default());
        optimization.created = Some(Register::new(created, stamp(1)));
        optimization.link(&Arc::from("j1"), stamp(1));
        optimization
    }

    /// Returns an optimization whose job has taken these statuses and has this number of runs.
    fn with_job(changes: &[JobChange<'_>], runs: u32) -> Optimization {
        let mut optimization = created();
        for (sequence, change) in (1..).zip(changes) {
            optimization.job.apply(change, stamp(sequence));
        }
        for index in 0..runs {
            optimization.job.apply_run(index, &RunChange::Started, &metadata(1), position(1));
        }
        optimization
    }

    const LIFE: [JobChange<'static>; 3] =
        [JobChange::Pending, JobChange::Processing, JobChange::Completed { metrics: None }];

    #[test]
    fn a_state_that_has_seen_as_much_or_more_lacks_nothing() {
        let (one, all) = (with_job(&LIFE[..1], 1), with_job(&LIFE, 3));
        assert!(Shortfall::of(&one, &one).is_empty());
        assert!(Shortfall::of(&one, &all).is_empty());
        let mut renamed = all.clone();
        renamed.name = Some(named(5));
        assert!(Shortfall::of(&all, &renamed).is_empty());
        let mut linked_anew = all.clone();
        linked_anew.link(&Arc::from("j2"), stamp(9));
        linked_anew.job = Job::default();
        assert!(Shortfall::of(&all, &linked_anew).is_empty(), "a later job takes the place");
        let mut deleted = created();
        deleted.deleted = Some(Register::new((), stamp(9)));
        assert!(Shortfall::of(&all, &deleted).is_empty());
        let mut elsewhere = all.clone();
        elsewhere.created.as_mut().unwrap().stamp.source = position(77);
        assert!(Shortfall::of(&all, &elsewhere).is_empty(), "the same event at another place");
    }

    #[test]
    fn what_goes_back_or_vanishes_is_named() {
        let all = with_job(&LIFE, 3);
        let nothing = Optimization::new(Arc::from("o1"));
        assert!(Shortfall::of(&all, &nothing).view);
        let shortfall = Shortfall::of(&all, &with_job(&LIFE[..1], 1));
        assert_eq!(shortfall.fields, ["status", "run_count"]);
        assert!(shortfall.history, "an earlier status is missing, too");
        assert_eq!(Shortfall::of(&all, &created()).fields, ["status", "run_count"]);
        let mut renamed = all.clone();
        renamed.name = Some(named(5));
        assert_eq!(Shortfall::of(&renamed, &all).fields, ["name"]);
        let mut deleted = all.clone();
        deleted.deleted = Some(Register::new((), stamp(9)));
        assert_eq!(Shortfall::of(&deleted, &all).fields, ["deleted"], "it would come back");
    }

    #[test]
    fn what_readers_are_not_shown_is_history() {
        let all = with_job(&LIFE, 0);
        let mut last_only = created();
        last_only.job.apply(&LIFE[2], stamp(3));
        let shortfall = Shortfall::of(&all, &last_only);
        assert_eq!((shortfall.view, shortfall.fields.len(), shortfall.history), (false, 0, true));
        let mut waiting = Optimization::new(Arc::from("o1"));
        waiting.name = Some(named(5));
        let nothing = Optimization::new(Arc::from("o1"));
        let shortfall = Shortfall::of(&waiting, &nothing);
        assert_eq!((shortfall.view, shortfall.fields.len(), shortfall.history), (false, 0, true));
        let job = |count: usize| with_job(&LIFE[..count], 1).job;
        assert!(Shortfall::of_job(&job(1), &job(3)).is_empty());
        assert_eq!(Shortfall::of_job(&job(3), &job(1)).fields, ["status"]);
    }
}
