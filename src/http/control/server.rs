//! The end that answers. A request runs on a blocking thread of its own; what it says goes out as it comes. Nothing is
//! bounded as on the two addresses: only the owner can connect.

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

/// Answers a request, line by line. `Break` says that nobody listens any more.
pub type Answer = Arc<dyn Fn(&[u8], &mut dyn FnMut(Vec<u8>) -> ControlFlow<()>) + Send + Sync>;

static LINES_OF_JSON: HeaderValue = HeaderValue::from_static("application/x-ndjson");

/// How many lines may wait for whoever reads them.
const LINES_AHEAD: usize = 16;

/// How long answers under way may take to notice that they are to end.
const END_WITHIN: Duration = Duration::from_secs(2);

/// Answers until `shutdown` resolves; then the socket is gone, and what is under way is told to end.
pub async fn run(socket: Socket, answer: Answer, shutdown: impl Future<Output = ()>) {
    let Socket { listener, file } = socket;
    let listener = match UnixListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => {
            return tracing::error!(%error, "the control socket cannot be listened on: tools do not work");
        }
    };
    let ending = Arc::new(AtomicBool::new(false));
    let told = ending.clone();
    let app = Router::new().route(PATH, post(async move |request: Bytes| begin(answer, request, told)));
    let (end, ended) = tokio::sync::oneshot::channel::<()>();
    let serving =
        tokio::spawn(axum::serve(listener, app).with_graceful_shutdown(async { drop(ended.await) }).into_future());
    shutdown.await;
    // Whoever comes now waits for the process to end.
    drop(file);
    ending.store(true, Ordering::Release);
    drop(end);
    // What is left at the deadline ends with the process.
    let _ = tokio::time::timeout(END_WITHIN, serving).await;
}

fn begin(answer: Answer, request: Bytes, ending: Arc<AtomicBool>) -> Response {
    let (lines, said) = mpsc::channel(LINES_AHEAD);
    tokio::task::spawn_blocking(move || {
        answer(&request, &mut |mut line| {
            line.push(b'\n');
            match lines.blocking_send(line) {
                Ok(()) if !ending.load(Ordering::Acquire) => ControlFlow::Continue(()),
                _ => ControlFlow::Break(()),
            }
        });
    });
    let mut response = Response::new(Body::new(Lines(said)));
    response.headers_mut().insert(CONTENT_TYPE, LINES_OF_JSON.clone());
    response
}

/// A body of lines as they come. Dropped when the client goes, by which whoever says them learns of it.
struct Lines(mpsc::Receiver<Vec<u8>>);

impl HttpBody for Lines {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.0.poll_recv(context).map(|line| line.map(|line| Ok(Frame::data(Bytes::from(line)))))
    }
}
