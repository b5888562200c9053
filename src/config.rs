//! The configuration: what each command may be given, declared once, and read whole from the command line, the environment
//! and the configuration file, so that every mistake is named at once and nothing starts half configured.
//!
//! The only reader of the environment. Nothing else may ask it, or the answer would depend on who asks. The comments of
//! the options are what `--help` shows.

use clap::{ArgMatches, Args as _, FromArgMatches, Subcommand};

use crate::cli::{self, CommandLine};
use crate::logging::LogConfig;

pub use access::AccessConfig;
pub use archive::{ArchiveConfig, ArchiveExportConfig, ArchiveImportConfig, ArchiveVerifyConfig};
pub use check::CheckConfig;
pub use dead_letters::{
    ChosenLettersConfig, DeadLettersConfig, LetterConfig, LetterFilter, LettersConfig, LettersExportConfig,
    ResumeConfig, RetryConfig,
};
pub use demo::DemoConfig;
pub use history::{AsOf, HistoryConfig, LogSource};
pub use keys::{Expiry, KeyFileConfig, KeysAddConfig, KeysConfig, KeysRevokeConfig};
use layers::Layers;
pub use layers::{Environment, Mistakes};
pub use load::LoadConfig;
pub use optional_kafka::OptionalKafka;
pub use projection::ProjectionConfig;
pub use publication::{PublicationConfig, PublishConfig};
pub use serve::{OnFormatChange, ServeConfig};
pub use tools::{
    RebuildConfig, RebuildRequest, Removal, RollbackConfig, SnapshotConfig, SnapshotExportConfig,
    SnapshotImportConfig, ToolConfig, VerifyConfig,
};
pub use validate::ValidateConfig;

/// Reads a type from the command line as the second type is read, and converts it.
macro_rules! read_as {
    ($meant:ty, $typed:ty) => {
        impl clap::Args for $meant {
            fn augment_args(command: clap::Command) -> clap::Command {
                <$typed>::augment_args(command)
            }

            fn augment_args_for_update(command: clap::Command) -> clap::Command {
                <$typed>::augment_args_for_update(command)
            }
        }

        impl clap::FromArgMatches for $meant {
            fn from_arg_matches(matches: &clap::ArgMatches) -> Result<Self, clap::Error> {
                <$typed>::from_arg_matches(matches).map(Into::into)
            }

            fn update_from_arg_matches(&mut self, matches: &clap::ArgMatches) -> Result<(), clap::Error> {
                *self = Self::from_arg_matches(matches)?;
                Ok(())
            }
        }
    };
}

mod access;
mod archive;
mod check;
mod checks;
mod dead_letters;
mod demo;
mod disk;
mod file;
mod history;
mod kafka;
mod keys;
mod layers;
mod load;
mod log;
mod optional_kafka;
mod projection;
mod publication;
mod serve;
mod tools;
mod validate;
mod values;
mod variables;

/// A command with all that it needs.
#[derive(Clone, Debug, PartialEq, Subcommand)]
pub enum Command {
    /// Keep the views up to date from Kafka, and serve them over HTTP
    Serve(Box<ServeConfig>),
    /// Check everything that `serve` with the same settings rests on, before it starts or beside it
    Check(Box<CheckConfig>),
    /// Show all of it with nothing to set up: an in-process broker, live traffic, the real server
    Demo(DemoConfig),
    /// Publish all views of a store at rest, or of a snapshot, on a topic
    Publish(Box<PublishConfig>),
    /// Put a synthetic, repeatable history on the topics, for trials and benchmarks
    Load(LoadConfig),
    /// Explain an optimization's view: which event set each of its fields
    Explain {
        /// The optimization's id
        #[arg(value_name = "ID", value_parser = values::id)]
        id: String,
        /// The data directory, and the form of the result.
        #[command(flatten)]
        tool: ToolConfig,
    },
    /// Prove the store: every record, the lists and totals, and how far it has read
    Verify(Box<VerifyConfig>),
    /// List the generations of the store, the live one and those beside it, or remove one
    Generations {
        /// The generation to remove, if any.
        #[command(flatten)]
        removal: Removal,
        /// The data directory, and the form of the result.
        #[command(flatten)]
        tool: ToolConfig,
    },
    /// Accept that the views are built without records that the topics no longer had
    AcceptLoss(ToolConfig),
    /// Build the views anew from the topics, compare them with the live ones, and let readers see them
    Rebuild(Box<RebuildConfig>),
    /// Let readers see an earlier generation again, once it has caught up, or frozen as it was left
    Rollback(Box<RollbackConfig>),
    /// Look at the records that were not understood, try them again, or discard them
    #[command(subcommand)]
    DeadLetters(DeadLettersConfig),
    /// Keep the topics' records in files
    #[command(subcommand)]
    Archive(ArchiveConfig),
    /// Show what happened to an optimization, event by event, or its view as it was at a moment
    History(HistoryConfig),
    /// Try events before they are shipped: what the views become of them, or why they are refused
    Validate(ValidateConfig),
    /// Copy the store as one file
    #[command(subcommand)]
    Snapshot(SnapshotConfig),
    /// Make, list and revoke the API keys of those who may read
    #[command(subcommand)]
    Keys(KeysConfig),
}

/// The settings that the program is given: a command, and what every command has.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The command with its own settings.
    pub command: Command,
    /// The format and the filter of the log lines.
    pub log: LogConfig,
}

impl Subcommand for Config {
    fn augment_subcommands(program: clap::Command) -> clap::Command {
        with_log_options(Command::augment_subcommands(program))
    }

    fn augment_subcommands_for_update(program: clap::Command) -> clap::Command {
        with_log_options(Command::augment_subcommands_for_update(program))
    }

    fn has_subcommand(name: &str) -> bool {
        Command::has_subcommand(name)
    }
}

impl FromArgMatches for Config {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Config, clap::Error> {
        let mut of_command = matches;
        while let Some((_, matches)) = of_command.subcommand() {
            of_command = matches;
        }
        let log = LogConfig::from_arg_matches(of_command)?;
        Ok(Config { command: Command::from_arg_matches(matches)?, log })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Config::from_arg_matches(matches)?;
        Ok(())
    }
}

/// Adds the options of the log to a command, or to each of the commands under it.
fn with_log_options(command: clap::Command) -> clap::Command {
    match command.has_subcommands() {
        true => command.mut_subcommands(with_log_options),
        false => LogConfig::augment_args(command),
    }
}

/// Returns the configuration with its warnings, or else every mistake.
pub fn read(line: &CommandLine, environment: &Environment) -> Result<(Config, Vec<String>), Mistakes> {
    let program = cli::program::<Config>();
    let mut layers = Layers::new(line, environment, &program);
    kafka::merge_properties(&mut layers);
    log::choose_filter(&mut layers);
    layers.parse();
    checks::check(&mut layers);
    let (api_keys, bearer_tokens) = (checks::api_keys(&mut layers), checks::bearer_tokens(&mut layers));
    let command = layers.command().to_owned();
    let (arguments, warnings) = layers.finish()?;
    let config = program.try_get_matches_from(arguments).and_then(|matches| Config::from_arg_matches(&matches));
    // What a value names may have changed since it was parsed for itself.
    let mut config = config.map_err(|error| Mistakes::of(&command, error.to_string()))?;
    let access = match &mut config.command {
        Command::Serve(serve) => Some(&mut serve.access),
        Command::Check(check) => Some(&mut check.serve.access),
        _ => None,
    };
    if let Some(access) = access {
        (access.api_keys, access.bearer_tokens) = (api_keys, bearer_tokens);
    }
    Ok((config, warnings))
}

#[cfg(test)]
mod tests;
