//! The data directories and the plans that the test begins with.

use super::images::Change;
use crate::domain::{Topic, TopicPartition};
use crate::generation::life::action::{FileAction, FrozenGeneration, LiveGeneration};
use crate::generation::life::{Plan, RebuildKind, RebuildOptions};
use crate::projector::Positions;
use crate::store::FORMAT;

/// Records that a live generation which is kept up to date has read. Fewer are on the disk.
pub const READ: u64 = 5;
const ON_DISK: u64 = 3;
/// Records that the topics have, where they have lost some.
const LEFT: u64 = 2;

/// A data directory, and a plan.
#[derive(Clone, Debug)]
pub struct Scenario {
    pub name: String,
    /// The changes that make the data directory.
    pub changes: Vec<Change>,
    pub aim: Aim,
    pub live_generation: u64,
    pub live: LiveGeneration,
    /// Records that the live generation has on the disk, and that it shows.
    pub on_disk: u64,
    pub shown: u64,
    /// Records that the topics have.
    pub topics: u64,
}

#[derive(Clone, Debug)]
pub enum Aim {
    CarryOut(Plan),
    ShowAsLeft(u64),
}

impl Scenario {
    pub fn new_generation(&self) -> u64 {
        match &self.aim {
            Aim::CarryOut(plan) => plan.generation,
            Aim::ShowAsLeft(generation) => *generation,
        }
    }

    pub fn is_shown_as_left(&self) -> bool {
        matches!(self.aim, Aim::ShowAsLeft(_))
    }

    pub fn is_asked_for(&self) -> bool {
        self.live.frozen().is_some_and(|frozen| frozen.is_asked_for)
    }

    pub fn has_other_format(&self) -> bool {
        self.live.has_other_format()
    }

    /// Returns true if the generation that the plan makes has less than the live one.
    pub fn loses(&self) -> bool {
        matches!(&self.aim, Aim::CarryOut(plan) if plan.kind.is_built()) && self.topics < self.shown
    }

    /// Returns true if the generation stays whatever becomes of the plan.
    pub fn keeps(&self, generation: u64) -> bool {
        match &self.aim {
            Aim::CarryOut(plan) if plan.kind.is_built() => {
                generation == self.live_generation && (plan.options.keep > 0 || self.loses())
            }
            Aim::CarryOut(_) | Aim::ShowAsLeft(_) => true,
        }
    }

    /// Returns true if the generation is none that the plan has made.
    pub fn is_there_before(&self, generation: u64) -> bool {
        let is_built = matches!(&self.aim, Aim::CarryOut(plan) if plan.kind.is_built());
        !(is_built && generation == self.new_generation())
    }
}

/// The positions at which every generation is paused: what the topics have lost lies before them.
pub fn positions() -> Positions {
    Positions::from([(TopicPartition::new(Topic::Jobs, 0), 9)])
}

fn following() -> LiveGeneration {
    LiveGeneration::Following
}

fn frozen(is_asked_for: bool) -> LiveGeneration {
    LiveGeneration::Frozen(FrozenGeneration {
        positions: positions(),
        is_asked_for,
        has_other_format: !is_asked_for,
        is_closed: true,
    })
}

fn generation(number: u64, records: u64) -> [Change; 2] {
    [Change::Create(number), Change::Write { generation: number, records }]
}

fn file(action: FileAction) -> [Change; 1] {
    [Change::File(action)]
}

fn options() -> RebuildOptions {
    RebuildOptions { keep: 1, examples: 3, ..RebuildOptions::default() }
}

fn plan(generation: u64, kind: RebuildKind, options: RebuildOptions) -> Plan {
    Plan { generation, kind, options, format: FORMAT }
}

pub fn scenarios() -> Vec<Scenario> {
    let builds = [
        ("build", RebuildKind::Build, options()),
        ("build and keep none", RebuildKind::Build, RebuildOptions { keep: 0, ..options() }),
        ("dry run", RebuildKind::Build, RebuildOptions { dry_run: true, ..options() }),
        ("expect the same", RebuildKind::Build, RebuildOptions { expect_same: true, ..options() }),
        ("until", RebuildKind::Build, RebuildOptions { until_millis: Some(7), ..options() }),
        ("accept loss", RebuildKind::Build, RebuildOptions { accept_loss: true, keep: 0, ..options() }),
        ("verify", RebuildKind::VerifyOnly, RebuildOptions { dry_run: true, ..options() }),
    ];
    let mut scenarios = Vec::new();
    let first = || [generation(1, ON_DISK).to_vec(), file(FileAction::SetCurrent(1)).to_vec()].concat();
    let other_format = || [first(), vec![Change::OtherFormat(1)]].concat();
    let asked_for = || [first(), file(FileAction::WriteFrozenMark(1)).to_vec()].concat();
    for (what, live, shown, changes) in [
        ("kept up to date", following(), READ, first()),
        ("another version's", frozen(false), ON_DISK, other_format()),
        ("shown as it was left", frozen(true), ON_DISK, asked_for()),
    ] {
        for (name, kind, options) in &builds {
            for topics in [READ, LEFT] {
                scenarios.push(Scenario {
                    name: format!("{name}, of {topics} records; the live one is {what}"),
                    changes: changes.clone(),
                    aim: Aim::CarryOut(plan(2, *kind, options.clone())),
                    live_generation: 1,
                    live: live.clone(),
                    on_disk: ON_DISK,
                    shown,
                    topics,
                });
            }
        }
    }
    scenarios.extend(rollbacks());
    scenarios
}

fn rollbacks() -> Vec<Scenario> {
    let two = |current| {
        let two = [generation(1, ON_DISK).to_vec(), generation(2, ON_DISK).to_vec()];
        [two.concat(), file(FileAction::SetCurrent(current)).to_vec()].concat()
    };
    let with = |changes: Vec<Change>, action| [changes, file(action).to_vec()].concat();
    let back = |generation| Aim::CarryOut(plan(generation, RebuildKind::Rollback, options()));
    let half_built = plan(2, RebuildKind::Build, options());
    let first = [generation(1, ON_DISK).to_vec(), file(FileAction::SetCurrent(1)).to_vec()].concat();
    let resumed = with(first, FileAction::WritePlan(half_built.clone()));
    let scenario = |name: &str, changes, aim, live_generation, live, shown| Scenario {
        name: name.to_owned(),
        changes,
        aim,
        live_generation,
        live,
        on_disk: ON_DISK,
        shown,
        topics: READ,
    };
    // What `rollback --frozen` left where a crash came between its two files.
    let marked = with(two(2), FileAction::WriteFrozenMark(1));
    let asked_for = with(two(1), FileAction::WriteFrozenMark(1));
    let both = with(asked_for.clone(), FileAction::WriteFrozenMark(2));
    let second_of_both = with(both.clone(), FileAction::SetCurrent(2));
    vec![
        scenario("rollback to the second marked", both, back(2), 1, frozen(true), ON_DISK),
        scenario("rollback to the first of two marked", second_of_both, back(1), 2, frozen(true), ON_DISK),
        scenario("rollback", two(2), back(1), 2, following(), READ),
        scenario("rollback to one that was marked", marked.clone(), back(1), 2, following(), READ),
        scenario("rollback from a frozen one", asked_for.clone(), back(2), 1, frozen(true), ON_DISK),
        scenario(
            "rollback from another version's",
            [two(1), vec![Change::OtherFormat(1)]].concat(),
            back(2),
            1,
            frozen(false),
            ON_DISK,
        ),
        scenario("frozen", two(2), Aim::ShowAsLeft(1), 2, following(), READ),
        scenario("frozen once more", marked, Aim::ShowAsLeft(1), 2, following(), READ),
        scenario("frozen from a frozen one", asked_for, Aim::ShowAsLeft(2), 1, frozen(true), ON_DISK),
        scenario(
            "a build that is resumed half made",
            [resumed.clone(), vec![Change::HalfBuilt(2)]].concat(),
            Aim::CarryOut(half_built.clone()),
            1,
            following(),
            READ,
        ),
        scenario(
            "a build that is resumed",
            [resumed, generation(2, 1).to_vec()].concat(),
            Aim::CarryOut(half_built),
            1,
            following(),
            READ,
        ),
    ]
}
