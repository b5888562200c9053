//! The documents describe the options and metrics that the program has.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use optview::check::Check;
use optview::cli;
use optview::config::Config;
use optview::domain::{Gap, TopicId};
use optview::source::StopCode;
use strum::VariantArray as _;

fn document(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

#[test]
fn the_table_of_options_is_what_help_prints() {
    let readme = document("README.md");
    let (_, table) = readme.split_once("<!-- options of serve -->\n").unwrap();
    let (table, _) = table.split_once("<!-- end -->").unwrap();
    let program = cli::program::<Config>();
    let serve = program.find_subcommand("serve").unwrap();
    let expected: Vec<String> = serve
        .get_arguments()
        .map(|option| {
            let default = match (option.is_required_set(), option.get_default_values().first()) {
                (true, _) => "required ".to_owned(),
                (false, Some(default)) => format!("`{}` ", default.display()),
                (false, None) => String::new(),
            };
            let value = cli::value_name(option).replace('|', "\\|");
            let help = option.get_help().unwrap().to_string();
            let help = help.split(" [").next().unwrap();
            format!("| `--{} {value}` | {default}| {help} |", option.get_long().unwrap())
        })
        .collect();
    assert_eq!(table.lines().collect::<Vec<_>>(), expected);
}

/// Every metric that the source names, and no other, has its row in the run book.
#[test]
fn the_run_book_has_every_metric() {
    let mut named = BTreeSet::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                named.extend(metrics_in(&fs::read_to_string(path).unwrap(), '"'));
            }
        }
    }
    named.remove("optview_test_gauge");
    // The beginning of every key.
    named.remove("optview_");
    assert!(named.len() > 20, "{named:?}");
    let documented: BTreeSet<String> = document("docs/OPERATIONS.md")
        .lines()
        .filter(|line| line.starts_with("| `optview_"))
        .flat_map(first)
        .collect();
    assert_eq!(documented, named);
}

/// Every metric that an alert or a dashboard looks at is one that there is.
#[test]
fn alerts_name_metrics_that_there_are() {
    let book = document("docs/OPERATIONS.md");
    let rules = document("deploy/prometheus/alerts.yaml");
    let words = rules.split(|character: char| !(character.is_ascii_alphanumeric() || character == '_'));
    let used: BTreeSet<&str> = words.filter(|word| word.starts_with("optview_")).collect();
    assert!(used.len() > 5, "{used:?}");
    for metric in used {
        let metric = ["_bucket", "_sum", "_count"].iter().fold(metric, |name, end| name.trim_end_matches(end));
        assert!(book.contains(&format!("| `{metric}")), "there is no {metric}");
    }
}

/// Whoever sees a finding of `optview check` finds what it looks at in the run book.
#[test]
fn the_run_book_has_every_check() {
    let book = document("docs/OPERATIONS.md");
    let (_, table) = book.split_once("| check | looks at | wrong | doubtful |\n|---|---|---|---|\n").unwrap();
    let rows: Vec<&str> = table.lines().take_while(|line| line.starts_with('|')).collect();
    let documented: BTreeSet<&str> = rows
        .iter()
        .filter_map(|row| row.split('|').nth(1))
        .flat_map(|cell| cell.split('`').skip(1).step_by(2))
        .collect();
    let known: BTreeSet<&str> = Check::VARIANTS.iter().map(|check| check.into()).collect();
    assert_eq!(documented, known);
    assert!(known.len() > 10);
}

/// Whoever is woken by an alert finds it in the run book, and finds no other there.
#[test]
fn the_run_book_has_every_alert() {
    let rules = document("deploy/prometheus/alerts.yaml");
    let named: BTreeSet<&str> = rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert!(named.len() > 10, "{named:?}");
    let book = document("docs/OPERATIONS.md");
    let rows = book.lines().filter_map(|line| line.strip_prefix("| `Optview")?.split('`').next());
    let documented: BTreeSet<String> = rows.map(|name| format!("Optview{name}")).collect();
    assert_eq!(documented.iter().map(String::as_str).collect::<BTreeSet<_>>(), named);
}

/// Whoever sees a partition that has stopped finds its code in the run book, with what to do, and finds no other there.
#[test]
fn the_run_book_has_every_stop_code() {
    let book = document("docs/OPERATIONS.md");
    let (_, table) = book.split_once("| code | text | means | what to do |\n|---|---|---|---|\n").unwrap();
    let rows: Vec<&str> = table.lines().take_while(|line| line.starts_with('|')).collect();
    let codes: Vec<String> = rows.iter().filter_map(|row| first(row)).collect();
    assert_eq!(codes, StopCode::ALL.map(StopCode::as_str));
    for row in rows {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        assert!(cells.len() == 4 && cells.iter().all(|cell| !cell.is_empty()), "{row}");
    }
}

/// Whoever sees the text of a gap finds it in the run book: the longest piece that has no number.
#[test]
fn the_run_book_has_the_text_of_every_gap() {
    let book = document("docs/OPERATIONS.md");
    let id = TopicId { most_significant: 1, least_significant: 2 };
    let gaps = [
        Gap::Removed { next: 1, low: 2 },
        Gap::Shorter { next: 1, high: 2 },
        Gap::OtherRecord { offset: 1 },
        Gap::Recreated { read: id, found: id, next: 1 },
        Gap::Missing { next: 1 },
    ];
    for gap in gaps {
        let text = gap.to_string();
        // What follows the colon is the reason, which the run book has in its own words.
        let head = text.split(':').next().unwrap_or_default();
        let longest = head.split(|character: char| character.is_ascii_digit()).max_by_key(|piece| piece.len());
        let beginning = longest.unwrap_or_default().trim();
        assert!(book.contains(beginning), "`{beginning}` of `{text}`");
    }
}

/// Flags in what is deployed are flags that there are.
#[test]
fn what_is_deployed_uses_options_that_there_are() {
    let program = cli::program::<Config>();
    let options: Vec<_> =
        cli::commands(&program).into_iter().flat_map(|(_, command)| command.get_arguments()).collect();
    let known: BTreeSet<String> = options.into_iter().filter_map(cli::variable).collect();
    let files = [
        "deploy/Dockerfile",
        "deploy/compose.yaml",
        "deploy/kubernetes/optview.yaml",
        "deploy/systemd/optview.service",
    ];
    for file in files {
        let text = document(file);
        let is_of_word = |character: char| character.is_ascii_alphanumeric() || "-_".contains(character);
        let words = text.split(|character| !is_of_word(character));
        let used: Vec<&str> = words.filter(|word| word.starts_with("OPTVIEW_") && *word != "OPTVIEW_").collect();
        assert!(!used.is_empty(), "{file} configures nothing");
        for word in used {
            assert!(known.contains(word), "{file} has {word}, which is no option");
        }
    }
}

/// Figures are those of what is deployed.
#[test]
fn benches_are_built_as_what_is_deployed() {
    let manifest: toml::Table = toml::from_str(&document("Cargo.toml")).unwrap();
    let mut dist = manifest["profile"]["dist"].as_table().unwrap().clone();
    assert_eq!(dist.remove("inherits").as_ref().and_then(toml::Value::as_str), Some("release"));
    assert_eq!(manifest["profile"]["bench"].as_table(), Some(&dist));
    assert!(document("deploy/build").contains("cargo build --profile dist "));
    assert!(document("deploy/Dockerfile").contains("bash deploy/build "));
}

/// The engines that take published views are tried with the broker of the same version.
#[test]
fn all_that_is_of_kafka_has_one_version() {
    let files = ["tests/kafka/pom.xml", "deploy/connect/pom.xml", "deploy/streams/pom.xml"];
    let versions: Vec<String> = files.into_iter().flat_map(|file| kafka_versions(&document(file))).collect();
    assert!(versions.len() >= files.len(), "{versions:?}");
    assert!(versions.iter().all(|version| *version == versions[0]), "{versions:?}");
}

/// Returns the versions of the dependencies of a `pom.xml` that are Kafka's.
fn kafka_versions(pom: &str) -> Vec<String> {
    let dependencies = pom.split("<dependency>").skip(1);
    let of_kafka =
        dependencies.filter(|text| text.trim_start().starts_with("<groupId>org.apache.kafka</groupId>"));
    let rests = of_kafka.filter_map(|text| text.split_once("<version>"));
    rests.filter_map(|(_, rest)| Some(rest.split_once("</version>")?.0.to_owned())).collect()
}

fn metrics_in(text: &str, quote: char) -> Vec<String> {
    let quoted = text.split(quote).filter(|word| word.starts_with("optview_"));
    quoted
        .filter(|word| word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'))
        .map(str::to_owned)
        .collect()
}

/// The name in a row's first cell.
fn first(line: &str) -> Option<String> {
    let cell = line.split('`').nth(1)?;
    Some(cell.split('{').next()?.to_owned())
}
