//! Decodes events in the proto3 JSON mapping straight into typed events: camelCase and snake_case names, 64-bit
//! integers as strings or numbers, null as absent, unknown fields ignored.

use std::borrow::Cow;

use bounded_static::IntoBoundedStatic as _;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use strum::VariantNames as _;

use super::json_values::{Double, Integer, JsonMessage, JsonText};
use super::one_of::OneOf;
use super::{
    DecodeError, DecodedPayload, EventParts, PartialMetadata, json_object, non_finite_numbers, parse_time,
};
use crate::domain::event::{Body, JobChange, JsonObject, OptimizationChange, OptimizationCreated, RunChange};
use crate::domain::{OptimizationEvent, RunEvent, Timestamp, Topic};

pub fn decode(topic: Topic, payload: &[u8]) -> Result<DecodedPayload<'_>, DecodeError> {
    let text = std::str::from_utf8(payload).map_err(|error| not_json(error.to_string()))?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    decode_any(topic, text).or_else(|error| decode_not_finite(topic, text).ok_or(error))
}

/// Decodes any message that the mapping allows.
fn decode_any(topic: Topic, text: &str) -> Result<DecodedPayload<'_>, DecodeError> {
    let mut nulled_numbers = 0;
    let (metadata, body) = match topic {
        Topic::Optimizations => parse::<OptimizationMessage>(text)?.into_event(&mut nulled_numbers)?,
        Topic::Jobs => parse::<JobMessage>(text)?.into_event(&mut nulled_numbers)?,
        Topic::MultistartRuns => parse::<RunMessage>(text)?.into_event()?,
    };
    Ok(DecodedPayload { metadata, body, nulled_numbers })
}

/// Decodes a text that is not JSON only because it has numbers that are not finite, in places where any number may
/// stand.
fn decode_not_finite(topic: Topic, text: &str) -> Option<DecodedPayload<'static>> {
    let (text, nulled_numbers) = non_finite_numbers::replace_non_finite(text)?;
    let decoded = decode_any(topic, &text).ok()?;
    let nulled_numbers = nulled_numbers.max(decoded.nulled_numbers);
    Some(DecodedPayload { nulled_numbers, ..decoded }.into_static())
}

/// Parses once, and a second time with the path tracked if that fails, to name the field in the error.
fn parse<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, DecodeError> {
    if let Ok(JsonMessage(message)) = serde_json::from_str::<JsonMessage<T>>(text) {
        return Ok(message);
    }
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let error = match serde_path_to_error::deserialize::<_, JsonMessage<T>>(&mut deserializer) {
        Err(error) => error,
        Ok(_) => match deserializer.end() {
            Err(error) => return Err(not_json(error.to_string())),
            Ok(()) => return Err(not_json("it was refused, and then was not".to_owned())),
        },
    };
    let path = error.path().to_string();
    let inner = error.into_inner();
    // The field in which a text happens to be cut short is not the cause of the error.
    if path == "." || path == "?" || inner.is_eof() {
        return Err(not_json(inner.to_string()));
    }
    Err(DecodeError::field(path, inner.to_string()))
}

fn not_json(reason: String) -> DecodeError {
    DecodeError::payload("JSON of the expected shape", reason)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct OptimizationMessage<'a> {
    #[serde(borrow)]
    metadata: Option<JsonMessage<MetadataMessage<'a>>>,
    #[serde(borrow, alias = "optimization_id")]
    optimization_id: Option<JsonText<'a>>,
    #[serde(borrow)]
    created: Option<JsonMessage<CreatedMessage<'a>>>,
    #[serde(borrow, alias = "details_changed")]
    details_changed: Option<JsonMessage<DetailsChangedMessage<'a>>>,
    #[serde(borrow, alias = "display_names_changed")]
    display_names_changed: Option<JsonMessage<DisplayNamesChangedMessage<'a>>>,
    #[serde(borrow, alias = "job_linked")]
    job_linked: Option<JsonMessage<JobLinkedMessage<'a>>>,
    deleted: Option<JsonMessage<Empty>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct MetadataMessage<'a> {
    #[serde(borrow, alias = "event_id")]
    event_id: Option<JsonText<'a>>,
    #[serde(borrow, alias = "occurred_at")]
    occurred_at: Option<JsonText<'a>>,
    sequence: Option<Integer>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CreatedMessage<'a> {
    #[serde(borrow, alias = "organization_id")]
    organization_id: Option<JsonText<'a>>,
    #[serde(borrow, alias = "project_id")]
    project_id: Option<JsonText<'a>>,
    #[serde(borrow)]
    name: Option<JsonText<'a>>,
    #[serde(borrow)]
    description: Option<JsonText<'a>>,
    #[serde(borrow)]
    kind: Option<JsonText<'a>>,
    #[serde(borrow, alias = "created_at")]
    created_at: Option<JsonText<'a>>,
    #[serde(borrow, alias = "created_by_email")]
    created_by_email: Option<JsonText<'a>>,
    #[serde(borrow, alias = "cell_spec_id")]
    cell_spec_id: Option<JsonText<'a>>,
    #[serde(borrow, alias = "cell_name")]
    cell_name: Option<JsonText<'a>>,
    #[serde(borrow, alias = "parameterized_model_id")]
    parameterized_model_id: Option<JsonText<'a>>,
    #[serde(borrow, alias = "parameterized_model_name")]
    parameterized_model_name: Option<JsonText<'a>>,
    #[serde(borrow, alias = "optimization_template_id")]
    optimization_template_id: Option<JsonText<'a>>,
    #[serde(borrow)]
    objectives: Option<&'a RawValue>,
    #[serde(borrow, alias = "job_id")]
    job_id: Option<JsonText<'a>>,
}

#[derive(Deserialize)]
struct DetailsChangedMessage<'a> {
    #[serde(borrow)]
    name: Option<JsonText<'a>>,
    #[serde(borrow)]
    description: Option<JsonText<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DisplayNamesChangedMessage<'a> {
    #[serde(borrow, alias = "cell_name")]
    cell_name: Option<JsonText<'a>>,
    #[serde(borrow, alias = "parameterized_model_name")]
    parameterized_model_name: Option<JsonText<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct JobLinkedMessage<'a> {
    #[serde(borrow, alias = "job_id")]
    job_id: Option<JsonText<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct JobMessage<'a> {
    #[serde(borrow)]
    metadata: Option<JsonMessage<MetadataMessage<'a>>>,
    #[serde(borrow, alias = "job_id")]
    job_id: Option<JsonText<'a>>,
    #[serde(borrow, alias = "optimization_id")]
    optimization_id: Option<JsonText<'a>>,
    /// A run's index, which no job has. Some events of runs would otherwise decode as a job's.
    #[serde(alias = "run_index")]
    run_index: Option<IgnoredAny>,
    pending: Option<JsonMessage<Empty>>,
    processing: Option<JsonMessage<Empty>>,
    waiting: Option<JsonMessage<Empty>>,
    #[serde(borrow)]
    completed: Option<JsonMessage<JobCompletedMessage<'a>>>,
    #[serde(borrow)]
    failed: Option<JsonMessage<JobFailedMessage<'a>>>,
    canceled: Option<JsonMessage<Empty>>,
}

#[derive(Deserialize)]
struct JobCompletedMessage<'a> {
    #[serde(borrow)]
    metrics: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct JobFailedMessage<'a> {
    #[serde(borrow)]
    error: Option<JsonText<'a>>,
    #[serde(borrow, alias = "error_code")]
    error_code: Option<JsonText<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RunMessage<'a> {
    #[serde(borrow)]
    metadata: Option<JsonMessage<MetadataMessage<'a>>>,
    #[serde(borrow, alias = "job_id")]
    job_id: Option<JsonText<'a>>,
    #[serde(borrow, alias = "optimization_id")]
    optimization_id: Option<JsonText<'a>>,
    #[serde(alias = "run_index")]
    run_index: Option<Integer>,
    started: Option<JsonMessage<Empty>>,
    #[serde(borrow)]
    completed: Option<JsonMessage<RunCompletedMessage<'a>>>,
    #[serde(borrow)]
    failed: Option<JsonMessage<RunFailedMessage<'a>>>,
    canceled: Option<JsonMessage<Empty>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RunCompletedMessage<'a> {
    cost: Option<Double>,
    #[serde(borrow, alias = "parameter_values")]
    parameter_values: Option<&'a RawValue>,
    iterations: Option<Integer>,
    evaluations: Option<Integer>,
}

#[derive(Deserialize)]
struct RunFailedMessage<'a> {
    #[serde(borrow)]
    error: Option<JsonText<'a>>,
}

#[derive(Deserialize)]
struct Empty {}

impl<'a> OptimizationMessage<'a> {
    fn into_event(self, nulled_numbers: &mut u32) -> Result<EventParts<'a>, DecodeError> {
        let mut one = OneOf::new(OptimizationEvent::VARIANTS);
        if let Some(JsonMessage(created)) = self.created {
            one.set(OptimizationChange::Created(Box::new(created.into_created(nulled_numbers)?)))?;
        }
        if let Some(JsonMessage(details)) = self.details_changed {
            let (name, description) = (own(details.name), own(details.description));
            one.set(OptimizationChange::DetailsChanged { name, description })?;
        }
        if let Some(JsonMessage(names)) = self.display_names_changed {
            one.set(OptimizationChange::DisplayNamesChanged {
                cell_name: own(names.cell_name),
                parameterized_model_name: own(names.parameterized_model_name),
            })?;
        }
        if let Some(JsonMessage(linked)) = self.job_linked {
            one.set(OptimizationChange::JobLinked { job_id: own(linked.job_id).unwrap_or_default() })?;
        }
        if self.deleted.is_some() {
            one.set(OptimizationChange::Deleted)?;
        }
        let optimization_id = own(self.optimization_id).unwrap_or_default();
        Ok((metadata(self.metadata)?, Body::Optimization { optimization_id, change: one.get()? }))
    }
}

impl<'a> CreatedMessage<'a> {
    fn into_created(self, nulled_numbers: &mut u32) -> Result<OptimizationCreated<'a>, DecodeError> {
        Ok(OptimizationCreated {
            organization_id: own(self.organization_id).unwrap_or_default(),
            project_id: own(self.project_id).unwrap_or_default(),
            name: own(self.name),
            description: own(self.description),
            kind: own(self.kind),
            created_at: time("created.created_at", self.created_at)?,
            created_by_email: own(self.created_by_email),
            cell_spec_id: own(self.cell_spec_id),
            cell_name: own(self.cell_name),
            parameterized_model_id: own(self.parameterized_model_id),
            parameterized_model_name: own(self.parameterized_model_name),
            optimization_template_id: own(self.optimization_template_id),
            objectives: object("created.objectives", self.objectives, nulled_numbers)?,
            job_id: own(self.job_id),
        })
    }
}

impl<'a> JobMessage<'a> {
    fn into_event(self, nulled_numbers: &mut u32) -> Result<EventParts<'a>, DecodeError> {
        if self.run_index.is_some() {
            let reason = "only events of multistart-runs have one: is it on the right topic?";
            return Err(DecodeError::field("run_index", reason));
        }
        let mut one = OneOf::new(JobChange::VARIANTS);
        if self.pending.is_some() {
            one.set(JobChange::Pending)?;
        }
        if self.processing.is_some() {
            one.set(JobChange::Processing)?;
        }
        if self.waiting.is_some() {
            one.set(JobChange::Waiting)?;
        }
        if let Some(JsonMessage(completed)) = self.completed {
            let metrics = object("completed.metrics", completed.metrics, nulled_numbers)?;
            one.set(JobChange::Completed { metrics })?;
        }
        if let Some(JsonMessage(failed)) = self.failed {
            one.set(JobChange::Failed { error: own(failed.error), error_code: own(failed.error_code) })?;
        }
        if self.canceled.is_some() {
            one.set(JobChange::Canceled)?;
        }
        let job_id = own(self.job_id).unwrap_or_default();
        let optimization_id = own(self.optimization_id).filter(|id| !id.is_empty());
        Ok((metadata(self.metadata)?, Body::Job { job_id, optimization_id, change: one.get()? }))
    }
}

impl<'a> RunMessage<'a> {
    fn into_event(self) -> Result<EventParts<'a>, DecodeError> {
        let mut one = OneOf::new(RunEvent::VARIANTS);
        if self.started.is_some() {
            one.set(RunChange::Started)?;
        }
        if let Some(JsonMessage(completed)) = self.completed {
            one.set(RunChange::Completed {
                cost: completed.cost.map(|Double(cost)| cost),
                parameter_values: as_written("completed.parameter_values", completed.parameter_values)?,
                iterations: completed.iterations.map(|Integer(count)| count),
                evaluations: completed.evaluations.map(|Integer(count)| count),
            })?;
        }
        if let Some(JsonMessage(failed)) = self.failed {
            one.set(RunChange::Failed { error: own(failed.error) })?;
        }
        if self.canceled.is_some() {
            one.set(RunChange::Canceled)?;
        }
        // The mapping omits a field whose value is 0.
        let Integer(run_index) = self.run_index.unwrap_or(Integer(0));
        let run_index = u32::try_from(run_index)
            .map_err(|_| DecodeError::field("run_index", format!("{run_index} is above {}", u32::MAX)))?;
        let job_id = own(self.job_id).unwrap_or_default();
        let optimization_id = own(self.optimization_id).filter(|id| !id.is_empty());
        let body = Body::Run { job_id, run_index, optimization_id, change: one.get()? };
        Ok((metadata(self.metadata)?, body))
    }
}

fn metadata(
    message: Option<JsonMessage<MetadataMessage<'_>>>,
) -> Result<Option<PartialMetadata<'_>>, DecodeError> {
    let Some(JsonMessage(message)) = message else { return Ok(None) };
    Ok(Some(PartialMetadata {
        event_id: own(message.event_id),
        occurred_at: time("metadata.occurred_at", message.occurred_at)?,
        sequence: message.sequence.map_or(0, |Integer(sequence)| sequence),
    }))
}

fn own(text: Option<JsonText<'_>>) -> Option<Cow<'_, str>> {
    text.map(|JsonText(text)| text)
}

fn time(field: &str, text: Option<JsonText<'_>>) -> Result<Option<Timestamp>, DecodeError> {
    text.map(|JsonText(text)| parse_time(field, &text)).transpose()
}

fn object<'a>(
    field: &str,
    raw: Option<&'a RawValue>,
    nulled_numbers: &mut u32,
) -> Result<Option<JsonObject<'a>>, DecodeError> {
    let Some(raw) = raw else { return Ok(None) };
    let (object, nulled) = json_object::compact(raw).map_err(|reason| DecodeError::field(field, reason))?;
    *nulled_numbers += nulled;
    Ok(Some(object))
}

fn as_written<'a>(field: &str, raw: Option<&'a RawValue>) -> Result<Option<JsonObject<'a>>, DecodeError> {
    match raw.map(RawValue::get) {
        Some(text) if !text.starts_with('{') => Err(DecodeError::field(field, "is not a JSON object")),
        text => Ok(text.map(|text| JsonObject(Cow::Borrowed(text)))),
    }
}
