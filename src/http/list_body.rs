//! The response with a list: read from the store in pieces, as its client takes them, so that a page is never in memory as a
//! whole. A page that fits into one piece goes out as one body, with its length.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, VARY};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream;
use tokio::task;
use tokio::time::Instant;

use super::caller_shares::CallerIdentity;
use super::content_encoding::{self, Compressor, ContentCoding};
use super::errors::HttpError;
use super::etag;
use super::json_response::APPLICATION_JSON;
use super::list_turns::ListTurns;
use super::response_memory::{MemoryReservation, ResponseMemory};
use super::server_timing::{ListTiming, SERVER_TIMING};
use crate::store::{Cursor, PageReader, StoreError};

/// Number of bytes after which a piece ends. The view that passes this bound is still part of it.
const PIECE: usize = 64 << 10;

/// The longest time that a piece which is larger than was expected waits for memory. It keeps its turn meanwhile, which others wait for;
/// and it could not be held without memory.
const GROWS_WITHIN: Duration = Duration::from_millis(100);

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

/// The `vary` header: the body depends on what the client can decode.
static ACCEPT_ENCODING_NAME: HeaderValue = HeaderValue::from_static("accept-encoding");

/// The request of a list, and who sends it.
pub struct ListRequest {
    pub headers: HeaderMap,
    pub caller: CallerIdentity,
    /// True if the answer has a version, by which it can be asked for again.
    pub is_versioned: bool,
}

/// The response with a page, and what its headers need to know of the page.
pub struct ListResponse {
    pub response: Response,
    /// Number of optimizations on all pages.
    pub total: u64,
    /// The position after which the next page begins, if the list is read by cursors.
    pub next: Option<Cursor>,
}

/// Makes the response with a page as its body, or a 304 if the request names the page's version. `choose` runs on the thread that
/// reads the first piece.
///
/// # Errors
/// Fails if the page cannot be chosen, or its first piece cannot be read. A failure of a later piece breaks the body off, which the
/// client sees.
pub async fn response(
    choose: impl FnOnce() -> Result<PageReader, StoreError> + Send + 'static,
    request: ListRequest,
    shared: ListMemory,
) -> Result<ListResponse, HttpError> {
    let ListRequest { headers, caller, is_versioned } = request;
    let begun = Instant::now();
    let coding = ContentCoding::wanted_by(&headers);
    let choose = move || Ok(PageSource { page: choose()?, coding, compressor: None });
    let Piece { source, bytes: first, version, timing } = shared.piece(&caller, choose).await?;
    let (total, next) = (source.page.total(), source.page.next().cloned());
    let mut response = Response::new(Body::empty());
    let own = response.headers_mut();
    own.insert(CONTENT_TYPE, APPLICATION_JSON.clone());
    own.insert(VARY, ACCEPT_ENCODING_NAME.clone());
    own.insert(SERVER_TIMING.clone(), timing.header(begun.elapsed()));
    if let Some(version) = version.filter(|_| is_versioned) {
        own.insert(ETAG, etag::weak_header(version));
        own.insert(CACHE_CONTROL, NO_CACHE.clone());
        if etag::client_has(&headers, version) {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            return Ok(ListResponse { response, total, next });
        }
    }
    if let Some(coding) = source.coding.header() {
        own.insert(CONTENT_ENCODING, coding);
    }
    *response.body_mut() = match source.page.is_over() {
        true => Body::from(first),
        false => rest_of(source, first, caller, shared).await?,
    };
    Ok(ListResponse { response, total, next })
}

/// Makes the body of a page whose first piece has been read. Memory for its encoder is reserved until it ends.
async fn rest_of(
    source: PageSource,
    first: Bytes,
    caller: CallerIdentity,
    shared: ListMemory,
) -> Result<Body, HttpError> {
    let encoder = match source.coding {
        ContentCoding::Identity => None,
        ContentCoding::Gzip | ContentCoding::Zstd => {
            let bytes = shared.memory.at_most(content_encoding::ENCODER_BYTES);
            Some(Arc::new(shared.memory.reserve(&caller, bytes).await?))
        }
    };
    let begun = Instant::now();
    let rest = stream::try_unfold((source, Some(first)), move |(source, first)| {
        let (shared, caller, encoder) = (shared.clone(), caller.clone(), encoder.clone());
        async move {
            let _encoder = encoder;
            match first {
                Some(first) => Ok(Some((first, (source, None)))),
                None if source.page.is_over() => Ok(None),
                None if begun.elapsed() > READ_WITHIN => {
                    Err(io::Error::other("the client takes too long to read it"))
                }
                None => {
                    let piece = shared.piece(&caller, || Ok(source)).await.map_err(broken_off)?;
                    Ok(Some((piece.bytes, (piece.source, None))))
                }
            }
        }
    });
    Ok(Body::from_stream(rest))
}

/// A page that is read and encoded piece by piece.
struct PageSource {
    page: PageReader,
    /// The coding of the body, which is settled with the first piece.
    coding: ContentCoding,
    compressor: Option<Compressor>,
}

impl PageSource {
    /// Reads and encodes the next piece. Returns it with the page's version if it is the first one.
    fn next_piece(&mut self) -> Result<(Vec<u8>, Option<u64>), HttpError> {
        let is_first = !self.page.is_begun();
        let piece = self.page.next_piece(PIECE)?;
        let version = is_first.then(|| self.page.version()).transpose()?;
        let is_over = self.page.is_over();
        let failed = |error: io::Error| HttpError::Internal(format!("the list cannot be compressed: {error}"));
        if self.compressor.is_none() {
            self.coding = self.coding.for_body(piece.len(), is_over);
            self.compressor = Some(Compressor::new(self.coding).map_err(failed)?);
        }
        match &mut self.compressor {
            Some(compressor) => Ok((compressor.piece(piece, is_over).map_err(failed)?, version)),
            None => Ok((piece, version)),
        }
    }
}

/// A piece of a page, and the source of the rest.
struct Piece {
    source: PageSource,
    bytes: Bytes,
    /// The version of the page, which is found with the first piece.
    version: Option<u64>,
    timing: ListTiming,
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
        source: impl FnOnce() -> Result<PageSource, StoreError> + Send + 'static,
    ) -> Result<Piece, HttpError> {
        let begun = Instant::now();
        let mut reservation = self.memory.reserve(caller, PIECE).await?;
        let turn = Arc::clone(&self.turns).turn(caller.clone()).await;
        let queue = begun.elapsed();
        let read = task::spawn_blocking(move || {
            let begun = Instant::now();
            let mut source = source()?;
            let (piece, version) = source.next_piece()?;
            let timing = ListTiming { queue, store: begun.elapsed() };
            // The thread holds the turn, and not the request: a client that leaves does not end the reading.
            Ok::<_, HttpError>((source, piece, version, timing, turn))
        });
        let (source, piece, version, timing, turn) = match read.await {
            Ok(read) => read?,
            Err(error) => return Err(HttpError::Internal(format!("the list panicked: {error}"))),
        };
        self.resize(caller, &mut reservation, piece.len()).await?;
        drop(turn);
        Ok(Piece { source, bytes: reservation.into_bytes(piece), version, timing })
    }

    async fn resize(
        &self,
        caller: &CallerIdentity,
        reservation: &mut MemoryReservation,
        bytes: usize,
    ) -> Result<(), HttpError> {
        let wanted = self.memory.at_most(bytes);
        if wanted > reservation.bytes_reserved() {
            let more = wanted - reservation.bytes_reserved();
            reservation.merge(self.memory.reserve_within(GROWS_WITHIN, caller, more).await?);
        }
        reservation.shrink(bytes);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
