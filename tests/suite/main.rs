//! The tests of optview's promises, one file a promise. They need nothing but this machine.

#![expect(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a test that panics has failed, and its numbers are small"
)]

mod accepted_forms;
mod architecture;
mod archive;
mod cases;
mod check;
mod command_line;
mod data_dir;
mod dead_letters;
#[cfg(target_os = "linux")]
mod described_api;
mod descriptors;
mod documents;
mod event_documents;
mod explain;
mod fixtures;
mod fold;
mod freshness;
mod frozen_generations;
mod golden;
mod history;
mod http_manners;
#[cfg(target_os = "linux")]
mod json_mapping;
mod json_schemas;
mod keys;
mod keys_and_null_values;
mod large_values;
mod limits;
mod list_api;
mod lists;
mod live_instance;
mod long_streams;
mod losses;
#[cfg(target_os = "linux")]
mod no_damage;
mod organization_moves;
mod other_catalog;
mod other_stream;
mod other_version;
#[cfg(target_os = "linux")]
mod output;
mod outranking;
#[cfg(target_os = "linux")]
mod ownership;
mod paced_streams;
#[cfg(target_os = "linux")]
mod power_cut;
#[cfg(target_os = "linux")]
mod private_files;
#[cfg(target_os = "linux")]
mod program;
mod projector;
mod published_events;
mod published_views;
mod recovery;
mod refusals;
#[cfg(target_os = "linux")]
mod regressions;
mod replica;
mod snapshot;
#[cfg(target_os = "linux")]
mod standstill;
mod streams;
mod support;
mod synthetic;
mod tools;
mod transitions;
mod validate;
mod verify;
mod waiting_reads;
mod wrapped_values;
