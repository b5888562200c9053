//! The parameters of requests.

use serde_json::Value;
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{ArrayBuilder, ObjectBuilder, Type};
use utoipa::openapi::{Required, Schema};

use super::schemas::{count, status_names, text, time};
use crate::http::list_query::{DEFAULT_LIMIT, MAX_LIMIT, MAX_NAME_PART};

/// Returns the id in a path.
pub fn id() -> Parameter {
    let schema = text().min_length(Some(1));
    parameter("id", ParameterIn::Path, "The id of the optimization; slashes in it are encoded (`%2F`)", schema)
}

/// Returns the header that names the organization of a request, which every resource with views takes.
pub fn organization_id() -> Parameter {
    let description = "The organization that the request is for; needed where the caller belongs to several";
    parameter("x-organization-id", ParameterIn::Header, description, text())
}

/// Returns the validator of a cached answer.
pub fn if_none_match() -> Parameter {
    let description = "The `ETag` of the answer that the client has: a 304 is sent if it is still the same";
    parameter("if-none-match", ParameterIn::Header, description, text())
}

/// Returns the event after which a stream goes on.
pub fn last_event_id() -> Parameter {
    let description = "The `id` of the last event that the client has; browsers send it by themselves";
    parameter("last-event-id", ParameterIn::Header, description, text())
}

/// Returns the time for which a read waits for a change.
pub fn wait() -> Parameter {
    let description = "The time to wait for a view that the client does not have, such as `30s`: at most 30 s";
    query("wait", description, duration())
}

/// The form of a position, which may be of one record. Offsets after a `~` are of the partitions that follow.
const POSITION: &str = "^[A-Za-z0-9._-]+:[0-9]{1,9}:[0-9]{1,18}(~[0-9]{1,18})*(,[A-Za-z0-9._-]+:[0-9]{1,9}:[0-9]{1,18}(~[0-9]{1,18})*)*$";

/// Returns the parameters by which a request waits for its own writes.
pub fn after() -> [Parameter; 3] {
    let description = "A record that the answer must include, as `TOPIC:PARTITION:OFFSET`, or a whole `x-optview-position`; may be repeated, and be given in the header `x-optview-after`";
    let place = text().pattern(Some(POSITION)).examples(["jobs:0:41", "jobs:0:71~70,optimizations:0:4"]);
    let strict = ObjectBuilder::new().schema_type(Type::Boolean).default(Some(Value::Bool(false)));
    [
        query("after", description, place),
        query("timeout", "The time to wait for that record, such as `5s`: at most 30 s", duration()),
        query(
            "strict",
            "Whether a record that no view shows (a dead letter, a job that nothing links) is an error",
            strict,
        ),
    ]
}

/// Returns the filters of a list.
pub fn filters() -> Vec<Parameter> {
    let ids = ArrayBuilder::new().items(text());
    let statuses = ArrayBuilder::new().items(text().enum_values(Some(status_names())));
    let name_part = text().max_length(Some(MAX_NAME_PART));
    vec![
        query("project_id", "Only the optimizations of this project", text()),
        query(
            "status",
            "Only the optimizations of these statuses; may be repeated. `null` for those without one",
            statuses,
        ),
        query("kind", "Only the optimizations of this kind", text()),
        query(
            "id",
            "Only the optimizations with these ids, 1,000 at the most; may be repeated. Unknown ones are left out",
            ids,
        ),
        query("q", "Only the optimizations with this in their name, in any case", name_part),
        query("created_after", "Only the optimizations that were created at this time or later", time()),
        query("created_before", "Only the optimizations that were created before this time", time()),
    ]
}

/// Returns the parameters that choose a page.
pub fn page() -> Vec<Parameter> {
    let limit = count().minimum(Some(1)).maximum(Some(MAX_LIMIT)).default(Some(DEFAULT_LIMIT.into()));
    let sort = text()
        .enum_values(Some(["-created_at", "created_at", "name", "-name"]))
        .default(Some("-created_at".into()));
    let form = ObjectBuilder::new().schema_type(Type::Boolean).default(Some(Value::Bool(false)));
    vec![
        query("limit", "Number of views on the page", limit),
        query("offset", "Number of views before the page", count().default(Some(0.into()))),
        query(
            "cursor",
            "The page after an earlier one, by its `next_cursor`; empty for the first page. Not with `offset`",
            text(),
        ),
        query("sort", "The order of the list", sort),
        query("summary", "Whether `metrics` and `objectives`, most of a page, are left out", form),
    ]
}

/// Returns the project in a path.
pub fn project_id() -> Parameter {
    let schema = text().min_length(Some(1));
    parameter("project_id", ParameterIn::Path, "The id of the project; slashes in it are encoded (`%2F`)", schema)
}

/// Returns the wish for the list as it is at the beginning of a stream.
pub fn initial() -> Parameter {
    let wanted = ObjectBuilder::new().schema_type(Type::Boolean).default(Some(Value::Bool(false)));
    query("initial", "Whether the stream begins with what the list has now", wanted)
}

fn duration() -> ObjectBuilder {
    text().pattern(Some("^[0-9]+(ms|s)$")).examples(["5s"])
}

fn query(name: &str, description: &str, schema: impl Into<Schema>) -> Parameter {
    parameter(name, ParameterIn::Query, description, schema)
}

fn parameter(name: &str, place: ParameterIn, description: &str, schema: impl Into<Schema>) -> Parameter {
    let required = if place == ParameterIn::Path { Required::True } else { Required::False };
    ParameterBuilder::new()
        .name(name)
        .parameter_in(place)
        .required(required)
        .description(Some(description))
        .schema(Some(schema.into()))
        .build()
}
