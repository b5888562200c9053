//! How many files the process may have open bounds its connections and nothing else: whatever readers do, the store,
//! the clients of the cluster, the operators' address and the tools go on.

use std::io::{ErrorKind, Read as _};
use std::net::TcpStream;
use std::process::Stdio;

use optview::process;
use serde_json::Value;

use crate::standstill::program::{World, after, next_line, positions};

/// More than the limit of files has room for.
const CONNECTIONS: usize = 1_100;

/// What is left of a usual limit of 1,024 for connections of readers.
const ROOM: f64 = 768.0;

/// Idle connections to the read address, which stay open on this side.
fn connect(address: &str) -> Vec<TcpStream> {
    (0..CONNECTIONS).map(|_| TcpStream::connect(address).unwrap()).collect()
}

/// Whether the other side has closed it.
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
    assert_eq!(program.metric("optview_http_connections_max"), ROOM);

    let idle = connect(&program.read);
    // The read address answers, though each connection that it may have is taken.
    for path in ["/healthz", "/optimizations/optimization-1"] {
        assert_eq!(program.get_of(&program.read, path).0, 200, "{path}");
    }
    // As many as may be stay open: the others had been silent for longer.
    let closed = idle.iter().filter(|connection| is_closed(connection)).count();
    assert!(closed >= CONNECTIONS - ROOM as usize && closed < CONNECTIONS / 2, "{closed} were closed");
    assert!(program.metric("optview_http_connections_closed_for_room_total") >= closed as f64);
    let open = program.metric("process_open_fds");
    assert!(open > ROOM / 2.0 && open < 1024.0, "{open} files are open");
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
        next_line(log, |line| line["message"].as_str().is_some_and(|text| text.contains("--max-connections")));
    let warning = warning["message"].as_str().unwrap();
    for part in ["1024 files", "768 connections", "not the 10000", "raise the hard limit to 11024"] {
        assert!(warning.contains(part), "no {part}: {warning}");
    }
}

#[test]
fn a_limit_that_is_too_low_to_serve_is_said_with_what_is_needed() {
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
