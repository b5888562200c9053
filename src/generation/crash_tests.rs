//! Every path of the machines, with a kill after every action: what the next start makes of the files is always a usable live
//! generation that shows no less than before, unless loss was accepted; and nothing is left over once it has resumed.
//!
//! The files are real ones. What a projector does is simulated: a generation's records are parked jobs, and those that it has read
//! but not written are gone with the process.

mod images;
mod scenarios;
mod world;

use std::collections::HashSet;

use images::{Images, Start};
use scenarios::{Scenario, scenarios};
use world::{Alternative, World};

/// The number of kills that were tried, and of different states of the files that the next start found.
#[derive(Debug, Default)]
struct WalkCount {
    kills: usize,
    paths_ended: usize,
    starts: usize,
}

#[test]
fn a_kill_after_any_action_leaves_a_live_generation_and_nothing_else() {
    let begin = std::time::Instant::now();
    let scenarios = scenarios();
    let tried: Vec<WalkCount> = std::thread::scope(|scope| {
        let walks: Vec<_> = scenarios.iter().map(|scenario| scope.spawn(|| walk(scenario))).collect();
        walks.into_iter().map(|walk| walk.join().expect("a walk without a failure")).collect()
    });
    let sum = |count: fn(&WalkCount) -> usize| tried.iter().map(count).sum::<usize>();
    let (kills, paths, starts) =
        (sum(|tried| tried.kills), sum(|tried| tried.paths_ended), sum(|tried| tried.starts));
    let took = begin.elapsed();
    assert!(
        kills > 3_000 && paths > 300 && starts > 100,
        "{kills} kills, {paths} paths, {starts} starts in {took:?}"
    );
}

/// Walks every path of a scenario.
fn walk(scenario: &Scenario) -> WalkCount {
    let mut images = Images::new();
    let mut tried = WalkCount::default();
    let mut seen = HashSet::new();
    let (machine, world) = World::begin(scenario, &mut images);
    check(scenario, &world, &mut images, &[]);
    let mut open = vec![(machine, world, Vec::new())];
    while let Some((machine, world, path)) = open.pop() {
        for alternative in world.alternatives(&machine) {
            let mut path = path.clone();
            path.push(alternative.to_string());
            let (next, world) = world.after(&machine, &alternative, scenario, &mut images);
            tried.kills += 1;
            check(scenario, &world, &mut images, &path);
            match next {
                Some(machine) if seen.insert(format!("{machine:?} {world:?}")) => {
                    open.push((machine, world, path))
                }
                Some(_) => {}
                None => {
                    tried.paths_ended += 1;
                    check_end(scenario, &world, &images, &path);
                }
            }
        }
    }
    tried.starts = images.starts();
    tried
}

/// Checks what the next start makes of the files as they are now.
fn check(scenario: &Scenario, world: &World, images: &mut Images, path: &[String]) {
    let told = |what: &str| format!("{}: {what}, after {path:#?}", scenario.name);
    let start = images.start(&world.image);
    check_start(scenario, world, &start, &told);
    let Some(plan) = start.plan.clone() else {
        return check_leftovers(
            scenario,
            &start.image.generations(),
            start.image.has_plan(),
            start.current,
            &told,
        );
    };
    // The next start resumes the plan, and everything goes well.
    let (mut machine, mut resumed) = World::resume(scenario, &start, plan);
    let ended = loop {
        let (next, after) = resumed.after(&machine, &Alternative::Well, scenario, images);
        resumed = after;
        match next {
            Some(next) => machine = next,
            None => break images.start(&resumed.image),
        }
    };
    check_start(scenario, &resumed, &ended, &told);
    check_leftovers(scenario, &ended.image.generations(), ended.image.has_plan(), ended.current, &told);
}

fn check_start(scenario: &Scenario, world: &World, start: &Start, told: &dyn Fn(&str) -> String) {
    let has_switched = start.current != scenario.live_generation;
    assert!(!has_switched || start.current == scenario.new_generation(), "{}", told("another one is live"));
    let least = if has_switched { world.readers_may_have_seen(scenario) } else { scenario.on_disk };
    assert!(start.records >= least, "{} {}", told("less is shown than before"), start.records);
    let is_asked_for = match has_switched {
        true => scenario.is_shown_as_left(),
        false => scenario.is_asked_for(),
    };
    assert_eq!(start.is_asked_for, is_asked_for, "{}", told("the mark"));
    let is_frozen = is_asked_for || !has_switched && scenario.has_other_format();
    assert_eq!(start.is_frozen, is_frozen, "{}", told("frozen or not"));
    if has_switched && scenario.loses() {
        assert!(start.image.has_surplus(scenario.live_generation), "{}", told("what has more may be removed"));
    }
}

fn check_leftovers(
    scenario: &Scenario,
    generations: &[u64],
    has_plan: bool,
    current: u64,
    told: &dyn Fn(&str) -> String,
) {
    assert!(!has_plan, "{}", told("a plan is left"));
    let is_known = |generation: &u64| *generation == current || scenario.is_there_before(*generation);
    let left: Vec<_> = generations.iter().filter(|generation| !is_known(generation)).collect();
    assert!(left.is_empty(), "{} {left:?}", told("what was built is left"));
    let is_kept = |generation: &u64| !scenario.keeps(*generation) || generations.contains(generation);
    assert!((1..=2).all(|generation| is_kept(&generation)), "{} {generations:?}", told("one is gone"));
}

/// Checks the files where the machine has ended, and the process goes on.
fn check_end(scenario: &Scenario, world: &World, images: &Images, path: &[String]) {
    let current = images.current(&world.image);
    assert_eq!(
        current == scenario.new_generation(),
        world.has_switched || world.current_is_ahead,
        "{}: readers and CURRENT, after {path:#?}",
        scenario.name
    );
}
