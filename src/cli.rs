//! The form of the command line: what all commands and all options have in common, and the codes by which the program ends.
//! Knows no option by name, and must never read the environment or a file.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::process::ExitCode;

use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command, Subcommand, value_parser};

use crate::version::LONG_VERSION;

/// The result of a command that did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Completion {
    /// The command is done, and has found nothing wrong.
    Done,
    /// The command is done, and has found a difference or a problem.
    DifferenceFound,
}

/// Exit code of a command that failed.
pub const FAILED: u8 = 1;
/// Exit code of wrong usage: nothing was done.
pub const WRONG_USAGE: u8 = 2;
/// Exit code of a command whose work is done, while the reader of its answer has gone before the end: the code by which a shell shows
/// that SIGPIPE has ended a program, which is how other programs end there.
pub const READER_GONE: u8 = 141;

impl Completion {
    /// Returns the exit code: 3 if a difference was found, and else 0.
    pub fn exit_code(self) -> ExitCode {
        ExitCode::from(match self {
            Completion::Done => 0,
            Completion::DifferenceFound => 3,
        })
    }
}

/// The arguments of one command as texts, before they are parsed.
#[derive(Clone, Debug)]
pub struct CommandLine {
    /// The words of the command, such as `archive export`.
    pub command: String,
    /// The options of the command.
    pub options: Command,
    /// The values in the order given, by option (its [`key`]).
    pub flags: BTreeMap<String, Vec<String>>,
}

/// Reads the arguments of a program, its name first, without parsing any value: so not only the first mistake among
/// them can be named.
///
/// The error is also how clap answers `--help` and `--version`; its [`clap::Error::exit_code`] is then 0.
pub fn parse<C: Subcommand>(arguments: impl IntoIterator<Item = OsString>) -> Result<CommandLine, clap::Error> {
    let mut options = program::<C>();
    let root = map_options(options.clone(), take_any_text).try_get_matches_from(arguments)?;
    let (mut words, mut matches) = (Vec::new(), &root);
    while let Some((word, of_command)) = matches.subcommand() {
        options = options.find_subcommand(word).expect("a word of the program's").clone();
        words.push(word);
        matches = of_command;
    }
    let flags =
        options.get_arguments().filter_map(|option| Some((key(option), typed(option, matches)?))).collect();
    Ok(CommandLine { command: words.join(" "), options, flags })
}

/// A value may be missing here, as a variable or the configuration file may give it.
fn take_any_text(option: Arg) -> Arg {
    let required = option.is_required_set() && option.is_positional();
    option.value_parser(value_parser!(String)).required(required)
}

fn typed(option: &Arg, matches: &ArgMatches) -> Option<Vec<String>> {
    let id = option.get_id().as_str();
    let is_typed = matches.value_source(id) == Some(ValueSource::CommandLine);
    is_typed.then(|| matches.get_many(id).into_iter().flatten().cloned().collect())
}

/// The program with all its commands.
pub fn program<C: Subcommand>() -> Command {
    let program = Command::new("optview")
        .version(LONG_VERSION)
        // Longer lines are hard to read, however wide the terminal is.
        .max_term_width(120)
        .after_help(
            "Exit codes: 0 done; 1 failed; 2 wrong usage; 3 done, and a difference or a problem was found; 141 done, and \
             whoever read the answer had gone before its end.",
        );
    // The commands bring the documentation of their enum along, which says nothing of the program.
    complete(C::augment_subcommands(program).about(env!("CARGO_PKG_DESCRIPTION")))
}

/// Adds what all commands have in common.
fn complete(command: Command) -> Command {
    if command.has_subcommands() {
        let command = command.subcommand_required(true).arg_required_else_help(true).disable_help_subcommand(true);
        return command.mut_subcommands(complete);
    }
    map_options(command, complete_option).after_help(
        "Every option is also an environment variable, named in brackets, and a key of the file that --config \
         names (TOML; `data_dir` or `data-dir`). A flag wins over a variable, a variable over the file. A \
         variable that is set to nothing counts as not set.",
    )
}

fn map_options(command: Command, change: fn(Arg) -> Arg) -> Command {
    if command.has_subcommands() {
        command.mut_subcommands(|command| map_options(command, change))
    } else {
        command.mut_args(change)
    }
}

fn complete_option(option: Arg) -> Arg {
    // `--rate -5` is a mistake of the value, which `config` words better than "unexpected argument".
    let option = option.allow_negative_numbers(true);
    let Some(variable) = variable(&option) else { return option };
    let required = if option.is_required_set() { " [required]" } else { "" };
    let help = format!("{}{required} [env: {variable}]", option.get_help().cloned().unwrap_or_default());
    let option = option.help(help);
    match option.get_action() {
        // `--json` is `--json=true`, so that a flag can switch off what a variable switches on.
        ArgAction::SetTrue => option
            .action(ArgAction::Set)
            .value_parser(switch)
            .value_name("true|false")
            .num_args(0..=1)
            .require_equals(true)
            .default_value("false")
            .default_missing_value("true"),
        _ => option,
    }
}

/// Parses the value of a switch.
fn switch(text: &str) -> Result<bool, String> {
    match text {
        "true" | "1" | "yes" => Ok(true),
        "false" | "0" | "no" => Ok(false),
        _ => Err("is neither true nor false; give one of them".to_owned()),
    }
}

/// The name of an option in the configuration file, such as `data_dir`; of a positional argument, its id.
pub fn key(option: &Arg) -> String {
    option.get_long().unwrap_or(option.get_id().as_str()).replace('-', "_")
}

/// The environment variable of an option, such as `OPTVIEW_DATA_DIR`. A positional argument has none: it is what the
/// command is asked about.
pub fn variable(option: &Arg) -> Option<String> {
    option.get_long().map(|_| format!("OPTVIEW_{}", key(option).to_uppercase()))
}

/// Placeholder of an option's value in `--help`.
pub fn value_name(option: &Arg) -> &str {
    option.get_value_names().and_then(|names| names.first()).map_or("VALUE", |name| name.as_str())
}

/// The commands that take options, each with its words, such as `archive export`.
pub fn commands(program: &Command) -> Vec<(String, &Command)> {
    program
        .get_subcommands()
        .flat_map(|command| -> Vec<(String, &Command)> {
            let name = Command::get_name(command);
            let below = commands(command);
            match below.is_empty() {
                true => vec![(name.to_owned(), command)],
                false => below.into_iter().map(|(words, command)| (format!("{name} {words}"), command)).collect(),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests;
