//! The pages that optview gives to browsers, and pages of other origins that read from it, in a headless Chromium.

use std::fs;

use crate::Test;
use crate::instance::World;
use crate::{script, tools};

pub const TESTS: &[Test] = &[
    test!(the_page_follows_changes_without_a_reload_and_breaks_no_policy, Node, Chromium),
    test!(the_page_asks_for_a_key_and_keeps_it_in_memory_only, Node, Chromium),
    test!(a_page_of_another_origin_reads_with_a_key_and_follows_an_optimization_live, Node, Chromium),
];

/// The key of `org-1`.
pub const KEY: &str = "key-of-org-1";

/// Writes a file of keys. Returns its path.
pub fn keys_file(world: &World) -> String {
    let path = world.directory().join("keys.toml");
    let keys = format!("[[keys]]\nkey = \"{KEY}\"\nname = \"page\"\norganizations = [\"org-1\"]\n");
    fs::write(&path, keys).unwrap();
    path.display().to_string()
}

/// Puts two optimizations on the topics: one that runs, and one of another organization.
fn begin(world: &World) {
    world.put("opt-1", "created");
    world.put("opt-1", "pending");
    world.put("opt-1", "processing");
    world.create("theirs", serde_json::json!({"organizationId": "org-2", "name": "Theirs"}));
}

fn the_page_follows_changes_without_a_reload_and_breaks_no_policy(world: &World) {
    begin(world);
    let server = world.serve_all(&[]);
    let results = script::run(world, tools::node("browser.mjs").args(["home", &server.base()]));
    assert_eq!(results, ["shown", "followed", "described", "kept nothing", "policy stands"]);
}

fn the_page_asks_for_a_key_and_keeps_it_in_memory_only(world: &World) {
    begin(world);
    let server = world.serve_all(&["--api-keys", &keys_file(world)]);
    let results = script::run(world, tools::node("browser.mjs").args(["keys", &server.base(), KEY]));
    assert_eq!(results, ["asked", "refused", "shown", "followed", "kept nothing", "asked again"]);
}

fn a_page_of_another_origin_reads_with_a_key_and_follows_an_optimization_live(world: &World) {
    begin(world);
    let allowed = ["--cors-origin", "http://localhost:*"];
    let server = world.serve_all(&[&["--api-keys", &keys_file(world)], &allowed[..]].concat());
    let results = script::run(world, tools::node("browser.mjs").args(["other-origin", &server.base(), KEY]));
    assert_eq!(results, ["read", "running", "succeeded", "gone", "refused without a key", "refused elsewhere"]);
}
