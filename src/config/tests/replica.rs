use super::*;

#[test]
fn an_instance_that_reads_a_topic_of_views_takes_no_option_of_events() {
    let line = format!(
        "{LEAST} --from-views views --sync-interval 1s --require-fresh --min-free-disk 1GiB --missing-wait 0s"
    );
    assert_eq!(serve(&line, &[]).from_views.as_deref(), Some("views"));
    assert_eq!(serve(LEAST, &[]).from_views, None);
    let both = |other: &str| format!("--from-views (OPTVIEW_FROM_VIEWS) and --{other}: exclude each other");
    check_mistakes(
        &format!("{line} --topic-jobs mine --publish-views other --views-format flat --from-snapshot /tmp/a"),
        &[("OPTVIEW_DEAD_LETTER_TOPIC", "letters"), ("OPTVIEW_MEMORY_BUDGET", "64MiB")],
        &[
            &both("topic-jobs (OPTVIEW_TOPIC_JOBS)"),
            &both("publish-views (OPTVIEW_PUBLISH_VIEWS)"),
            &both("views-format (OPTVIEW_VIEWS_FORMAT)"),
            &both("from-snapshot (OPTVIEW_FROM_SNAPSHOT)"),
            &both("dead-letter-topic (OPTVIEW_DEAD_LETTER_TOPIC)"),
            &both("memory-budget (OPTVIEW_MEMORY_BUDGET)"),
        ],
    );
}

/// Each option of `serve` either has an effect beside `--from-views` or excludes it.
#[test]
fn the_options_that_a_replica_takes_are_those_that_have_an_effect_there() {
    const TAKEN: [&str; 27] = [
        "access-log",
        "admin-listen",
        "api-keys",
        "brokers",
        "config",
        "cors-origin",
        "data-dir",
        "drain-deadline",
        "from-views",
        "jwt-audience",
        "jwt-issuer",
        "jwt-jwks",
        "jwt-organizations-claim",
        "kafka-properties",
        "kafka-property",
        "keep-alive",
        "listen",
        "log",
        "log-format",
        "max-connections",
        "min-free-disk",
        "missing-wait",
        "open-access",
        "require-fresh",
        "store-cache",
        "sync-interval",
        "write-deadline",
    ];
    let program = cli::program::<Config>();
    let serve = program.find_subcommand("serve").unwrap();
    let directory = tempfile::tempdir().unwrap();
    let mut taken = Vec::new();
    for option in serve.get_arguments() {
        let name = option.get_long().unwrap();
        let value = a_value_that_is_no_default(option, "/dev/null", directory.path().to_str().unwrap());
        let others = [
            ("OPTVIEW_BROKERS", "kafka:9092"),
            ("OPTVIEW_DATA_DIR", "/tmp/optview"),
            ("OPTVIEW_FROM_VIEWS", "views"),
        ];
        let message = read(&format!("serve --{name}={value}"), &others).err().unwrap_or_default();
        if !message.contains("exclude each other") {
            taken.push(name);
        }
    }
    taken.sort_unstable();
    assert_eq!(taken, TAKEN);
}
