//! Where records come from, and, for trials, where they are put.

pub mod kafka;
