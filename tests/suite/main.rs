//! What optview promises, one file a promise. Needs nothing but this machine.

mod command_line;
mod fold;
mod golden;
mod large;
mod lists;
mod made;
#[cfg(target_os = "linux")]
mod power_cut;
mod projector;
mod recovery;
mod support;
mod synthetic;
