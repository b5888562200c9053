//! Values are read once, and as they were given.

use std::os::fd::AsRawFd;

use super::*;
use crate::domain::{PartitionOffset, Timestamp};

#[test]
fn the_keys_may_come_from_a_pipe_which_is_read_once() {
    let (reader, mut writer) = std::io::pipe().unwrap();
    writer.write_all(b"[[keys]]\nkey = \"k\"\norganizations = [\"o\"]\n").unwrap();
    drop(writer);
    let config = serve(&format!("{LEAST} --api-keys /proc/self/fd/{}", reader.as_raw_fd()), &[]);
    assert!(config.access.api_keys.is_some_and(|keys| keys.find(b"k").is_some()));
}

#[test]
fn an_empty_setting_is_a_mistake_and_an_empty_line_of_a_variable_is_none() {
    let arguments = ["optview"].into_iter().chain(LEAST.split(' ')).chain(["--kafka-property", ""]);
    let line = cli::parse::<Config>(arguments.map(OsString::from)).expect("a sound command line");
    let mistakes =
        super::super::read(&line, &std::iter::empty::<(&str, &str)>().collect()).unwrap_err().to_string();
    assert!(mistakes.contains("--kafka-property"), "{mistakes}");
    let config = serve(LEAST, &[("OPTVIEW_KAFKA_PROPERTY", "\nclient.id=a\n\n")]);
    assert_eq!(config.projection.kafka.properties.len(), 1);
}

#[test]
fn history_takes_a_time_or_a_position_by_the_topics_own_names() {
    let history = |line: &str| match read(line, &[]) {
        Ok(Command::History(config)) => config,
        other => panic!("{other:?}"),
    };
    let config = history("history o-1 --brokers kafka");
    assert_eq!((config.id.as_str(), config.as_of, config.json), ("o-1", None, false));
    let config = history("history o-1 --brokers kafka --json --as-of 2026-03-01T10:00:00+01:00");
    assert_eq!(config.as_of, Some(AsOf::Time(Timestamp::parse("2026-03-01T09:00:00Z").unwrap())));
    assert!(config.json);
    let position = PartitionOffset { topic: Topic::Jobs, partition: 2, offset: 41 };
    for spelling in ["my.jobs/2@41", "my.jobs:2:41"] {
        let line = format!("history o-1 --brokers kafka --topic-jobs my.jobs --as-of {spelling}");
        assert_eq!(history(&line).as_of, Some(AsOf::Position(position)), "{spelling}");
    }
    let directory = tempfile::tempdir().unwrap();
    let manifest = r#"{"version": 1, "cluster_id": "c", "files": [],
        "topics": [{"stream": "jobs", "topic": "old.jobs", "partitions": 3}]}"#;
    let line = format!("history o-1 --as-of old.jobs/2@41 --from-archive {}", directory.path().display());
    check_mistakes(&line, &[], &["it has no MANIFEST.json; is the path right?"]);
    std::fs::write(directory.path().join("MANIFEST.json"), manifest).unwrap();
    let config = history(&line);
    assert_eq!(
        (config.as_of, config.log_source),
        (Some(AsOf::Position(position)), LogSource::Archive(directory.path().into()))
    );
    check_mistakes(
        "history o-1",
        &[],
        &["--brokers (OPTVIEW_BROKERS) and --from-archive (OPTVIEW_FROM_ARCHIVE): one of"],
    );
    for (as_of, expected) in [
        ("yesterday", "is neither a time nor a position"),
        ("jobs:0", "is neither a time nor a position"),
        ("jobs/0", "is neither a time nor a position"),
        ("jobs/0@x", "is neither a time nor a position"),
        ("jobs:0:x", "is neither a time nor a position"),
        ("job/0@1", "names none of the topics; they are optimizations, jobs, multistart-runs"),
        ("job:0:1", "names none of the topics; they are optimizations, jobs, multistart-runs"),
    ] {
        check_mistakes(&format!("history o-1 --brokers kafka --as-of {as_of}"), &[], &[expected]);
    }
    check_mistakes(
        &format!("history {} --brokers kafka", "o".repeat(1025)),
        &[],
        &["is longer than the 1024 bytes"],
    );
}

#[test]
fn one_file_may_serve_several_commands() {
    let file = file("brokers = \"kafka:9092\"\ndata_dir = \"/tmp/x\"\nseed = 7\ntopic_jobs = \"jobs.v1\"");
    let path = file.path().display().to_string();
    let Ok(Command::Load(load)) = read("load", &[("OPTVIEW_CONFIG", &path)]) else { panic!("load") };
    assert_eq!(load.history.seed, 7);
    assert_eq!(serve("serve", &[("OPTVIEW_CONFIG", &path)]).projection.kafka.topics.get(Topic::Jobs), "jobs.v1");
}
