//! The command line as typed: which commands and options there are, and what was written for each.
//!
//! One table describes every option; flags, environment variables, keys of the configuration file and `--help` all
//! follow from it. Values stay texts here: `config` says what they mean, so that it can name every mistake at once
//! where clap would stop at the first. Must never read the environment or a file.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::process::ExitCode;

use clap::builder::StyledStr;
use clap::{Arg, ArgAction, ArgMatches};

use crate::version::LONG_VERSION;
use options::{Kind, Opt};

pub mod options;

/// The commands that there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    Serve,
    Demo,
    Load,
    Explain,
    Verify,
    Generations,
    AcceptLoss,
    Rebuild,
    Rollback,
    ArchiveExport,
    ArchiveVerify,
    ArchiveImport,
    History,
    SnapshotExport,
    SnapshotImport,
}

impl Command {
    pub const ALL: &[Command] = &[
        Command::Serve,
        Command::Demo,
        Command::Load,
        Command::Explain,
        Command::Verify,
        Command::Generations,
        Command::AcceptLoss,
        Command::Rebuild,
        Command::Rollback,
        Command::ArchiveExport,
        Command::ArchiveVerify,
        Command::ArchiveImport,
        Command::History,
        Command::SnapshotExport,
        Command::SnapshotImport,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Command::Serve => "serve",
            Command::Demo => "demo",
            Command::Load => "load",
            Command::Explain => "explain",
            Command::Verify => "verify",
            Command::Generations => "generations",
            Command::AcceptLoss => "accept-loss",
            Command::Rebuild => "rebuild",
            Command::Rollback => "rollback",
            Command::ArchiveExport => "archive export",
            Command::ArchiveVerify => "archive verify",
            Command::ArchiveImport => "archive import",
            Command::History => "history",
            Command::SnapshotExport => "snapshot export",
            Command::SnapshotImport => "snapshot import",
        }
    }

    /// What `--help` says of it.
    const fn about(self) -> &'static str {
        match self {
            Command::Serve => "Keep the views up to date from Kafka, and serve them over HTTP",
            Command::Demo => {
                "Show all of it with nothing to set up: an in-process broker, live traffic, the real server"
            }
            Command::Load => "Put a synthetic, repeatable history on the topics, for trials and benchmarks",
            Command::Explain => {
                "Say why an optimization's view says what it says: which event set each of its fields"
            }
            Command::Verify => "Prove the store: every record, the lists and totals, and how far it has read",
            Command::Rebuild => {
                "Build the views anew from the topics, compare them with the live ones, and let readers see them"
            }
            Command::Rollback => {
                "Let readers see an earlier generation again, once it has caught up, or frozen as it was left"
            }
            Command::Generations => {
                "List the generations of the store, the live one and those beside it, or remove one"
            }
            Command::AcceptLoss => "Accept that the views are built without records that the topics no longer had",
            Command::ArchiveExport => "Copy the topics' records into files, from where the archive ends",
            Command::ArchiveVerify => "Prove that an archive is whole: every byte, every record, no gaps",
            Command::ArchiveImport => "Put an archive's records onto another cluster's topics",
            Command::History => {
                "Tell what happened to an optimization, event by event, or show its view as it was at a moment"
            }
            Command::SnapshotExport => "Copy the live generation into one file, while it goes on",
            Command::SnapshotImport => "Make the store of a data directory that has none out of a snapshot",
        }
    }

    /// The options it takes, in the order of its `--help`.
    pub fn options(self) -> impl Iterator<Item = &'static Opt> {
        let groups: &[&[Opt]] = match self {
            Command::Serve => {
                &[options::KAFKA, options::SERVE, options::PROJECTION, options::CONNECTIONS, options::GENERAL]
            }
            Command::Demo => &[options::DEMO, options::GENERAL],
            Command::Load => &[options::KAFKA, options::LOAD, options::GENERAL],
            Command::Explain => &[options::EXPLAIN, options::TOOL, options::GENERAL],
            Command::Verify => &[options::VERIFY, options::TOOL, options::PROJECTION, options::GENERAL],
            Command::Rebuild => {
                &[options::REBUILD, options::TOOL, options::KAFKA_IF_ANY, options::PROJECTION, options::GENERAL]
            }
            Command::Rollback => {
                &[options::ROLLBACK, options::TOOL, options::KAFKA_IF_ANY, options::PROJECTION, options::GENERAL]
            }
            Command::Generations => &[options::GENERATIONS, options::TOOL, options::GENERAL],
            Command::AcceptLoss => &[options::TOOL, options::GENERAL],
            Command::ArchiveExport => &[options::ARCHIVE_EXPORT, options::KAFKA, options::GENERAL],
            Command::ArchiveVerify => &[options::ARCHIVE_VERIFY, options::GENERAL],
            Command::ArchiveImport => &[options::ARCHIVE_IMPORT, options::KAFKA, options::GENERAL],
            Command::History => &[options::HISTORY, options::JSON_OUTPUT, options::GENERAL],
            Command::SnapshotExport => &[options::SNAPSHOT_EXPORT, options::TOOL, options::GENERAL],
            Command::SnapshotImport => &[options::SNAPSHOT_IMPORT, options::GENERAL],
        };
        groups.iter().copied().flatten()
    }
}

/// How a command that did not fail ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    Done,
    /// Done, and a difference or a problem was found.
    DifferenceFound,
}

/// The command failed.
pub const FAILED: u8 = 1;
/// It was asked for wrongly, so nothing was done.
pub const WRONG_USAGE: u8 = 2;
/// The reader of the answer has gone before its end: the code by which a shell shows that SIGPIPE has ended a program, which is
/// how other programs end there. What the command was to do has been done.
pub const READER_GONE: u8 = 141;

impl Ended {
    pub fn exit_code(self) -> ExitCode {
        ExitCode::from(match self {
            Ended::Done => 0,
            Ended::DifferenceFound => 3,
        })
    }
}

/// What was typed: a command, and per option (by [`Opt::name`]) its values in the order given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Typed {
    pub command: Command,
    pub flags: BTreeMap<&'static str, Vec<String>>,
}

/// Reads the arguments of a program, its name first.
///
/// The error is also how clap answers `--help` and `--version`: [`clap::Error::exit_code`] tells them apart.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Typed, clap::Error> {
    let matches = program().try_get_matches_from(arguments)?;
    let (command, matches) = Command::ALL
        .iter()
        .find_map(|&command| Some((command, matches_of(command, &matches)?)))
        .expect("clap accepts no command line without one of the commands");
    Ok(Typed { command, flags: flags(command, matches) })
}

/// What was typed for a command, word by word of its name.
fn matches_of(command: Command, matches: &ArgMatches) -> Option<&ArgMatches> {
    command.name().split(' ').try_fold(matches, |matches, word| matches.subcommand_matches(word))
}

fn flags(command: Command, matches: &ArgMatches) -> BTreeMap<&'static str, Vec<String>> {
    let values =
        |option: &'static Opt| Some((option.name, matches.get_many::<String>(option.name)?.cloned().collect()));
    command.options().filter_map(values).collect()
}

fn program() -> clap::Command {
    let program = clap::Command::new("optview")
        .version(LONG_VERSION)
        // Longer lines are hard to read, however wide the terminal is.
        .max_term_width(120)
        .about(env!("CARGO_PKG_DESCRIPTION"))
        .subcommand_required(true)
        .arg_required_else_help(true)
        .disable_help_subcommand(true)
        .after_help(
            "Exit codes: 0 done; 1 failed; 2 wrong usage; 3 done, and a difference or a problem was found; 141 done, and \
             whoever read the answer had gone before its end.",
        );
    Command::ALL.iter().fold(program, |program, &command| match command.name().split_once(' ') {
        None => program.subcommand(subcommand(command, command.name())),
        Some((family, name)) => {
            let subcommand = subcommand(command, name);
            if program.find_subcommand(family).is_some() {
                program.mut_subcommand(family, |held| held.subcommand(subcommand))
            } else {
                program.subcommand(self::family(family).subcommand(subcommand))
            }
        }
    })
}

/// What several commands begin with.
fn family(name: &'static str) -> clap::Command {
    clap::Command::new(name)
        .about(format!("`optview {name} --help` lists what there is"))
        .subcommand_required(true)
        .arg_required_else_help(true)
        .disable_help_subcommand(true)
}

fn subcommand(command: Command, name: &'static str) -> clap::Command {
    clap::Command::new(name).about(command.about()).args(command.options().map(argument)).after_help(
        "Every option is also an environment variable, named in brackets, and a key of the file that --config \
             names (TOML; `data_dir` or `data-dir`). A flag wins over a variable, a variable over the file. A \
             variable that is set to nothing counts as not set.",
    )
}

fn argument(option: &'static Opt) -> Arg {
    let action = if option.repeats { ArgAction::Append } else { ArgAction::Set };
    let argument = Arg::new(option.name).value_name(option.value).help(help(option)).action(action);
    let argument = match option.kind {
        Kind::Value => argument.long(option.name),
        // `--json` is `--json=true`, so that a flag can also say that it is not wanted where a variable does.
        Kind::Switch => {
            argument.long(option.name).num_args(0..=1).require_equals(true).default_missing_value("true")
        }
        Kind::Positional => argument.required(option.required),
    };
    argument
        // `--rate -5` is a mistake of the value, which `config` words better than "unexpected argument".
        .allow_negative_numbers(true)
}

fn help(option: &Opt) -> StyledStr {
    let mut text = option.help.to_owned();
    if option.required {
        text += " [required]";
    }
    if let Some(default) = option.default {
        text += &format!(" [default: {default}]");
    }
    if option.kind != Kind::Positional {
        text += &format!(" [env: {}]", option.variable());
    }
    StyledStr::from(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(line: &str) -> Result<Typed, clap::Error> {
        parse(line.split_whitespace().map(OsString::from))
    }

    #[test]
    fn every_command_describes_itself_soundly() {
        program().debug_assert();
    }

    #[test]
    fn values_stay_as_they_were_typed() {
        let typed = typed("optview serve --listen nonsense --kafka-property a=1 --kafka-property b=2").unwrap();
        assert_eq!(typed.command, Command::Serve);
        assert_eq!(typed.flags["listen"], ["nonsense"]);
        assert_eq!(typed.flags["kafka-property"], ["a=1", "b=2"]);
        assert_eq!(typed.flags.len(), 2);
    }

    #[test]
    fn a_command_of_two_words_is_found_under_its_family() {
        for &command in Command::ALL {
            let positional = command.options().filter(|option| option.kind == Kind::Positional);
            let positional: Vec<&str> = positional.map(|option| option.name).collect();
            let line = format!("optview {} {}", command.name(), positional.join(" "));
            let typed = typed(&line).unwrap();
            assert_eq!(typed.command, command, "{line}");
            for name in positional {
                assert_eq!(typed.flags[name], [name]);
            }
        }
    }

    #[test]
    fn wrong_usage_exits_with_2_and_help_with_0() {
        for (line, code) in [
            ("optview", 2),
            ("optview nothing", 2),
            ("optview serve --no-such-flag", 2),
            ("optview serve --listen", 2),
            ("optview --help", 0),
            ("optview load --help", 0),
            ("optview --version", 0),
        ] {
            assert_eq!(typed(line).unwrap_err().exit_code(), code, "{line}");
        }
    }

    #[test]
    fn help_names_every_option_with_its_variable_and_default() {
        for &command in Command::ALL {
            let help = subcommand(command, command.name()).render_long_help().to_string();
            let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
            for option in command.options() {
                let shown = match option.kind {
                    Kind::Value => format!("--{} <{}>", option.name, option.value),
                    Kind::Switch => format!("--{}", option.name),
                    Kind::Positional => option.value.to_owned(),
                };
                assert!(help.contains(&shown), "{}", option.name);
                let variable = format!("[env: {}]", option.variable());
                assert_eq!(help.contains(&variable), option.kind != Kind::Positional, "{}", option.name);
                if let Some(default) = option.default {
                    assert!(help.contains(&format!("[default: {default}]")), "{}", option.name);
                }
            }
        }
    }
}
