//! A socket that remembers whether it has sent anything, and the watch that ends what sends nothing. Counts no
//! bytes and reads no clock: both would be paid with every request.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::sleep;

/// The socket, as hyper wants it.
pub struct Sending {
    stream: TokioIo<TcpStream>,
    sent: Arc<AtomicBool>,
}

/// The other end of it.
pub struct Watch(Arc<AtomicBool>);

pub fn watched(stream: TcpStream) -> (Sending, Watch) {
    let sent = Arc::new(AtomicBool::new(false));
    (Sending { stream: TokioIo::new(stream), sent: Arc::clone(&sent) }, Watch(sent))
}

impl Watch {
    /// Resolves when the first response has not begun after `first`, or later, when nothing has been sent for
    /// `idle`. The latter is noticed after twice that time at the latest.
    pub async fn silence(self, first: Duration, idle: Duration) {
        let mut patience = first;
        loop {
            sleep(patience).await;
            if !self.0.swap(false, Ordering::Relaxed) {
                return;
            }
            patience = idle;
        }
    }
}

impl Sending {
    fn noting(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if matches!(written, Poll::Ready(Ok(1..))) {
            self.sent.store(true, Ordering::Relaxed);
        }
        written
    }
}

impl Read for Sending {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl Write for Sending {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.noting(written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.noting(written)
    }
}
