//! One binary, one file a promise.

mod command_line;
