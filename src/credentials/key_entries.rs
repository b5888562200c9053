//! The entries of a file of API keys, with every mistake in them. The file is read value by value, not into a serde type, which
//! would stop at the first mistake.

use std::collections::HashSet;
use std::sync::Arc;

use chrono::DateTime;
use toml::{Table, Value};

use super::api_key::{ApiKey, KeyHash};
use super::principal::Principal;

/// The mistake of a file that has no key.
pub const NO_ENTRY: &str = "there is no [[keys]] entry, so nobody could read";

/// One entry of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyEntry {
    /// The SHA-256 of the key.
    pub hash: KeyHash,
    /// The key with its owner.
    pub key: ApiKey,
    /// True if the file has the key itself, and not only its hash.
    pub is_plain: bool,
}

impl KeyEntry {
    /// Returns the id that is made of the start of the hash, also if the key has a name.
    pub fn id(&self) -> String {
        key_id(&self.hash)
    }
}

fn key_id(hash: &KeyHash) -> String {
    format!("key-{:016x}", hash.start())
}

/// Parses the text of a file into its entries, in their order. The list of them may be empty, but it must be there.
pub fn parse_entries(text: &str) -> Result<Vec<KeyEntry>, Vec<String>> {
    let mut table: Table = toml::from_str(text).map_err(|error| vec![syntax(text, &error)])?;
    let entries = match table.remove("keys") {
        Some(Value::Array(entries)) => entries,
        None => return Err(vec![NO_ENTRY.to_owned()]),
        Some(_) => return Err(vec!["`keys` is no list: begin each entry with [[keys]]".to_owned()]),
    };
    let mut mistakes: Vec<String> = table.keys().map(|name| format!("`{name}` is not known")).collect();
    let (mut parsed, mut hashes) = (Vec::new(), HashSet::new());
    for (index, entry) in entries.into_iter().enumerate() {
        let mut reading = EntryReader { number: index + 1, name: None, mistakes: &mut mistakes };
        if let Value::Table(entry) = &entry {
            reading.name = entry.get("name").and_then(Value::as_str).map(str::to_owned);
        }
        let Some(entry) = reading.entry(entry) else { continue };
        if hashes.insert(entry.hash) {
            parsed.push(entry);
        } else {
            reading.mistake("its key is that of an entry before it");
        }
    }
    if mistakes.is_empty() { Ok(parsed) } else { Err(mistakes) }
}

/// Returns the mistake in the file's syntax, without the parser's own text: that quotes the line, which may hold a key.
fn syntax(text: &str, error: &toml::de::Error) -> String {
    let line = error.span().map_or(1, |span| 1 + text[..span.start].matches('\n').count());
    format!("line {line} is not valid TOML: {}", error.message())
}

/// Returns the reason why no client could send a key, if none could: headers lose blanks at their ends, and clients differ in how
/// they write what is not ASCII.
fn unusable(key: &str) -> Option<&'static str> {
    match key {
        key if key.trim() != key => {
            Some("`key` begins or ends with a blank, which no client can send: take it away")
        }
        key if !key.bytes().all(|byte| (b' '..=b'~').contains(&byte)) => Some(
            "`key` has a letter that is not ASCII or cannot be seen, which clients cannot send alike: use others",
        ),
        _ => None,
    }
}

/// The reader of one `[[keys]]` entry.
struct EntryReader<'a> {
    number: usize,
    /// The name that the file gives the key; `None` where it gives none.
    name: Option<String>,
    mistakes: &'a mut Vec<String>,
}

impl EntryReader<'_> {
    fn mistake(&mut self, what: &str) {
        let name = self.name.as_ref().map(|name| format!(" ({name})")).unwrap_or_default();
        self.mistakes.push(format!("key {}{name}: {what}", self.number));
    }

    fn entry(&mut self, entry: Value) -> Option<KeyEntry> {
        let before = self.mistakes.len();
        let Value::Table(mut entry) = entry else {
            self.mistake("it must be a table");
            return None;
        };
        let is_plain = entry.contains_key("key");
        let hash = self.hash(&mut entry);
        let organizations = self.organizations(entry.remove("organizations"));
        let name = self.text(&mut entry, "name");
        let email = self.text(&mut entry, "email");
        let expires_millis = self.expires(entry.remove("expires"));
        for unknown in entry.keys() {
            self.mistake(&format!("`{unknown}` is not known"));
        }
        let hash = hash.filter(|_| self.mistakes.len() == before)?;
        let id = name.unwrap_or_else(|| key_id(&hash));
        let principal = Arc::new(Principal { id, email, organizations });
        Some(KeyEntry { hash, key: ApiKey { principal, expires_millis, number: hash.start() }, is_plain })
    }

    fn hash(&mut self, entry: &mut Table) -> Option<KeyHash> {
        match (entry.contains_key("key"), entry.contains_key("sha256")) {
            (true, false) => {
                let key = self.text(entry, "key")?;
                if let Some(why) = unusable(&key) {
                    self.mistake(why);
                }
                Some(KeyHash::of(key.as_bytes()))
            }
            (false, true) => {
                let digits = self.text(entry, "sha256")?;
                let bytes = hash_from_hex(&digits);
                if bytes.is_none() {
                    self.mistake("`sha256` must be 64 hexadecimal digits");
                }
                bytes
            }
            _ => {
                entry.remove("key");
                entry.remove("sha256");
                self.mistake("it needs `key` or `sha256`, and not both");
                None
            }
        }
    }

    /// Takes a text that may be left out, but not be blank.
    fn text(&mut self, entry: &mut Table, name: &str) -> Option<String> {
        match entry.remove(name)? {
            Value::String(text) if !text.trim().is_empty() => Some(text),
            _ => {
                self.mistake(&format!("`{name}` must be a text that is not blank"));
                None
            }
        }
    }

    /// Takes a time with its offset, as TOML's own value or as a text.
    fn expires(&mut self, expires: Option<Value>) -> Option<i64> {
        let text = match expires? {
            Value::Datetime(time) => time.to_string(),
            Value::String(text) => text,
            _ => String::new(),
        };
        let parsed = DateTime::parse_from_rfc3339(&text).ok().map(|time| time.timestamp_millis());
        if parsed.is_none() {
            self.mistake("`expires` must be a time with its offset, such as 2027-01-01T00:00:00Z");
        }
        parsed
    }

    fn organizations(&mut self, listed: Option<Value>) -> Vec<String> {
        let Some(Value::Array(listed)) = listed.filter(|listed| listed != &Value::Array(Vec::new())) else {
            self.mistake("`organizations` must be a list of one organization id or more");
            return Vec::new();
        };
        let mut organizations = Vec::new();
        for organization in listed {
            match organization {
                Value::String(id) if id.trim().is_empty() => self.mistake("an organization id is blank"),
                Value::String(id) if id.trim() != id => {
                    self.mistake("an organization id begins or ends with a blank, which no header can");
                }
                Value::String(id) if organizations.contains(&id) => {}
                Value::String(id) => organizations.push(id),
                _ => self.mistake("an organization id must be a text"),
            }
        }
        organizations
    }
}

/// Parses sixty-four hexadecimal digits of either case as a hash. Returns `None` for any other text.
fn hash_from_hex(text: &str) -> Option<KeyHash> {
    let digits: &[u8; 64] = text.as_bytes().try_into().ok()?;
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(KeyHash(bytes))
}

fn digit(character: u8) -> Option<u8> {
    char::from(character).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_hash_is_read_back_from_its_digits(bytes: [u8; 32]) {
            let text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            prop_assert_eq!(hash_from_hex(&text), Some(KeyHash(bytes)));
            prop_assert_eq!(hash_from_hex(&text.to_uppercase()), Some(KeyHash(bytes)));
            prop_assert_eq!(hash_from_hex(&text[1..]), None);
        }
    }

    #[test]
    fn what_is_no_digit_is_refused() {
        assert_eq!(hash_from_hex(&"g".repeat(64)), None);
        assert_eq!(hash_from_hex(&"é".repeat(32)), None);
    }
}
