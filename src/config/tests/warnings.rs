//! Warnings name what is no mistake and should be looked at, and keep nothing from starting.

use super::*;

/// Returns the warnings.
fn warnings(line: &str, variables: &[(&str, &str)]) -> Vec<String> {
    let arguments = ["optview"].into_iter().chain(line.split_whitespace()).map(OsString::from);
    let line = cli::parse::<Config>(arguments).expect("a sound command line");
    crate::config::read(&line, &variables.iter().copied().collect()).expect("no mistakes").1
}

#[test]
fn a_variable_that_is_nearly_an_option_is_a_mistake_and_any_other_is_warned_of() {
    check_mistakes(
        LEAST,
        &[("OPTVIEW_API_KEY", "keys.toml")],
        &["OPTVIEW_API_KEY: there is no such option; did you mean OPTVIEW_API_KEYS?"],
    );
    let said = warnings(LEAST, &[("OPTVIEW_IMAGE", "optview:1"), ("OPTVIEW_SERVICE_HOST", "10.0.0.1")]);
    assert_eq!(said, ["the variable OPTVIEW_IMAGE is none of optview's options, and has no effect"]);
    assert_eq!(warnings("load --brokers kafka", &[("OPTVIEW_KEEP", "2")]), Vec::<String>::new());
}

#[test]
fn an_address_that_others_reach_and_that_asks_for_no_key_is_warned_of() {
    let keys = file("[[keys]]\nkey = \"k\"\norganizations = [\"o\"]\n");
    let with_keys = format!("{LEAST} --api-keys {}", keys.path().display());
    for (line, addresses) in [
        (LEAST, &[][..]),
        ("demo", &[]),
        ("demo --listen 0.0.0.0:1", &["0.0.0.0:1"]),
        (&format!("{LEAST} --listen [::1]:1 --admin-listen 127.0.0.2:2"), &[]),
        (&format!("{LEAST} --listen [::ffff:127.0.0.1]:1"), &[]),
        ("demo --listen 0.0.0.0:1 --admin-listen 10.0.0.1:2", &["0.0.0.0:1", "10.0.0.1:2"]),
        (&format!("{LEAST} --open-access --listen 0.0.0.0:1"), &[]),
        (&format!("{LEAST} --open-access --listen [::]:1 --admin-listen 10.0.0.1:2"), &["10.0.0.1:2"]),
        (&format!("{with_keys} --listen 0.0.0.0:1 --admin-listen 0.0.0.0:2"), &["0.0.0.0:2"]),
    ] {
        let said = warnings(line, &[]);
        assert_eq!(said.len(), addresses.len(), "{line}: {said:?}");
        for (said, address) in said.iter().zip(addresses) {
            assert!(said.starts_with(&format!("whoever reaches {address}")), "{said}");
        }
    }
}

#[test]
fn a_file_of_keys_or_passwords_that_anybody_may_write_to_is_warned_of() {
    use std::os::unix::fs::PermissionsExt as _;
    let keys = file("[[keys]]\nkey = \"k\"\norganizations = [\"o\"]\n");
    let (properties, config) = (file("client.id=a"), file("group_id = \"a\""));
    let path = |file: &NamedTempFile| file.path().display().to_string();
    let line = format!(
        "{LEAST} --api-keys {} --kafka-properties {} --config {}",
        path(&keys),
        path(&properties),
        path(&config)
    );
    for (mode, warned) in [(0o600, 0), (0o664, 0), (0o666, 3), (0o602, 3)] {
        for file in [&keys, &properties, &config] {
            std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(mode)).unwrap();
        }
        let said = warnings(&line, &[]);
        assert_eq!(said.len(), warned, "{said:?}");
        if warned > 0 {
            for file in [&keys, &properties, &config] {
                let remedy = format!("`chmod o-w {}`", path(file));
                assert!(said.iter().any(|said| said.contains(&remedy)), "no {remedy}: {said:?}");
            }
        }
    }
}
