//! The response with a list: read from the store in pieces, as its client takes them, so that a page is never in memory as a
//! whole. A page that fits into one piece goes out as one body, with its length.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream;
use tokio::task;
use tokio::time::Instant;

use super::caller_shares::CallerIdentity;
use super::errors::HttpError;
use super::etag;
use super::json_response::APPLICATION_JSON;
use super::list_turns::ListTurns;
use super::response_memory::{MemoryReservation, ResponseMemory};
use crate::store::{PageReader, StoreError};

/// Number of bytes after which a piece ends. The view that passes this bound is still part of it.
const PIECE: usize = 64 << 10;

/// The longest time that a client may take to read one page. A generation that was replaced stays open until then.
const READ_WITHIN: Duration = Duration::from_secs(600);

/// The turns and the memory that all lists share.
#[derive(Clone)]
pub struct ListMemory {
    /// The queue that decides whose piece is read next.
    pub turns: Arc<ListTurns>,
    pub memory: ResponseMemory,
}

/// The `cache-control` header: a cache has to ask whether a page that it keeps is still the present one.
static NO_CACHE: HeaderValue = HeaderValue::from_static("no-cache");

/// Makes the response with a page as its body, or a 304 if the request, whose headers are given, names the page's version.
/// `choose` runs on the thread that reads the first piece.
///
/// # Errors
/// Fails if the first piece cannot be read. A failure of a later piece breaks the body off, which the client sees.
pub async fn response(
    choose: impl FnOnce() -> PageReader + Send + 'static,
    request: &HeaderMap,
    caller: CallerIdentity,
    shared: ListMemory,
) -> Result<Response, HttpError> {
    let Piece { page, bytes: first, version } = shared.piece(&caller, choose).await?;
    let mut response = Response::new(Body::empty());
    if let Some(version) = version {
        response.headers_mut().insert(ETAG, etag::weak_header(version));
    }
    response.headers_mut().insert(CONTENT_TYPE, APPLICATION_JSON.clone());
    response.headers_mut().insert(CACHE_CONTROL, NO_CACHE.clone());
    if version.is_some_and(|version| etag::client_has(request, version)) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    } else if page.is_over() {
        *response.body_mut() = Body::from(first);
    } else {
        *response.body_mut() = rest_of(page, first, caller, shared);
    }
    Ok(response)
}

/// Makes the body of a page whose first piece has been read.
fn rest_of(page: PageReader, first: Bytes, caller: CallerIdentity, shared: ListMemory) -> Body {
    let begun = Instant::now();
    let rest = stream::try_unfold((page, Some(first)), move |(page, first)| {
        let (shared, caller) = (shared.clone(), caller.clone());
        async move {
            match first {
                Some(first) => Ok(Some((first, (page, None)))),
                None if page.is_over() => Ok(None),
                None if begun.elapsed() > READ_WITHIN => {
                    Err(io::Error::other("the client takes too long to read it"))
                }
                None => {
                    let Piece { page, bytes, .. } = shared.piece(&caller, || page).await.map_err(broken_off)?;
                    Ok(Some((bytes, (page, None))))
                }
            }
        }
    });
    Body::from_stream(rest)
}

/// A piece of a page, and the reader of the rest.
struct Piece {
    page: PageReader,
    bytes: Bytes,
    /// The version of the page, which is found with the first piece.
    version: Option<u64>,
}

fn broken_off(error: HttpError) -> io::Error {
    tracing::warn!("a list was broken off: {error:?}");
    io::Error::other("the list was broken off")
}

impl ListMemory {
    /// Reads the next piece. Its memory is reserved before it is read, but for views that are larger than a piece.
    async fn piece(
        &self,
        caller: &CallerIdentity,
        page: impl FnOnce() -> PageReader + Send + 'static,
    ) -> Result<Piece, HttpError> {
        let mut reservation = self.memory.reserve(caller, PIECE).await?;
        let turn = Arc::clone(&self.turns).turn(caller.clone()).await;
        let read = task::spawn_blocking(move || {
            let mut page = page();
            let is_first = !page.is_begun();
            let piece = page.next_piece(PIECE)?;
            let version = is_first.then(|| page.version()).transpose()?;
            // The thread holds the turn, and not the request: a client that leaves does not end the reading.
            Ok::<_, StoreError>((page, piece, version, turn))
        });
        let (page, piece, version, turn) = match read.await {
            Ok(read) => read?,
            Err(error) => return Err(HttpError::Internal(format!("the list panicked: {error}"))),
        };
        self.resize(caller, &mut reservation, piece.len()).await?;
        drop(turn);
        Ok(Piece { page, bytes: reservation.into_bytes(piece), version })
    }

    async fn resize(
        &self,
        caller: &CallerIdentity,
        reservation: &mut MemoryReservation,
        bytes: usize,
    ) -> Result<(), HttpError> {
        let wanted = self.memory.at_most(bytes);
        if wanted > reservation.bytes_reserved() {
            reservation.merge(self.memory.reserve(caller, wanted - reservation.bytes_reserved()).await?);
        }
        reservation.shrink(bytes);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
