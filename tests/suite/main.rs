//! What optview promises, one file a promise. Needs nothing but this machine.

#![expect(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a test that panics has failed, and its numbers are small"
)]

mod architecture;
mod archive;
mod cases;
mod command_line;
mod currency;
mod data_dir;
#[cfg(target_os = "linux")]
mod descriptors;
mod documents;
mod explain;
mod fold;
mod frozen;
mod golden;
mod history;
mod large;
mod limits;
mod lists;
mod losses;
mod made;
mod moving;
#[cfg(target_os = "linux")]
mod no_damage;
mod other_stream;
mod other_version;
#[cfg(target_os = "linux")]
mod output;
mod outranked;
#[cfg(target_os = "linux")]
mod ownership;
#[cfg(target_os = "linux")]
mod power_cut;
#[cfg(target_os = "linux")]
mod private_files;
#[cfg(target_os = "linux")]
mod program;
mod projector;
mod published;
mod recovery;
mod refused;
#[cfg(target_os = "linux")]
mod seen_from_outside;
mod snapshot;
#[cfg(target_os = "linux")]
mod standstill;
mod support;
mod synthetic;
mod tools;
mod understood;
mod verify;
