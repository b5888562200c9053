//! The yardstick of reads: this program again, as an Axum handler that answers the same bytes to everything.

use std::process::Command;
use std::time::Duration;

use axum::http::header::CONTENT_TYPE;

use super::Killed;

pub const ADDRESS: &str = "127.0.0.1:18090";
const BODY: &str = "OPTVIEW_BENCH_BARE";

/// In the process that [`start`] began: answers until it is killed. In all others nothing.
pub fn serve_if_told() {
    let Ok(body) = std::env::var(BODY) else { return };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let body = axum::body::Bytes::from(body);
        let handler = axum::routing::get(move || async move { ([(CONTENT_TYPE, "application/json")], body) });
        let listener = tokio::net::TcpListener::bind(ADDRESS).await.expect("the port is free");
        axum::serve(listener, axum::Router::new().route("/optimizations/{id}", handler)).await.expect("it serves");
    });
}

/// Answers `body` from now on.
pub fn start(body: &str) -> Killed {
    let program = std::env::current_exe().expect("this program");
    let bare = Killed(Command::new(program).env(BODY, body).spawn().expect("the yardstick starts"));
    while std::net::TcpStream::connect(ADDRESS).is_err() {
        std::thread::sleep(Duration::from_millis(5));
    }
    bare
}
