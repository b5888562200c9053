//! Changes of a file of API keys: keys are added and revoked in its text, so that comments and the order stay. A new key is written as
//! its hash only. The file is replaced as a whole, and closed to others.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, SecondsFormat, Utc};
use toml_edit::{Array, ArrayOfTables, Datetime, DocumentMut, Item, Table, Value};

use super::api_key::KeyHash;
use super::key_entries::{KeyEntry, parse_entries};
use crate::disk::{directory_of, permission_remedy, replace_private};

/// The beginning of every new key, by which people and scanners for secrets recognize one.
const PREFIX: &str = "optview_";

/// Number of random bytes of a new key.
const KEY_BYTES: usize = 32;

/// A key that is to be added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewKey {
    /// The organizations whose views the key shows.
    pub organizations: Vec<String>,
    /// The name of the key.
    pub name: Option<String>,
    /// The address of its owner.
    pub email: Option<String>,
    /// The time from which on it is refused, in milliseconds since 1970.
    pub expires_millis: Option<i64>,
}

/// A key that was added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddedKey {
    /// The key itself, which is kept nowhere.
    pub key: String,
    /// The entry in the file.
    pub entry: KeyEntry,
}

/// A key that was revoked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevokedKey {
    /// The entry that was in the file.
    pub entry: KeyEntry,
    /// The comments of the entry, which went with it.
    pub comments: Vec<String>,
    /// Number of keys that are left.
    pub left: usize,
}

/// The reason for which a file of keys was not read or changed.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// The file could not be read or replaced.
    #[error("{path} cannot be {doing}: {error}{remedy}", path = path.display(), remedy = permission_remedy(path, error))]
    Io {
        /// The path of the file.
        path: PathBuf,
        /// The attempt that failed, as a participle.
        doing: &'static str,
        /// The operating system's error.
        error: io::Error,
    },
    /// The file has mistakes, and is left as it is.
    #[error("{path} has mistakes, and is left as it is; correct them first: {mistakes}", path = path.display(), mistakes = mistakes.join("; "))]
    Mistakes {
        /// The path of the file.
        path: PathBuf,
        /// All mistakes. None of them shows a key.
        mistakes: Vec<String>,
    },
    /// The change would not be what was asked for. The file is left as it is.
    #[error("{path} is left as it is: {why}", path = path.display())]
    Refused {
        /// The path of the file.
        path: PathBuf,
        /// The reason, with what to do.
        why: String,
    },
    /// No key, or more than one, has the name.
    #[error("{0}; `optview keys list` shows them with their ids")]
    NoSuchKey(String),
    /// The system gave no random numbers.
    #[error("no key can be made, since the system gives no random numbers: {0}")]
    NoRandomNumbers(getrandom::Error),
}

/// The reason for which a text was not changed.
#[derive(Debug)]
enum EditError {
    /// The text has mistakes.
    Mistakes(Vec<String>),
    /// The change would not be what was asked for.
    Refused(String),
}

impl From<Vec<String>> for EditError {
    fn from(mistakes: Vec<String>) -> EditError {
        EditError::Mistakes(mistakes)
    }
}

/// Reads the entries of a file, in their order. They may have expired.
///
/// # Errors
/// Fails if the file cannot be read or has mistakes.
pub fn list_keys(path: &Path) -> Result<Vec<KeyEntry>, KeyFileError> {
    let text = fs::read_to_string(path).map_err(|error| io_error(path, "read", error))?;
    parse_entries(&text).map_err(|mistakes| KeyFileError::Mistakes { path: path.to_owned(), mistakes })
}

/// Adds a new key at the end of a file, which is made if it is missing.
///
/// # Errors
/// Fails if the file cannot be read or replaced, has mistakes, or would have.
pub fn add_key(path: &Path, new: &NewKey) -> Result<AddedKey, KeyFileError> {
    let mut random = [0; KEY_BYTES];
    getrandom::fill(&mut random).map_err(KeyFileError::NoRandomNumbers)?;
    let key = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(random));
    let entry = change(path, |text| {
        let text = with_entry(text, &KeyHash::of(key.as_bytes()), new)?;
        let entry = parse_entries(&text)?.pop().ok_or_else(by_hand)?;
        Ok((text, entry))
    })?;
    Ok(AddedKey { key, entry })
}

/// Removes the key with a name or an id (`key-...`) from a file.
///
/// # Errors
/// Fails if the file cannot be read or replaced, has mistakes, or if there is no such key, or more than one.
pub fn revoke_key(path: &Path, name: &str) -> Result<RevokedKey, KeyFileError> {
    let entries = list_keys(path)?;
    let of_name = |entry: &&KeyEntry| entry.key.principal.id == name || entry.id() == name;
    let mut found = entries.iter().filter(of_name);
    let entry = match (found.next(), found.count()) {
        (Some(entry), 0) => entry.clone(),
        (Some(_), more) => {
            let ids: Vec<String> = entries.iter().filter(of_name).map(KeyEntry::id).collect();
            let what = format!("{} keys are called {name}: revoke one by its id ({})", more + 1, ids.join(", "));
            return Err(KeyFileError::NoSuchKey(what));
        }
        (None, _) => {
            return Err(KeyFileError::NoSuchKey(format!("there is no key {name} in {}", path.display())));
        }
    };
    let (comments, left) = change(path, |text| {
        // Another process may have changed the file since.
        let entries = parse_entries(text)?;
        let at = entries.iter().position(|other| other.hash == entry.hash);
        let at = at.ok_or_else(|| EditError::Refused(format!("the key {name} is gone already")))?;
        let (text, comments) = without_entry(text, at)?;
        Ok((text, (comments, entries.len() - 1)))
    })?;
    Ok(RevokedKey { entry, comments, left })
}

/// Replaces the text of a file. One process changes it at a time. What a link leads to is replaced, and not the link.
fn change<R>(path: &Path, edit: impl FnOnce(&str) -> Result<(String, R), EditError>) -> Result<R, KeyFileError> {
    let target = match fs::canonicalize(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => path.to_owned(),
        target => target.map_err(|error| io_error(path, "read", error))?,
    };
    // The file itself is replaced, so its directory is what every process can lock.
    let directory = File::open(directory_of(&target)).map_err(|error| io_error(path, "changed", error))?;
    directory.lock().map_err(|error| io_error(path, "changed", error))?;
    let text = match fs::read_to_string(&target) {
        Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
        text => text.map_err(|error| io_error(path, "read", error))?,
    };
    let (text, result) = edit(&text).map_err(|error| match error {
        EditError::Mistakes(mistakes) => KeyFileError::Mistakes { path: path.to_owned(), mistakes },
        EditError::Refused(why) => KeyFileError::Refused { path: path.to_owned(), why },
    })?;
    replace_private(&target, text.as_bytes()).map_err(|error| io_error(path, "replaced", error))?;
    Ok(result)
}

fn io_error(path: &Path, doing: &'static str, error: io::Error) -> KeyFileError {
    KeyFileError::Io { path: path.to_owned(), doing, error }
}

/// Returns the text with one more entry at its end.
fn with_entry(text: &str, hash: &KeyHash, new: &NewKey) -> Result<String, EditError> {
    let mut document = document(text)?;
    let before = if document.contains_key("keys") { parse_entries(text)? } else { Vec::new() };
    if let Some(name) = &new.name
        && before.iter().any(|entry| entry.key.principal.id == *name)
    {
        return Err(EditError::Refused(format!(
            "there is a key called {name} already: give the new one another name"
        )));
    }
    let mut entry = Table::new();
    entry["sha256"] = value(hash.to_string());
    entry["organizations"] = Item::Value(Value::Array(new.organizations.iter().collect::<Array>()));
    for (name, text) in [("name", &new.name), ("email", &new.email)] {
        if let Some(text) = text {
            entry[name] = value(text.clone());
        }
    }
    if let Some(time) = new.expires_millis.and_then(DateTime::<Utc>::from_timestamp_millis) {
        let time = time.to_rfc3339_opts(SecondsFormat::AutoSi, true);
        let time: Datetime =
            time.parse().map_err(|_| EditError::Refused(format!("{time} is no time that TOML has")))?;
        entry["expires"] = Item::Value(Value::from(time));
    }
    if before.is_empty() {
        // A list that is written as `keys = []` cannot be continued by [[keys]].
        document.remove("keys");
    } else {
        entry.decor_mut().set_prefix("\n");
    }
    match document.entry("keys").or_insert_with(|| Item::ArrayOfTables(ArrayOfTables::new())) {
        Item::ArrayOfTables(entries) => entries.push(entry),
        Item::Value(Value::Array(entries)) => entries.push(entry.into_inline_table()),
        _ => return Err(by_hand()),
    }
    let text = document.to_string();
    let after = parse_entries(&text)?;
    if after.split_last().is_none_or(|(last, rest)| rest != before || last.hash != *hash) {
        return Err(by_hand());
    }
    Ok(text)
}

/// Returns the text without an entry, and the comments that went with it. What stands above an entry and is set apart from it by a
/// blank line stays.
fn without_entry(text: &str, at: usize) -> Result<(String, Vec<String>), EditError> {
    let mut document = document(text)?;
    let mut expected = parse_entries(text)?;
    expected.remove(at);
    let mut comments = Vec::new();
    let entries = document.get_mut("keys").ok_or_else(by_hand)?;
    let mut kept = String::new();
    match entries {
        Item::ArrayOfTables(entries) => {
            let entry = entries.remove(at);
            let above = entry.decor().prefix().and_then(|prefix| prefix.as_str()).unwrap_or_default();
            let (apart, attached) = split_at_last_blank_line(above);
            comments.extend(comment_lines(attached));
            comments
                .extend(comment_lines(entry.decor().suffix().and_then(|suffix| suffix.as_str()).unwrap_or("")));
            comments.extend(comments_of_table(&entry));
            match entries.get_mut(at) {
                Some(next) => {
                    let above_next = next.decor().prefix().and_then(|prefix| prefix.as_str()).unwrap_or_default();
                    let prefix = format!("{apart}{}", above_next);
                    next.decor_mut().set_prefix(prefix);
                }
                None => apart.clone_into(&mut kept),
            }
            if entries.is_empty() {
                document.remove("keys");
                document.insert("keys", Item::Value(Value::Array(Array::new())));
            }
        }
        Item::Value(Value::Array(entries)) => {
            let entry = entries.remove(at);
            comments.extend(comment_lines(&entry.to_string()));
        }
        _ => return Err(by_hand()),
    }
    if !kept.is_empty() {
        let trailing = document.trailing().as_str().unwrap_or_default().to_owned();
        document.set_trailing(format!("{kept}{trailing}"));
    }
    let text = document.to_string();
    if parse_entries(&text)? != expected {
        return Err(by_hand());
    }
    Ok((text, comments))
}

fn document(text: &str) -> Result<DocumentMut, EditError> {
    // The parser's own message quotes the line, which may hold a key.
    text.parse::<DocumentMut>().or_else(|_| {
        parse_entries(text)?;
        Err(by_hand())
    })
}

/// Makes the error for a text in which a change would change other entries as well.
fn by_hand() -> EditError {
    EditError::Refused("it cannot be changed without a change of other entries: change it by hand".to_owned())
}

fn value(text: String) -> Item {
    Item::Value(Value::from(text))
}

/// Splits what stands above an entry behind its last blank line: what follows belongs to the entry.
fn split_at_last_blank_line(above: &str) -> (&str, &str) {
    let mut end = 0;
    let mut at = 0;
    for line in above.split_inclusive('\n') {
        at += line.len();
        if line.trim().is_empty() && line.ends_with('\n') {
            end = at;
        }
    }
    above.split_at(end)
}

fn comment_lines(text: &str) -> Vec<String> {
    text.lines().filter_map(|line| line.find('#').map(|at| line[at..].trim_end().to_owned())).collect()
}

/// Returns the comments between and behind the values of an entry.
fn comments_of_table(entry: &Table) -> Vec<String> {
    let mut comments = Vec::new();
    for (name, item) in entry.iter() {
        let key = entry.key(name).and_then(|key| key.leaf_decor().prefix()).and_then(|prefix| prefix.as_str());
        comments.extend(comment_lines(key.unwrap_or_default()));
        let Some(value) = item.as_value() else { continue };
        if let Value::Array(list) = value {
            for one in list {
                comments.extend(comments_around(one));
            }
            comments.extend(comment_lines(list.trailing().as_str().unwrap_or_default()));
        }
        comments.extend(comments_around(value));
    }
    comments
}

fn comments_around(value: &Value) -> Vec<String> {
    let decor = value.decor();
    let around = [decor.prefix(), decor.suffix()].into_iter().flatten().filter_map(|text| text.as_str());
    around.flat_map(comment_lines).collect()
}

#[cfg(test)]
mod tests;
