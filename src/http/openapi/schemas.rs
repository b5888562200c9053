//! The schemas of bodies.

use serde_json::{Value, json};
use utoipa::openapi::schema::{
    AdditionalProperties, ArrayBuilder, ComponentsBuilder, KnownFormat, Object, ObjectBuilder, Schema,
    SchemaFormat, SchemaType, Type,
};
use utoipa::openapi::{Ref, RefOr};

use crate::domain::Status;
use crate::http::list_query::{MAX_IDS, MAX_LIMIT};
use crate::status::State;

/// Adds the named schemas to the components.
pub fn add_to(components: ComponentsBuilder) -> ComponentsBuilder {
    components
        .schema("Optimization", optimization())
        .schema("ListedOptimization", listed_optimization())
        .schema("Page", page())
        .schema("StatusQuery", status_query())
        .schema("Statuses", statuses())
        .schema("ProjectSummary", project_summary())
        .schema("Transitions", transitions())
        .schema("Caller", caller())
        .schema("Health", health())
        .schema("Error", error())
}

/// Returns a reference to a named schema.
pub fn named(name: &str) -> RefOr<Schema> {
    Ref::from_schema_name(name).into()
}

/// Makes the schema of a text.
pub fn text() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String)
}

/// Makes the schema of an integer from 0 on.
pub fn count() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(0))
}

/// Makes the schema of a status.
pub fn status() -> ObjectBuilder {
    text().enum_values(Some(Status::ALL.map(Status::as_str)))
}

/// Returns the names of all statuses, with `null` for none.
pub fn status_names() -> impl Iterator<Item = &'static str> {
    Status::ALL.map(Status::as_str).into_iter().chain(["null"])
}

/// Makes the schema of an instance's state.
pub fn state() -> ObjectBuilder {
    text().enum_values(Some(State::ALL.map(State::as_str)))
}

/// Makes the schema of a time.
pub fn time() -> ObjectBuilder {
    text().format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
}

fn nullable(kind: Type) -> SchemaType {
    SchemaType::Array(vec![kind, Type::Null])
}

fn status_or_null() -> ObjectBuilder {
    let mut statuses: Vec<Value> = Status::ALL.iter().map(|status| json!(status.as_str())).collect();
    statuses.push(Value::Null);
    ObjectBuilder::new().schema_type(nullable(Type::String)).enum_values(Some(statuses))
}

fn text_or_null(description: &str) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(nullable(Type::String)).description(Some(description))
}

fn free_object_or_null(description: &str) -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(nullable(Type::Object))
        .additional_properties(Some(AdditionalProperties::<Schema>::FreeForm(true)))
        .description(Some(description))
}

/// Makes the schema of an object that always has all of these properties.
fn object<const N: usize>(properties: [(&str, ObjectBuilder); N]) -> ObjectBuilder {
    properties.into_iter().fold(ObjectBuilder::new().schema_type(Type::Object), |object, (name, schema)| {
        object.property(name, schema).required(name)
    })
}

fn optimization() -> ObjectBuilder {
    let status =
        status_or_null().description(Some("The status of the job that was submitted last; null where none was"));
    object([
        ("id", text()),
        ("name", text_or_null("The name that the user gave it")),
        ("description", text_or_null("The user's description")),
        ("project_id", text()),
        ("organization_id", text()),
        ("status", status),
        ("kind", text_or_null("The kind of optimization, for instance `optimize` or `datafit`: an open set")),
        ("created_at", time()),
        ("created_by_email", text_or_null("The email address of the user who created it")),
        ("cell_spec_id", text_or_null("The id of the cell that is optimized")),
        ("parameterized_model_id", text_or_null("The id of the model whose parameters are optimized")),
        ("parameterized_model_name", text_or_null("The model's name")),
        ("cell_name", text_or_null("The cell's name")),
        ("optimization_template_id", text_or_null("The id of the template that it was made from")),
        ("metrics", free_object_or_null("The results by name, while `succeeded`")),
        ("objectives", free_object_or_null("The objectives by name: on lists only, null elsewhere")),
        ("error", text_or_null("The reason for people, while `failed`")),
        ("error_code", text_or_null("The reason for programs, while `failed`: an open set")),
        ("run_count", count().description(Some("Number of multistart runs of the job"))),
    ])
    .description(Some("The view of an optimization: these keys are always all there"))
}

/// Makes the schema of a view on a list, of which a request may have asked for less.
fn listed_optimization() -> Object {
    let mut listed = optimization().build();
    listed.required.retain(|name| !["metrics", "objectives"].contains(&name.as_str()));
    listed.description = Some(
        "The view of an optimization on a list: with `summary=true` without `metrics` and `objectives`".to_owned(),
    );
    listed
}

fn page() -> ObjectBuilder {
    let total = count().description(Some("Number of views on all pages"));
    object([("total", total)])
        .property("optimizations", ArrayBuilder::new().items(named("ListedOptimization")))
        .required("optimizations")
        .property(
            "next_cursor",
            text_or_null("The cursor of the next page, null on the last; only of a list by cursors"),
        )
}

fn status_query() -> ObjectBuilder {
    let limit = count()
        .schema_type(nullable(Type::Integer))
        .minimum(Some(1))
        .maximum(Some(MAX_LIMIT))
        .description(Some("The most statuses in the answer; null for as many as there are ids"));
    let ids = ArrayBuilder::new().items(text()).max_items(Some(MAX_IDS));
    ObjectBuilder::new()
        .schema_type(Type::Object)
        .property("optimization_ids", ids)
        .required("optimization_ids")
        .property("limit", limit)
}

fn statuses() -> ArrayBuilder {
    let status = status_or_null();
    ArrayBuilder::new().items(object([
        ("optimization_id", text()),
        ("status", status),
        ("error", text_or_null("The reason for people, while `failed`")),
        ("error_code", text_or_null("The reason for programs, while `failed`")),
        ("updated_at", time().schema_type(nullable(Type::String)).description(Some("The time of the status"))),
    ]))
}

fn project_summary() -> ObjectBuilder {
    let kind = object([
        ("kind", text_or_null("The kind; null for optimizations without one")),
        ("total", count()),
        ("statuses", counts_by_status()),
    ]);
    object([("project_id", text()), ("total", count()), ("statuses", counts_by_status())])
        .property("kinds", ArrayBuilder::new().items(kind))
        .required("kinds")
}

fn counts_by_status() -> ObjectBuilder {
    status_names().fold(ObjectBuilder::new().schema_type(Type::Object), |counts, name| {
        counts.property(name, count()).required(name)
    })
}

fn transitions() -> ObjectBuilder {
    let transition = object([
        ("status", status()),
        ("occurred_at", time()),
        ("submission", count().minimum(Some(1)).description(Some("Number of the submission, counted from 1"))),
        (
            "odd",
            ObjectBuilder::new()
                .schema_type(Type::Boolean)
                .description(Some("True if the status should not follow the one before it")),
        ),
    ]);
    ObjectBuilder::new()
        .schema_type(Type::Object)
        .property("transitions", ArrayBuilder::new().items(transition))
        .required("transitions")
        .description(Some("The statuses that an optimization took, the oldest first"))
}

fn caller() -> ObjectBuilder {
    let organization = || object([("id", text()), ("name", text())]);
    object([
        ("id", text().description(Some("The caller; `anonymous` where access is open"))),
        ("email", text_or_null("The caller's email address")),
        (
            "authorized_organization",
            organization()
                .schema_type(nullable(Type::Object))
                .description(Some("The organization that the request is for; null for all")),
        ),
    ])
    .property("organizations", ArrayBuilder::new().items(organization()))
    .required("organizations")
}

fn health() -> ObjectBuilder {
    object([("status", text()), ("state", state())])
        .additional_properties(Some(AdditionalProperties::<Schema>::FreeForm(true)))
}

fn error() -> ObjectBuilder {
    object([
        ("error_code", text().description(Some("The reason for programs"))),
        ("message", text().description(Some("The reason for people, and what to do"))),
    ])
    .property(
        "detail",
        ObjectBuilder::new()
            .schema_type(SchemaType::AnyValue)
            .description(Some("More of it; of a 422 a list of `{loc, msg, type}`")),
    )
    .required("detail")
}
