//! Events that own their texts, for payloads that were rewritten before they were decoded.

use std::borrow::Cow;

use super::{DecodedPayload, PartialMetadata};
use crate::domain::event::{Body, JobChange, JsonObject, OptimizationChange, OptimizationCreated, RunChange};

/// Copies every borrowed text.
pub fn own_payload(decoded: DecodedPayload<'_>) -> DecodedPayload<'static> {
    let DecodedPayload { metadata, body, nulled_numbers } = decoded;
    let metadata = metadata.map(|PartialMetadata { event_id, occurred_at, sequence }| PartialMetadata {
        event_id: text_if_any(event_id),
        occurred_at,
        sequence,
    });
    DecodedPayload { metadata, body: owned_body(body), nulled_numbers }
}

fn owned_body(body: Body<'_>) -> Body<'static> {
    match body {
        Body::Optimization { optimization_id, change } => {
            Body::Optimization { optimization_id: text(optimization_id), change: optimization(change) }
        }
        Body::Job { job_id, optimization_id, change } => Body::Job {
            job_id: text(job_id),
            optimization_id: text_if_any(optimization_id),
            change: match change {
                JobChange::Pending => JobChange::Pending,
                JobChange::Processing => JobChange::Processing,
                JobChange::Waiting => JobChange::Waiting,
                JobChange::Completed { metrics } => JobChange::Completed { metrics: object(metrics) },
                JobChange::Failed { error, error_code } => {
                    JobChange::Failed { error: text_if_any(error), error_code: text_if_any(error_code) }
                }
                JobChange::Canceled => JobChange::Canceled,
            },
        },
        Body::Run { job_id, run_index, optimization_id, change } => Body::Run {
            job_id: text(job_id),
            run_index,
            optimization_id: text_if_any(optimization_id),
            change: match change {
                RunChange::Started => RunChange::Started,
                RunChange::Completed { cost, parameter_values, iterations, evaluations } => RunChange::Completed {
                    cost,
                    parameter_values: object(parameter_values),
                    iterations,
                    evaluations,
                },
                RunChange::Failed { error } => RunChange::Failed { error: text_if_any(error) },
                RunChange::Canceled => RunChange::Canceled,
            },
        },
    }
}

fn optimization(change: OptimizationChange<'_>) -> OptimizationChange<'static> {
    match change {
        OptimizationChange::Created(created) => OptimizationChange::Created(Box::new(OptimizationCreated {
            organization_id: text(created.organization_id),
            project_id: text(created.project_id),
            name: text_if_any(created.name),
            description: text_if_any(created.description),
            kind: text_if_any(created.kind),
            created_at: created.created_at,
            created_by_email: text_if_any(created.created_by_email),
            cell_spec_id: text_if_any(created.cell_spec_id),
            cell_name: text_if_any(created.cell_name),
            parameterized_model_id: text_if_any(created.parameterized_model_id),
            parameterized_model_name: text_if_any(created.parameterized_model_name),
            optimization_template_id: text_if_any(created.optimization_template_id),
            objectives: object(created.objectives),
            job_id: text_if_any(created.job_id),
        })),
        OptimizationChange::DetailsChanged { name, description } => {
            OptimizationChange::DetailsChanged { name: text_if_any(name), description: text_if_any(description) }
        }
        OptimizationChange::DisplayNamesChanged { cell_name, parameterized_model_name } => {
            OptimizationChange::DisplayNamesChanged {
                cell_name: text_if_any(cell_name),
                parameterized_model_name: text_if_any(parameterized_model_name),
            }
        }
        OptimizationChange::JobLinked { job_id } => OptimizationChange::JobLinked { job_id: text(job_id) },
        OptimizationChange::Deleted => OptimizationChange::Deleted,
    }
}

fn text(text: Cow<'_, str>) -> Cow<'static, str> {
    Cow::Owned(text.into_owned())
}

fn text_if_any(value: Option<Cow<'_, str>>) -> Option<Cow<'static, str>> {
    value.map(text)
}

fn object(object: Option<JsonObject<'_>>) -> Option<JsonObject<'static>> {
    object.map(|JsonObject(value)| JsonObject(text(value)))
}
