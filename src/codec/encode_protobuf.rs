//! Encodes events as protobuf.

use std::borrow::Cow;
use std::collections::BTreeMap;

use prost::Message;
use prost_types::value::Kind;
use prost_types::{ListValue, Struct, Value};

use crate::domain::event::{JobChange, JsonObject, OptimizationChange, OptimizationCreated, RunChange};
use crate::domain::{Body, Event, Metadata, Timestamp};

use super::protobuf_types::v1;

/// Appends the event to `out`.
pub fn encode(event: &Event<'_>, out: &mut Vec<u8>) {
    let metadata = Some(metadata(&event.metadata));
    let encoded = match &event.body {
        Body::Optimization { optimization_id, change } => {
            let event = Some(optimization(change));
            let optimization_id = optimization_id.to_string();
            v1::OptimizationEvent { metadata, optimization_id, event }.encode(out)
        }
        Body::Job { job_id, optimization_id, change } => {
            let event = Some(job(change));
            let optimization_id = own(optimization_id);
            v1::JobEvent { metadata, job_id: job_id.to_string(), optimization_id, event }.encode(out)
        }
        Body::Run { job_id, run_index, optimization_id, change } => v1::MultistartRunEvent {
            metadata,
            job_id: job_id.to_string(),
            run_index: *run_index,
            optimization_id: own(optimization_id),
            event: Some(run(change)),
        }
        .encode(out),
    };
    encoded.expect("a vector grows as far as a message needs");
}

fn metadata(metadata: &Metadata<'_>) -> v1::Metadata {
    v1::Metadata {
        event_id: metadata.event_id.to_string(),
        occurred_at: Some(time(metadata.occurred_at)),
        sequence: metadata.sequence,
    }
}

fn optimization(change: &OptimizationChange<'_>) -> v1::optimization_event::Event {
    use v1::optimization_event::Event;
    match change {
        OptimizationChange::Created(facts) => Event::Created(created(facts)),
        OptimizationChange::DetailsChanged { name, description } => {
            Event::DetailsChanged(v1::OptimizationDetailsChanged {
                name: own(name),
                description: own(description),
            })
        }
        OptimizationChange::DisplayNamesChanged { cell_name, parameterized_model_name } => {
            Event::DisplayNamesChanged(v1::OptimizationDisplayNamesChanged {
                cell_name: own(cell_name),
                parameterized_model_name: own(parameterized_model_name),
            })
        }
        OptimizationChange::JobLinked { job_id } => {
            Event::JobLinked(v1::OptimizationJobLinked { job_id: job_id.to_string() })
        }
        OptimizationChange::Deleted => Event::Deleted(v1::OptimizationDeleted {}),
    }
}

fn created(facts: &OptimizationCreated<'_>) -> v1::OptimizationCreated {
    v1::OptimizationCreated {
        organization_id: facts.organization_id.to_string(),
        project_id: facts.project_id.to_string(),
        name: own(&facts.name),
        description: own(&facts.description),
        kind: own(&facts.kind),
        created_at: facts.created_at.map(time),
        created_by_email: own(&facts.created_by_email),
        cell_spec_id: own(&facts.cell_spec_id),
        cell_name: own(&facts.cell_name),
        parameterized_model_id: own(&facts.parameterized_model_id),
        parameterized_model_name: own(&facts.parameterized_model_name),
        optimization_template_id: own(&facts.optimization_template_id),
        objectives: facts.objectives.as_ref().map(object),
        job_id: own(&facts.job_id),
    }
}

fn job(change: &JobChange<'_>) -> v1::job_event::Event {
    use v1::job_event::Event;
    match change {
        JobChange::Pending => Event::Pending(v1::JobPending {}),
        JobChange::Processing => Event::Processing(v1::JobProcessing {}),
        JobChange::Waiting => Event::Waiting(v1::JobWaiting {}),
        JobChange::Completed { metrics } => {
            Event::Completed(v1::JobCompleted { metrics: metrics.as_ref().map(object) })
        }
        JobChange::Failed { error, error_code } => {
            Event::Failed(v1::JobFailed { error: own(error), error_code: own(error_code) })
        }
        JobChange::Canceled => Event::Canceled(v1::JobCanceled {}),
    }
}

fn run(change: &RunChange<'_>) -> v1::multistart_run_event::Event {
    use v1::multistart_run_event::Event;
    match change {
        RunChange::Started => Event::Started(v1::MultistartRunStarted {}),
        RunChange::Completed { cost, parameter_values, iterations, evaluations } => {
            Event::Completed(v1::MultistartRunCompleted {
                cost: *cost,
                parameter_values: parameter_values.as_ref().map(object),
                iterations: *iterations,
                evaluations: *evaluations,
            })
        }
        RunChange::Failed { error } => Event::Failed(v1::MultistartRunFailed { error: own(error) }),
        RunChange::Canceled => Event::Canceled(v1::MultistartRunCanceled {}),
    }
}

fn own(text: &Option<Cow<'_, str>>) -> Option<String> {
    text.as_deref().map(str::to_owned)
}

/// Returns a time as messages have it.
pub(super) fn time(time: Timestamp) -> prost_types::Timestamp {
    // Nanoseconds are below 10^9, which an i32 holds.
    prost_types::Timestamp { seconds: time.seconds(), nanos: time.nanos() as i32 }
}

fn object(object: &JsonObject<'_>) -> Struct {
    let fields: BTreeMap<String, serde_json::Value> =
        serde_json::from_str(&object.0).expect("a JsonObject holds the text of a JSON object");
    Struct { fields: fields.into_iter().map(|(name, field)| (name, value(field))).collect() }
}

fn value(json: serde_json::Value) -> Value {
    let kind = match json {
        serde_json::Value::Null => Kind::NullValue(0),
        serde_json::Value::Bool(truth) => Kind::BoolValue(truth),
        // A Struct has doubles only; every JSON number is one, however roughly.
        serde_json::Value::Number(number) => Kind::NumberValue(number.as_f64().unwrap_or_default()),
        serde_json::Value::String(text) => Kind::StringValue(text),
        serde_json::Value::Array(items) => {
            Kind::ListValue(ListValue { values: items.into_iter().map(value).collect() })
        }
        serde_json::Value::Object(fields) => Kind::StructValue(Struct {
            fields: fields.into_iter().map(|(name, field)| (name, value(field))).collect(),
        }),
    };
    Value { kind: Some(kind) }
}
