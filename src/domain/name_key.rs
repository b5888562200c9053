//! The key of a name, by which lists sort and search names: its beginning, without regard to case.

use std::borrow::Cow;

/// The most bytes of a name that its key is made of. Keys are in memory, and names have no bound of their own.
pub const NAME_KEY_BYTES_MAX: usize = 256;

/// Returns the key of a name.
pub fn name_key(name: &str) -> Cow<'_, str> {
    caseless(beginning(name))
}

/// Returns the beginning of a name that its key is made of.
pub fn beginning(name: &str) -> &str {
    &name[..name.floor_char_boundary(NAME_KEY_BYTES_MAX)]
}

/// Returns true if `key` is the key of a name. It allocates nothing for a name of ASCII.
pub fn is_key_of(key: &str, name: &str) -> bool {
    let name = beginning(name);
    // A key has no capital letters of ASCII.
    if name.is_ascii() { name.eq_ignore_ascii_case(key) } else { caseless(name) == key }
}

/// Returns a text in which letters that differ by case only are the same. A letter goes through its capital, so that forms with
/// one capital, such as the two small sigmas, are the same, too.
pub fn caseless(text: &str) -> Cow<'_, str> {
    if !text.is_ascii() {
        return text.chars().flat_map(char::to_uppercase).flat_map(char::to_lowercase).collect();
    }
    if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Cow::Owned(text.to_ascii_lowercase());
    }
    Cow::Borrowed(text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_that_differ_by_case_only_have_one_key() {
        for (name, key) in [
            ("", ""),
            ("Fit of Cell 7", "fit of cell 7"),
            ("ÜBER Ångström", "über ångström"),
            ("ΣΊΣΥΦΟΣ", "σίσυφοσ"),
            ("σίσυφος", "σίσυφοσ"),
            ("Straße", "strasse"),
            ("電池", "電池"),
        ] {
            assert_eq!(name_key(name), key);
            assert!(is_key_of(key, name), "{name}");
        }
        assert!(!is_key_of("fit", "Fits"));
        assert!(matches!(name_key("fit"), Cow::Borrowed(_)));
    }

    #[test]
    fn a_long_name_has_the_key_of_its_beginning() {
        let long = format!("{}é and more", "N".repeat(NAME_KEY_BYTES_MAX - 1));
        assert_eq!(name_key(&long), "n".repeat(NAME_KEY_BYTES_MAX - 1));
        assert!(is_key_of(&name_key(&long), &long));
    }

    proptest! {
        #[test]
        fn a_key_is_that_of_its_name_and_of_no_other_key(name: String, other: String) {
            let key = name_key(&name);
            prop_assert!(is_key_of(&key, &name));
            prop_assert_eq!(is_key_of(&name_key(&other), &name), name_key(&other) == key);
            let capitals = beginning(&name).to_uppercase();
            prop_assert_eq!(caseless(&capitals), key);
        }
    }
}
