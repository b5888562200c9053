//! The resource `GET /optimizations/events`: the views of a list as they change, as server-sent events, with the filters of the list.
//! With `initial=true` those that the list has now come first.

use std::collections::{HashMap, HashSet, VecDeque};
use std::mem;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;
use std::vec;

use axum::extract::Request;
use axum::http::Uri;
use bytes::Bytes;
use serde_json::json;
use tokio::task;
use tokio::time::{Instant, sleep_until};

use super::access::Scope;
use super::api::Api;
use super::caller_shares::PeerAddress;
use super::endpoint::PendingResult;
use super::errors::HttpError;
use super::event_stream::{self, Event, EventSource, Follower, Wake, push_heartbeat};
use super::freshness::Freshness;
use super::ignored_parameters::KnownParameters;
use super::list_query::{self, LIST_PARAMETERS, ListParameters};
use super::optimizations::identity;
use super::query_string::pairs;
use super::users::NO_ORGANIZATION;
use super::{incomplete_views, wait_query};
use crate::live_views::CurrentReader;
use crate::store::{ListScope, LogCursor, LogPlace, LogRead, Reader, ScopeChange, ViewChange};

/// Number of bytes after which a chunk ends.
const CHUNK: usize = 64 << 10;

/// Number of changes that are taken from the log at once. Of several of one view the newest state is sent.
const CHANGES_AT_ONCE: usize = 256;

/// The time for which changes are gathered after a chunk, so that many changes wake a stream less often.
const GATHER: Duration = Duration::from_millis(25);

/// The name of the parameter by which the views that the list has now come first.
const INITIAL: &str = "initial";

/// The parameters of the stream of a list. Those that choose a page choose the views that come first.
pub const PARAMETERS: KnownParameters = KnownParameters {
    single: &[&list_query::SINGLE, &wait_query::SINGLE, &[INITIAL]],
    repeated: LIST_PARAMETERS.repeated,
};

/// Answers with the stream of a list.
pub fn events(api: &Arc<Api>, request: &Request) -> Result<PendingResult, HttpError> {
    let caller = api.access.caller(request.headers(), PeerAddress::of(request))?;
    let organization_id = match caller.scope() {
        Scope::Everything => None,
        Scope::Organization(id) => Some(id),
        Scope::Nothing => return Err(NO_ORGANIZATION),
    };
    let parameters = ListParameters::of(request.uri())?;
    let wants_initial = wants_initial(request.uri())?;
    {
        let current = api.reader()?;
        incomplete_views::check_list(&Freshness::of(&current, &api.status), current.status())?;
    }
    let follower = Follower::begin(api, request, identity(&caller, PeerAddress::of(request)), organization_id)?;
    let resumed = event_stream::last_event_id(request.headers()).map(place_of_event_id);
    // It follows from before the list is read, so that no change is missed.
    let cursor = api.reader.changes().follow(resumed);
    // It shows every change beyond this position, which is not read before it follows.
    let freshness = Freshness::of(&api.reader()?, &api.status);
    let mut stream = ListStream {
        follower,
        parameters,
        wants_initial,
        cursor,
        changes: VecDeque::new(),
        initial: None,
        begins_initial: false,
        is_behind: true,
        not_before: Instant::now(),
    };
    Ok(Box::pin(async move {
        if resumed.is_none() && wants_initial {
            stream.begin_initial().await?;
        }
        Ok(freshness.mark(event_stream::response(stream)))
    }))
}

fn wants_initial(uri: &Uri) -> Result<bool, HttpError> {
    let initial = pairs(uri).into_iter().rfind(|(name, _)| name == INITIAL);
    let initial = initial.map(|(_, initial)| wait_query::bool_of(INITIAL, &initial)).transpose();
    Ok(initial.map_err(|mistake| HttpError::Invalid(vec![mistake]))?.unwrap_or_default())
}

/// Reads the id of an event of a list. A text that is none becomes a place in no log, which is a gap.
fn place_of_event_id(id: &str) -> LogPlace {
    let place = id.split_once('-').and_then(|(log, next)| {
        Some(LogPlace { log: u64::from_str_radix(log, 16).ok()?, next: next.parse().ok()? })
    });
    place.unwrap_or(LogPlace { log: 0, next: u64::MAX })
}

fn event_id(place: LogPlace) -> String {
    format!("{:016x}-{}", place.log, place.next)
}

/// The stream of a list.
struct ListStream {
    follower: Follower,
    parameters: ListParameters,
    wants_initial: bool,
    cursor: LogCursor,
    /// The changes that were taken from the log and not sent.
    changes: VecDeque<ListChange>,
    /// Set while the views that the list had at the beginning are sent.
    initial: Option<InitialViews>,
    /// True if the views that the list has now are to be sent again.
    begins_initial: bool,
    /// True if the log may have changes that were not taken.
    is_behind: bool,
    /// The time before which no changes are taken from the log.
    not_before: Instant,
}

/// The latest of the changes of one view.
struct ListChange {
    /// The number of the change after it in the log.
    next: u64,
    id: Arc<str>,
    /// True if the list had the view before one of the changes.
    was_listed: bool,
}

/// The views that a list had at the beginning.
struct InitialViews {
    ids: vec::IntoIter<Arc<str>>,
    sent: usize,
    total: u64,
    /// The place in the log from which changes may be missing in them.
    place: LogPlace,
}

impl EventSource for ListStream {
    fn next_chunk(&mut self) -> Pin<Box<dyn Future<Output = Option<Bytes>> + Send + '_>> {
        Box::pin(self.next())
    }
}

impl ListStream {
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if self.follower.has_ended() {
                return None;
            }
            let mut out = Vec::new();
            if mem::take(&mut self.begins_initial) {
                self.begin_initial().await.ok()?;
            }
            self.fill(&mut out).ok()?;
            if !out.is_empty() {
                return self.follower.count(out).await;
            }
            let (cursor, not_before, rest) = (&mut self.cursor, self.not_before, self.follower.rest());
            let changed = async {
                cursor.changed().await;
                sleep_until(not_before).await;
                rest_within_log(rest, cursor).await;
            };
            match self.follower.wait(changed).await {
                Wake::Changed => {
                    self.is_behind = true;
                    self.not_before = Instant::now() + GATHER;
                }
                Wake::End => return None,
                Wake::Heartbeat => {
                    // The signal of a change may have been taken while changes were gathered.
                    self.is_behind = true;
                    push_heartbeat(Some(&event_id(self.cursor.next_place())), &mut out);
                    return Some(out.into());
                }
            }
        }
    }

    /// Appends events until the chunk is full, or all is sent.
    fn fill(&mut self, out: &mut Vec<u8>) -> Result<(), HttpError> {
        let api = self.follower.api.clone();
        let Some(current) = api.reader.get() else { return Ok(()) };
        let answer_state = current.answer_state(&api.status);
        while out.len() < CHUNK && !self.begins_initial {
            if self.initial.is_some() {
                self.push_initial(&current, out)?;
            } else if let Some(change) = self.changes.pop_front() {
                self.push_change(&current, &change, out)?;
            } else if self.is_behind {
                self.take_changes(out);
            } else {
                break;
            }
        }
        self.follower.push_state(answer_state, out);
        Ok(())
    }

    /// Takes the next changes from the log.
    fn take_changes(&mut self, out: &mut Vec<u8>) {
        let changes = match self.cursor.read(CHANGES_AT_ONCE) {
            LogRead::Changes(changes) => changes,
            LogRead::Gap => {
                // While the list is sent again no id is known: a client that loses the connection begins again.
                let id = if self.wants_initial { String::new() } else { event_id(self.cursor.next_place()) };
                let data = br#"{"reason":"changes may have been missed: read the list again"}"#;
                Event { name: Some("reset"), id: Some(&id), data }.push(out);
                self.begins_initial = self.wants_initial;
                return;
            }
        };
        self.is_behind = changes.len() == CHANGES_AT_ONCE;
        let latest = latest_changes(changes, |scope| self.lists(scope));
        self.changes.extend(latest);
    }

    /// Returns true if the caller may see views of this organization and asks for this project. What else the list asks for is not
    /// compared, so that a view may be said to have left that never was on it.
    fn lists(&self, scope: &ListScope) -> bool {
        let organization_id = self.follower.organization_id.as_deref();
        organization_id.is_none_or(|id| id == &*scope.organization_id)
            && self.parameters.project_id.as_deref().is_none_or(|id| id == &*scope.project_id)
    }

    fn push_change(
        &self,
        current: &CurrentReader,
        change: &ListChange,
        out: &mut Vec<u8>,
    ) -> Result<(), HttpError> {
        let id = event_id(self.cursor.place(change.next));
        let query = self.parameters.query(self.follower.organization_id.as_deref());
        if let Some(view) = current.listed_view(&change.id, &query)? {
            Event { name: None, id: Some(&id), data: &view }.push(out);
        } else if change.was_listed {
            let data = json!({ "id": &*change.id }).to_string();
            Event { name: Some("removed"), id: Some(&id), data: data.as_bytes() }.push(out);
        }
        Ok(())
    }

    /// Chooses the views that the list has now. A search takes its time, so that it waits for its turn as lists do, on a thread of
    /// theirs.
    async fn begin_initial(&mut self) -> Result<(), HttpError> {
        let place = self.cursor.next_place();
        let Some(reader) = self.follower.api.reader.get().map(|current| Reader::clone(&current)) else {
            return Ok(());
        };
        let turn = Arc::clone(&self.follower.api.lists.turns).turn(self.follower.caller.clone()).await;
        let (parameters, organization_id) = (self.parameters.clone(), self.follower.organization_id.clone());
        let chosen = task::spawn_blocking(move || {
            let _turn = turn;
            reader.page_ids(&parameters.query(organization_id.as_deref()))
        });
        let chosen = chosen.await.map_err(|error| HttpError::Internal(format!("the list panicked: {error}")))?;
        let (ids, total) = chosen?;
        self.initial = Some(InitialViews { ids: ids.into_iter(), sent: 0, total, place });
        Ok(())
    }

    /// Appends the next of the views that the list had at the beginning; after the last the event `initial`. Until then no event has
    /// an id, so that a client that loses the connection begins again.
    fn push_initial(&mut self, current: &CurrentReader, out: &mut Vec<u8>) -> Result<(), HttpError> {
        let Some(initial) = &mut self.initial else { return Ok(()) };
        let query = self.parameters.query(self.follower.organization_id.as_deref());
        match initial.ids.next() {
            Some(id) => {
                if let Some(view) = current.listed_view(&id, &query)? {
                    initial.sent += 1;
                    Event { name: None, id: None, data: &view }.push(out);
                }
            }
            None => {
                let id = event_id(initial.place);
                let data = json!({ "sent": initial.sent, "total": initial.total }).to_string();
                Event { name: Some("initial"), id: Some(&id), data: data.as_bytes() }.push(out);
                self.initial = None;
            }
        }
        Ok(())
    }
}

/// Rests, but not for so long that the log would lose changes that were not read.
async fn rest_within_log(rest: impl Future<Output = ()>, cursor: &mut LogCursor) {
    let mut rest = pin!(rest);
    loop {
        tokio::select! {
            biased;
            () = &mut rest => return,
            () = cursor.changed() => if cursor.is_far_behind() { return },
        }
    }
}

/// Returns the latest change of each view that the list had before one of them, or may have after it. Views that only other lists show
/// are not even read.
fn latest_changes(changes: Vec<(u64, ViewChange)>, lists: impl Fn(&ListScope) -> bool) -> Vec<ListChange> {
    let mut last: HashMap<Arc<str>, u64> = HashMap::with_capacity(changes.len());
    let mut listed: HashSet<Arc<str>> = HashSet::new();
    for (next, ViewChange { id, scopes: ScopeChange { before, after } }) in &changes {
        let [was_listed, is_listed] = [before, after].map(|scope| scope.as_ref().is_some_and(&lists));
        if was_listed {
            listed.insert(id.clone());
        }
        if was_listed || is_listed {
            last.insert(id.clone(), *next);
        }
    }
    let latest = changes.into_iter().filter(|(next, change)| last.get(&change.id) == Some(next));
    latest.map(|(next, ViewChange { id, .. })| ListChange { next, was_listed: listed.contains(&id), id }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(project_id: &str) -> Option<ListScope> {
        Some(ListScope { organization_id: Arc::from("org-1"), project_id: Arc::from(project_id) })
    }

    #[test]
    fn a_list_takes_the_latest_change_of_each_view_that_it_had_or_may_have() {
        let [mine, other, none] = [scope("mine"), scope("other"), None];
        let changes = [
            ("stays", &mine, &mine),
            ("comes", &none, &mine),
            ("of another list", &other, &other),
            ("moves away", &mine, &other),
            ("changes in no way that lists show", &none, &mine),
            ("stays", &mine, &mine),
            ("is deleted", &mine, &none),
            ("moves away", &other, &other),
            ("never seen", &other, &none),
        ];
        let changes = (1..).zip(changes).map(|(next, (id, before, after))| {
            let scopes = ScopeChange { before: before.clone(), after: after.clone() };
            (next, ViewChange { id: Arc::from(id), scopes })
        });
        let latest = latest_changes(changes.collect(), |scope| &*scope.project_id == "mine");
        let latest: Vec<_> = latest.iter().map(|change| (change.next, &*change.id, change.was_listed)).collect();
        assert_eq!(
            latest,
            [
                (2, "comes", false),
                (4, "moves away", true),
                (5, "changes in no way that lists show", false),
                (6, "stays", true),
                (7, "is deleted", true)
            ]
        );
    }
}
