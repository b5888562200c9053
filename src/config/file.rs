//! The configuration file: TOML, one flat table, whose keys are the options' names.

use std::collections::BTreeMap;
use std::fs;

use toml::{Table, Value};

use crate::cli::options::Opt;

/// The values per option, by [`Opt::key`], as texts: what they mean is the same wherever they were given.
#[derive(Debug, Default)]
pub struct File(BTreeMap<String, Vec<String>>);

impl File {
    /// What could be read, and what is wrong. One file may serve several commands, so a key of any command is known.
    pub fn read(path: &str, known: &[&Opt]) -> (File, Vec<String>) {
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) => return (File::default(), vec![format!("cannot read {path}: {error}")]),
        };
        match text.parse::<Table>() {
            Ok(table) => File::of_table(path, &table, known),
            Err(error) => (File::default(), vec![format!("{path} is not TOML: {}", one_line(&error))]),
        }
    }

    pub fn get(&self, key: &str) -> &[String] {
        self.0.get(key).map_or(&[], Vec::as_slice)
    }

    fn of_table(path: &str, table: &Table, known: &[&Opt]) -> (File, Vec<String>) {
        let mut file = File::default();
        let mut mistakes = Vec::new();
        for (written, value) in table {
            let key = written.replace('-', "_");
            let Some(option) = known.iter().find(|option| option.key() == key) else {
                mistakes.push(format!("{path}: there is no key {written:?}{}", suggestion(&key, known)));
                continue;
            };
            match texts(value, option) {
                Ok(_) if file.0.contains_key(&key) => {
                    mistakes.push(format!("{path}: {key:?} is given twice, with _ and with -; keep one"));
                }
                Ok(texts) => {
                    file.0.insert(key, texts);
                }
                Err(wanted) => mistakes.push(format!("{path}: {written:?} must be {wanted}")),
            }
        }
        (file, mistakes)
    }
}

/// Where the file stops being TOML, and why, without the excerpt that the parser draws.
fn one_line(error: &toml::de::Error) -> String {
    let text = error.to_string();
    let first = text.lines().next().unwrap_or_default();
    format!("{first}: {}", error.message())
}

/// The value as a user would type it.
fn texts(value: &Value, option: &Opt) -> Result<Vec<String>, &'static str> {
    match value {
        Value::Table(table) if option.repeats => {
            let pair = |(key, value): (&String, &Value)| Some(format!("{key}={}", text(value)?));
            table.iter().map(pair).collect::<Option<_>>().ok_or(PAIRS)
        }
        Value::Array(items) if option.repeats => items.iter().map(text).collect::<Option<_>>().ok_or(PAIRS),
        value if option.repeats => text(value).map(|text| vec![text]).ok_or(PAIRS),
        value => text(value).map(|text| vec![text]).ok_or("a string or a number"),
    }
}

const PAIRS: &str = "a list of \"KEY=VALUE\" strings, or a table with a quoted \"KEY\" = VALUE a line";

fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Integer(number) => Some(number.to_string()),
        Value::Float(number) => Some(number.to_string()),
        Value::Boolean(truth) => Some(truth.to_string()),
        Value::Datetime(_) | Value::Array(_) | Value::Table(_) => None,
    }
}

/// The nearest known key, where one is near enough to be what was meant.
fn suggestion(key: &str, known: &[&Opt]) -> String {
    let near = |option: &&Opt| (strsim::jaro_winkler(key, &option.key()), option.key());
    let nearest = known.iter().map(near).max_by(|one, other| one.0.total_cmp(&other.0));
    match nearest {
        Some((similarity, nearest)) if similarity > 0.8 => format!("; did you mean {nearest:?}?"),
        _ => "; the keys are the flags' names".to_owned(),
    }
}
