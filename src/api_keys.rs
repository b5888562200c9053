//! The API keys: a TOML file as it is written, and the keys as they are looked up. Keeps no key, only its SHA-256,
//! and must never show one: not in an error, not in a log. The file is read value by value, not into a serde type, which would stop
//! at the first mistake.
//!
//! ```toml
//! [[keys]]
//! key = "a long random text"        # or: sha256 = "64 hexadecimal digits"
//! organizations = ["org-1"]
//! name = "dashboard"                # optional
//! email = "ada@example.com"         # optional
//! ```

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fs;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use toml::{Table, Value};

type KeyHash = [u8; 32];

/// The owner of a key, with the organizations whose views the owner may read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKey {
    /// The name, or the start of the key's hash if there is no name.
    pub id: String,
    /// The address of the owner, if the file has one.
    pub email: Option<String>,
    /// One at least, each once.
    pub organizations: Vec<String>,
}

/// The keys by their hash, so that the time of a look-up does not show how much of a guess is right.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ApiKeys(HashMap<KeyHash, ApiKey>);

/// Every mistake for which a file of keys cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the API keys in {} cannot be used: {}", path.display(), mistakes.join("; "))]
pub struct ApiKeysError {
    /// The path of the file.
    pub path: PathBuf,
    /// All mistakes, each with the entry that it is in. None of them shows a key.
    pub mistakes: Vec<String>,
}

impl ApiKeys {
    /// Reads the keys from a TOML file.
    pub fn from_file(path: &Path) -> Result<ApiKeys, ApiKeysError> {
        let text = fs::read_to_string(path).map_err(|error| vec![format!("the file cannot be read: {error}")]);
        text.and_then(|text| ApiKeys::parse(&text))
            .map_err(|mistakes| ApiKeysError { path: path.to_owned(), mistakes })
    }

    /// Returns the owner of a key, given as the client sent it; `None` if nobody has such a key.
    pub fn find(&self, credential: &[u8]) -> Option<&ApiKey> {
        self.0.get(&hash(credential))
    }

    fn parse(text: &str) -> Result<ApiKeys, Vec<String>> {
        let mut table: Table = toml::from_str(text).map_err(|error| vec![syntax(text, &error)])?;
        let entries = match table.remove("keys") {
            Some(Value::Array(entries)) if !entries.is_empty() => entries,
            Some(Value::Array(_)) | None => {
                return Err(vec!["there is no [[keys]] entry, so nobody could read".to_owned()]);
            }
            Some(_) => return Err(vec!["`keys` is no list: begin each entry with [[keys]]".to_owned()]),
        };
        let mut keys = ApiKeys::default();
        let mut mistakes: Vec<String> = table.keys().map(|name| format!("`{name}` is not known")).collect();
        for (index, entry) in entries.into_iter().enumerate() {
            let mut reading = EntryReader { number: index + 1, name: None, mistakes: &mut mistakes };
            if let Value::Table(entry) = &entry {
                reading.name = entry.get("name").and_then(Value::as_str).map(str::to_owned);
            }
            if let Some((hash, key)) = reading.entry(entry) {
                match keys.0.entry(hash) {
                    Entry::Vacant(vacant) => _ = vacant.insert(key),
                    Entry::Occupied(_) => reading.mistake("its key is that of an entry before it"),
                }
            }
        }
        if mistakes.is_empty() { Ok(keys) } else { Err(mistakes) }
    }
}

fn hash(credential: &[u8]) -> KeyHash {
    Sha256::digest(credential).into()
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

    fn entry(&mut self, entry: Value) -> Option<(KeyHash, ApiKey)> {
        let before = self.mistakes.len();
        let Value::Table(mut entry) = entry else {
            self.mistake("it must be a table");
            return None;
        };
        let hash = self.hash(&mut entry);
        let organizations = self.organizations(entry.remove("organizations"));
        let name = self.text(&mut entry, "name");
        let email = self.text(&mut entry, "email");
        for unknown in entry.keys() {
            self.mistake(&format!("`{unknown}` is not known"));
        }
        let hash = hash.filter(|_| self.mistakes.len() == before)?;
        let id = name.unwrap_or_else(|| {
            let start = u64::from_be_bytes(hash[..8].try_into().expect("eight bytes of thirty-two"));
            format!("key-{start:016x}")
        });
        Some((hash, ApiKey { id, email, organizations }))
    }

    fn hash(&mut self, entry: &mut Table) -> Option<KeyHash> {
        match (entry.contains_key("key"), entry.contains_key("sha256")) {
            (true, false) => {
                let key = self.text(entry, "key")?;
                if let Some(why) = unusable(&key) {
                    self.mistake(why);
                }
                Some(hash(key.as_bytes()))
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
    Some(bytes)
}

fn digit(character: u8) -> Option<u8> {
    char::from(character).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_hash_is_read_back_from_its_digits(bytes: [u8; 32]) {
            let text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            prop_assert_eq!(hash_from_hex(&text), Some(bytes));
            prop_assert_eq!(hash_from_hex(&text.to_uppercase()), Some(bytes));
            prop_assert_eq!(hash_from_hex(&text[1..]), None);
        }
    }

    #[test]
    fn what_is_no_digit_is_refused() {
        assert_eq!(hash_from_hex(&"g".repeat(64)), None);
        assert_eq!(hash_from_hex(&"é".repeat(32)), None);
    }

    /// Makes keys for the tests of other modules.
    pub fn keys(keys: &[(&str, &[&str])]) -> ApiKeys {
        let entries = keys
            .iter()
            .map(|(key, organizations)| format!("[[keys]]\nkey = {key:?}\norganizations = {organizations:?}\n"));
        ApiKeys::parse(&entries.collect::<String>()).unwrap()
    }

    #[test]
    fn a_key_is_found_by_its_text_or_by_the_hash_that_was_given() {
        let keys = ApiKeys::parse(
            r#"
            [[keys]]
            key = "abc"
            organizations = ["org-1", "org-2", "org-1"]
            name = "dashboard"
            email = "ada@example.com"

            [[keys]]
            # printf hello | sha256sum
            sha256 = "2CF24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
            organizations = ["org-3"]
            "#,
        )
        .unwrap();
        let named = keys.find(b"abc").unwrap();
        assert_eq!((named.id.as_str(), named.email.as_deref()), ("dashboard", Some("ada@example.com")));
        assert_eq!(named.organizations, ["org-1", "org-2"]);
        assert_eq!(keys.find(b"hello").unwrap().id, "key-2cf24dba5fb0a30e");
        assert_eq!(keys.find(b"2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"), None);
        assert_eq!(keys.find(b""), None);
    }

    #[test]
    fn every_mistake_is_named_and_no_key_is_shown() {
        let mistakes = ApiKeys::parse(
            r#"
            colour = "blue"
            [[keys]]
            key = "secret-1"
            sha256 = "secret-2"
            organizations = []
            [[keys]]
            sha256 = "secret-3"
            organizations = ["", 5]
            [[keys]]
            key = 12345
            organisations = ["org-1"]
            email = " "
            [[keys]]
            key = "secret-4"
            organizations = ["org-1"]
            [[keys]]
            key = "secret-4"
            organizations = ["org-2"]
            "#,
        )
        .unwrap_err();
        assert_eq!(
            mistakes,
            [
                "`colour` is not known",
                "key 1: it needs `key` or `sha256`, and not both",
                "key 1: `organizations` must be a list of one organization id or more",
                "key 2: `sha256` must be 64 hexadecimal digits",
                "key 2: an organization id is blank",
                "key 2: an organization id must be a text",
                "key 3: `key` must be a text that is not blank",
                "key 3: `organizations` must be a list of one organization id or more",
                "key 3: `email` must be a text that is not blank",
                "key 3: `organisations` is not known",
                "key 5: its key is that of an entry before it",
            ]
        );
    }

    #[test]
    fn a_key_that_no_client_can_send_is_refused_by_its_name() {
        for (key, why) in [
            ("secret ", "begins or ends with a blank"),
            (" secret", "begins or ends with a blank"),
            ("secret\\t", "begins or ends with a blank"),
            ("secret\\n", "begins or ends with a blank"),
            ("sécret", "not ASCII"),
            ("sec\\u0007ret", "cannot be seen"),
            ("sec\\u007Fret", "cannot be seen"),
            ("sec\\u200Bret", "not ASCII"),
        ] {
            let entry = |name: &str| format!("[[keys]]\nkey = \"{key}\"\norganizations = [\"o\"]\n{name}");
            let mistakes = ApiKeys::parse(&entry("name = \"dashboard\"")).unwrap_err();
            assert!(
                mistakes[0].starts_with("key 1 (dashboard): `key` ") && mistakes[0].contains(why),
                "{mistakes:?}"
            );
            assert!(!mistakes[0].contains("ret") || !mistakes[0].contains("sec"), "{mistakes:?}");
            assert!(ApiKeys::parse(&entry("")).unwrap_err()[0].starts_with("key 1: `key` "));
        }
        ApiKeys::parse("[[keys]]\nkey = \"a b~!\"\norganizations = [\"Ünal\"]").unwrap();
        let blank = ApiKeys::parse("[[keys]]\nkey = \"a\"\norganizations = [\"org-1 \"]").unwrap_err();
        assert_eq!(blank, ["key 1: an organization id begins or ends with a blank, which no header can"]);
    }

    #[test]
    fn a_file_that_nobody_could_use_is_refused() {
        for text in ["", "keys = []", "keys = 1", "[keys]\nkey = \"a\""] {
            assert_eq!(ApiKeys::parse(text).unwrap_err().len(), 1, "{text:?}");
        }
        let mistakes = ApiKeys::parse("[[keys]]\nkey = \"secret").unwrap_err();
        assert!(mistakes[0].starts_with("line 2 is not valid TOML") && !mistakes[0].contains("secret"));
        let missing = ApiKeys::from_file(Path::new("no/such/file.toml")).unwrap_err();
        assert!(missing.to_string().contains("no/such/file.toml cannot be used: the file cannot be read"));
    }
}
