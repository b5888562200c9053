//! The read API and the operators' address. Only this folder and `control/` know Axum.
//!
//! Every route, the unknown one included, is an `endpoint::Endpoint` around a plain function from a request to an answer,
//! so that no response leaves without its correlation id and its count. Nothing here writes to the store, parses
//! a stored body, or keeps state between two requests.

pub mod access;
pub mod admin;
mod caller_shares;
pub mod server;

mod api;
mod content_encoding;
mod correlation;
mod endpoint;
mod errors;
mod etag;
mod freshness;
mod health;
mod hex;
mod ignored_parameters;
mod json_response;
mod list_body;
mod list_links;
mod list_query;
mod list_turns;
mod lists;
mod log_throttle;
mod metrics;
mod optimizations;
mod read_api;
mod response_memory;
mod status_query;
mod users;

use std::sync::Arc;
use std::thread::available_parallelism;

use axum::Router;

pub use access::Access;
pub use admin::{admin_router, install_metrics};
use health::Audience;
pub use health::Readiness;
pub use metrics::record_connection_limit;
pub use read_api::ReadApi;

use crate::live_views::{CurrentReader, ReaderSource};
use crate::status::Status;
use api::Api;
use endpoint::Endpoint;
use list_body::ListMemory;
use list_turns::ListTurns;
use response_memory::ResponseMemory;

/// Makes the read API. Its metrics are bound to the recorder that is installed at this moment: call [`install_metrics`]
/// first.
pub fn read_api(reader: ReaderSource, status: Status, access: Access, readiness: Readiness) -> ReadApi {
    let turns = ListTurns::new(available_parallelism().map_or(1, |cores| cores.get()));
    let lists = ListMemory { turns, memory: ResponseMemory::new(response_memory::LIMIT) };
    let api = Arc::new(Api { reader, status, access, readiness, lists });
    let by_id = Endpoint::self_marking("/optimizations/{id}", &api, optimizations::by_id);
    let others = Router::new()
        .route_service("/optimizations", Endpoint::deferred("/optimizations", &api, lists::list))
        .route_service(lists::STATUSES, Endpoint::posted(lists::STATUSES, &api, lists::statuses))
        .route_service(lists::SUMMARY, Endpoint::immediate(lists::SUMMARY, &api, lists::summary))
        .route_service("/users/me", Endpoint::immediate("/users/me", &api, users::me))
        .route_service(
            "/healthz",
            Endpoint::immediate("/healthz", &api, |api, _| {
                Ok(health::liveness(&api.reader.status(&api.status).report(), Audience::Public))
            }),
        )
        .route_service(
            "/readyz",
            Endpoint::immediate("/readyz", &api, |api, _| {
                let current = api.reader.get();
                let status = current.as_ref().map_or(&api.status, CurrentReader::status);
                api.readiness.answer(status, current.is_some(), Audience::Public)
            }),
        )
        .fallback_service(Endpoint::not_found(&api));
    ReadApi::new(by_id, others)
}

#[cfg(test)]
mod tests;
