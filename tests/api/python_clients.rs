//! The platform's own Python client, unmodified, at an instance that catches up, at one that has lost its brokers, and at one with
//! keys: the newest release, and the oldest that is in use.

use std::path::Path;
use std::process::Command;

use crate::Test;
use crate::browser::{KEY, keys_file};
use crate::instance::{Server, World};
use crate::{python, script, tools};

pub const TESTS: &[Test] = &[
    test!(the_newest_python_client_waits_for_an_instance_that_has_lost_its_brokers, PythonClients),
    test!(the_oldest_python_client_waits_for_an_instance_that_has_lost_its_brokers, PythonClients),
    test!(the_newest_python_client_is_denied_nothing_by_an_instance_that_catches_up, PythonClients),
    test!(the_oldest_python_client_is_denied_nothing_by_an_instance_that_catches_up, PythonClients),
    test!(the_newest_python_client_reads_with_a_key_what_is_its_organizations, PythonClients),
    test!(the_oldest_python_client_reads_with_a_key_what_is_its_organizations, PythonClients),
];

fn the_newest_python_client_waits_for_an_instance_that_has_lost_its_brokers(world: &World) {
    lose_brokers(world, python::CLIENTS[0]);
}

fn the_oldest_python_client_waits_for_an_instance_that_has_lost_its_brokers(world: &World) {
    lose_brokers(world, python::CLIENTS[1]);
}

fn the_newest_python_client_is_denied_nothing_by_an_instance_that_catches_up(world: &World) {
    catch_up(world, python::CLIENTS[0]);
}

fn the_oldest_python_client_is_denied_nothing_by_an_instance_that_catches_up(world: &World) {
    catch_up(world, python::CLIENTS[1]);
}

fn the_newest_python_client_reads_with_a_key_what_is_its_organizations(world: &World) {
    read_with_key(world, python::CLIENTS[0]);
}

fn the_oldest_python_client_reads_with_a_key_what_is_its_organizations(world: &World) {
    read_with_key(world, python::CLIENTS[1]);
}

fn lose_brokers(world: &World, client: &str) {
    begin(world);
    let server = world.serve_all(&["--missing-wait", "0s"]);
    world.lose_brokers();
    server.wait_until("stale");
    let results = run(world, client, &["lost", &server.base()], |result| {
        if result == "recover" {
            world.bring_brokers_back();
            world.put("opt-1", "completed");
        }
    });
    assert_eq!(results, ["x-correlation-id", "still running", "recover", "recovered"]);
}

/// The instance has read the optimizations, while the broker of the jobs has never answered.
fn catch_up(world: &World, client: &str) {
    begin(world);
    world.lose_broker_of_jobs();
    let server = world.serve(&["--missing-wait", "0s"]);
    server.wait_for("optimizations are read", |status| status["views"] == 1 && status["state"] != "live");
    let results = run(world, client, &["catching-up", &server.base()], |result| {
        if result == "recover" {
            world.bring_brokers_back();
            world.put("opt-late", "created");
            world.put("opt-1", "completed");
        }
    });
    assert_eq!(results, ["x-correlation-id", "x-correlation-id", "unavailable", "recover", "recovered"]);
}

fn read_with_key(world: &World, client: &str) {
    begin(world);
    world.create("theirs", serde_json::json!({"organizationId": "org-2"}));
    let server: Server = world.serve_all(&["--missing-wait", "0s", "--api-keys", &keys_file(world)]);
    let results = run(world, client, &["keys", &server.base(), KEY], |result| {
        if result == "complete" {
            world.put("opt-1", "completed");
        }
    });
    assert_eq!(results.last().map(String::as_str), Some("completed"));
}

/// An optimization that runs.
fn begin(world: &World) {
    ["created", "pending", "processing"].iter().for_each(|what| world.put("opt-1", what));
}

/// Runs the script with a release of the client, and calls `then` with each result. The client prints the correlation ids of its
/// errors, of which only the name is left.
fn run(world: &World, client: &str, arguments: &[&str], mut then: impl FnMut(&str)) -> Vec<String> {
    let script: &Path = &tools::folder().join("python_clients.py");
    let mut command = Command::new(python::environment(client).unwrap());
    command.arg(script).args(arguments);
    // Its own settings in the environment are not this test's.
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("IONWORKS_") || name == "PROJECT_ID") {
        command.env_remove(name);
    }
    let results = script::run_with(world, &mut command, |results| then(results.last().expect("a result")));
    results.iter().map(|line| line.split(':').next().unwrap_or_default().to_owned()).collect()
}
