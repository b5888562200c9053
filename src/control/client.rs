//! The client of the control socket. It blocks, since a command has nothing else to do.

use std::io;
use std::ops::ControlFlow;
use std::os::unix::net::UnixStream;
use std::path::Path;

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

/// Sends a request, and gives each line of the answer, without its line break, to `take`, until that breaks.
pub fn ask(
    process: UnixStream,
    request: Vec<u8>,
    take: &mut dyn FnMut(&[u8]) -> ControlFlow<()>,
) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(exchange(process, request, take))
}

async fn exchange(
    process: UnixStream,
    request: Vec<u8>,
    take: &mut dyn FnMut(&[u8]) -> ControlFlow<()>,
) -> io::Result<()> {
    process.set_nonblocking(true)?;
    let stream = TokioIo::new(tokio::net::UnixStream::from_std(process)?);
    let (mut sender, connection) = http1::handshake(stream).await.map_err(io::Error::other)?;
    tokio::spawn(connection);
    let head = Request::builder().method(Method::POST).uri(PATH).header(HOST, "optview");
    let request = head.body(Full::new(Bytes::from(request))).map_err(io::Error::other)?;
    let answer = sender.send_request(request).await.map_err(io::Error::other)?;
    if !answer.status().is_success() {
        return Err(io::Error::other(format!("it answered {}", answer.status())));
    }
    let (mut body, mut rest) = (answer.into_body(), Vec::new());
    while let Some(frame) = body.frame().await {
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
