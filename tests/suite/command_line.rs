//! Messages and exit codes of wrong usage.

use std::process::{Command, Output};

fn optview(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_optview"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("OPTVIEW_") || name == "RUST_LOG") {
        command.env_remove(name);
    }
    command.args(arguments).envs(variables.iter().copied()).output().expect("a program to run")
}

#[test]
fn wrong_usage_names_every_mistake_on_stderr_and_exits_with_2() {
    let output = optview(&["serve", "--listen", "nonsense"], &[("OPTVIEW_SYNC_INTERVAL", "often")]);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(output.stdout, b"");
    let error = String::from_utf8(output.stderr).expect("text");
    for named in ["--brokers", "OPTVIEW_DATA_DIR", "--listen", "OPTVIEW_SYNC_INTERVAL"] {
        assert!(error.contains(named), "no {named} in:\n{error}");
    }
}

#[test]
fn unknown_arguments_exit_with_2_and_help_with_0() {
    for (arguments, code) in [
        (&[][..], 2),
        (&["nonsense"], 2),
        (&["load", "--nonsense"], 2),
        (&["--help"], 0),
        (&["serve", "--help"], 0),
    ] {
        assert_eq!(optview(arguments, &[]).status.code(), Some(code), "{arguments:?}");
    }
    let help = optview(&["--help"], &[]).stdout;
    assert!(String::from_utf8(help).unwrap().starts_with(env!("CARGO_PKG_DESCRIPTION")));
}
