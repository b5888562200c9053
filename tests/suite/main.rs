//! What optview promises, one file a promise. Needs nothing but this machine.

mod cases;
mod command_line;
mod fold;
mod golden;
mod support;
mod synthetic;
