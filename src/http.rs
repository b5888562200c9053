//! The read API and the operators' address. Only this folder and `control/` know Axum.
//!
//! Every route, the unknown one included, is an `endpoint::Endpoint` around a plain function from a request to an answer,
//! so that no response leaves without its correlation id and its count. Nothing here writes to the store, parses
//! a stored body, or keeps state between two requests.

pub mod access;
pub mod admin;
mod caller_shares;
mod connection_end;
mod content_encoding;
pub mod server;

mod access_log;
mod api;
mod correlation;
mod credentials_watch;
mod cross_origin;
mod dead_letter_pages;
mod endpoint;
mod errors;
mod etag;
mod event_stream;
mod failed_attempts;
mod freshness;
mod front;
mod health;
mod hex;
mod ignored_parameters;
mod incomplete_views;
mod json_response;
mod list_body;
mod list_events;
mod list_links;
mod list_query;
mod list_turns;
mod lists;
mod log_throttle;
mod metrics;
mod openapi;
mod optimizations;
mod pages;
mod position_wait;
mod query_string;
mod read_api;
mod response_memory;
mod server_timing;
mod status_query;
mod trace_context;
mod transitions;
mod users;
mod view_events;
mod view_read;
mod view_wait;
mod wait_places;
mod wait_query;

use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;

pub use access::Access;
pub use access_log::AccessLog;
pub use admin::{admin_router, install_metrics};
pub use credentials_watch::{CredentialsWatch, watch_credentials};
pub use cross_origin::CrossOrigin;
pub use front::{Front, FrontSettings};
use health::Audience;
pub use health::Readiness;
pub use metrics::record_connection_limit;
pub use read_api::ReadApi;

use crate::live_views::{CurrentReader, ReaderSource};
use crate::status::Status;
use api::Api;
use endpoint::{Endpoint, HandlerResult};
use ignored_parameters::KnownParameters;
use list_body::ListMemory;
use list_query::LIST_PARAMETERS;
use list_turns::ListTurns;
use response_memory::ResponseMemory;
use wait_places::Waits;
use wait_query::WAIT_PARAMETERS;

/// Makes the read API. Its metrics are bound to the recorder that is installed at this moment: call [`install_metrics`]
/// first.
pub fn read_api(reader: ReaderSource, status: Status, access: Access, readiness: Readiness) -> ReadApi {
    read_api_that_waits(reader, status, access, readiness, Duration::ZERO)
}

/// Makes the read API as [`read_api`] does, whose reads of unknown ids wait so long for them.
pub fn read_api_that_waits(
    reader: ReaderSource,
    status: Status,
    access: Access,
    readiness: Readiness,
    missing_wait: Duration,
) -> ReadApi {
    let turns = ListTurns::new(available_parallelism().map_or(1, |cores| cores.get()));
    let lists = ListMemory { turns, memory: ResponseMemory::new(response_memory::LIMIT) };
    let waits = Waits::new(missing_wait);
    let api = Arc::new(Api { reader, status, access, readiness, lists, waits });
    let by_id =
        Endpoint::waiting("/optimizations/{id}", &api, optimizations::by_id).knowing(optimizations::PARAMETERS);
    let others = Router::new()
        .route_service(
            "/optimizations",
            Endpoint::deferred("/optimizations", &api, lists::list).knowing(LIST_PARAMETERS),
        )
        .route_service(
            lists::STATUSES,
            Endpoint::posted(lists::STATUSES, &api, lists::statuses).knowing(WAIT_PARAMETERS),
        )
        .route_service(
            lists::SUMMARY,
            Endpoint::immediate(lists::SUMMARY, &api, lists::summary).knowing(WAIT_PARAMETERS),
        )
        .route_service(
            "/optimizations/events",
            Endpoint::streaming("/optimizations/events", &api, list_events::events)
                .knowing(list_events::PARAMETERS),
        )
        .route_service(
            "/optimizations/{id}/events",
            Endpoint::streaming("/optimizations/{id}/events", &api, view_events::events).knowing(WAIT_PARAMETERS),
        )
        .route_service(
            "/optimizations/{id}/transitions",
            Endpoint::waiting("/optimizations/{id}/transitions", &api, transitions::transitions)
                .knowing(WAIT_PARAMETERS),
        );
    let others = without_parameters(&api).into_iter().fold(others, |others, (path, endpoint)| {
        others.route_service(path, endpoint.knowing(KnownParameters::NONE))
    });
    let others = others.fallback_service(Endpoint::not_found(&api));
    ReadApi::new(&api, by_id, others)
}

/// Returns the resources that know no parameters, each with its path.
fn without_parameters(api: &Arc<Api>) -> Vec<(&'static str, Endpoint<Api>)> {
    let resource =
        |path, handler: fn(&Api, &Request) -> HandlerResult| (path, Endpoint::immediate(path, api, handler));
    let page = Endpoint::immediate("/pages", api, pages::file);
    let resources = [
        resource("/users/me", users::me),
        resource("/openapi.json", pages::openapi),
        resource("/healthz", |api, _| {
            Ok(health::liveness(&api.reader.status(&api.status).report(), Audience::Public))
        }),
        resource("/readyz", |api, _| {
            let current = api.reader.get();
            let status = current.as_ref().map_or(&api.status, CurrentReader::status);
            api.readiness.answer(status, current.is_some(), Audience::Public)
        }),
    ];
    resources.into_iter().chain(pages::paths().map(|path| (path, page.clone()))).collect()
}

#[cfg(test)]
mod tests;
