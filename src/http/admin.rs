//! The operators' address: read only, for people and machines that look after the process. Never shows a view.

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, StatusCode};
use metrics_exporter_prometheus::PrometheusHandle;

use super::edge::{Answer, Edge};
use super::metrics::record_report;
use super::{health, json, to_json};
use crate::status::Status;

pub use super::metrics::install_metrics;

/// What Prometheus expects of its text format.
static PROMETHEUS_TEXT: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");

struct Admin {
    status: Status,
    metrics: PrometheusHandle,
}

/// `/status`, `/metrics`, `/healthz` and `/readyz`. `metrics` comes from [`install_metrics`].
pub fn admin_router(status: Status, metrics: PrometheusHandle) -> Router {
    let admin = Arc::new(Admin { status, metrics });
    Router::new()
        .route_service("/status", Edge::now("/status", &admin, report))
        .route_service("/metrics", Edge::now("/metrics", &admin, scrape))
        .route_service(
            "/healthz",
            Edge::now("/healthz", &admin, |admin, _| Ok(health::alive(&admin.status.report()))),
        )
        .route_service(
            "/readyz",
            // A projector that is live has a store.
            Edge::now("/readyz", &admin, |admin, _| health::ready(&admin.status.report(), true)),
        )
        .fallback_service(Edge::unknown())
}

fn report(admin: &Admin, _: &Request) -> Answer {
    Ok(to_json(StatusCode::OK, &admin.status.report()))
}

fn scrape(admin: &Admin, _: &Request) -> Answer {
    record_report(&admin.status.report());
    let mut response = json(admin.metrics.render());
    response.headers_mut().insert(CONTENT_TYPE, PROMETHEUS_TEXT.clone());
    Ok(response)
}
