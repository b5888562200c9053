//! The operators' address: read only, for people and machines that look after the process. It asks for no key, so readers must
//! not reach it: `why` shows the views of every organization.

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, StatusCode};
use metrics_exporter_prometheus::PrometheusHandle;

use super::api::open_reader;
use super::dead_letter_pages::page_request;
use super::endpoint::{Endpoint, HandlerResult};
use super::errors::{self, HttpError};
use super::freshness::Freshness;
use super::health::{Audience, Readiness};
use super::json_response::{json, to_json};
use super::metrics::{RecordedErrors, record_files, record_report};
use super::{health, incomplete_views, optimizations};
use crate::dead_letters::page;
use crate::explain::explain;
use crate::live_views::ReaderSource;
use crate::source::TopicNames;
use crate::status::Status;

pub use super::metrics::install_metrics;

/// The content type of Prometheus's text format.
static PROMETHEUS_TEXT: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");

/// The state that the resources of the operators' address share.
struct Admin {
    status: Status,
    metrics: PrometheusHandle,
    errors: RecordedErrors,
    reader: ReaderSource,
    topics: TopicNames,
    readiness: Readiness,
}

impl AsRef<Status> for Admin {
    fn as_ref(&self) -> &Status {
        &self.status
    }
}

impl Admin {
    /// Returns the status of the generation that readers see.
    fn shown(&self) -> Status {
        self.reader.status(&self.status)
    }
}

/// Makes the router of `/status`, `/metrics`, `/healthz`, `/readyz`, `/dead-letters` and `/optimizations/{id}/why`. `metrics` comes from
/// [`install_metrics`].
pub fn admin_router(
    status: Status,
    metrics: PrometheusHandle,
    reader: ReaderSource,
    topics: TopicNames,
    readiness: Readiness,
) -> Router {
    let errors = RecordedErrors::default();
    let admin = Arc::new(Admin { status, metrics, errors, reader, topics, readiness });
    Router::new()
        .route_service("/status", Endpoint::immediate("/status", &admin, report))
        .route_service("/metrics", Endpoint::immediate("/metrics", &admin, scrape))
        .route_service(
            "/healthz",
            Endpoint::immediate("/healthz", &admin, |admin, _| {
                Ok(health::liveness(&admin.shown().report(), Audience::Operators))
            }),
        )
        .route_service(
            "/readyz",
            // A projector that is live has a store.
            Endpoint::immediate("/readyz", &admin, |admin, _| {
                admin.readiness.answer(&admin.shown(), true, Audience::Operators)
            }),
        )
        .route_service("/dead-letters", Endpoint::immediate("/dead-letters", &admin, dead_letters))
        // What follows the id is known here, so that slashes in it need not be encoded.
        .route_service("/optimizations/{*why}", Endpoint::immediate("/optimizations/{id}/why", &admin, why))
        .fallback_service(Endpoint::not_found(&admin))
}

fn why(admin: &Admin, request: &Request) -> HandlerResult {
    const NO_SUCH: HttpError = HttpError::NotFound("no event of such an optimization has been read: check its id");
    let path = request.uri().path().strip_suffix("/why");
    let id = path.and_then(optimizations::id_of).ok_or(NO_SUCH)?;
    let reader = open_reader(&admin.reader)?;
    reader.check_events()?;
    let freshness = Freshness::of(&reader, &admin.status);
    let response = match explain(&reader, &id, &admin.topics)? {
        Some(explanation) => to_json(StatusCode::OK, &explanation),
        None => errors::response(&incomplete_views::not_found(freshness.answer_state, reader.status(), NO_SUCH)),
    };
    Ok(freshness.mark(response))
}

fn dead_letters(admin: &Admin, request: &Request) -> HandlerResult {
    let asked = page_request(request, &admin.topics)?;
    let reader = open_reader(&admin.reader)?;
    reader.check_events()?;
    let freshness = Freshness::of(&reader, &admin.status);
    let page = page(&reader, &admin.topics, &asked, admin.shown().report().dead_letters)?;
    Ok(freshness.mark(to_json(StatusCode::OK, &page)))
}

fn report(admin: &Admin, _: &Request) -> HandlerResult {
    Ok(to_json(StatusCode::OK, &admin.shown().report()))
}

fn scrape(admin: &Admin, _: &Request) -> HandlerResult {
    record_report(&admin.shown().report(), &admin.errors);
    record_files();
    let mut response = json(admin.metrics.render());
    response.headers_mut().insert(CONTENT_TYPE, PROMETHEUS_TEXT.clone());
    Ok(response)
}
