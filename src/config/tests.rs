use std::ffi::OsString;
use std::io::Write;
use std::time::Duration;

use tempfile::NamedTempFile;

use super::*;
use crate::cli;
use crate::codec::Encoding;
use crate::domain::Topic;
use crate::logging::LogFormat;
use crate::source::TopicNames;
use crate::synthetic::HistorySettings;
use option_values::a_value_that_is_no_default;

mod access;
mod letters;
mod option_values;
mod readings;
mod replica;
mod warnings;

/// A file of keys that tokens are verified with.
const A_KEY_SET: &str = r#"{"keys": [
    {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}
]}"#;

/// The values that the least of a command gives to its required options.
const REQUIRED: [&str; 3] = ["kafka:9092", "/tmp/optview", "org-1"];

const LEAST: &str = "serve --brokers kafka:9092 --data-dir /tmp/optview";

fn read_whole(line: &str, variables: &[(&str, &str)]) -> Result<Config, String> {
    let arguments = ["optview"].into_iter().chain(line.split_whitespace()).map(OsString::from);
    let line = cli::parse::<Config>(arguments).expect("a sound command line");
    let read = super::read(&line, &variables.iter().copied().collect());
    read.map(|(config, _)| config).map_err(|mistakes| mistakes.to_string())
}

fn read(line: &str, variables: &[(&str, &str)]) -> Result<Command, String> {
    read_whole(line, variables).map(|config| config.command)
}

fn log(line: &str, variables: &[(&str, &str)]) -> LogConfig {
    read_whole(line, variables).unwrap_or_else(|mistakes| panic!("{mistakes}")).log
}

fn serve(line: &str, variables: &[(&str, &str)]) -> ServeConfig {
    match read(line, variables) {
        Ok(Command::Serve(config)) => *config,
        other => panic!("{other:?}"),
    }
}

/// Every mistake named, and so many of them.
fn check_mistakes(line: &str, variables: &[(&str, &str)], expected: &[&str]) {
    let message = read(line, variables).expect_err("there are mistakes");
    for mistake in expected {
        assert!(message.contains(mistake), "no {mistake:?} in:\n{message}");
    }
    let named = message.lines().filter(|line| line.starts_with("  ")).count();
    assert_eq!(named, expected.len(), "{message}");
}

fn file(text: &str) -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

#[test]
fn defaults_are_those_that_the_documentation_states() {
    let config = serve(LEAST, &[]);
    assert_eq!(config.projection.kafka.brokers, "kafka:9092");
    assert_eq!(config.projection.kafka.topics, TopicNames::default());
    assert_eq!(config.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(config.admin_listen.to_string(), "127.0.0.1:9180");
    assert_eq!(
        config.access,
        AccessConfig { jwt_organizations_claim: "organizations".to_owned(), ..AccessConfig::default() }
    );
    assert_eq!(config.projection.group_id, "optview");
    assert_eq!(config.projection.sync_interval, Duration::from_secs(5));
    assert_eq!(config.projection.catch_up_sync_interval, Duration::from_secs(10));
    assert_eq!(config.projection.memory_budget_bytes, 256 << 20);
    assert_eq!(config.projection.store_cache_bytes, 128 << 20);
    assert_eq!(config.projection.orphan_retention, Duration::from_secs(7 * 24 * 3600));
    assert_eq!(config.projection.disk_reserve.floor_bytes, 256 << 20);
    assert_eq!(config.drain_deadline, Duration::from_secs(5));
    assert_eq!(config.max_connections, 10_000);
    assert_eq!(config.keep_alive, Duration::from_secs(620));
    assert_eq!(config.missing_wait, Duration::from_secs(1));
    assert_eq!(log(LEAST, &[]), LogConfig { format: LogFormat::Human, filter: "info".to_owned() });
    assert!(matches!(read("demo", &[]), Ok(Command::Demo(DemoConfig { listen: None, .. }))));
    let Ok(Command::Load(load)) = read("load --brokers kafka", &[]) else { panic!("load has sound defaults") };
    assert_eq!(load.history, HistorySettings::default());
    assert_eq!((load.partitions, load.encoding, load.events_per_second), (6, Encoding::Json, None));
}

#[test]
fn a_flag_wins_over_a_variable_and_a_variable_over_the_file() {
    let file = file("group-id = \"file\"\nlisten = '127.0.0.1:1'\nmax_connections = 1\nstore_cache = \"64MiB\"");
    let line = format!("{LEAST} --group-id flag --config {}", file.path().display());
    let config = serve(&line, &[("OPTVIEW_GROUP_ID", "variable"), ("OPTVIEW_LISTEN", "127.0.0.1:2")]);
    assert_eq!(config.projection.group_id, "flag");
    assert_eq!(config.listen.port(), 2);
    assert_eq!(config.max_connections, 1);
    assert_eq!(config.projection.store_cache_bytes, 64 << 20);
}

#[test]
fn every_option_can_be_given_by_its_flag_its_variable_and_its_key() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("given").display().to_string();
    let an_archive = r#"{"version": 1, "cluster_id": "c", "topics": [], "files": []}"#;
    std::fs::write(dir.path().join("MANIFEST.json"), an_archive).unwrap();
    let program = cli::program::<Config>();
    let commands = cli::commands(&program);
    assert_eq!(commands.len(), 27);
    for (command, option) in
        commands.iter().flat_map(|(name, command)| command.get_arguments().map(move |option| (name, option)))
    {
        let Some((name, variable)) = option.get_long().zip(cli::variable(option)) else { continue };
        if name != "config" {
            let keys = "[[keys]]\nkey = \"k\"\norganizations = [\"org-1\"]\n";
            let text = match name {
                "api-keys" | "listen" => keys,
                name if name.starts_with("jwt-") => A_KEY_SET,
                _ => "",
            };
            std::fs::write(&path, text).unwrap();
            let value = a_value_that_is_no_default(option, &path, dir.path().to_str().unwrap());
            let keyed = format!("{LEAST} --api-keys {path}");
            let of_tokens = [("jwt-jwks", path.as_str()), ("jwt-issuer", "issuer"), ("jwt-audience", "audience")];
            let others = of_tokens.iter().filter(|(other, _)| other != &name);
            let tokens = others.fold(LEAST.to_owned(), |line, (other, value)| format!("{line} --{other} {value}"));
            let least = match command.as_str() {
                "serve" | "check" if name == "listen" => &keyed,
                "serve" | "check" if name.starts_with("jwt-") => &tokens,
                "serve" | "check" => LEAST,
                "demo" => "demo",
                "load" => "load --brokers kafka:9092",
                "publish" if name == "snapshot" => "publish --brokers kafka:9092 --publish-views views",
                "publish" if name == "publish-views" => "publish --brokers kafka:9092 --data-dir DIR",
                "publish" => "publish --brokers kafka:9092 --publish-views views --data-dir /tmp/optview",
                "explain" => "explain opt-1 --data-dir /tmp/optview",
                "verify" => "verify --data-dir /tmp/optview --brokers kafka:9092",
                // Without a generation to be removed, there is nothing that it could accept.
                "generations" if name == "accept-loss" => "generations --remove 2 --data-dir /tmp/optview",
                "generations" => "generations --data-dir /tmp/optview",
                "accept-loss" => "accept-loss --data-dir /tmp/optview",
                "rebuild" => "rebuild --data-dir /tmp/optview --brokers kafka:9092",
                "rollback" => "rollback --data-dir /tmp/optview --brokers kafka:9092",
                "archive export" => "archive export DIR --brokers kafka:9092",
                "archive verify" => "archive verify DIR",
                "archive import" => "archive import DIR --brokers kafka:9092",
                "history" => "history opt-1 --brokers kafka:9092",
                "validate" => "validate FILE",
                "snapshot export" => "snapshot export FILE --data-dir /tmp/optview",
                "snapshot import" => "snapshot import FILE --data-dir /tmp/optview",
                command if command.starts_with("dead-letters") => least_about_letters(command, name),
                "keys add" => "keys add --organization org-1 --api-keys /tmp/optview",
                "keys list" => "keys list --api-keys /tmp/optview",
                "keys revoke" => "keys revoke KEY --api-keys /tmp/optview",
                other => panic!("give the least that {other} needs"),
            };
            // `check` takes what `serve` does.
            let least = if command == "check" { least.replacen("serve", "check", 1) } else { least.to_owned() };
            // A required option is left to the layer under test.
            let least =
                REQUIRED.iter().fold(least, |least, value| least.replace(&format!(" --{name} {value}"), ""));
            let by_flag = read_whole(&format!("{least} --{}={value}", name), &[]).unwrap();
            let by_variable = read_whole(&least, &[(&variable, &value)]).unwrap();
            assert_eq!(by_flag, by_variable, "{name}");
            for key in [cli::key(option), name.to_owned()] {
                let file = file(&format!("{key} = \"{value}\""));
                let by_file = read_whole(&format!("{least} --config {}", file.path().display()), &[]).unwrap();
                assert_eq!(by_flag, by_file, "{key}");
            }
            if !option.is_required_set() && name != "kafka-properties" {
                assert_ne!(Ok(by_flag), read_whole(&least, &[]), "{name}");
            }
        }
    }
}

/// The options that choose letters otherwise than by their ids.
const CHOOSES_LETTERS: [&str; 6] = ["all", "topic", "reason", "before", "after", "from-topic"];

fn least_about_letters(command: &str, name: &str) -> &'static str {
    match command {
        // Letters are chosen by their ids or by what they have in common.
        "dead-letters retry" if CHOOSES_LETTERS.contains(&name) => "dead-letters retry --data-dir /tmp/optview",
        "dead-letters discard" if CHOOSES_LETTERS.contains(&name) => {
            "dead-letters discard --data-dir /tmp/optview"
        }
        "dead-letters list" => "dead-letters list --data-dir /tmp/optview",
        "dead-letters show" => "dead-letters show jobs/0@1 --data-dir /tmp/optview",
        "dead-letters retry" => "dead-letters retry jobs/0@1 --data-dir /tmp/optview --brokers kafka:9092",
        "dead-letters discard" => "dead-letters discard jobs/0@1 --data-dir /tmp/optview",
        "dead-letters export" => "dead-letters export FILE --data-dir /tmp/optview",
        "dead-letters resume" => "dead-letters resume --data-dir /tmp/optview",
        other => panic!("give the least that {other} needs"),
    }
}

#[test]
fn every_mistake_is_named_at_once_with_the_flag_and_the_variable() {
    let dir = tempfile::tempdir().unwrap();
    let file = file("data_dri = \"x\"\nmax-connections = 0\nstore_cache = [1]");
    let line = format!(
        "serve --listen nonsense --sync-interval 5 --memory-budget lots --topic-jobs a/b --log-format xml \
         --api-keys {}/none --config {}",
        dir.path().display(),
        file.path().display()
    );
    let variables = [("OPTVIEW_DRAIN_DEADLINE", "soon"), ("OPTVIEW_LOG", "a=b=c"), ("OPTVIEW_GROUP_ID", " ")];
    check_mistakes(
        &line,
        &variables,
        &[
            "--brokers (OPTVIEW_BROKERS): is required; give HOST:PORT,...",
            "--data-dir (OPTVIEW_DATA_DIR): is required",
            "--listen (OPTVIEW_LISTEN): \"nonsense\" is not IP:PORT; give for instance 127.0.0.1:8080",
            "--sync-interval (OPTVIEW_SYNC_INTERVAL): \"5\" is not a duration",
            "--memory-budget (OPTVIEW_MEMORY_BUDGET): \"lots\" is not a size",
            "--topic-jobs (OPTVIEW_TOPIC_JOBS): \"a/b\" has a character",
            "--log-format (OPTVIEW_LOG_FORMAT): \"xml\" is neither human nor json",
            "--api-keys (OPTVIEW_API_KEYS): ",
            "there is no key \"data_dri\"; did you mean \"data_dir\"?",
            "\"store_cache\" must be a string or a number",
            "--max-connections (OPTVIEW_MAX_CONNECTIONS): \"0\" (from the configuration file) is too little",
            "--drain-deadline (OPTVIEW_DRAIN_DEADLINE): \"soon\" (from the variable) is not a duration",
            "--log (OPTVIEW_LOG): \"a=b=c\" (from the variable) is not a log filter",
            "--group-id (OPTVIEW_GROUP_ID): \" \" (from the variable) is empty",
        ],
    );
}

#[test]
fn a_switch_and_a_positional_argument_are_named_as_any_other() {
    check_mistakes(
        &format!("explain {} --json=maybe --data-dir=", "o".repeat(1025)),
        &[("OPTVIEW_LOG_FORMAT", "xml")],
        &[
            "ID: \"ooo",
            "--json (OPTVIEW_JSON): \"maybe\" is neither true nor false",
            "--data-dir (OPTVIEW_DATA_DIR): \"\" is empty",
            "--log-format (OPTVIEW_LOG_FORMAT): \"xml\" (from the variable)",
        ],
    );
}

#[test]
fn values_that_contradict_each_other_are_a_mistake() {
    check_mistakes(
        &format!("{LEAST} --listen 127.0.0.1:9180 --topic-jobs optimizations"),
        &[],
        &[
            "--listen (OPTVIEW_LISTEN) and --admin-listen (OPTVIEW_ADMIN_LISTEN): both are the same address",
            "--topic-optimizations (OPTVIEW_TOPIC_OPTIMIZATIONS) and --topic-jobs (OPTVIEW_TOPIC_JOBS): both name one",
        ],
    );
    assert_eq!(
        serve(&format!("{LEAST} --open-access --listen [::]:0 --admin-listen [::]:0"), &[]).listen.port(),
        0
    );
}

#[test]
fn numbers_of_load_are_checked() {
    check_mistakes(
        "load --brokers ,a --optimizations -1 --partitions 0 --rate 0 --encoding avro --seed 99999999999999999999",
        &[],
        &["--brokers", "not a whole number", "--partitions", "--rate", "neither json nor protobuf", "is too much"],
    );
}

#[test]
fn a_setting_that_correctness_rests_on_is_refused_by_name_with_the_reason() {
    check_mistakes(
        &format!(
            "{LEAST} --kafka-property enable.auto.commit=true --kafka-property group.id=x --kafka-property nothing"
        ),
        &[],
        &[
            "number 1, \"enable.auto.commit\", cannot be set: optview commits the group's offsets itself",
            "number 2, \"group.id\", cannot be set: use --group-id",
            "number 3 has no `=`",
        ],
    );
}

#[test]
fn kafka_properties_are_merged_key_by_key_and_no_value_is_shown() {
    let properties = file("# comment\n\nclient.id = file\nsasl.username=file\n! also\nsocket.timeout.ms=1000\n");
    let toml = file("[kafka_property]\n\"client.id\" = \"toml\"\n\"retry.backoff.ms\" = 50");
    let line = format!(
        "{LEAST} --kafka-properties {} --config {} --kafka-property client.id=flag",
        properties.path().display(),
        toml.path().display()
    );
    let variable = [("OPTVIEW_KAFKA_PROPERTY", "client.id=variable\nsasl.password=a=b\n")];
    let config = serve(&line, &variable);
    let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    let expected = [
        pair("client.id", "flag"),
        pair("retry.backoff.ms", "50"),
        pair("sasl.password", "a=b"),
        pair("sasl.username", "file"),
        pair("socket.timeout.ms", "1000"),
    ];
    assert_eq!(config.projection.kafka.properties, expected);

    let secret = [("OPTVIEW_KAFKA_PROPERTY", "sasl.pasword=hunter2")];
    let message = read(LEAST, &secret).expect_err("there is no such property");
    assert!(message.contains("sasl.pasword") && !message.contains("hunter2"), "{message}");
}

#[test]
fn a_file_that_is_no_toml_says_where() {
    check_mistakes(LEAST, &[("OPTVIEW_CONFIG", "/nowhere/optview.toml")], &["cannot read /nowhere/optview.toml"]);
    let file = file("listen = \"127.0.0.1:1\"\nlisten: 5\n");
    let path = file.path().display().to_string();
    check_mistakes(LEAST, &[("OPTVIEW_CONFIG", &path)], &["line 2"]);
}

#[test]
fn a_list_in_the_file_is_taken_where_a_value_has_commas() {
    let file = file(
        "brokers = [\"kafka-1:9092\", \"kafka-2\"]\nlog = [\"warn\", \"optview=debug\"]\ndata_dir = \"/tmp/x\"",
    );
    let path = file.path().display().to_string();
    let config = serve("serve", &[("OPTVIEW_CONFIG", &path)]);
    assert_eq!(config.projection.kafka.brokers, "kafka-1:9092,kafka-2");
    assert_eq!(log("serve", &[("OPTVIEW_CONFIG", &path)]).filter, "warn,optview=debug");
}

#[test]
fn what_was_given_and_refused_is_not_said_to_be_missing_as_well() {
    for (given, refused) in [
        ("brokers = [[\"kafka\"]]", "\"brokers\" must be a string with commas, or a list of strings"),
        ("brokers = []", "--brokers (OPTVIEW_BROKERS): \"\" (from the configuration file) has"),
        ("brokers = { a = 1 }", "\"brokers\" must be"),
    ] {
        let file = file(&format!("data_dir = \"/tmp/x\"\n{given}"));
        for command in ["serve", "load", "history o-1"] {
            check_mistakes(command, &[("OPTVIEW_CONFIG", &file.path().display().to_string())], &[refused]);
        }
    }
    let unreadable = file("brokers = ");
    check_mistakes("serve", &[("OPTVIEW_CONFIG", &unreadable.path().display().to_string())], &["is not TOML"]);
    let arguments = ["optview", "serve", "--data-dir", "/tmp/x"].map(OsString::from);
    let not_text: OsString = std::os::unix::ffi::OsStringExt::from_vec(vec![0xFF]);
    let environment = [("OPTVIEW_BROKERS", not_text)].into_iter().collect();
    let mistakes = super::read(&cli::parse::<Config>(arguments).unwrap(), &environment).unwrap_err().to_string();
    assert!(mistakes.contains("one mistake") && mistakes.contains("OPTVIEW_BROKERS: is not UTF-8"), "{mistakes}");
}

#[test]
fn rust_log_is_honoured_below_log_and_a_variable_set_to_nothing_is_not_set() {
    let filter = |line: &str, variables: &[(&str, &str)]| log(line, variables).filter;
    assert_eq!(filter(LEAST, &[("RUST_LOG", "debug")]), "debug");
    assert_eq!(filter(LEAST, &[("RUST_LOG", "debug"), ("OPTVIEW_LOG", "warn")]), "warn");
    assert_eq!(filter(LEAST, &[("RUST_LOG", "debug"), ("OPTVIEW_LOG", "")]), "debug");
    check_mistakes(LEAST, &[("RUST_LOG", "a=b=c")], &["RUST_LOG: \"a=b=c\" is not a log filter"]);
}

#[test]
fn every_command_has_the_options_of_the_log() {
    for line in [
        LEAST,
        "demo",
        "explain o-1 --data-dir /tmp/x",
        "archive verify /tmp/x",
        "snapshot import /tmp/x --data-dir /tmp/y",
    ] {
        let expected = LogConfig { format: LogFormat::Json, filter: "trace".to_owned() };
        assert_eq!(log(&format!("{line} --log trace --log-format json"), &[]), expected, "{line}");
    }
}
