//! Encodes events as JSON in proto3's mapping. It writes straight into the buffer, because `load` has to keep up
//! with a broker.

use std::io::Write;

use crate::domain::event::{JobChange, JsonObject, OptimizationChange, OptimizationCreated, RunChange};
use crate::domain::{Body, Event, Metadata, Timestamp};

/// Appends the event to `out`.
pub fn encode(event: &Event<'_>, out: &mut Vec<u8>) {
    let mut object = ObjectWriter::open(out);
    object.object("metadata", |object| metadata(object, &event.metadata));
    match &event.body {
        Body::Optimization { optimization_id, change } => {
            object.text("optimizationId", optimization_id);
            optimization(&mut object, change);
        }
        Body::Job { job_id, optimization_id, change } => {
            object.text("jobId", job_id);
            object.text_if_any("optimizationId", optimization_id);
            job(&mut object, change);
        }
        Body::Run { job_id, run_index, optimization_id, change } => {
            object.text("jobId", job_id);
            object.plain("runIndex", run_index);
            object.text_if_any("optimizationId", optimization_id);
            run(&mut object, change);
        }
    }
    object.close();
}

fn metadata(object: &mut ObjectWriter<'_>, metadata: &Metadata<'_>) {
    object.text("eventId", &metadata.event_id);
    object.time("occurredAt", metadata.occurred_at);
    if metadata.sequence != 0 {
        // proto3's mapping has 64-bit integers as strings.
        object.plain("sequence", format_args!("\"{}\"", metadata.sequence));
    }
}

fn optimization(object: &mut ObjectWriter<'_>, change: &OptimizationChange<'_>) {
    match change {
        OptimizationChange::Created(facts) => object.object("created", |object| created(object, facts)),
        OptimizationChange::DetailsChanged { name, description } => object.object("detailsChanged", |object| {
            object.text_if_any("name", name);
            object.text_if_any("description", description);
        }),
        OptimizationChange::DisplayNamesChanged { cell_name, parameterized_model_name } => {
            object.object("displayNamesChanged", |object| {
                object.text_if_any("cellName", cell_name);
                object.text_if_any("parameterizedModelName", parameterized_model_name);
            });
        }
        OptimizationChange::JobLinked { job_id } => {
            object.object("jobLinked", |object| object.text("jobId", job_id));
        }
        OptimizationChange::Deleted => object.object("deleted", |_| ()),
    }
}

fn created(object: &mut ObjectWriter<'_>, facts: &OptimizationCreated<'_>) {
    object.text("organizationId", &facts.organization_id);
    object.text("projectId", &facts.project_id);
    object.text_if_any("name", &facts.name);
    object.text_if_any("description", &facts.description);
    object.text_if_any("kind", &facts.kind);
    if let Some(created_at) = facts.created_at {
        object.time("createdAt", created_at);
    }
    object.text_if_any("createdByEmail", &facts.created_by_email);
    object.text_if_any("cellSpecId", &facts.cell_spec_id);
    object.text_if_any("cellName", &facts.cell_name);
    object.text_if_any("parameterizedModelId", &facts.parameterized_model_id);
    object.text_if_any("parameterizedModelName", &facts.parameterized_model_name);
    object.text_if_any("optimizationTemplateId", &facts.optimization_template_id);
    object.json_if_any("objectives", &facts.objectives);
    object.text_if_any("jobId", &facts.job_id);
}

fn job(object: &mut ObjectWriter<'_>, change: &JobChange<'_>) {
    match change {
        JobChange::Pending => object.object("pending", |_| ()),
        JobChange::Processing => object.object("processing", |_| ()),
        JobChange::Waiting => object.object("waiting", |_| ()),
        JobChange::Completed { metrics } => {
            object.object("completed", |object| object.json_if_any("metrics", metrics));
        }
        JobChange::Failed { error, error_code } => object.object("failed", |object| {
            object.text_if_any("error", error);
            object.text_if_any("errorCode", error_code);
        }),
        JobChange::Canceled => object.object("canceled", |_| ()),
    }
}

fn run(object: &mut ObjectWriter<'_>, change: &RunChange<'_>) {
    match change {
        RunChange::Started => object.object("started", |_| ()),
        RunChange::Completed { cost, parameter_values, iterations, evaluations } => {
            object.object("completed", |object| {
                // JSON has neither NaN nor infinity, and `{:?}` prints the shortest form of all other numbers.
                if let Some(cost) = cost.filter(|cost| cost.is_finite()) {
                    object.plain("cost", format_args!("{cost:?}"));
                }
                object.json_if_any("parameterValues", parameter_values);
                if let Some(iterations) = iterations {
                    object.plain("iterations", iterations);
                }
                if let Some(evaluations) = evaluations {
                    object.plain("evaluations", evaluations);
                }
            });
        }
        RunChange::Failed { error } => object.object("failed", |object| object.text_if_any("error", error)),
        RunChange::Canceled => object.object("canceled", |_| ()),
    }
}

/// A JSON object being written.
struct ObjectWriter<'b> {
    out: &'b mut Vec<u8>,
    empty: bool,
}

// Writing to a `Vec` and serializing text as JSON cannot fail, so the results below are dropped.
impl<'b> ObjectWriter<'b> {
    fn open(out: &'b mut Vec<u8>) -> ObjectWriter<'b> {
        out.push(b'{');
        ObjectWriter { out, empty: true }
    }

    fn close(self) {
        self.out.push(b'}');
    }

    /// Writes a name. Names are ours, so they need no escape.
    fn name(&mut self, name: &str) {
        self.out.extend_from_slice(if self.empty { b"\"" } else { b",\"" });
        self.empty = false;
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
    }

    fn text(&mut self, name: &str, value: &str) {
        self.name(name);
        let _ = serde_json::to_writer(&mut *self.out, value);
    }

    fn text_if_any(&mut self, name: &str, value: &Option<std::borrow::Cow<'_, str>>) {
        if let Some(value) = value {
            self.text(name, value);
        }
    }

    /// Writes a value whose `Display` is JSON.
    fn plain(&mut self, name: &str, value: impl std::fmt::Display) {
        self.name(name);
        let _ = write!(self.out, "{value}");
    }

    fn time(&mut self, name: &str, value: Timestamp) {
        self.plain(name, format_args!("\"{value}\""));
    }

    fn json_if_any(&mut self, name: &str, value: &Option<JsonObject<'_>>) {
        if let Some(value) = value {
            self.plain(name, &value.0);
        }
    }

    fn object(&mut self, name: &str, fill: impl FnOnce(&mut ObjectWriter<'_>)) {
        self.name(name);
        let mut object = ObjectWriter::open(self.out);
        fill(&mut object);
        object.close();
    }
}
