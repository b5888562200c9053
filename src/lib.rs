//! optview folds what Kafka says of optimizations, their jobs and their multistart runs into one current view per
//! optimization, keeps it in sled, and serves it over HTTP.
//!
//! In reading order, which is the order in which the data meets the modules:
//!
//! 1. [`domain`]: events, registers, the fold, the view. Pure.
//! 2. [`codec`]: bytes to events, records to bytes and back.
//! 3. [`source`]: where records come from.
//! 4. [`store`]: where views are kept; one writer, many readers.
//! 5. [`projector`]: the one loop: read, decode, fold, commit, checkpoint.
//! 6. [`status`], [`explain`] and [`http`]: what the outside sees.
//! 7. [`tools`]: what is asked of a store, through the process that holds it or without one.
//! 8. [`snapshot`]: a copy of a store in one file.
//! 9. [`serve`], [`demo`], [`load`], [`archive`], [`history`]: the commands, composed of the above.

pub mod archive;
pub mod cli;
pub mod codec;
pub mod config;
pub mod demo;
pub mod disk;
pub mod domain;
pub mod explain;
pub mod generation;
pub mod history;
pub mod http;
pub mod load;
pub mod logging;
pub mod output;
pub mod panic_text;
pub mod process;
pub mod progress;
pub mod projector;
pub mod pulse;
pub mod serve;
pub mod shutdown;
pub mod signals;
pub mod snapshot;
pub mod source;
pub mod status;
pub mod store;
pub mod synthetic;
pub mod terminal;
pub mod tools;
pub mod version;
