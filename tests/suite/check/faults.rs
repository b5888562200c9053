//! `optview check --json` against a cluster, a network and a directory with one fault after the other: the finding, its words, and the
//! exit code.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;

use chrono::Utc;
use optview::domain::{Record, TopicPartition};
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

use super::*;

/// A fault of the mock cluster.
struct Fault {
    /// A function that makes the fault.
    make: fn(&World),
    arguments: &'static [&'static str],
    /// The finding that shows it: its verdict, and `CHECK SUBJECT`.
    verdict: &'static str,
    finding: &'static str,
    /// Parts of its text and of its remedy.
    parts: &'static [&'static str],
}

const TOPIC_REFUSED: RDKafkaRespErr = RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED;

const FAULTS: &[Fault] = &[
    Fault {
        make: |world| {
            let unknown = RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
            world.cluster.topic_error("jobs", unknown).unwrap();
        },
        arguments: &[],
        verdict: "wrong",
        finding: "topic jobs",
        parts: &["there is no such topic", "Correct --topic-jobs", "retention.ms=-1"],
    },
    Fault {
        make: |world| world.cluster.topic_error("jobs", TOPIC_REFUSED).unwrap(),
        arguments: &[],
        verdict: "wrong",
        finding: "topic jobs",
        parts: &["it may not be looked at", "Grant READ and DESCRIBE"],
    },
    Fault {
        make: |world| world.cluster.partition_leader("jobs", 1, None).unwrap(),
        arguments: &[],
        verdict: "wrong",
        finding: "topic jobs",
        parts: &[
            "no broker leads these of its partitions, so that they cannot be read: 1",
            "Bring the brokers back",
        ],
    },
    Fault {
        make: |world| {
            let refused = RDKafkaRespErr::RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED;
            world.cluster.request_errors(RDKafkaApiKey::OffsetFetch, &[refused; 100]);
        },
        arguments: &[],
        verdict: "doubtful",
        finding: "group optview",
        parts: &["its offsets may not be looked at", "Grant READ on the group"],
    },
    Fault {
        make: |world| {
            let partition = TopicPartition::new(Topic::Jobs, 0);
            let hour = Utc::now().timestamp_millis() + 3_600_000;
            let mut producer = Producer::new(&world.settings).unwrap();
            let (position, value) = (partition.at(0), Some(&b"{}"[..]));
            let record =
                Record { position, timestamp_millis: Some(hour), key: Some(b"j"), value, headers: Vec::new() };
            producer.copy(&record).unwrap();
            producer.finish().unwrap();
        },
        arguments: &[],
        verdict: "doubtful",
        finding: "clock jobs",
        parts: &["59m", "ahead of this machine's clock", "NTP"],
    },
    Fault {
        make: |world| world.cluster.topic_error("letters", TOPIC_REFUSED).unwrap(),
        arguments: &["--dead-letter-topic", "letters"],
        verdict: "wrong",
        finding: "topic letters",
        parts: &["it may not be looked at", "Grant WRITE and DESCRIBE"],
    },
    Fault {
        make: |world| {
            world.cluster.create_topic("letters", 2, 1).unwrap();
            world.cluster.partition_leader("letters", 1, None).unwrap();
        },
        arguments: &["--dead-letter-topic", "letters"],
        verdict: "wrong",
        finding: "topic letters",
        parts: &["no checkpoint passes a dead letter that is for one of them: 1", "Bring the brokers back"],
    },
    Fault {
        make: |world| {
            world.cluster.create_topic("views", 2, 1).unwrap();
            let refused = RDKafkaRespErr::RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED;
            world.cluster.request_errors(RDKafkaApiKey::InitProducerId, &[refused; 10]);
        },
        arguments: &["--publish-views", "views"],
        verdict: "wrong",
        finding: "transactional_id optview-views-views",
        parts: &["this user may not publish views under it", "Grant DESCRIBE and WRITE on this transactional id"],
    },
    Fault {
        make: |world| {
            let OpenStore { writer, .. } = fixtures::open(&world.data_dir());
            writer.note_cluster("another").unwrap();
            writer.finish().unwrap();
        },
        arguments: &[],
        verdict: "wrong",
        finding: "cluster",
        parts: &["another", "Offsets mean nothing in another cluster"],
    },
];

#[test]
fn each_fault_of_a_cluster_is_found_with_its_remedy_and_is_the_only_one_that_is_wrong() {
    for Fault { make, arguments, verdict, finding, parts } in FAULTS {
        let world = World::new();
        make(&world);
        let answer = world.check(&[arguments, &["--json"][..]].concat());
        let is_wrong = *verdict == "wrong";
        assert_eq!(answer.code, Some(if is_wrong { 3 } else { 0 }), "{finding}: {}", answer.stdout);
        let wrong: Vec<&str> = if is_wrong { vec![finding] } else { Vec::new() };
        assert_eq!(answer.with_verdict("wrong"), wrong, "{finding}: {}", answer.stdout);
        assert!(answer.with_verdict(verdict).contains(&(*finding).to_owned()), "{finding}: {}", answer.stdout);
        let words = answer.words_of(verdict, finding);
        parts.iter().for_each(|part| assert!(words.contains(part), "{finding}: no {part}: {words}"));
    }
}

/// Answers every connection by these bytes, whatever it is sent. Returns the address.
fn speaking(answer: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { continue };
            let _ = stream.read(&mut [0; 1024]);
            let _ = stream.write_all(answer);
        }
    });
    address
}

#[test]
fn a_listener_that_speaks_something_else_is_no_broker_and_that_is_said() {
    let world = World::new();
    // What a server of HTTP answers; and one of TLS, by an alert, to whatever is no handshake.
    for (answer, part) in [
        (&b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"[..], "HTTP"),
        (&[21, 3, 3, 0, 2, 2, 10], "it speaks TLS"),
    ] {
        let address = speaking(answer);
        let checked = world.check(&["--brokers", &address, "--json"]);
        let finding = format!("brokers {address}");
        assert_eq!((checked.code, checked.with_verdict("wrong")), (Some(3), vec![finding.clone()]), "{part}");
        let words = checked.words_of("wrong", &finding);
        assert!(words.contains(part), "no {part}: {words}");
    }
}

#[test]
fn a_directory_that_may_not_be_written_to_is_wrong_with_the_reason() {
    let world = World::new();
    fs::create_dir(world.data_dir()).unwrap();
    fs::set_permissions(world.directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(world.data_dir(), fs::Permissions::from_mode(0o555)).unwrap();
    // Root may write everywhere, and another user may not reach the folder that the program was built in.
    let program = world.directory.path().join("optview");
    let built = env!("CARGO_BIN_EXE_optview");
    fs::hard_link(built, &program).or_else(|_| fs::copy(built, &program).map(drop)).unwrap();
    let mut command = world.command_of(&program, "check", &["--json"]);
    if is_root() {
        command.uid(54_321).gid(54_321).current_dir(world.directory.path());
    }
    let answer = Answer::of(command);
    let finding = format!("data_dir {}", world.data_dir().display());
    assert_eq!((answer.code, answer.with_verdict("wrong")), (Some(3), vec![finding.clone()]), "{}", answer.stderr);
    let words = answer.words_of("wrong", &finding);
    assert!(words.contains(if is_root() { "uid" } else { "files cannot be made there" }), "{words}");
}

fn is_root() -> bool {
    std::os::unix::fs::MetadataExt::uid(&fs::metadata("/proc/self").unwrap()) == 0
}
