//! The standstill of the projector, as its supervisor finds it.

use serde::Serialize;

/// A stage of the projector that has been at one piece of work for too long.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StageStall {
    /// The stage's name.
    pub stage: &'static str,
    /// The time at which the piece of work began, RFC 3339.
    pub since: String,
}

/// A standstill of the projector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standstill {
    /// The stages that stand still, at least one. The first is the cause, as far as one is.
    pub stages: Vec<StageStall>,
    /// The description for people.
    pub text: String,
}
