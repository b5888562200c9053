//! The layers that a value may come from, the first that has it winning: flag, variable, file, default.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use crate::cli::options::{self, Kind, Opt};
use crate::cli::{Command, Typed};

use super::file::File;
use super::{values, variables};

/// Environment variables by name.
#[derive(Clone, Debug, Default)]
pub struct Environment(BTreeMap<String, OsString>);

impl Environment {
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

/// The options of any command that have a name: one file and one environment may serve several commands.
pub fn named_options() -> Vec<&'static Opt> {
    let all = Command::ALL.iter().flat_map(|command| command.options());
    all.filter(|option| option.kind != Kind::Positional).collect()
}

impl<'a, V: Into<OsString>> FromIterator<(&'a str, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (&'a str, V)>>(variables: I) -> Environment {
        Environment(variables.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect())
    }
}

/// All that is wrong, each with the flag and the variable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Mistakes {
    command: &'static str,
    mistakes: Vec<String>,
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
pub struct Given {
    pub text: String,
    pub origin: Origin,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    Flag,
    Variable,
    File,
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

/// Everything that was given, and the mistakes found so far.
pub struct Layers<'a> {
    typed: &'a Typed,
    environment: &'a Environment,
    file: File,
    mistakes: Vec<String>,
    /// What is no mistake, and should be looked at.
    warnings: Vec<String>,
}

impl<'a> Layers<'a> {
    pub fn new(typed: &'a Typed, environment: &'a Environment) -> Layers<'a> {
        let (mistakes, warnings) = variables::check(environment.variables());
        let mut layers = Layers { typed, environment, file: File::default(), mistakes, warnings };
        if let Some(path) = layers.value(&options::CONFIG, values::text) {
            let (file, mistakes) = File::read(&path, &named_options());
            layers.file = file;
            layers.warn_if_open_to_write(&options::CONFIG, Path::new(&path));
            for mistake in mistakes {
                layers.mistake(&[&options::CONFIG], &mistake);
            }
        }
        layers
    }

    /// What was given for an option, or its default. `None`: nothing, or a mistake, which is noted.
    pub fn value<T>(&mut self, option: &Opt, parse: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        let given = self.all(option).pop();
        let default = || option.default.map(|text| Given { text: text.to_owned(), origin: Origin::Default });
        let Some(Given { text, origin }) = given.or_else(default) else {
            if option.required && !self.is_refused(option) {
                self.mistake(&[option], &format!("is required; give {}", option.value));
            }
            return None;
        };
        match parse(&text) {
            Ok(value) => Some(value),
            Err(why) => {
                self.mistake(&[option], &format!("{text:?}{origin} {why}"));
                None
            }
        }
    }

    /// Whether something was given for an option that cannot be taken, which was said: then nothing is missing.
    pub fn is_refused(&self, option: &Opt) -> bool {
        let variable = self.environment.0.get(&option.variable());
        self.file.may_give(&option.key()) || variable.is_some_and(|value| value.to_str().is_none())
    }

    pub fn warn(&mut self, warning: String) {
        if !self.warnings.contains(&warning) {
            self.warnings.push(warning);
        }
    }

    /// Warns of a file that decides who may do what, and that any user of this machine may change.
    pub fn warn_if_open_to_write(&mut self, option: &Opt, path: &Path) {
        if fs::metadata(path).is_ok_and(|found| found.mode() & 0o002 != 0) {
            let path = path.display();
            self.warn(format!(
                "every user of this machine may write to {path}, which --{} names: `chmod o-w {path}`",
                option.name
            ));
        }
    }

    /// All that was given for an option, the layer that wins last.
    pub fn all(&mut self, option: &Opt) -> Vec<Given> {
        // Else it could be given by its variable, and not by its flag.
        debug_assert!(self.typed.command.options().any(|known| known == option), "--{} is no flag", option.name);
        let mut all = Vec::new();
        let mut take = |texts: &[String], origin: Origin| {
            all.extend(texts.iter().map(|text| Given { text: text.clone(), origin: origin.clone() }));
        };
        if option.kind != Kind::Positional {
            take(self.file.get(&option.key()), Origin::File);
        }
        let variable = (option.kind != Kind::Positional).then(|| self.variable(&option.variable())).flatten();
        if let Some(text) = variable {
            let texts: Vec<String> = if option.repeats {
                text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect()
            } else {
                vec![text]
            };
            take(&texts, Origin::Variable);
        }
        take(self.typed.flags.get(option.name).map_or(&[], Vec::as_slice), Origin::Flag);
        all
    }

    /// A variable that is not ours, which users expect to be honoured.
    pub fn foreign_variable<T>(&mut self, name: &str, parse: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        let text = self.variable(name)?;
        match parse(&text) {
            Ok(value) => Some(value),
            Err(why) => {
                self.mistakes.push(format!("{name}: {text:?} {why}"));
                None
            }
        }
    }

    pub fn mistake(&mut self, options: &[&Opt], what: &str) {
        let name = |option: &&Opt| match option.kind {
            Kind::Positional => option.value.to_owned(),
            Kind::Value | Kind::Switch => format!("--{} ({})", option.name, option.variable()),
        };
        let names: Vec<_> = options.iter().map(name).collect();
        let mistake = format!("{}: {what}", names.join(" and "));
        // `log` and others may look at one value twice.
        if !self.mistakes.contains(&mistake) {
            self.mistakes.push(mistake);
        }
    }

    /// The configuration with what is to be warned of, where nothing was wrong.
    pub fn finish<T>(self, config: Option<T>) -> Result<(T, Vec<String>), Mistakes> {
        if self.mistakes.is_empty() {
            return Ok((config.expect("a value that is missing is a mistake that was noted"), self.warnings));
        }
        Err(Mistakes { command: self.typed.command.name(), mistakes: self.mistakes })
    }

    /// One that is set to nothing counts as not set: that is how compose files and CI leave one out.
    fn variable(&mut self, name: &str) -> Option<String> {
        let value = self.environment.0.get(name)?.clone();
        match value.into_string() {
            Ok(text) => (!text.is_empty()).then_some(text),
            Err(_) => {
                let mistake = format!("{name}: is not UTF-8; give text");
                if !self.mistakes.contains(&mistake) {
                    self.mistakes.push(mistake);
                }
                None
            }
        }
    }
}
