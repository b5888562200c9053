//! The yardstick of reads: this program again, as an Axum handler that answers every request with the same bytes.

use std::process::Command;
use std::time::Duration;

use axum::http::header::CONTENT_TYPE;

use super::{KilledChild, PORTS};

const BODY: &str = "OPTVIEW_BENCH_BARE";
const LISTEN: &str = "OPTVIEW_BENCH_BARE_LISTEN";

pub fn address() -> String {
    format!("127.0.0.1:{}", PORTS[4])
}

/// Answers until killed in the process that [`start`] began. Does nothing in all others.
pub fn serve_if_told() {
    let (Ok(body), Ok(address)) = (std::env::var(BODY), std::env::var(LISTEN)) else { return };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let body = axum::body::Bytes::from(body);
        let handler = axum::routing::get(move || async move { ([(CONTENT_TYPE, "application/json")], body) });
        let listener = tokio::net::TcpListener::bind(address).await.expect("the port is free");
        axum::serve(listener, axum::Router::new().route("/optimizations/{id}", handler)).await.expect("it serves");
    });
}

/// Starts a handler that answers with `body`.
pub fn start(body: &str) -> KilledChild {
    let program = std::env::current_exe().expect("this program");
    let bare = KilledChild(
        Command::new(program).env(BODY, body).env(LISTEN, address()).spawn().expect("the yardstick starts"),
    );
    while std::net::TcpStream::connect(address()).is_err() {
        std::thread::sleep(Duration::from_millis(5));
    }
    bare
}
