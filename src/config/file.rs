//! The configuration file: TOML, one flat table, whose keys are the options' names.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use clap::{Arg, ArgAction};
use toml::{Table, Value};

use crate::cli;

/// The values per option, by [`cli::key`], as texts: their meaning is the same wherever they were given.
#[derive(Debug, Default)]
pub struct File {
    values: BTreeMap<String, Vec<String>>,
    /// Keys with a value that cannot be taken, which is among the mistakes.
    pub refused: BTreeSet<String>,
    /// The file could not be read, which is among the mistakes: what it gives is not known.
    pub is_unreadable: bool,
}

/// Options whose value is a list with commas between; in the file it may be a list of TOML.
const COMMA_LISTS: [&str; 2] = ["brokers", "log"];

impl File {
    /// Returns what could be read, and the mistakes. One file may serve several commands, so a key of any command is known.
    pub fn read(path: &str, known: &[&Arg]) -> (File, Vec<String>) {
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) => return (File::unreadable(), vec![format!("cannot read {path}: {error}")]),
        };
        match text.parse::<Table>() {
            Ok(table) => File::of_table(path, &table, known),
            Err(error) => (File::unreadable(), vec![format!("{path} is not TOML: {}", one_line(&error))]),
        }
    }

    fn unreadable() -> File {
        File { is_unreadable: true, ..File::default() }
    }

    pub fn get(&self, key: &str) -> &[String] {
        self.values.get(key).map_or(&[], Vec::as_slice)
    }

    fn of_table(path: &str, table: &Table, known: &[&Arg]) -> (File, Vec<String>) {
        let mut file = File::default();
        let mut mistakes = Vec::new();
        for (written, value) in table {
            let key = written.replace('-', "_");
            let Some(option) = known.iter().find(|option| cli::key(option) == key) else {
                mistakes.push(format!("{path}: there is no key {written:?}{}", suggestion(&key, known)));
                continue;
            };
            match texts(value, option) {
                Ok(_) if file.values.contains_key(&key) => {
                    mistakes.push(format!("{path}: {key:?} is given twice, with _ and with -; keep one"));
                }
                Ok(texts) => {
                    file.values.insert(key, texts);
                }
                Err(wanted) => {
                    mistakes.push(format!("{path}: {written:?} must be {wanted}"));
                    file.refused.insert(key);
                }
            }
        }
        (file, mistakes)
    }
}

/// Returns the place at which the file stops being TOML, and the reason, without the excerpt that the parser draws.
fn one_line(error: &toml::de::Error) -> String {
    let text = error.to_string();
    let first = text.lines().next().unwrap_or_default();
    format!("{first}: {}", error.message())
}

/// Returns the value as a user would type it.
fn texts(value: &Value, option: &Arg) -> Result<Vec<String>, &'static str> {
    let repeats = matches!(option.get_action(), ArgAction::Append);
    let has_commas = COMMA_LISTS.contains(&cli::key(option).as_str());
    match value {
        Value::Table(table) if repeats => table
            .iter()
            .map(|(key, value)| Some(format!("{key}={}", text(value)?)))
            .collect::<Option<_>>()
            .ok_or(PAIRS),
        Value::Array(items) if repeats => items.iter().map(text).collect::<Option<_>>().ok_or(PAIRS),
        value if repeats => text(value).map(|text| vec![text]).ok_or(PAIRS),
        Value::Array(items) if has_commas => {
            let texts: Option<Vec<String>> = items.iter().map(text).collect();
            texts.map(|texts| vec![texts.join(",")]).ok_or(LIST)
        }
        value if has_commas => text(value).map(|text| vec![text]).ok_or(LIST),
        value => text(value).map(|text| vec![text]).ok_or("a string or a number"),
    }
}

const PAIRS: &str = "a list of \"KEY=VALUE\" strings, or a table with a quoted \"KEY\" = VALUE a line";

const LIST: &str = "a string with commas, or a list of strings";

fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Integer(number) => Some(number.to_string()),
        Value::Float(number) => Some(number.to_string()),
        Value::Boolean(truth) => Some(truth.to_string()),
        Value::Datetime(_) | Value::Array(_) | Value::Table(_) => None,
    }
}

/// Returns the nearest known key, if one is near enough to be meant.
fn suggestion(key: &str, known: &[&Arg]) -> String {
    let near = known.iter().map(|option| (strsim::jaro_winkler(key, &cli::key(option)), cli::key(option)));
    let nearest = near.max_by(|one, other| one.0.total_cmp(&other.0));
    match nearest {
        Some((similarity, nearest)) if similarity > 0.8 => format!("; did you mean {nearest:?}?"),
        _ => "; the keys are the flags' names".to_owned(),
    }
}
