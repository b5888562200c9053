//! Clients that wait and follow, against a running `serve`: what is created while they wait, streams over a rebuild and a rollback, and
//! their end.

use std::io::{BufRead, BufReader, Write as _};
use std::net::TcpStream;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use optview::domain::Topic;
use serde_json::Value;

use crate::Test;
use crate::cluster::put;
use crate::events::{created, deleted, renamed};
use crate::rig::Rig;
use crate::server::Server;

pub const TESTS: &[Test] = &[
    test!(whoever_waits_for_an_id_or_a_record_gets_it_as_soon_as_it_is_there, Broker),
    test!(a_stream_goes_on_over_a_rebuild_and_a_rollback_and_ends_with_the_process, Broker),
];

/// The time within which everything comes that a test waits for.
const SOON: Duration = Duration::from_secs(60);

fn whoever_waits_for_an_id_or_a_record_gets_it_as_soon_as_it_is_there(rig: &Rig) {
    rig.create_topics(1);
    let server = Server::start(rig, &["--missing-wait", "30s"]);
    server.wait_until_live();
    let waiting = ask(&server, "/optimizations/awaited");
    put(rig, &[created("awaited")]);
    let mut status = String::new();
    BufReader::new(waiting).read_line(&mut status).expect("an answer");
    assert_eq!(status, "HTTP/1.1 200 OK\r\n");
    for name in 0..20 {
        put(rig, &[renamed("awaited", &name.to_string(), 2 + name)]);
        let topic = rig.settings.topics.get(Topic::Optimizations);
        let offset = rig.end(Topic::Optimizations) - 1;
        let answer = server.get(&format!("/optimizations/awaited?after={topic}:0:{offset}&timeout=30s"));
        assert_eq!((answer.status, &answer.body["name"]), (200, &Value::from(name.to_string())));
    }
}

/// Sends a request, and returns the connection that the answer comes on.
fn ask(server: &Server, path: &str) -> TcpStream {
    let mut connection = TcpStream::connect(server.addresses().read.as_str()).expect("a connection");
    write!(connection, "GET {path} HTTP/1.1\r\nhost: test\r\n\r\n").expect("sent");
    connection
}

/// A client of a stream, on a thread of its own.
struct StreamClient(Receiver<String>);

impl StreamClient {
    fn open(server: &Server, path: &str) -> StreamClient {
        let connection = ask(server, path);
        let (sender, received) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(connection).lines() {
                let line = line.expect("a line");
                let ends = line == "0";
                if (line.contains("\"name\"") || line.starts_with("event: ") || ends) && sender.send(line).is_err()
                {
                    return;
                }
            }
        });
        StreamClient(received)
    }

    /// Returns the next view's name, or the next event's, but those of the state.
    fn next(&self) -> String {
        loop {
            let line = self.0.recv_timeout(SOON).expect("an event");
            match line.strip_prefix("data: ") {
                Some(view) => {
                    let view: Value = serde_json::from_str(view).expect("JSON");
                    return view["name"].as_str().expect("a name").to_owned();
                }
                None if line == "event: state" => {}
                None => return line,
            }
        }
    }
}

fn a_stream_goes_on_over_a_rebuild_and_a_rollback_and_ends_with_the_process(rig: &Rig) {
    rig.create_topics(1);
    put(rig, &[created("a"), created("b")]);
    let server = Server::start(rig, &[]);
    server.wait_until_all_is_kept(rig);
    let followed = StreamClient::open(&server, "/optimizations/a/events");
    let list = StreamClient::open(&server, "/optimizations/events?initial=true");
    assert_eq!(followed.next(), "Fast charge");
    assert_eq!([list.next(), list.next(), list.next()], ["Fast charge", "Fast charge", "event: initial"]);
    let data_dir = rig.directory.path().join("data");
    let data_dir = data_dir.to_str().expect("text");
    let mut sequence = 2;
    for command in [vec!["rebuild"], vec!["rollback"], vec!["rebuild", "--keep", "2"]] {
        for _ in 0..3 {
            put(rig, &[renamed("a", &sequence.to_string(), sequence)]);
            assert_eq!(followed.next(), sequence.to_string());
            assert_eq!(list.next(), sequence.to_string());
            sequence += 1;
        }
        server.wait_until_all_is_kept(rig);
        rig.run(&[command.as_slice(), &["--data-dir", data_dir]].concat());
        // A list cannot know what another generation has changed.
        assert_eq!(list.next(), "event: reset");
        let again = [list.next(), list.next(), list.next()];
        assert!(again.contains(&"Fast charge".to_owned()) && again[2] == "event: initial", "{again:?}");
    }
    put(rig, &[deleted("b")]);
    assert_eq!(list.next(), "event: removed");
    let (status, _) = server.stop();
    assert!(status.success());
    assert_eq!(
        [followed.next(), list.next()],
        ["0", "0"],
        "each ends as a whole answer, and no view has come again"
    );
}
