//! The layers that a value may come from, the first that has it winning: flag, variable, file, default.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use clap::error::{ContextKind, ContextValue};
use clap::{Arg, ArgAction, ArgMatches, Command, Error};

use super::file::File;
use super::variables;
use crate::cli::{self, CommandLine};

/// The environment variables that concern optview, by name.
#[derive(Clone, Debug, Default)]
pub struct Environment(BTreeMap<String, OsString>);

impl Environment {
    /// Reads the variables of this process: `RUST_LOG`, and those whose name begins with `OPTVIEW_`.
    pub fn of_process() -> Environment {
        let known = |name: &str| name.starts_with("OPTVIEW_") || name == "RUST_LOG";
        let named = |(name, value): (OsString, OsString)| Some((name.into_string().ok()?, value));
        Environment(std::env::vars_os().filter_map(named).filter(|(name, _)| known(name)).collect())
    }

    /// The variables by name, each with its value where that is text.
    fn variables(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.to_str()))
    }
}

/// The options of any command that have a name, each once: one file and one environment may serve several commands.
pub fn named_options(program: &Command) -> Vec<&Arg> {
    let all = cli::commands(program).into_iter().flat_map(|(_, command)| command.get_arguments());
    let named = all.filter(|option| !option.is_positional()).map(|option| (cli::key(option), option));
    named.collect::<BTreeMap<_, _>>().into_values().collect()
}

impl<'a, V: Into<OsString>> FromIterator<(&'a str, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (&'a str, V)>>(variables: I) -> Environment {
        Environment(variables.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect())
    }
}

/// Every mistake in a configuration, each with the flag and the variable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Mistakes {
    command: String,
    mistakes: Vec<String>,
}

impl Mistakes {
    /// The one mistake of a command.
    pub(super) fn of(command: &str, mistake: String) -> Mistakes {
        Mistakes { command: command.to_owned(), mistakes: vec![mistake] }
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Mistakes { command, mistakes } = self;
        match mistakes.len() {
            1 => writeln!(f, "optview {command}: one mistake in the configuration; nothing was started:")?,
            n => writeln!(f, "optview {command}: {n} mistakes in the configuration; nothing was started:")?,
        }
        for mistake in mistakes {
            writeln!(f, "  {mistake}")?;
        }
        write!(f, "`optview {command} --help` explains every option.")
    }
}

/// A text with what gave it.
#[derive(Clone, Debug)]
pub struct RawValue {
    pub text: String,
    pub origin: Origin,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    Flag,
    Variable,
    File,
    /// Neither of them: it was chosen where nothing was given.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Origin::Flag | Origin::Default => "",
            Origin::Variable => " (from the variable)",
            Origin::File => " (from the configuration file)",
        })
    }
}

/// The values of one command, and the mistakes found so far. An option is called by its key, such as `data_dir`.
pub struct Layers<'a> {
    line: &'a CommandLine,
    environment: &'a Environment,
    /// Per option the values of the layer that wins; where an option repeats, those of all layers, the one that wins last.
    values: BTreeMap<String, Vec<RawValue>>,
    /// Options whose value cannot be taken, which is among the mistakes.
    refused: BTreeSet<String>,
    /// The configuration file could not be read: what it gives is not known.
    is_file_unreadable: bool,
    /// The values as parsed, but for those that are refused.
    parsed: ArgMatches,
    mistakes: Vec<String>,
    /// Texts about what is no mistake, and should be looked at.
    warnings: Vec<String>,
}

impl<'a> Layers<'a> {
    pub fn new(line: &'a CommandLine, environment: &'a Environment, program: &Command) -> Layers<'a> {
        let known = named_options(program);
        let (mistakes, warnings) = variables::check(environment.variables(), &known);
        let mut layers = Layers {
            line,
            environment,
            values: BTreeMap::new(),
            refused: BTreeSet::new(),
            is_file_unreadable: false,
            parsed: ArgMatches::default(),
            mistakes,
            warnings,
        };
        layers.merge(&File::default());
        let path = layers.last("config").map(str::trim).filter(|path| !path.is_empty());
        if let Some(path) = path.map(str::to_owned) {
            let (file, mistakes) = File::read(&path, &known);
            for mistake in mistakes {
                layers.mistake(&["config"], &mistake);
            }
            layers.merge(&file);
            layers.is_file_unreadable = file.is_unreadable;
            layers.refused.extend(file.refused);
        }
        layers
    }

    fn merge(&mut self, file: &File) {
        for option in self.line.options.get_arguments() {
            let key = cli::key(option);
            let repeats = matches!(option.get_action(), ArgAction::Append);
            let flags = self.line.flags.get(&key).cloned().unwrap_or_default();
            let variable = cli::variable(option).and_then(|name| self.variable(&name));
            let variable = match variable {
                // A line may be empty. A value that is given elsewhere is one, also an empty one, which is a mistake then.
                Some(Ok(text)) if repeats => {
                    text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect()
                }
                Some(Ok(text)) => vec![text],
                Some(Err(mistake)) => {
                    self.note(mistake);
                    self.refused.insert(key.clone());
                    Vec::new()
                }
                None => Vec::new(),
            };
            let file = if option.is_positional() { &[] } else { file.get(&key) };
            let mut values = Vec::new();
            for (texts, origin) in [(file, Origin::File), (&variable, Origin::Variable), (&flags, Origin::Flag)] {
                if !repeats && !texts.is_empty() {
                    values.clear();
                }
                values.extend(texts.iter().map(|text| RawValue { text: text.clone(), origin: origin.clone() }));
            }
            self.values.insert(key, values);
        }
    }

    /// The words of the command, such as `archive export`.
    pub fn command(&self) -> &str {
        &self.line.command
    }

    pub fn all(&self, option: &str) -> &[RawValue] {
        self.values.get(option).map_or(&[], Vec::as_slice)
    }

    /// The text that was given for an option, if any.
    pub fn last(&self, option: &str) -> Option<&str> {
        self.all(option).last().map(|value| value.text.as_str())
    }

    /// Puts values in the place of those that were given. An option that the command does not have stays without.
    pub fn replace(&mut self, option: &str, texts: Vec<String>) {
        if let Some(values) = self.values.get_mut(option) {
            *values = texts.into_iter().map(|text| RawValue { text, origin: Origin::Default }).collect();
        }
    }

    /// Parses every value. Where one is a mistake, that is noted, and the others are parsed again without it: clap stops at the
    /// first.
    pub fn parse(&mut self) {
        let options = &self.line.options;
        for option in options.get_arguments().filter(|option| option.is_required_set()) {
            let key = cli::key(option);
            if self.all(&key).is_empty() && !self.is_refused(&key) {
                self.mistake(&[&key], &format!("is required; give {}", cli::value_name(option)));
            }
        }
        let options = options.clone().no_binary_name(true).mut_args(|option| option.required(false));
        loop {
            let mut options = options.clone();
            let error = match options.try_get_matches_from_mut(self.arguments()) {
                Ok(parsed) => {
                    self.parsed = parsed;
                    return;
                }
                Err(error) => error,
            };
            let option = option_at_fault(&options, &error).expect("only values can be wrong here");
            let why = std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string);
            self.refuse(&option, &why);
        }
    }

    /// The parsed value of an option, or its default. `None`: there is none, or it is a mistake, or the command has no such
    /// option.
    pub fn value<T: Any + Clone + Send + Sync>(&self, option: &str) -> Option<T> {
        if self.is_refused(option) {
            return None;
        }
        self.parsed.try_get_one::<T>(option).ok().flatten().cloned()
    }

    /// Returns true if something may have been given for an option that cannot be taken, which is among the mistakes: then
    /// nothing is missing.
    pub fn is_refused(&self, option: &str) -> bool {
        self.is_file_unreadable || self.refused.contains(option)
    }

    /// Takes the value of an option away, and notes why.
    pub fn refuse(&mut self, option: &str, why: &str) {
        let value = self.values.get_mut(option).and_then(Vec::pop);
        let RawValue { text, origin } =
            value.expect("only a value that was given is refused, since defaults are sound");
        self.mistake(&[option], &format!("{text:?}{origin} {why}"));
        self.refused.insert(option.to_owned());
    }

    pub fn warn(&mut self, warning: String) {
        if !self.warnings.contains(&warning) {
            self.warnings.push(warning);
        }
    }

    /// Warns of a file that decides who may do what, and that any user of this machine may change.
    pub fn warn_if_open_to_write(&mut self, option: &str, path: &Path) {
        if fs::metadata(path).is_ok_and(|found| found.mode() & 0o002 != 0) {
            let (path, flag) = (path.display(), option.replace('_', "-"));
            self.warn(format!(
                "every user of this machine may write to {path}, which --{flag} names: `chmod o-w {path}`"
            ));
        }
    }

    /// The value of a variable that is not optview's own, and that users expect to be honoured.
    pub fn foreign_variable<T>(&mut self, name: &str, parse: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        let parsed =
            self.variable(name)?.and_then(|text| parse(&text).map_err(|why| format!("{name}: {text:?} {why}")));
        parsed.map_err(|mistake| self.note(mistake)).ok()
    }

    pub fn mistake(&mut self, options: &[&str], what: &str) {
        let find = |key: &&str| self.line.options.get_arguments().find(|option| cli::key(option) == **key);
        let names =
            options.iter().filter_map(find).map(|option| match (option.get_long(), cli::variable(option)) {
                (Some(long), Some(variable)) => format!("--{long} ({variable})"),
                _ => cli::value_name(option).to_owned(),
            });
        let names: Vec<String> = names.collect();
        self.note(format!("{}: {what}", names.join(" and ")));
    }

    fn note(&mut self, mistake: String) {
        if !self.mistakes.contains(&mistake) {
            self.mistakes.push(mistake);
        }
    }

    /// The arguments of the whole program, and what is to be warned of, where nothing was wrong.
    pub fn finish(self) -> Result<(Vec<String>, Vec<String>), Mistakes> {
        if !self.mistakes.is_empty() {
            return Err(Mistakes { command: self.line.command.clone(), mistakes: self.mistakes });
        }
        let words = ["optview"].into_iter().chain(self.line.command.split(' ')).map(str::to_owned);
        let arguments = words.chain(self.arguments()).collect();
        Ok((arguments, self.warnings))
    }

    /// The arguments of the command as if all had been given by flags.
    fn arguments(&self) -> Vec<String> {
        let (mut flags, mut positional) = (Vec::new(), Vec::new());
        for option in self.line.options.get_arguments() {
            for RawValue { text, .. } in self.all(&cli::key(option)) {
                match option.get_long() {
                    Some(long) => flags.push(format!("--{long}={text}")),
                    None => positional.push(text.clone()),
                }
            }
        }
        flags.push("--".to_owned());
        flags.append(&mut positional);
        flags
    }

    /// The value of a variable. One that is set to nothing counts as not set: that is how compose files and CI leave one out.
    fn variable(&self, name: &str) -> Option<Result<String, String>> {
        match self.environment.0.get(name)?.to_str() {
            Some("") => None,
            Some(text) => Some(Ok(text.to_owned())),
            None => Some(Err(format!("{name}: is not UTF-8; give text"))),
        }
    }
}

/// The key of the option whose value clap could not take.
fn option_at_fault(options: &Command, error: &Error) -> Option<String> {
    let Some(ContextValue::String(shown)) = error.get(ContextKind::InvalidArg) else { return None };
    options.get_arguments().find(|option| option.to_string() == *shown).map(cli::key)
}
