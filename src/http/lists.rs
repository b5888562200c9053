//! The resources that show several optimizations: a list of views, the statuses of some ids, and the counts of a project. None of
//! them parses or builds a view.

use std::collections::BTreeMap;
use std::future;

use axum::extract::Request;
use axum::http::StatusCode;
use axum::http::header::LINK;
use axum::response::Response;
use percent_encoding::percent_decode_str;
use serde::Serialize;

use super::access::Scope;
use super::api::Api;
use super::caller_shares::PeerAddress;
use super::endpoint::{HandlerResult, PendingResult};
use super::errors::HttpError;
use super::freshness::Freshness;
use super::json_response::{json, to_json};
use super::list_body::{self, ListRequest, ListResponse};
use super::list_query::{ListParameters, Start};
use super::optimizations::identity;
use super::status_query::StatusQuery;
use super::{ignored_parameters, incomplete_views, list_links};
use crate::domain::Status;
use crate::store::{Reader, StatusCount};

/// The path of [`statuses`].
pub const STATUSES: &str = "/optimizations/statuses";

/// The path of [`summary`].
pub const SUMMARY: &str = "/projects/{project_id}/optimizations/summary";

const EMPTY_PAGE: &str = r#"{"optimizations":[],"total":0}"#;

const EMPTY_CURSOR_PAGE: &str = r#"{"optimizations":[],"total":0,"next_cursor":null}"#;

const NO_PROJECT: HttpError = HttpError::NotFound("there is nothing at this path: check the project's id");

/// Answers with one page of a list.
pub fn list(api: &Api, request: &Request) -> Result<PendingResult, HttpError> {
    let caller = api.access.caller(request.headers(), PeerAddress::of(request))?;
    let parameters = ListParameters::of(request.uri())?;
    let organization_id = match caller.scope() {
        Scope::Everything => None,
        Scope::Organization(id) => Some(id.to_owned()),
        Scope::Nothing => {
            let by_offset = matches!(parameters.start, Start::Offset(_));
            let response = json(if by_offset { EMPTY_PAGE } else { EMPTY_CURSOR_PAGE });
            return Ok(Box::pin(future::ready(Ok(response))));
        }
    };
    let current = api.reader()?;
    let freshness = Freshness::of(&current, &api.status);
    incomplete_views::check_list(&freshness, current.status())?;
    let reader = Reader::clone(&current);
    let list_request = ListRequest {
        headers: request.headers().clone(),
        caller: identity(&caller, PeerAddress::of(request)),
        is_versioned: true,
    };
    let (lists, uri) = (api.lists.clone(), request.uri().clone());
    Ok(Box::pin(async move {
        let chosen = parameters.clone();
        let choose = move || reader.page(&chosen.query(organization_id.as_deref()));
        let ListResponse { mut response, total, next } = list_body::response(choose, list_request, lists).await?;
        if let Some(links) = list_links::header(&uri, &parameters, total, next.as_ref()) {
            response.headers_mut().insert(LINK, links);
        }
        Ok(freshness.mark(response))
    }))
}

/// Answers with the statuses of some optimizations, whose ids the body of the request holds.
pub fn statuses(api: &Api, request: Request) -> Result<PendingResult, HttpError> {
    let caller = api.access.caller(request.headers(), PeerAddress::of(&request))?;
    let (organization_id, sees_nothing) = match caller.scope() {
        Scope::Everything => (None, false),
        Scope::Organization(id) => (Some(id.to_owned()), false),
        Scope::Nothing => (None, true),
    };
    let current = api.reader()?;
    let freshness = Freshness::of(&current, &api.status);
    incomplete_views::check_list(&freshness, current.status())?;
    let reader = Reader::clone(&current);
    let caller = identity(&caller, PeerAddress::of(&request));
    let lists = api.lists.clone();
    let list_request =
        ListRequest { headers: request.headers().clone(), caller: caller.clone(), is_versioned: false };
    Ok(Box::pin(async move {
        let StatusQuery { ids, limit, ignored } =
            StatusQuery::read(request.into_body(), &caller, &lists.memory).await?;
        if sees_nothing {
            let mut response = json("[]");
            ignored_parameters::name_in(response.headers_mut(), &ignored);
            return Ok(response);
        }
        let choose = move || Ok(reader.statuses(&ids, organization_id.as_deref(), limit));
        let ListResponse { mut response, .. } = list_body::response(choose, list_request, lists).await?;
        ignored_parameters::name_in(response.headers_mut(), &ignored);
        Ok(freshness.mark(response))
    }))
}

/// The numbers of a project's optimizations by status and kind.
#[derive(Serialize)]
struct ProjectSummary<'a> {
    project_id: &'a str,
    total: u64,
    /// Each status, `null` for those without one.
    statuses: BTreeMap<&'static str, u64>,
    kinds: Vec<KindSummary>,
}

#[derive(Serialize)]
struct KindSummary {
    kind: Option<String>,
    total: u64,
    statuses: BTreeMap<&'static str, u64>,
}

/// Answers with the numbers of a project's optimizations. They are counted already, so that it takes the same time for any project. A
/// project of which the caller may see nothing has none.
pub fn summary(api: &Api, request: &Request) -> HandlerResult {
    let caller = api.access.caller(request.headers(), PeerAddress::of(request))?;
    let project_id = project_of(request.uri().path()).ok_or(NO_PROJECT)?;
    let organization_id = match caller.scope() {
        Scope::Everything => None,
        Scope::Organization(id) => Some(id),
        Scope::Nothing => return Ok(summary_response(&project_id, Vec::new())),
    };
    let current = api.reader()?;
    let freshness = Freshness::of(&current, &api.status);
    incomplete_views::check_list(&freshness, current.status())?;
    let response = summary_response(&project_id, current.counts(organization_id, Some(&project_id)));
    Ok(freshness.mark(response))
}

/// Returns the project's id in the path of a summary. No project has an empty one.
fn project_of(path: &str) -> Option<String> {
    let raw = path.strip_prefix("/projects/")?.strip_suffix("/optimizations/summary")?;
    if raw.is_empty() {
        return None;
    }
    Some(percent_decode_str(raw).decode_utf8().ok()?.into_owned())
}

fn summary_response(project_id: &str, counts: Vec<StatusCount>) -> Response {
    let mut summary = ProjectSummary { project_id, total: 0, statuses: no_statuses(), kinds: Vec::new() };
    for StatusCount { status, kind, count } in counts {
        summary.total += count;
        *summary.statuses.entry(status_key(status)).or_default() += count;
        // Counts of one kind follow each other.
        if summary.kinds.last().is_none_or(|last| last.kind.as_deref() != kind.as_deref()) {
            summary.kinds.push(KindSummary {
                kind: kind.as_deref().map(str::to_owned),
                total: 0,
                statuses: no_statuses(),
            });
        }
        if let Some(last) = summary.kinds.last_mut() {
            last.total += count;
            *last.statuses.entry(status_key(status)).or_default() += count;
        }
    }
    summary.kinds.sort_by(|one, other| {
        one.kind.is_none().cmp(&other.kind.is_none()).then_with(|| one.kind.cmp(&other.kind))
    });
    to_json(StatusCode::OK, &summary)
}

fn no_statuses() -> BTreeMap<&'static str, u64> {
    [None].into_iter().chain(Status::ALL.map(Some)).map(|status| (status_key(status), 0)).collect()
}

fn status_key(status: Option<Status>) -> &'static str {
    status.map_or("null", Status::as_str)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use http_body_util::BodyExt as _;
    use serde_json::{Value, json};

    use super::*;

    #[tokio::test]
    async fn a_summary_counts_by_status_and_kind() {
        let count = |status, kind: Option<&str>, count| StatusCount { status, kind: kind.map(Arc::from), count };
        let response = summary_response(
            "prj-1",
            vec![
                count(None, None, 1),
                count(Some(Status::Failed), Some("z"), 2),
                count(None, Some("a"), 3),
                count(Some(Status::Failed), Some("a"), 4),
            ],
        );
        let body: Value =
            serde_json::from_slice(&response.into_body().collect().await.unwrap().to_bytes()).unwrap();
        let statuses = |without: u64, failed: u64| json!({"null": without, "queued": 0, "running": 0, "succeeded": 0, "failed": failed, "canceled": 0});
        let expected = json!({
            "project_id": "prj-1",
            "total": 10,
            "statuses": statuses(4, 6),
            "kinds": [
                {"kind": "a", "total": 7, "statuses": statuses(3, 4)},
                {"kind": "z", "total": 2, "statuses": statuses(0, 2)},
                {"kind": null, "total": 1, "statuses": statuses(1, 0)},
            ],
        });
        assert_eq!(body, expected);
    }

    #[test]
    fn the_project_is_read_from_the_path() {
        for (path, expected) in [
            ("/projects/prj-1/optimizations/summary", Some("prj-1")),
            ("/projects/a%2Fb%20c/optimizations/summary", Some("a/b c")),
            ("/projects/%FF/optimizations/summary", None),
            ("/projects//optimizations/summary", None),
            ("/projects/a/optimizations", None),
        ] {
            assert_eq!(project_of(path).as_deref(), expected, "{path}");
        }
    }
}
