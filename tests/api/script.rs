//! The scripts of tests. A script asks for an event by a line on its stdout, `event ID WHAT`; its other lines are its results.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use crate::instance::World;

/// Runs a script to its end. Returns its results.
pub fn run(world: &World, command: &mut Command) -> Vec<String> {
    run_with(world, command, |_| {})
}

/// Runs a script to its end, and calls `then` after each result. Returns its results.
pub fn run_with(world: &World, command: &mut Command, mut then: impl FnMut(&[String])) -> Vec<String> {
    let errors = world.directory().join("stderr");
    let stderr = File::create(&errors).unwrap();
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(stderr).spawn();
    let mut child = child.unwrap_or_else(|error| panic!("{command:?} cannot be run: {error}"));
    let stdout = BufReader::new(child.stdout.take().expect("a pipe"));
    let mut results = Vec::new();
    for line in stdout.lines() {
        let line = line.expect("text");
        let words: Vec<&str> = line.split(' ').collect();
        if let ["event", id, what] = words[..] {
            world.put(id, what);
        } else {
            results.push(line);
            then(&results);
        }
    }
    let status = child.wait().expect("a script that ends");
    let errors = std::fs::read_to_string(errors).unwrap();
    assert!(status.success(), "{command:?} failed after {results:#?}:\n{errors}");
    results
}
