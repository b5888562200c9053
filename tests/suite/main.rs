//! What optview promises, one file a promise. Needs nothing but this machine.

mod fold;
mod golden;
mod support;
