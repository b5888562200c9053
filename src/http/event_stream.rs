//! Server-sent events: their encoding, the headers of their response, and what ends one. A stream holds no reader between two events,
//! so that it keeps no generation open, and makes each event when its client has room for it, so that no buffer grows.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream;
use tokio::time::{Instant, sleep_until};

use super::access::{self, Scope};
use super::api::Api;
use super::caller_shares::CallerIdentity;
use super::connection_end::{ConnectionEnd, EndlessAnswer};
use super::errors::HttpError;
use super::wait_places::WaitPlace;
use crate::status::{AnswerState, State};

/// The interval at which a silent stream sends a comment, so that nothing on the way takes it for dead.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// The first lines of a stream: the time after which a client connects again.
const PREFACE: &str = "retry: 2000\n\n";

static ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");
static LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// An event that is encoded. Without a name it is what clients call a message.
pub struct Event<'a> {
    pub name: Option<&'a str>,
    /// The text with which a client goes on after this event; `None` leaves that of the event before.
    pub id: Option<&'a str>,
    pub data: &'a [u8],
}

impl Event<'_> {
    /// Appends the event. A line break in the data, which JSON may have between its values, becomes one between two lines of data.
    pub fn push(&self, out: &mut Vec<u8>) {
        for (field, text) in [("event: ", self.name), ("id: ", self.id)] {
            if let Some(text) = text {
                out.extend_from_slice(field.as_bytes());
                out.extend_from_slice(text.as_bytes());
                out.push(b'\n');
            }
        }
        for line in self.data.split(|byte| matches!(byte, b'\n' | b'\r')) {
            out.extend_from_slice(b"data: ");
            out.extend_from_slice(line);
            out.push(b'\n');
        }
        out.push(b'\n');
    }
}

/// Appends a comment, and the id with which a client goes on from here.
pub fn push_heartbeat(id: Option<&str>, out: &mut Vec<u8>) {
    out.extend_from_slice(b": still here\n");
    if let Some(id) = id {
        out.extend_from_slice(format!("id: {id}\n").as_bytes());
    }
    out.push(b'\n');
}

/// Returns the id of the last event that the client has seen, if it goes on from one.
pub fn last_event_id(headers: &HeaderMap) -> Option<&str> {
    headers.get(&LAST_EVENT_ID)?.to_str().ok().filter(|id| !id.is_empty())
}

/// The source of a stream's chunks. Each holds one event or more.
pub trait EventSource: Send + 'static {
    /// Makes the next chunk; `None` ends the stream.
    fn next_chunk(&mut self) -> Pin<Box<dyn Future<Output = Option<Bytes>> + Send + '_>>;
}

/// Makes the response whose body is the chunks of `source`.
pub fn response(source: impl EventSource) -> Response {
    let body = stream::unfold((source, true), |(mut source, is_first)| async move {
        if is_first {
            return Some((
                Ok::<_, std::convert::Infallible>(Bytes::from_static(PREFACE.as_bytes())),
                (source, false),
            ));
        }
        let chunk = source.next_chunk().await?;
        Some((Ok(chunk), (source, false)))
    });
    let mut response = Response::new(Body::from_stream(body));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(ACCEL_BUFFERING.clone(), HeaderValue::from_static("no"));
    response
}

/// The part of a stream that does not depend on what it shows: who follows, and until when.
pub struct Follower {
    pub api: Arc<Api>,
    pub caller: CallerIdentity,
    /// The organization whose views the caller may see; `None` for all.
    pub organization_id: Option<String>,
    /// The headers of the request by which the caller is recognized again.
    headers: HeaderMap,
    /// The state that the client was told of last.
    state: Option<State>,
    next_heartbeat: Instant,
    /// The time of the last chunk.
    last_chunk: Option<Instant>,
    /// The time from which on the caller has to be recognized again.
    next_check: Instant,
    answer: EndlessAnswer,
    _place: WaitPlace,
}

/// The reason for which a stream goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wake {
    Changed,
    /// Nothing has changed for long.
    Heartbeat,
    /// The stream is over.
    End,
}

impl Follower {
    /// Begins a stream for this caller.
    ///
    /// # Errors
    /// Too many streams are open, or too many of this caller's.
    pub fn begin(
        api: &Arc<Api>,
        request: &Request,
        caller: CallerIdentity,
        organization_id: Option<&str>,
    ) -> Result<Follower, HttpError> {
        let place = api.waits.streams.take(&caller).ok_or_else(|| {
            HttpError::unavailable(
                "too many streams are open, or too many of yours: close some, or read without one",
            )
        })?;
        Ok(Follower {
            api: Arc::clone(api),
            caller,
            organization_id: organization_id.map(str::to_owned),
            headers: access::identifying_headers(request.headers()),
            state: None,
            next_heartbeat: Instant::now() + HEARTBEAT,
            last_chunk: None,
            next_check: Instant::now() + HEARTBEAT,
            answer: request
                .extensions()
                .get::<ConnectionEnd>()
                .cloned()
                .unwrap_or_default()
                .begin_endless_answer(),
            _place: place,
        })
    }

    /// Waits until `changed` resolves, a heartbeat is due, or the stream is over: the process stops, or the connection is to end. Of a
    /// heartbeat that is due nothing is known but that: `changed` may have begun to resolve.
    pub async fn wait(&mut self, changed: impl Future<Output = ()>) -> Wake {
        tokio::select! {
            biased;
            () = self.answer.end_requested() => Wake::End,
            () = sleep_until(self.next_heartbeat) => {
                let now = Instant::now();
                (self.next_check, self.next_heartbeat) = (now, now + HEARTBEAT);
                Wake::Heartbeat
            }
            () = changed => if self.api.reader.changes().is_closed() { Wake::End } else { Wake::Changed },
        }
    }

    /// Returns a future that resolves once the client may be sent more: at once, or when its turn has come where the fold is behind.
    pub fn rest(&self) -> impl Future<Output = ()> + Send + use<> {
        let (changes, last) = (self.api.reader.changes().clone(), self.last_chunk);
        async move {
            let taken = changes.take_turn(Instant::now().into_std(), last.map(Instant::into_std));
            let Some((turn, mut backlog_end)) = taken else { return };
            tokio::select! {
                () = sleep_until(turn.into()) => {}
                () = backlog_end.changed() => {}
            }
        }
    }

    /// Returns true if nothing more may be sent: the connection is to end, or the caller may no longer see what they saw. It is asked
    /// before each chunk, since a stream that always has something to send never waits.
    pub fn has_ended(&mut self) -> bool {
        if self.answer.is_end_requested() {
            return true;
        }
        let now = Instant::now();
        if now < self.next_check {
            return false;
        }
        self.next_check = now + HEARTBEAT;
        !self.is_still_allowed()
    }

    fn is_still_allowed(&self) -> bool {
        let Ok(caller) = self.api.access.caller_again(&self.headers) else { return false };
        match caller.scope() {
            Scope::Everything => self.organization_id.is_none(),
            Scope::Organization(id) => self.organization_id.as_deref() == Some(id),
            Scope::Nothing => false,
        }
    }

    /// Appends an event with the instance's state if it is another than the client knows.
    pub fn push_state(&mut self, answer_state: AnswerState, out: &mut Vec<u8>) {
        if self.state != Some(answer_state.state) {
            self.state = Some(answer_state.state);
            let data = format!(r#"{{"state":"{}"}}"#, answer_state.state.as_str());
            Event { name: Some("state"), id: None, data: data.as_bytes() }.push(out);
        }
    }

    /// Counts a chunk until its client has read it; `None` if there is no memory for it.
    pub async fn count(&mut self, chunk: Vec<u8>) -> Option<Bytes> {
        self.last_chunk = Some(Instant::now());
        let memory = &self.api.lists.memory;
        let (len, chunk) = (chunk.len(), Bytes::from(chunk));
        match memory.count(chunk.clone(), || self.caller.clone()) {
            Ok(counted) => Some(counted),
            Err(_) => Some(memory.reserve(&self.caller, len).await.ok()?.into_bytes(chunk)),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Reads events as a client does (the part of the specification that is used here).
    fn parse(text: &[u8]) -> Vec<(String, String, Vec<u8>)> {
        let (mut events, mut name, mut id, mut data) =
            (Vec::new(), String::new(), String::new(), Vec::<Vec<u8>>::new());
        let text = text.strip_suffix(b"\n").expect("a whole event");
        for line in text.split(|byte| *byte == b'\n') {
            assert!(!line.contains(&b'\r'));
            if line.is_empty() {
                if !data.is_empty() {
                    events.push((std::mem::take(&mut name), id.clone(), data.join(&b'\n')));
                }
                data.clear();
            } else if let Some(value) = line.strip_prefix(b"event: ") {
                name = String::from_utf8(value.to_vec()).unwrap();
            } else if let Some(value) = line.strip_prefix(b"id: ") {
                id = String::from_utf8(value.to_vec()).unwrap();
            } else if let Some(value) = line.strip_prefix(b"data: ") {
                data.push(value.to_vec());
            } else {
                assert!(line.starts_with(b":"), "{line:?}");
            }
        }
        events
    }

    #[test]
    fn an_event_is_lines() {
        let mut out = Vec::new();
        Event { name: None, id: Some("7"), data: b"{\"a\":\r\n 1}" }.push(&mut out);
        push_heartbeat(Some("8"), &mut out);
        Event { name: Some("gone"), id: None, data: b"{}" }.push(&mut out);
        let text = "id: 7\ndata: {\"a\":\ndata: \ndata:  1}\n\n: still here\nid: 8\n\nevent: gone\ndata: {}\n\n";
        assert_eq!(String::from_utf8(out.clone()).unwrap(), text);
        assert_eq!(parse(&out)[1], ("gone".to_owned(), "8".to_owned(), b"{}".to_vec()));
    }

    proptest! {
        /// JSON has line breaks between its values only, where any white space means the same.
        #[test]
        fn a_client_reads_what_was_sent(data in "[ -~\u{e4}\r\n]{0,40}", name in "[a-z]{1,9}", id in "[!-~]{1,9}") {
            let mut out = Vec::new();
            Event { name: Some(&name), id: Some(&id), data: data.as_bytes() }.push(&mut out);
            let expected = data.replace('\r', "\n").into_bytes();
            prop_assert_eq!(parse(&out), [(name, id, expected)]);
        }
    }
}
