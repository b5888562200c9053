use std::os::unix::fs::PermissionsExt as _;

use proptest::prelude::*;

use super::*;
use crate::credentials::ApiKeys;

const FILE: &str = r#"# The keys of our readers. Ask the platform team.

# Ada's dashboard.
[[keys]]
sha256 = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824" # printf hello
# Both of her teams.
organizations = [
  "org-1", # fast
  "org-2",
]
name = "dashboard"

# Machines follow.

[[keys]]
key = "machine"
organizations = ["org-3"]
# The end.
"#;

fn new_key(name: Option<&str>) -> NewKey {
    NewKey {
        organizations: vec!["org-9".to_owned(), "Ünal \"quoted\"".to_owned()],
        name: name.map(str::to_owned),
        email: Some("ada@example.com".to_owned()),
        expires_millis: Some(1_798_761_600_000),
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_key_is_added_to_a_file_that_is_missing_and_only_its_hash_is_kept() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keys.toml");
    let added = add_key(&path, &new_key(None)).unwrap();
    assert!(added.key.starts_with(PREFIX) && added.key.len() > 50, "{}", added.key);
    let text = fs::read_to_string(&path).unwrap();
    assert!(!text.contains(&added.key) && !text.contains(&added.key[PREFIX.len()..]), "{text}");
    assert!(text.contains("expires = 2027-01-01T00:00:00Z"), "{text}");
    assert_eq!(mode(&path), 0o600);
    let keys = ApiKeys::from_file(&path).unwrap();
    let found = keys.find(added.key.as_bytes()).unwrap();
    assert_eq!(found, &added.entry.key);
    assert_eq!(found.principal.organizations, ["org-9", "Ünal \"quoted\""]);
    assert_eq!((found.expires_millis, found.principal.id.clone()), (Some(1_798_761_600_000), added.entry.id()));
    let another = add_key(&path, &new_key(None)).unwrap();
    assert_ne!(another.key, added.key);
    assert_eq!(list_keys(&path).unwrap(), [added.entry, another.entry]);
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
}

#[test]
fn what_is_in_a_file_stays_when_a_key_is_added() {
    let text = with_entry(FILE, &KeyHash::of(b"new"), &new_key(Some("new"))).unwrap();
    let (before, added) = text.split_at(FILE.trim_end_matches("# The end.\n").len());
    assert!(FILE.starts_with(before), "{text}");
    assert!(added.contains("# The end.") && added.contains("name = \"new\""), "{text}");
    let taken = with_entry(FILE, &KeyHash::of(b"new"), &new_key(Some("dashboard"))).unwrap_err();
    assert!(
        matches!(&taken, EditError::Refused(why) if why.contains("a key called dashboard already")),
        "{taken:?}"
    );
}

#[test]
fn a_revoked_key_takes_its_comments_along_and_reports_them() {
    let (text, comments) = without_entry(FILE, 0).unwrap();
    assert_eq!(
        text,
        "# The keys of our readers. Ask the platform team.\n\n\n# Machines follow.\n\n[[keys]]\nkey = \"machine\"\n\
         organizations = [\"org-3\"]\n# The end.\n"
    );
    assert_eq!(comments, ["# Ada's dashboard.", "# printf hello", "# Both of her teams.", "# fast"]);
    let (text, comments) = without_entry(FILE, 1).unwrap();
    assert!(text.ends_with("name = \"dashboard\"\n\n# Machines follow.\n\n# The end.\n"), "{text}");
    assert_eq!(comments, [""; 0]);
}

#[test]
fn a_key_is_revoked_by_its_name_or_its_id_and_the_last_one_leaves_an_empty_list() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keys.toml");
    fs::write(&path, FILE).unwrap();
    for unknown in ["", "dash", "hello", "machine"] {
        let error = revoke_key(&path, unknown).unwrap_err().to_string();
        assert!(error.contains("there is no key") && error.contains("optview keys list"), "{error}");
    }
    let revoked = revoke_key(&path, "dashboard").unwrap();
    assert_eq!((revoked.entry.id().as_str(), revoked.left), ("key-2cf24dba5fb0a30e", 1));
    let id = list_keys(&path).unwrap()[0].id();
    assert_eq!(revoke_key(&path, &id).unwrap().left, 0);
    assert_eq!(list_keys(&path).unwrap(), []);
    assert!(ApiKeys::from_changed_file(&path).unwrap().is_empty(), "nobody may read any more");
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains("# The keys of our readers."), "{text}");
    let added = add_key(&path, &new_key(None)).unwrap();
    assert_eq!(list_keys(&path).unwrap(), [added.entry]);
}

#[test]
fn a_name_of_several_keys_revokes_none_of_them() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keys.toml");
    let entry = |key: &str| format!("[[keys]]\nkey = {key:?}\nname = \"same\"\norganizations = [\"o\"]\n");
    let text = entry("one") + &entry("two");
    fs::write(&path, &text).unwrap();
    let error = revoke_key(&path, "same").unwrap_err().to_string();
    assert!(error.contains("2 keys are called same: revoke one by its id (key-"), "{error}");
    assert_eq!(fs::read_to_string(&path).unwrap(), text);
}

#[test]
fn a_file_with_mistakes_is_left_as_it_is_and_no_key_is_shown() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keys.toml");
    for text in [
        "[[keys]]\nkey = \"secret\"\n",
        "[[keys]]\nkey = \"secret",
        "colour = 1\n[[keys]]\nkey = \"secret\"\norganizations = [\"o\"]",
    ] {
        fs::write(&path, text).unwrap();
        for error in [add_key(&path, &new_key(None)).unwrap_err(), revoke_key(&path, "a").unwrap_err()] {
            let error = error.to_string();
            assert!(
                error.contains("is left as it is; correct them first: ") && !error.contains("secret"),
                "{error}"
            );
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
    }
}

#[test]
fn a_link_stays_and_what_it_leads_to_is_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let (path, link) = (directory.path().join("keys.toml"), directory.path().join("link"));
    add_key(&path, &new_key(None)).unwrap();
    std::os::unix::fs::symlink(&path, &link).unwrap();
    add_key(&link, &new_key(None)).unwrap();
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(list_keys(&path).unwrap().len(), 2);
}

#[test]
fn keys_that_are_added_at_once_are_all_there() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keys.toml");
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| (0..4).for_each(|_| drop(add_key(&path, &new_key(None)).unwrap())));
        }
    });
    assert_eq!(list_keys(&path).unwrap().len(), 32);
}

/// The text of a file of keys, as tables or as a list in one value.
fn files() -> impl Strategy<Value = (String, usize)> {
    let name = || "[ -~é]{0,12}";
    let entry = (name(), name(), any::<bool>(), any::<bool>());
    (proptest::collection::vec(entry, 1..5), any::<bool>()).prop_map(|(entries, is_inline)| {
        let count = entries.len();
        let mut text = String::new();
        for (number, (name, comment, is_named, is_above)) in entries.into_iter().enumerate() {
            // Rust writes these letters as TOML does.
            let name = if is_named { format!("name = {:?}", format!("n{name}")) } else { String::new() };
            if is_inline {
                let name = if is_named { format!(", {name}") } else { name };
                text += &format!("  {{ key = \"k{number}\", organizations = [\"o\"]{name} }}, # {comment}\n");
                continue;
            }
            let above = if is_above { format!("# {comment}\n\n") } else { String::new() };
            text +=
                &format!("{above}[[keys]]\nkey = \"k{number}\" # {comment}\norganizations = [\"o\"]\n{name}\n");
        }
        (if is_inline { format!("keys = [\n{text}]\n") } else { text }, count)
    })
}

proptest! {
    #[test]
    fn an_edit_changes_no_other_entry((text, count) in files(), at in 0_usize..5) {
        let at = at % count;
        let before = parse_entries(&text).unwrap();
        let added = with_entry(&text, &KeyHash::of(b"new"), &new_key(None)).unwrap();
        let entries = parse_entries(&added).unwrap();
        prop_assert_eq!(&entries[..count], &before);
        prop_assert_eq!(entries[count].hash, KeyHash::of(b"new"));
        let (same, _) = without_entry(&added, count).unwrap();
        prop_assert_eq!(parse_entries(&same).unwrap(), before.clone());
        let comments = |text: &str| text.matches("# ").count();
        prop_assert_eq!(comments(&same), comments(&text));
        let (revoked, _) = without_entry(&text, at).unwrap();
        let mut expected = before;
        expected.remove(at);
        prop_assert_eq!(parse_entries(&revoked).unwrap(), expected);
    }
}
