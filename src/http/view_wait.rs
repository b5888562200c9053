//! The read by id that waits: for a view that is not there yet, or for one that the client does not have yet. Waiting costs a place
//! in a map and a timer, and no thread, no lock and no look at the store until the view changes.

use std::sync::Arc;
use std::time::Duration;

use axum::http::HeaderMap;
use axum::http::header::IF_NONE_MATCH;
use tokio::time::{Instant, timeout_at};

use super::api::Api;
use super::caller_shares::CallerIdentity;
use super::endpoint::HandlerResult;
use super::view_read::{ViewRead, read};
use super::wait_places::WaitPlace;
use crate::store::IdWatch;

/// Number of bytes of the longest id that there can be.
const LONGEST_ID: usize = 1024;

/// The view that a request waits for.
pub struct ViewTarget {
    pub id: String,
    /// The organization that may see it; `None` for any.
    pub organization_id: Option<String>,
}

/// A read by id that waits.
pub struct ViewWait {
    api: Arc<Api>,
    target: ViewTarget,
    /// The headers that name the version that the client has.
    if_none_match: HeaderMap,
    caller: CallerIdentity,
    watch: IdWatch,
    until: Instant,
    /// True if the client has the view: then it need not wait to learn that there is none any more.
    is_for_change: bool,
    _place: WaitPlace,
}

impl ViewWait {
    /// Begins to wait; `None` if too many wait already.
    pub fn begin(
        api: &Arc<Api>,
        target: ViewTarget,
        request: &HeaderMap,
        caller: CallerIdentity,
        longest: Duration,
    ) -> Option<ViewWait> {
        if target.id.len() > LONGEST_ID {
            return None;
        }
        let place = api.waits.views.take(&caller)?;
        let versions = request.get_all(IF_NONE_MATCH).iter();
        Some(ViewWait {
            watch: api.reader.changes().watch(&target.id),
            if_none_match: versions.map(|version| (IF_NONE_MATCH, version.clone())).collect(),
            api: Arc::clone(api),
            target,
            caller,
            until: Instant::now() + longest,
            is_for_change: false,
            _place: place,
        })
    }

    /// Returns the view that is waited for.
    pub fn target(&self) -> &ViewTarget {
        &self.target
    }

    /// Begins the wait of a request that has found no such view and could not say that it wants to wait, for `--missing-wait`; `None`
    /// if too many wait already, or nobody is to wait.
    pub fn begin_for_missing(api: &Arc<Api>, target: ViewTarget, caller: CallerIdentity) -> Option<ViewWait> {
        let missing = Some(api.waits.missing).filter(|missing| !missing.is_zero())?;
        ViewWait::begin(api, target, &HeaderMap::new(), caller, missing)
    }

    /// Waits until there is a view that the client does not have, and answers with it; or with what there is when the time is over, or
    /// the process stops. An id that is not found takes all of the time, whether it is unknown, deleted, or another organization's.
    pub async fn answer(mut self) -> HandlerResult {
        let mut is_over = false;
        loop {
            // It may have come since the read that found nothing.
            let ViewTarget { id, organization_id } = &self.target;
            let found =
                read(&self.api, id, organization_id.as_deref(), &self.if_none_match, || self.caller.clone())?;
            match found {
                ViewRead::Unchanged(_) => self.is_for_change = true,
                ViewRead::Missing { .. } if !self.is_for_change => {}
                ViewRead::New(_) | ViewRead::Missing { .. } => is_over = true,
            }
            if is_over {
                return Ok(found.into());
            }
            is_over = timeout_at(self.until, self.watch.changed()).await.is_err()
                || self.api.reader.changes().is_closed();
        }
    }
}
