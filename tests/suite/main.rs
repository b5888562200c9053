//! What optview promises, one file a promise. Needs nothing but this machine.

mod architecture;
mod cases;
mod command_line;
mod documents;
mod fold;
mod golden;
mod limits;
mod published;
mod refused;
mod support;
mod synthetic;
