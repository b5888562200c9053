//! The client of the control socket. It blocks, since a command has nothing else to do.

use std::io;
use std::ops::ControlFlow;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::pin::pin;
use std::time::{Duration, Instant};

use axum::http::header::HOST;
use axum::http::{Method, Request};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;

use super::{PATH, socket};

/// Connects to the process that holds a data directory. Returns `None` if no process listens there.
pub fn connect(data_dir: &Path) -> io::Result<Option<UnixStream>> {
    socket::connect(data_dir)
}

/// The interval at which whoever waits is asked whether to wait on.
const WAIT_SLICE: Duration = Duration::from_millis(100);

/// Sends a request, and gives each line of the answer, without its line break, to `take`, until that breaks. `wait_on` is asked again
/// and again with the time for which the process has been silent: it may have been stopped, or hang, so that it never answers.
///
/// # Errors
/// The process has gone, or answers with an error, or `wait_on` breaks, which is [`io::ErrorKind::Interrupted`].
pub fn ask(
    process: UnixStream,
    request: Vec<u8>,
    take: &mut dyn FnMut(&[u8]) -> ControlFlow<()>,
    wait_on: &mut dyn FnMut(Duration) -> ControlFlow<()>,
) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(exchange(process, request, take, wait_on))
}

/// Waits for a part of the answer as long as `wait_on` says.
async fn awaited<T>(
    part: impl Future<Output = T>,
    wait_on: &mut dyn FnMut(Duration) -> ControlFlow<()>,
) -> io::Result<T> {
    let (begin, mut part) = (Instant::now(), pin!(part));
    loop {
        if let Ok(part) = tokio::time::timeout(WAIT_SLICE, &mut part).await {
            return Ok(part);
        }
        if wait_on(begin.elapsed()).is_break() {
            return Err(io::ErrorKind::Interrupted.into());
        }
    }
}

async fn exchange(
    process: UnixStream,
    request: Vec<u8>,
    take: &mut dyn FnMut(&[u8]) -> ControlFlow<()>,
    wait_on: &mut dyn FnMut(Duration) -> ControlFlow<()>,
) -> io::Result<()> {
    process.set_nonblocking(true)?;
    let stream = TokioIo::new(tokio::net::UnixStream::from_std(process)?);
    let (mut sender, connection) = http1::handshake(stream).await.map_err(io::Error::other)?;
    tokio::spawn(connection);
    let head = Request::builder().method(Method::POST).uri(PATH).header(HOST, "optview");
    let request = head.body(Full::new(Bytes::from(request))).map_err(io::Error::other)?;
    let answer = awaited(sender.send_request(request), wait_on).await?.map_err(io::Error::other)?;
    if !answer.status().is_success() {
        return Err(io::Error::other(format!("it answered {}", answer.status())));
    }
    let (mut body, mut rest) = (answer.into_body(), Vec::new());
    while let Some(frame) = awaited(body.frame(), wait_on).await? {
        let frame = frame.map_err(io::Error::other)?;
        rest.extend_from_slice(frame.data_ref().map_or(&[], |data| data));
        while let Some(end) = rest.iter().position(|&byte| byte == b'\n') {
            let line: Vec<u8> = rest.drain(..=end).collect();
            if take(&line[..end]).is_break() {
                return Ok(());
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::Socket;

    #[test]
    fn whoever_waits_for_a_process_that_never_answers_can_give_up() {
        let directory = tempfile::tempdir().unwrap();
        // It listens, as a suspended process does, and nobody takes the connection.
        let _socket = Socket::bind(directory.path()).unwrap();
        let process = connect(directory.path()).unwrap().unwrap();
        let mut silences = Vec::new();
        let asked = ask(process, b"{}".to_vec(), &mut |_| ControlFlow::Continue(()), &mut |silent| {
            silences.push(silent);
            if silences.len() < 3 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        assert_eq!(asked.unwrap_err().kind(), io::ErrorKind::Interrupted);
        assert!(silences.len() == 3 && silences.is_sorted(), "{silences:?}");
    }
}
