//! The options of commands that can do without Kafka.

use std::ops::Deref;

use clap::{ArgMatches, Args, Command, Error, FromArgMatches};

/// Settings that need a cluster, where brokers were given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OptionalKafka<T>(pub Option<T>);

impl<T> Deref for OptionalKafka<T> {
    type Target = Option<T>;

    fn deref(&self) -> &Option<T> {
        &self.0
    }
}

impl<T: Args> Args for OptionalKafka<T> {
    /// Adds the options without the data directory, which such a command has as an option of its own.
    fn augment_args(command: Command) -> Command {
        let settings = T::augment_args(Command::new("settings"));
        let options = settings.get_arguments().filter(|option| option.get_id() != DATA_DIR);
        // Each is shown behind those that the command has already.
        command
            .args(options.map(|option| option.clone().display_order(None)))
            .mut_arg(BROKERS, |brokers| brokers.required(false))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl<T: FromArgMatches> FromArgMatches for OptionalKafka<T> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        Ok(OptionalKafka(matches.contains_id(BROKERS).then(|| T::from_arg_matches(matches)).transpose()?))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

const BROKERS: &str = "brokers";
const DATA_DIR: &str = "data_dir";
