//! The body of a list: read from the store in pieces, as its client takes them, so that a page is never in memory as a
//! whole. A page that fits into one piece goes out as one body, with its length.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream;
use tokio::task;
use tokio::time::Instant;

use super::caller_shares::CallerIdentity;
use super::errors::HttpError;
use super::json_response::{APPLICATION_JSON, json};
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

/// Makes the response with a page as its body. `choose` runs on the thread that reads the first piece.
///
/// # Errors
/// Fails if the first piece cannot be read. A failure of a later piece breaks the body off, which the client sees.
pub async fn response(
    choose: impl FnOnce() -> PageReader + Send + 'static,
    caller: CallerIdentity,
    shared: ListMemory,
) -> Result<Response, HttpError> {
    let (page, first) = shared.piece(&caller, choose).await?;
    if page.is_over() {
        return Ok(json(first));
    }
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
                    let (page, piece) = shared.piece(&caller, || page).await.map_err(broken_off)?;
                    Ok(Some((piece, (page, None))))
                }
            }
        }
    });
    let mut response = Response::new(Body::from_stream(rest));
    response.headers_mut().insert(CONTENT_TYPE, APPLICATION_JSON.clone());
    Ok(response)
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
    ) -> Result<(PageReader, Bytes), HttpError> {
        let mut reservation = self.memory.reserve(caller, PIECE).await?;
        let turn = Arc::clone(&self.turns).turn(caller.clone()).await;
        let read = task::spawn_blocking(move || {
            let mut page = page();
            let piece = page.next_piece(PIECE)?;
            // The thread holds the turn, and not the request: a client that leaves does not end the reading.
            Ok::<_, StoreError>((page, piece, turn))
        });
        let (page, piece, turn) = match read.await {
            Ok(read) => read?,
            Err(error) => return Err(HttpError::Internal(format!("the list panicked: {error}"))),
        };
        self.resize(caller, &mut reservation, piece.len()).await?;
        drop(turn);
        Ok((page, reservation.into_bytes(piece)))
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
