use super::*;
use crate::config::Config;

fn parse_line(line: &str) -> Result<CommandLine, clap::Error> {
    parse::<Config>(line.split_whitespace().map(OsString::from))
}

#[test]
fn every_command_describes_itself_soundly() {
    program::<Config>().debug_assert();
}

#[test]
fn values_stay_as_they_were_typed() {
    let line = parse_line("optview serve --listen nonsense --kafka-property a=1 --kafka-property b=2").unwrap();
    assert_eq!(line.command, "serve");
    assert_eq!(line.flags["listen"], ["nonsense"]);
    assert_eq!(line.flags["kafka_property"], ["a=1", "b=2"]);
    assert_eq!(line.flags.len(), 2);
}

#[test]
fn a_command_of_two_words_is_found_under_its_family() {
    for (command, options) in commands(&program::<Config>()) {
        let positional = options.get_arguments().filter(|option| option.is_positional());
        let positional: Vec<String> = positional.map(key).collect();
        let text = format!("optview {command} {}", positional.join(" "));
        let line = parse_line(&text).unwrap();
        assert_eq!(line.command, command, "{text}");
        for name in positional {
            assert_eq!(line.flags[&name], [name]);
        }
    }
}

#[test]
fn wrong_usage_exits_with_2_and_help_with_0() {
    for (line, code) in [
        ("optview", 2),
        ("optview nothing", 2),
        ("optview archive", 2),
        ("optview explain", 2),
        ("optview serve --no-such-flag", 2),
        ("optview serve --listen", 2),
        ("optview serve --listen a --listen b", 2),
        ("optview --help", 0),
        ("optview load --help", 0),
        ("optview --version", 0),
    ] {
        assert_eq!(parse_line(line).unwrap_err().exit_code(), code, "{line}");
    }
}

#[test]
fn help_names_every_option_with_its_variable_and_default() {
    for (command, options) in commands(&program::<Config>()) {
        let help = parse_line(&format!("optview {command} --help")).unwrap_err().to_string();
        let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
        for option in options.get_arguments() {
            let name = key(option);
            // The same by which values are looked up, and taken from the file.
            assert_eq!(option.get_id(), name.as_str());
            let shown = match (option.get_long(), value_name(option)) {
                (Some(long), "true|false") => format!("--{long}"),
                (Some(long), value) => format!("--{long} <{value}>"),
                (None, value) => value.to_owned(),
            };
            assert!(help.contains(&shown), "{name}");
            if let Some(variable) = variable(option) {
                assert!(help.contains(&format!("[env: {variable}]")), "{name}");
            }
            for default in option.get_default_values() {
                assert!(help.contains(&format!("[default: {}]", default.display())), "{name}");
            }
        }
    }
}
