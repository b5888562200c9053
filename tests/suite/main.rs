//! What optview promises, one file a promise. Needs nothing but this machine.

mod cases;
mod command_line;
mod fold;
mod golden;
mod limits;
mod support;
mod synthetic;
