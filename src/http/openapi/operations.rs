//! The operations: each path with its parameters and its answers.

use serde_json::{Value, json};
use utoipa::openapi::path::{HttpMethod, Operation, OperationBuilder, PathItem, Paths, PathsBuilder};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::response::ResponseBuilder;
use utoipa::openapi::security::SecurityRequirement;
use utoipa::openapi::{ContentBuilder, Required};

use super::responses::{self, Answer};
use super::{parameters, schemas};

/// Returns all paths of the read address.
pub fn paths() -> Paths {
    [
        ("/optimizations/{id}", by_id()),
        ("/optimizations/{id}/transitions", transitions()),
        ("/optimizations/{id}/events", view_events()),
        ("/optimizations", list()),
        ("/optimizations/events", list_events()),
        ("/projects/{project_id}/optimizations/summary", summary()),
        ("/users/me", me()),
        ("/healthz", healthz()),
        ("/readyz", readyz()),
    ]
    .into_iter()
    .fold(PathsBuilder::new(), |paths, (path, operation)| {
        paths.path(path, PathItem::new(HttpMethod::Get, operation))
    })
    .path("/optimizations/statuses", PathItem::new(HttpMethod::Post, statuses()))
    // The same path: its methods are merged.
    .path("/optimizations/statuses", PathItem::new(HttpMethod::Get, view_called_statuses()))
    .build()
}

fn by_id() -> Operation {
    let operation = operation("get_optimization", "views", "The view of one optimization")
        .description(Some(
            "A GET of an id that is not known waits a moment for it (`--missing-wait`), so that whoever creates an optimization can read \
             it at once.",
        ))
        .parameter(parameters::id());
    view(operation)
}

/// The path of the statuses is that of a view, too, which any other description of it would hide.
fn view_called_statuses() -> Operation {
    let summary = "The view of the optimization whose id is `statuses`, as of any other";
    view(operation("get_optimization_called_statuses", "views", summary))
}

/// Completes the operation that reads one view.
fn view(operation: OperationBuilder) -> Operation {
    let parameters = [parameters::if_none_match(), parameters::wait(), parameters::organization_id()];
    let found = responses::json_of("Optimization", "The view", example_view(Value::Null))
        .header("etag", responses::etag());
    let found = responses::with_views(found);
    operation
        .parameters(Some(parameters.into_iter().chain(parameters::after())))
        .answers(found, responses::errors().into_iter().chain([responses::not_modified()]))
}

fn transitions() -> Operation {
    let example = json!({"transitions": [
        {"status": "queued", "occurred_at": "2026-03-01T09:00:00.125Z", "submission": 1, "odd": false},
        {"status": "running", "occurred_at": "2026-03-01T09:05:00.125Z", "submission": 1, "odd": false},
    ]});
    let found =
        responses::with_views(responses::json_of("Transitions", "The statuses, the oldest first", example));
    operation("get_transitions", "views", "The statuses that an optimization took")
        .parameters(Some([parameters::id(), parameters::organization_id()].into_iter().chain(parameters::after())))
        .answers(found, responses::errors())
}

fn view_events() -> Operation {
    let found = responses::stream("The view as it is, and then each new one; `gone` ends the stream");
    operation("follow_optimization", "live", "The view of one optimization, as it changes")
        .parameters(Some([parameters::id(), parameters::last_event_id(), parameters::organization_id()]))
        .parameters(Some(parameters::after()))
        .answers(found, responses::errors())
}

fn list() -> Operation {
    let example = json!({"optimizations": [example_view(json!({"Fast charge": {"weight": 1}}))], "total": 1});
    let found = responses::json_of("Page", "A page of views, the newest first", example)
        .header("etag", responses::etag())
        .header("link", responses::link())
        .header("server-timing", responses::server_timing());
    let found = responses::with_views(found);
    operation("list_optimizations", "views", "Views of many optimizations")
        .parameters(Some(parameters::filters().into_iter().chain(parameters::page()).chain(parameters::after())))
        .parameters(Some([parameters::if_none_match(), parameters::organization_id()]))
        .answers(found, responses::errors().into_iter().chain([responses::not_modified()]))
}

fn statuses() -> Operation {
    let example = json!([{
        "optimization_id": "opt-1", "status": "failed", "error": "solver did not converge", "error_code": "SOLVER_ERROR",
        "updated_at": "2026-03-01T09:19:00.125Z",
    }]);
    let asked = json!({"optimization_ids": ["opt-1"], "limit": 100});
    let description = "The statuses, in the order of the ids; what is not visible is left out";
    let found =
        responses::json_of("Statuses", description, example).header("server-timing", responses::server_timing());
    let found = responses::with_views(found);
    let content = ContentBuilder::new().schema(Some(schemas::named("StatusQuery"))).example(Some(asked)).build();
    let body =
        RequestBodyBuilder::new().content("application/json", content).required(Some(Required::True)).build();
    operation("list_statuses", "views", "The statuses of many optimizations by their ids")
        .request_body(Some(body))
        .parameters(Some([parameters::organization_id()].into_iter().chain(parameters::after())))
        .answers(found, responses::errors().into_iter().chain(responses::errors_of_bodies()))
}

fn summary() -> Operation {
    let statuses = json!({"null": 0, "queued": 2, "running": 3, "succeeded": 19, "failed": 4, "canceled": 1});
    let example = json!({
        "project_id": "prj-1", "total": 29, "statuses": statuses,
        "kinds": [{"kind": "optimize", "total": 29, "statuses": statuses}],
    });
    let found = responses::json_of("ProjectSummary", "The counts; zeros where nothing is visible", example);
    let found = responses::with_views(found);
    operation("get_project_summary", "views", "The optimizations of a project, counted by status and kind")
        .parameters(Some(
            [parameters::project_id(), parameters::organization_id()].into_iter().chain(parameters::after()),
        ))
        .answers(found, responses::errors())
}

fn list_events() -> Operation {
    let description = "Views of the list as they change; `removed` for what leaves it; with `initial=true` the list as it is first";
    operation("follow_optimizations", "live", "The views of a list, as they change")
        .parameters(Some(parameters::filters().into_iter().chain(parameters::page())))
        .parameters(Some([parameters::initial(), parameters::last_event_id(), parameters::organization_id()]))
        .parameters(Some(parameters::after()))
        .answers(responses::stream(description), responses::errors())
}

fn me() -> Operation {
    let example = json!({
        "id": "dashboard", "email": null, "authorized_organization": {"id": "org-1", "name": "org-1"},
        "organizations": [{"id": "org-1", "name": "org-1"}],
    });
    operation("whoami", "caller", "The caller")
        .parameter(parameters::organization_id())
        .answers(responses::json_of("Caller", "The caller", example), responses::errors())
}

fn healthz() -> Operation {
    let found = responses::json_of("Health", "The process lives", json!({"status": "ok", "state": "live"}));
    open(operation("healthz", "health", "Whether the process lives")).answers(found, [])
}

fn readyz() -> Operation {
    let found = responses::json_of(
        "Health",
        "The instance should get requests",
        json!({"status": "ready", "state": "live"}),
    );
    open(operation("readyz", "health", "Whether the instance should get requests"))
        .answers(found, [responses::not_ready()])
}

fn operation(id: &str, tag: &str, summary: &str) -> OperationBuilder {
    let key = || SecurityRequirement::new::<_, [&str; 0], &str>("key", []);
    let bearer = SecurityRequirement::new::<_, [&str; 0], &str>("bearer", []);
    // Without checks of access, nothing is needed.
    let securities = [SecurityRequirement::default(), key(), bearer];
    OperationBuilder::new().operation_id(Some(id)).tag(tag).summary(Some(summary)).securities(Some(securities))
}

/// Makes an operation one that needs no credential.
fn open(operation: OperationBuilder) -> OperationBuilder {
    operation.securities(None::<[SecurityRequirement; 0]>)
}

/// The last step of an operation: its answers.
trait Answers {
    fn answers(self, found: ResponseBuilder, others: impl IntoIterator<Item = Answer>) -> Operation;
}

impl Answers for OperationBuilder {
    fn answers(self, found: ResponseBuilder, others: impl IntoIterator<Item = Answer>) -> Operation {
        let operation = self.response("200", found.build());
        let others = others.into_iter().chain([responses::method_not_allowed()]);
        others.fold(operation, |operation, (status, response)| operation.response(status, response)).build()
    }
}

fn example_view(objectives: Value) -> Value {
    json!({
        "id": "opt-1", "name": "Fast charge", "description": null, "project_id": "prj-1", "organization_id": "org-1",
        "status": "succeeded", "kind": "optimize", "created_at": "2026-03-01T09:00:00Z", "created_by_email": "ada@example.com",
        "cell_spec_id": "cell-1", "parameterized_model_id": "pm-1", "parameterized_model_name": "SPMe", "cell_name": "LG M50",
        "optimization_template_id": null, "metrics": {"Charge time [s]": 1174.25}, "objectives": objectives, "error": null,
        "error_code": null, "run_count": 3,
    })
}
