//! The server of the control socket. Each request runs on a blocking thread of its own, and its lines go out as they come.
//! Nothing is bounded as on the two addresses, since only the owner can connect.

use std::ops::ControlFlow;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;
use axum::response::Response;
use axum::routing::post;
use hyper::body::Frame;
use tokio::net::UnixListener;
use tokio::sync::mpsc;

use super::{PATH, Socket};

/// A function that answers a request line by line. `Break` means that nobody reads the answer any more.
pub type RequestHandler = Arc<dyn Fn(&[u8], &mut dyn FnMut(Vec<u8>) -> ControlFlow<()>) + Send + Sync>;

static LINES_OF_JSON: HeaderValue = HeaderValue::from_static("application/x-ndjson");

/// Number of lines of an answer that may wait for the client.
const LINES_AHEAD: usize = 16;

/// The longest time that answers under way get to notice that they are to end.
const END_WITHIN: Duration = Duration::from_secs(2);

/// Answers requests until `shutdown` resolves. Then it removes the socket, and ends the requests that are under way.
pub async fn run(socket: Socket, answer: RequestHandler, shutdown: impl Future<Output = ()>) {
    let Socket { listener, file } = socket;
    let listener = match UnixListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => {
            return tracing::error!(%error, "the control socket cannot be listened on: tools do not work");
        }
    };
    let ending = Arc::new(AtomicBool::new(false));
    let is_ending = ending.clone();
    let app = Router::new().route(PATH, post(async move |request: Bytes| begin(answer, request, is_ending)));
    let (end, ended) = tokio::sync::oneshot::channel::<()>();
    let serving =
        tokio::spawn(axum::serve(listener, app).with_graceful_shutdown(async { drop(ended.await) }).into_future());
    shutdown.await;
    // A tool that comes now finds no socket, and waits for the process to end.
    drop(file);
    ending.store(true, Ordering::Release);
    drop(end);
    // Requests that are left at the deadline end with the process.
    let _ = tokio::time::timeout(END_WITHIN, serving).await;
}

fn begin(answer: RequestHandler, request: Bytes, ending: Arc<AtomicBool>) -> Response {
    let (lines, received) = mpsc::channel(LINES_AHEAD);
    tokio::task::spawn_blocking(move || {
        answer(&request, &mut |mut line| {
            line.push(b'\n');
            match lines.blocking_send(line) {
                Ok(()) if !ending.load(Ordering::Acquire) => ControlFlow::Continue(()),
                _ => ControlFlow::Break(()),
            }
        });
    });
    let mut response = Response::new(Body::new(LinesBody(received)));
    response.headers_mut().insert(CONTENT_TYPE, LINES_OF_JSON.clone());
    response
}

/// A body of lines as they come. It is dropped when the client goes, which closes the channel for the handler.
struct LinesBody(mpsc::Receiver<Vec<u8>>);

impl HttpBody for LinesBody {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.0.poll_recv(context).map(|line| line.map(|line| Ok(Frame::data(Bytes::from(line)))))
    }
}
