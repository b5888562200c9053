//! The limit of open files bounds the process's connections and nothing else: whatever readers do, the store,
//! the clients of the cluster, the operators' address and the tools go on.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::process::Stdio;

use optview::process;
use rustix::process::{Resource, Rlimit, getrlimit, prlimit};
use serde_json::Value;

use crate::program::{World, after, next_line, positions};

/// More than the limit of files has room for.
const CONNECTIONS: usize = 1_100;

/// Number of connections of readers under the usual limit of 1,024 open files.
const CONNECTIONS_MAX: f64 = 768.0;

/// Connections to the read address that were used once, and stay open on this side.
fn connect(address: &str, count: usize) -> Vec<TcpStream> {
    (0..count)
        .map(|_| {
            let mut connection = TcpStream::connect(address).unwrap();
            connection.write_all(b"GET /healthz HTTP/1.1\r\nhost: test\r\n\r\n").unwrap();
            let (mut answer, mut buffer) = (Vec::new(), [0; 1024]);
            while !answer.ends_with(b"}") {
                let read = connection.read(&mut buffer).unwrap();
                assert!(read > 0, "it was closed before it was answered");
                answer.extend_from_slice(&buffer[..read]);
            }
            connection
        })
        .collect()
}

/// Returns true if the other side has closed the connection.
fn is_closed(mut connection: &TcpStream) -> bool {
    connection.set_nonblocking(true).unwrap();
    !matches!(connection.read(&mut [0]), Err(error) if error.kind() == ErrorKind::WouldBlock)
}

#[test]
fn more_idle_connections_than_there_are_files_are_in_nobodys_way() {
    process::raise_open_file_limit();
    let world = World::new();
    world.put_optimizations(0, 5);
    // The soft limit is what systems give, and is to be raised; the hard one is too low for what is wanted.
    let limits = "ulimit -Sn 256 && ulimit -Hn 1024";
    let mut program = world.serve_after(limits, &[], &[], Stdio::piped());
    let log = program.listening();
    program.wait_for("live", |status| status["state"] == "live");
    assert_eq!(program.metric("process_max_fds"), 1024.0);
    assert_eq!(program.metric("optview_http_connections_max"), CONNECTIONS_MAX);

    let idle = connect(&program.read, CONNECTIONS);
    // The read address answers, though each connection that it may have is taken.
    for path in ["/healthz", "/optimizations/optimization-1"] {
        assert_eq!(program.get_of(&program.read, path).0, 200, "{path}");
    }
    // As many as may be stay open: the others had been silent for longer.
    let closed = idle.iter().filter(|connection| is_closed(connection)).count();
    assert!(closed >= CONNECTIONS - CONNECTIONS_MAX as usize && closed < CONNECTIONS / 2, "{closed} were closed");
    assert!(program.metric("optview_http_connections_closed_for_room_total") >= closed as f64);
    let open = program.metric("process_open_fds");
    assert!(open > CONNECTIONS_MAX / 2.0 && open < 1024.0, "{open} files are open");
    // The operators' address, the tools, the cluster and the store do not notice.
    assert_eq!(program.ready().0, 200);
    let data_dir = world.directory.path().join("data");
    let listed = after("true").args(["generations", "--json", "--data-dir"]).arg(&data_dir).output().unwrap();
    assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
    let snapshot = world.directory.path().join("a.snapshot");
    let export = [snapshot.as_os_str(), "--data-dir".as_ref(), data_dir.as_os_str()];
    let exported = after("true").args(["snapshot", "export"]).args(export).output().unwrap();
    assert!(exported.status.success(), "{}", String::from_utf8_lossy(&exported.stderr));
    world.put_optimizations(5, 6);
    program.wait_for("what comes is read, and is on the disk", |status: &Value| {
        positions(status, "optimizations") == Some((6, Some(6)))
    });
    // Two generations at once.
    let rebuilt = after("true").args(["rebuild", "--expect-same", "--data-dir"]).arg(&data_dir).output().unwrap();
    assert!(rebuilt.status.success(), "{}", String::from_utf8_lossy(&rebuilt.stderr));
    drop(idle);
    program.tell_to_stop();
    assert!(program.wait().success());
    let warning =
        next_line(log, |line| line["message"].as_str().is_some_and(|text| text.contains("not the 10000")));
    let warning = warning["message"].as_str().unwrap();
    for part in ["1024 files", "768 connections", "not the 10000", "raise the hard limit to 11024"] {
        assert!(warning.contains(part), "no {part}: {warning}");
    }
}

#[test]
fn a_limit_that_is_too_low_to_serve_is_reported_with_the_one_that_suffices() {
    for (limit, code) in [(128, Some(1)), (191, Some(1))] {
        let world = World::new();
        let mut program = world.serve_after(&format!("ulimit -n {limit}"), &[], &[], Stdio::piped());
        let stderr = program.stderr();
        assert_eq!(program.wait().code(), code);
        for part in [&format!("may have {limit} files open")[..], "192 at the least", "ulimit -Hn", "LimitNOFILE="]
        {
            assert!(stderr.contains(part), "no {part}: {stderr}");
        }
    }
    let world = World::new();
    world.put_optimizations(0, 1);
    let mut program = world.serve_after("ulimit -n 192", &[], &[], Stdio::piped());
    let _log = program.listening();
    program
        .wait_for("live", |status| status["state"] == "live" && positions(status, "jobs") == Some((1, Some(1))));
}

#[test]
fn where_no_connection_can_be_accepted_silent_ones_make_room() {
    process::raise_open_file_limit();
    let world = World::new();
    world.put_optimizations(0, 1);
    let mut program = world.serve(&[], &[], Stdio::piped());
    let log = program.listening();
    program.wait_for("live", |status| status["state"] == "live");
    let idle = connect(&program.read, 20);
    // Somebody takes files from the process: it has more open than it may, so that the system accepts nothing for it, also if its client
    // of Kafka closes some meanwhile.
    let open = program.metric("process_open_fds") as u64;
    let limit = Rlimit { current: Some(open - 15), ..getrlimit(Resource::Nofile) };
    prlimit(Some(program.pid()), Resource::Nofile, limit).unwrap();
    assert_eq!(program.get_of(&program.read, "/healthz").0, 200);
    let closed = idle.iter().filter(|connection| is_closed(connection)).count();
    assert!((1..20).contains(&closed), "{closed} were closed");
    assert_eq!(program.ready().0, 200);
    next_line(log, |line| {
        line["message"].as_str().is_some_and(|text| text.contains("no connection can be accepted"))
    });
}
