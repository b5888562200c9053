//! optview folds Kafka events about optimizations, their jobs and their multistart runs into one current view per
//! optimization, keeps the views in sled, and serves them over HTTP.
//!
//! The modules, in the order in which the data meets them:
//!
//! 1. [`domain`]: events, registers, the fold, the view. Pure.
//! 2. [`codec`]: bytes to events, and records to bytes and back. Pure.
//! 3. [`source`]: records from Kafka and from archives.
//! 4. [`data_dir`]: the generations that there are, and which is the live one. [`store`]: the views of a generation in sled, with one
//!    writer and many readers.
//! 5. [`projector`]: the one loop, which reads, decodes, folds, commits and writes checkpoints. `pulse` records when each of its
//!    stages began its piece of work.
//! 6. [`publication`]: the views on a topic, for whoever wants all of them. [`replica`]: a store that is made of such a topic. `generation`: a data directory at work, with its live generation and the one that is to replace it.
//! 7. [`status`], [`live_views`], [`explain`], [`dead_letters`] and [`http`]: everything that readers and operators see.
//! 8. [`snapshot`]: a copy of a generation in one file.
//! 9. [`tools`]: commands on a store, run by the process that serves it, which [`control`] reaches, or by their own.
//! 10. [`serve`], [`check`], [`demo`], [`load`], [`archive`], [`history`], [`keys`], [`publish`]: the other commands, composed of the above. [`synthetic`] makes the
//!     histories of `load` and `demo`.
//!
//! Around these: [`cli`] has the arguments as typed, and [`config`] the validated settings, with the [`credentials`]. [`logging`], [`output`], `progress`
//! and `terminal` write for people and programs. [`process`], [`signals`] and `shutdown` begin and end a process. [`origins`] has the origins of web pages, [`disk`]
//! what is common to files, and `version` the build's version.

pub mod archive;
pub mod check;
pub mod cli;
pub mod codec;
pub mod config;
pub mod control;
pub mod credentials;
pub mod data_dir;
pub mod dead_letters;
pub mod demo;
pub mod disk;
pub mod domain;
pub mod explain;
mod generation;
pub mod history;
pub mod http;
pub mod keys;
pub mod live_views;
pub mod load;
pub mod logging;
pub mod origins;
pub mod output;
mod panic_text;
pub mod process;
mod progress;
mod progress_display;
pub mod projector;
pub mod publication;
pub mod publish;
mod pulse;
pub mod replica;
pub mod serve;
mod shutdown;
pub mod signals;
pub mod snapshot;
pub mod source;
pub mod status;
pub mod store;
pub mod synthetic;
mod terminal;
pub mod tools;
pub mod validate;
mod version;
