//! A topic that may not be read: tools that read to an end report it and end; an archive export that follows
//! reports it and waits.

use std::process::Output;

use optview::domain::Topic;
use optview::source::archive::Manifest;

use crate::Test;
use crate::archive::{archive, text};
use crate::cluster::put;
use crate::events::{created, job};
use crate::health::{allow_all, deny_read, grant_read};
use crate::rig::{Rig, wait_until};

pub const TESTS: &[Test] = &[
    test!(a_topic_that_may_not_be_read_ends_tools_with_the_right_that_is_missing, BrokerWithRightsOfItsOwn),
    test!(
        an_archive_that_follows_says_that_a_topic_may_not_be_read_and_goes_on_when_it_may,
        BrokerWithRightsOfItsOwn
    ),
];

/// Runs the program to its end.
fn output(rig: &Rig, arguments: &[&str]) -> Output {
    let ended = rig.spawn(arguments).wait();
    let read = |name: &str| std::fs::read(rig.directory.path().join(name)).expect("an output file");
    Output { status: ended, stdout: read("stdout"), stderr: read("stderr") }
}

fn check_names_the_right(rig: &Rig, arguments: &[&str]) {
    let output = output(rig, arguments);
    let stderr = String::from_utf8_lossy(&output.stderr);
    let last = stderr.trim_end().lines().last().unwrap_or_default();
    assert_eq!(output.status.code(), Some(1), "{arguments:?}: {stderr}");
    let jobs = rig.settings.topics.get(Topic::Jobs);
    assert!(last.contains(jobs) && last.contains("READ and DESCRIBE"), "{arguments:?}: {stderr}");
}

fn a_topic_that_may_not_be_read_ends_tools_with_the_right_that_is_missing(rig: &Rig) {
    let broker = rig.own_broker.as_ref().expect("the test asks for one");
    rig.create_topics(1);
    put(rig, &[created("a"), job("a", "pending", 1)]);
    let (all, part) = (archive(rig, "all"), archive(rig, "part"));
    let (all, part) = (text(&all), text(&part));
    rig.run(&["archive", "export", all]);
    let jobs = rig.settings.topics.get(Topic::Jobs);
    allow_all(broker, jobs);
    deny_read(broker, jobs);
    check_names_the_right(rig, &["history", "a"]);
    check_names_the_right(rig, &["archive", "export", part]);
    // An import reads the topics to check that their records are its own.
    check_names_the_right(rig, &["archive", "import", all]);
    grant_read(broker, jobs);
    rig.run(&["archive", "export", part]);
}

fn an_archive_that_follows_says_that_a_topic_may_not_be_read_and_goes_on_when_it_may(rig: &Rig) {
    let broker = rig.own_broker.as_ref().expect("the test asks for one");
    rig.create_topics(1);
    put(rig, &[created("a"), job("a", "pending", 1)]);
    let jobs = rig.settings.topics.get(Topic::Jobs);
    allow_all(broker, jobs);
    deny_read(broker, jobs);
    let directory = archive(rig, "archive");
    let follow = rig.spawn(&["archive", "export", text(&directory), "--follow", "--commit-interval", "50ms"]);
    wait_until("it says why it waits", || {
        let stderr = std::fs::read_to_string(rig.directory.path().join("stderr")).expect("an output file");
        stderr
            .lines()
            .any(|line| line.contains("does not grow") && line.contains(jobs) && line.contains("READ"))
            .then_some(())
    });
    grant_read(broker, jobs);
    let records = || Manifest::read(&directory).ok().map(|manifest| manifest.records());
    wait_until("all is archived", || records().filter(|records| *records == 2));
    assert!(follow.stop().success());
}
