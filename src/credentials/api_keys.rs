//! The API keys: a TOML file as it is written, and the keys as they are looked up. Keeps no key, only its SHA-256,
//! and must never show one: not in an error, not in a log.
//!
//! ```toml
//! [[keys]]
//! key = "a long random text"        # or: sha256 = "64 hexadecimal digits"
//! organizations = ["org-1"]
//! name = "dashboard"                # optional
//! email = "ada@example.com"         # optional
//! expires = 2027-01-01T00:00:00Z    # optional
//! ```

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::api_key::{ApiKey, KeyHash};
use super::key_entries::{KeyEntry, NO_ENTRY, parse_entries};

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
    /// Reads the keys from a TOML file at the start of the process, when there must be one at least.
    pub fn from_file(path: &Path) -> Result<ApiKeys, ApiKeysError> {
        read(path, ApiKeys::parse)
    }

    /// Reads the keys from a TOML file that has changed. An empty list of keys is taken for what it is, since the last key may have
    /// been revoked; a file without a list is a mistake.
    pub fn from_changed_file(path: &Path) -> Result<ApiKeys, ApiKeysError> {
        read(path, |text| parse_entries(text).map(ApiKeys::of))
    }

    /// Returns a key, given as the client sent it; `None` if nobody has such a key. It may have expired.
    pub fn find(&self, credential: &[u8]) -> Option<&ApiKey> {
        self.0.get(&KeyHash::of(credential))
    }

    /// Returns the number of keys.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns true if there is no key, so that nobody may read.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn parse(text: &str) -> Result<ApiKeys, Vec<String>> {
        match parse_entries(text)? {
            entries if entries.is_empty() => Err(vec![NO_ENTRY.to_owned()]),
            entries => Ok(ApiKeys::of(entries)),
        }
    }

    fn of(entries: Vec<KeyEntry>) -> ApiKeys {
        ApiKeys(entries.into_iter().map(|entry| (entry.hash, entry.key)).collect())
    }
}

fn read<T>(path: &Path, parse: impl FnOnce(&str) -> Result<T, Vec<String>>) -> Result<T, ApiKeysError> {
    let text = fs::read_to_string(path).map_err(|error| vec![format!("the file cannot be read: {error}")]);
    text.and_then(|text| parse(&text)).map_err(|mistakes| ApiKeysError { path: path.to_owned(), mistakes })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

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
        let owner = |key: &[u8]| keys.find(key).unwrap().principal.clone();
        let named = owner(b"abc");
        assert_eq!((named.id.as_str(), named.email.as_deref()), ("dashboard", Some("ada@example.com")));
        assert_eq!(named.organizations, ["org-1", "org-2"]);
        assert_eq!(owner(b"hello").id, "key-2cf24dba5fb0a30e");
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
            expires = 2027-01-01
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
                "key 3: `expires` must be a time with its offset, such as 2027-01-01T00:00:00Z",
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
    fn a_key_expires_at_its_time_and_no_sooner() {
        let entry = |name: &str, expires: &str| {
            format!("[[keys]]\nkey = {name:?}\norganizations = [\"o\"]\nexpires = {expires}\n")
        };
        let keys = ApiKeys::parse(&format!(
            "{}{}{}[[keys]]\nkey = \"always\"\norganizations = [\"o\"]\n",
            entry("past", "2020-01-01T00:00:00Z"),
            entry("offset", "2020-01-01T01:00:00+01:00"),
            entry("future", "\"9999-01-01T00:00:00Z\""),
        ))
        .unwrap();
        let key = |name: &str| keys.find(name.as_bytes()).unwrap();
        assert_eq!(key("past").expires_millis, Some(1_577_836_800_000));
        assert_eq!(key("offset").expires_millis, key("past").expires_millis);
        let expired = ["past", "offset", "future", "always"].map(|name| key(name).has_expired());
        assert_eq!(expired, [true, true, false, false]);
    }

    #[test]
    fn the_last_key_may_be_revoked_while_the_process_runs_and_not_before_it_starts() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for (text, at_start, later) in [
            ("keys = []", false, true),
            ("", false, false),
            ("[[keys]]\nkey = \"a\"\norganizations = [\"o\"]", true, true),
        ] {
            fs::write(file.path(), text).unwrap();
            assert_eq!(ApiKeys::from_file(file.path()).is_ok(), at_start, "{text}");
            assert_eq!(ApiKeys::from_changed_file(file.path()).is_ok(), later, "{text}");
        }
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
