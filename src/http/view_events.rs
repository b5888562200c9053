//! The resource `GET /optimizations/{id}/events`: the view as it is, and then each new one, as server-sent events.
//!
//! No view is sent after one that is newer. Within a generation a view only grows; after a switch, a restart or a move to another
//! instance, the stream waits until the reader has come to the position that the last event was sent with.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::Request;
use bytes::Bytes;
use tokio::time::sleep;

use super::api::Api;
use super::caller_shares::PeerAddress;
use super::endpoint::PendingResult;
use super::errors::HttpError;
use super::event_stream::{self, Event, EventSource, Follower, Wake, push_heartbeat};
use super::freshness::Freshness;
use super::optimizations::{EVENTS, id_of, identity, organization_of};
use super::view_read::{NO_SUCH, ViewRead, read};
use super::view_wait::{ViewTarget, ViewWait};
use crate::domain::ReadPosition;
use crate::live_views::CurrentReader;
use crate::status::{AnswerState, State};
use crate::store::{self, IdWatch, SignalSetWatch};

/// The interval at which a stream that waits for a position looks whether it may go on.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Answers with the stream of one view. A view that is not there yet is waited for as by a read by id.
pub fn events(api: &Arc<Api>, request: &Request) -> Result<PendingResult, HttpError> {
    let caller = api.access.caller(request.headers(), PeerAddress::of(request))?;
    let organization_id = organization_of(&caller)?;
    let path = request.uri().path().strip_suffix(EVENTS).and_then(|path| path.strip_suffix('/'));
    let id = path.and_then(id_of).ok_or(NO_SUCH)?.into_owned();
    let follower = Follower::begin(api, request, identity(&caller, PeerAddress::of(request)), organization_id)?;
    // It watches from before the first read, so that no change is missed.
    let watch = api.reader.changes().watch(&id);
    let seen = event_stream::last_event_id(request.headers()).and_then(SentView::of_event_id);
    Ok(Box::pin(async move {
        let mut first = follower.read(&id)?;
        if let ViewRead::Missing { may_come: true, .. } = first
            && let Some(wait) = follower.wait_for(&id)
        {
            drop(wait.answer().await?);
            first = follower.read(&id)?;
        }
        if matches!(first, ViewRead::Missing { .. }) {
            return Ok(first.into());
        }
        let freshness = Freshness::of(&follower.api.reader()?, &follower.api.status);
        let stream =
            ViewStream { follower, id, watch, seen, waits_for_position: None, has_looked: false, is_over: false };
        Ok(freshness.mark(event_stream::response(stream)))
    }))
}

impl Follower {
    fn read(&self, id: &str) -> Result<ViewRead, HttpError> {
        let none = axum::http::HeaderMap::new();
        read(&self.api, id, self.organization_id.as_deref(), &none, || self.caller.clone())
    }

    fn wait_for(&self, id: &str) -> Option<ViewWait> {
        let target = ViewTarget { id: id.to_owned(), organization_id: self.organization_id.clone() };
        ViewWait::begin_for_missing(&self.api, target, self.caller.clone())
    }
}

/// The view that the client has seen last.
struct SentView {
    etag: u64,
    /// The number of the generation that it was read from; `None` if another process, or an earlier stream, has sent it.
    turn: Option<u64>,
    /// A position that the view is not beyond; `None` if it is not known.
    bound: Option<Arc<ReadPosition>>,
}

impl SentView {
    /// Reads the id of an event, which is the view's version, and the position after an `@`.
    fn of_event_id(id: &str) -> Option<SentView> {
        let (version, position) = id.split_once('@')?;
        let etag = u64::from_str_radix(version, 16).ok()?;
        let bound = ReadPosition::of_text(position).filter(|_| !position.is_empty()).map(Arc::new);
        Some(SentView { etag, turn: None, bound })
    }

    fn event_id(&self) -> String {
        format!("{:016x}@{}", self.etag, self.bound.as_deref().map_or("", ReadPosition::text))
    }

    /// Returns true if a view of this reader, which has come to `visible`, is at least as new.
    fn is_reached(&self, reader: &CurrentReader, visible: &ReadPosition, answer_state: AnswerState) -> bool {
        self.turn == Some(reader.turn())
            || match &self.bound {
                Some(bound) => visible.includes(bound),
                None => answer_state.state == State::Live,
            }
    }
}

/// The stream of one view.
struct ViewStream {
    follower: Follower,
    id: String,
    watch: IdWatch,
    seen: Option<SentView>,
    /// Set while the reader is behind what the client has seen.
    waits_for_position: Option<SignalSetWatch>,
    /// True once the client has been sent the view that there was at first.
    has_looked: bool,
    is_over: bool,
}

impl EventSource for ViewStream {
    fn next_chunk(&mut self) -> Pin<Box<dyn Future<Output = Option<Bytes>> + Send + '_>> {
        Box::pin(self.next())
    }
}

impl ViewStream {
    async fn next(&mut self) -> Option<Bytes> {
        let mut out = Vec::new();
        while !self.is_over {
            // The watch began before the first look, so that whatever came since the last one ends the wait.
            if self.has_looked {
                match self.wait().await {
                    Wake::Changed => {}
                    Wake::End => return None,
                    Wake::Heartbeat => {
                        push_heartbeat(None, &mut out);
                        self.give_up_position(&mut out);
                    }
                }
            }
            if self.follower.has_ended() {
                return None;
            }
            self.look(&mut out).ok()?;
            self.has_looked = true;
            if !out.is_empty() {
                return self.follower.count(out).await;
            }
        }
        None
    }

    /// Waits until there may be something that the client has not seen, and may be sent.
    async fn wait(&mut self) -> Wake {
        let rest = self.follower.rest();
        let ViewStream { watch, waits_for_position, .. } = self;
        let changed = async {
            match waits_for_position {
                None => watch.changed().await,
                Some(position) => tokio::select! {
                    () = watch.changed() => {}
                    () = position.changed() => {}
                    // Nothing wakes it when the instance becomes live.
                    () = sleep(LOOK_EVERY) => {}
                },
            }
            rest.await;
        };
        self.follower.wait(changed).await
    }

    /// Appends what the client has not seen: the view, and the instance's state.
    fn look(&mut self, out: &mut Vec<u8>) -> Result<(), HttpError> {
        let api = self.follower.api.clone();
        let Some(current) = api.reader.get() else { return Ok(()) };
        let answer_state = current.answer_state(&api.status);
        if self.may_show(&current, answer_state) {
            self.waits_for_position = None;
            match current.get(&self.id, self.follower.organization_id.as_deref())? {
                Some(found) => self.push_view(&found, &current, answer_state, out),
                None if answer_state.is_current() => {
                    self.is_over = true;
                    Event { name: Some("gone"), id: None, data: b"{}" }.push(out);
                }
                None => {}
            }
        }
        self.follower.push_state(answer_state, out);
        Ok(())
    }

    /// Returns true if the client has seen nothing newer than what this reader has. Otherwise the stream waits from now on for the
    /// position, too.
    fn may_show(&mut self, current: &CurrentReader, answer_state: AnswerState) -> bool {
        let Some(seen) = &self.seen else { return true };
        if seen.is_reached(current, &current.visible_position(), answer_state) {
            return true;
        }
        if self.waits_for_position.is_some() {
            return false;
        }
        self.waits_for_position = Some(self.follower.api.reader.changes().watch_position());
        // It may have come before the watch began.
        seen.is_reached(current, &current.visible_position(), answer_state)
    }

    fn push_view(
        &mut self,
        found: &store::Response,
        current: &CurrentReader,
        answer_state: AnswerState,
        out: &mut Vec<u8>,
    ) {
        let is_new = self.seen.as_ref().is_none_or(|seen| seen.etag != found.etag);
        // What was read before the generation was live may be beyond all that it knows to have read.
        let bound = (answer_state.state == State::Live).then(|| current.position_bound());
        if is_new {
            let sent = SentView { etag: found.etag, turn: Some(current.turn()), bound };
            Event { name: None, id: Some(&sent.event_id()), data: &found.body }.push(out);
            self.seen = Some(sent);
        } else if let Some(seen) = &mut self.seen {
            seen.turn = Some(current.turn());
            seen.bound = bound.or_else(|| seen.bound.take());
        }
    }

    /// Gives up a position that a live instance has not come to by now: it will not, as where the topics were made anew.
    fn give_up_position(&mut self, out: &mut Vec<u8>) {
        let api = &self.follower.api;
        let state = api.reader.get().map(|current| current.answer_state(&api.status).state);
        if self.waits_for_position.is_some() && state == Some(State::Live) {
            (self.seen, self.waits_for_position) = (None, None);
            Event {
                name: Some("reset"),
                id: None,
                data: br#"{"reason":"the views may be older than those that were sent"}"#,
            }
            .push(out);
        }
    }
}
