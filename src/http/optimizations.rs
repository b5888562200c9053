//! The resource `GET /optimizations/{id}`, which sends the stored bytes as they are. It must never parse or build a body, and a read of
//! a view that is there must never wait.

use std::borrow::Cow;
use std::sync::Arc;

use axum::extract::Request;
use percent_encoding::percent_decode_str;

use super::access::{Caller, Scope};
use super::api::Api;
use super::caller_shares::{CallerIdentity, PeerAddress};
use super::endpoint::Answer;
use super::errors::HttpError;
use super::ignored_parameters::KnownParameters;
use super::view_read::{NO_SUCH, ViewRead, read};
use super::view_wait::{ViewTarget, ViewWait};
use super::wait_query;

pub const PREFIX: &str = "/optimizations/";

/// The parameters of a read by id.
pub const PARAMETERS: KnownParameters =
    KnownParameters { single: &[&["wait"], &wait_query::SINGLE], repeated: &["after"] };

/// The last segment of the paths of streams.
pub const EVENTS: &str = "events";

/// Answers a read by id. This is the hot path: one look-up, and no copy of the body. It waits only for a view that is not there yet
/// or, if the client asks for that, for one that the client does not have.
pub fn by_id(api: &Arc<Api>, request: &Request, peer: Option<PeerAddress>) -> Result<Answer, HttpError> {
    let caller = api.access.caller(request.headers(), peer)?;
    let organization_id = organization_of(&caller)?;
    let id = id_of(request.uri().path()).ok_or(NO_SUCH)?;
    let wait = wait_query::wait_of(request.uri())?;
    let found = read(api, &id, organization_id, request.headers(), || identity(&caller, peer))?;
    let longest = match &found {
        ViewRead::New(_) => None,
        ViewRead::Unchanged(_) => wait,
        ViewRead::Missing { may_come, .. } => {
            Some(wait.unwrap_or_default().max(api.waits.missing)).filter(|_| *may_come)
        }
    };
    let Some(longest) = longest.filter(|longest| !longest.is_zero()) else { return Ok(Answer::Now(found.into())) };
    let target = ViewTarget { id: id.into_owned(), organization_id: organization_id.map(str::to_owned) };
    let begun = ViewWait::begin(api, target, request.headers(), identity(&caller, peer), longest);
    // Where too many wait, this one is answered as if it had not asked to.
    Ok(begun.map_or_else(|| Answer::Now(found.into()), |wait| Answer::Later(Box::pin(wait.answer()))))
}

/// Returns the organization whose views the caller may see; `None` for all.
///
/// # Errors
/// The caller asked for an organization that is not theirs, so that nothing can be found.
pub fn organization_of<'a>(caller: &'a Caller<'_>) -> Result<Option<&'a str>, HttpError> {
    match caller.scope() {
        Scope::Everything => Ok(None),
        Scope::Organization(id) => Ok(Some(id)),
        Scope::Nothing => Err(NO_SUCH),
    }
}

/// Returns the identity by which the requests of this caller share memory, turns and places.
pub fn identity(caller: &Caller<'_>, peer: Option<PeerAddress>) -> CallerIdentity {
    match &caller.principal {
        Some(principal) => CallerIdentity::Key(principal.id.clone()),
        None => CallerIdentity::Unchecked {
            address: peer.map(|PeerAddress(address)| address),
            organization_id: match caller.scope() {
                Scope::Organization(id) => Some(id.to_owned()),
                Scope::Everything | Scope::Nothing => None,
            },
        },
    }
}

/// Returns true if a raw path is that of a resource with views. Others, such as the health checks, wait for nothing.
pub fn shows_views(path: &str) -> bool {
    ["/optimizations", "/projects"]
        .iter()
        .filter_map(|room| path.strip_prefix(room))
        .any(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Returns true if a raw path is that of one view. An id that holds slashes has them encoded, since what follows a slash is a
/// resource below the view; and so the first letter of an id that is called as the stream of all changes is.
pub fn is_view(path: &str) -> bool {
    let raw = path.strip_prefix(PREFIX).unwrap_or_default();
    !raw.is_empty() && !raw.contains('/') && raw != EVENTS
}

/// Returns the id in a raw path: everything after the prefix, decoded. An invalid escape stands for itself. Returns `None` if the
/// text cannot be an id.
pub fn id_of(path: &str) -> Option<Cow<'_, str>> {
    let raw = path.strip_prefix(PREFIX).filter(|raw| !raw.is_empty())?;
    // Most ids hold no escape, and then there is nothing to decode and to check.
    if !raw.contains('%') {
        return Some(Cow::Borrowed(raw));
    }
    percent_decode_str(raw).decode_utf8().ok()
}

#[cfg(test)]
mod tests {
    use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_id_is_the_rest_of_the_path_decoded() {
        for (path, expected) in [
            ("/optimizations/opt-1", Some("opt-1")),
            ("/optimizations/a/b", Some("a/b")),
            ("/optimizations/a%2Fb", Some("a/b")),
            ("/optimizations//", Some("/")),
            ("/optimizations/a/", Some("a/")),
            ("/optimizations/a%20b+c", Some("a b+c")),
            ("/optimizations/%E2%82%AC", Some("€")),
            ("/optimizations/€", Some("€")),
            ("/optimizations/100%", Some("100%")),
            ("/optimizations/%zz", Some("%zz")),
            ("/optimizations/../x", Some("../x")),
            ("/optimizations/%00", Some("\0")),
            ("/optimizations/%FF", None),
            ("/optimizations/%E2%82", None),
            ("/optimizations/", None),
            ("/optimizations", None),
        ] {
            assert_eq!(id_of(path).as_deref(), expected, "{path}");
        }
    }

    #[test]
    fn a_path_is_that_of_a_view_if_nothing_follows_its_id() {
        for (path, expected) in [
            ("/optimizations/a", true),
            ("/optimizations/a%2Fb", true),
            ("/optimizations/%65vents", true),
            ("/optimizations/events2", true),
            ("/optimizations/events", false),
            ("/optimizations/a/events", false),
            ("/optimizations/a/b", false),
            ("/optimizations/a/", false),
            ("/optimizations//a", false),
            ("/optimizations/", false),
            ("/optimizations", false),
        ] {
            assert_eq!(is_view(path), expected, "{path}");
        }
    }

    #[test]
    fn a_plain_id_is_not_copied() {
        assert!(matches!(id_of("/optimizations/opt-1"), Some(Cow::Borrowed(_))));
    }

    proptest! {
        #[test]
        fn any_id_that_is_encoded_is_looked_up_decoded(id in "(?s).{1,40}") {
            let path = format!("/optimizations/{}", utf8_percent_encode(&id, NON_ALPHANUMERIC));
            let found = id_of(&path);
            prop_assert_eq!(found.as_deref(), Some(&*id));
        }
    }
}
