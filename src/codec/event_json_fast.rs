//! A fast lane for the JSON of nearly all records: events without unknown fields, and without escapes but in texts. Most of a
//! catch-up's time would go into the general decoder.
//!
//! It returns either exactly what the general decoder returns, or nothing: it never reports an error, and never
//! accepts a text that the other refuses. A property test compares the two.

use std::borrow::Cow;

use super::ids::{check_ids, is_id};
use super::json_cursor::{JsonCursor, set};
use super::{DecodeError, PartialMetadata};
use crate::domain::event::{
    Body, JobChange, JsonObject, Metadata, OptimizationChange, OptimizationCreated, RunChange,
};
use crate::domain::{Timestamp, Topic};

/// The two forms of a name that many messages have.
const JOB_ID: [&str; 2] = ["jobId", "job_id"];
const OPTIMIZATION_ID: [&str; 2] = ["optimizationId", "optimization_id"];

/// Decodes a payload. `complete` completes metadata that do not have everything, and `finish` makes the result. `None` says nothing
/// about the payload but that the general decoder has to look at it.
#[inline(always)]
pub fn decode<'a, T>(
    topic: Topic,
    payload: &'a [u8],
    complete: impl CompleteMetadata<'a>,
    finish: impl FnOnce(Metadata<'a>, Body<'a>) -> T,
) -> Option<T> {
    let mut cursor = JsonCursor::new(std::str::from_utf8(payload).ok()?);
    match topic {
        Topic::Optimizations => optimization(&mut cursor, complete, finish),
        Topic::Jobs => job(&mut cursor, complete, finish),
        Topic::MultistartRuns => run(&mut cursor, complete, finish),
    }
}

/// A function that completes the metadata of a payload, by headers or a CloudEvent's attributes.
pub trait CompleteMetadata<'a>: FnOnce(PartialMetadata<'a>) -> Result<Metadata<'a>, DecodeError> {}
impl<'a, F: FnOnce(PartialMetadata<'a>) -> Result<Metadata<'a>, DecodeError>> CompleteMetadata<'a> for F {}

#[inline(always)]
fn optimization<'a, T>(
    cursor: &mut JsonCursor<'a>,
    complete: impl CompleteMetadata<'a>,
    finish: impl FnOnce(Metadata<'a>, Body<'a>) -> T,
) -> Option<T> {
    let mut metadata = MetadataFields::default();
    let (mut optimization_id, mut change) = (None, None);
    cursor.object(|cursor| {
        cursor.field(["metadata"], |cursor| metadata.read(cursor))?;
        cursor.field(OPTIMIZATION_ID, |cursor| set(&mut optimization_id, cursor.string()?))?;
        cursor.field(["created"], |cursor| {
            set(&mut change, OptimizationChange::Created(Box::new(created(cursor)?)))
        })?;
        cursor
            .field(["detailsChanged", "details_changed"], |cursor| set(&mut change, details_changed(cursor)?))?;
        cursor.field(["displayNamesChanged", "display_names_changed"], |cursor| {
            set(&mut change, display_names_changed(cursor)?)
        })?;
        cursor.field(["jobLinked", "job_linked"], |cursor| set(&mut change, job_linked(cursor)?))?;
        cursor.empty_field("deleted", || set(&mut change, OptimizationChange::Deleted))
    })?;
    let body = Body::Optimization { optimization_id: Cow::Borrowed(optimization_id?), change: change? };
    check_ids(&body).ok().filter(|()| cursor.is_at_end())?;
    Some(finish(metadata.complete(complete)?, body))
}

#[inline(always)]
fn job<'a, T>(
    cursor: &mut JsonCursor<'a>,
    complete: impl CompleteMetadata<'a>,
    finish: impl FnOnce(Metadata<'a>, Body<'a>) -> T,
) -> Option<T> {
    let mut metadata = MetadataFields::default();
    let (mut job_id, mut optimization_id, mut change) = (None, None, None);
    cursor.object(|cursor| {
        cursor.field(["metadata"], |cursor| metadata.read(cursor))?;
        cursor.field(JOB_ID, |cursor| set(&mut job_id, cursor.string()?))?;
        cursor.field(OPTIMIZATION_ID, |cursor| set(&mut optimization_id, cursor.string()?))?;
        cursor.empty_field("pending", || set(&mut change, JobChange::Pending))?;
        cursor.empty_field("processing", || set(&mut change, JobChange::Processing))?;
        cursor.empty_field("waiting", || set(&mut change, JobChange::Waiting))?;
        cursor.field(["completed"], |cursor| set(&mut change, job_completed(cursor)?))?;
        cursor.field(["failed"], |cursor| set(&mut change, job_failed(cursor)?))?;
        cursor.empty_field("canceled", || set(&mut change, JobChange::Canceled))
    })?;
    let (job_id, optimization_id) = job_ids(job_id, optimization_id)?;
    cursor.is_at_end().then_some(())?;
    let metadata = metadata.complete(complete)?;
    let change = change?;
    Some(finish(metadata, Body::Job { job_id, optimization_id, change }))
}

#[inline(always)]
fn run<'a, T>(
    cursor: &mut JsonCursor<'a>,
    complete: impl CompleteMetadata<'a>,
    finish: impl FnOnce(Metadata<'a>, Body<'a>) -> T,
) -> Option<T> {
    let mut metadata = MetadataFields::default();
    let (mut job_id, mut run_index, mut optimization_id, mut change) = (None, None, None, None);
    cursor.object(|cursor| {
        cursor.field(["metadata"], |cursor| metadata.read(cursor))?;
        cursor.field(JOB_ID, |cursor| set(&mut job_id, cursor.string()?))?;
        cursor.field(["runIndex", "run_index"], |cursor| {
            set(&mut run_index, u32::try_from(cursor.integer()?).ok()?)
        })?;
        cursor.field(OPTIMIZATION_ID, |cursor| set(&mut optimization_id, cursor.string()?))?;
        cursor.empty_field("started", || set(&mut change, RunChange::Started))?;
        cursor.field(["completed"], |cursor| set(&mut change, run_completed(cursor)?))?;
        cursor.field(["failed"], |cursor| set(&mut change, run_failed(cursor)?))?;
        cursor.empty_field("canceled", || set(&mut change, RunChange::Canceled))
    })?;
    let (job_id, optimization_id) = job_ids(job_id, optimization_id)?;
    cursor.is_at_end().then_some(())?;
    let metadata = metadata.complete(complete)?;
    let change = change?;
    Some(finish(metadata, Body::Run { job_id, run_index: run_index.unwrap_or(0), optimization_id, change }))
}

/// Returns the ids of a job and of its optimization, if the event has that.
#[inline(always)]
fn job_ids<'a>(
    job_id: Option<&'a str>,
    optimization_id: Option<&'a str>,
) -> Option<(Cow<'a, str>, Option<Cow<'a, str>>)> {
    let job_id = job_id.filter(|id| is_id(id))?;
    let optimization_id = optimization_id.filter(|id| !id.is_empty());
    let fits = optimization_id.is_none_or(is_id);
    fits.then_some((Cow::Borrowed(job_id), optimization_id.map(Cow::Borrowed)))
}

/// The fields of the metadata that have come.
#[derive(Default)]
struct MetadataFields<'a> {
    /// Is set once metadata have come, with or without a field.
    has_come: Option<()>,
    event_id: Option<&'a str>,
    occurred_at: Option<Timestamp>,
    sequence: Option<u64>,
}

impl<'a> MetadataFields<'a> {
    #[inline(always)]
    fn read(&mut self, cursor: &mut JsonCursor<'a>) -> Option<()> {
        set(&mut self.has_come, ())?;
        cursor.object(|cursor| {
            cursor.field(["eventId", "event_id"], |cursor| set(&mut self.event_id, cursor.string()?))?;
            cursor.field(["occurredAt", "occurred_at"], |cursor| {
                set(&mut self.occurred_at, Timestamp::parse(cursor.string()?)?)
            })?;
            cursor.field(["sequence"], |cursor| set(&mut self.sequence, cursor.integer_or_its_digits()?))
        })
    }

    #[inline(always)]
    fn complete(self, complete: impl CompleteMetadata<'a>) -> Option<Metadata<'a>> {
        let sequence = self.sequence.unwrap_or(0);
        match (self.event_id, self.occurred_at) {
            (Some(event_id), Some(occurred_at)) if is_id(event_id) => {
                Some(Metadata { event_id: Cow::Borrowed(event_id), occurred_at, sequence })
            }
            (event_id, occurred_at) => {
                complete(PartialMetadata { event_id: event_id.map(Cow::Borrowed), occurred_at, sequence }).ok()
            }
        }
    }
}

fn created<'a>(cursor: &mut JsonCursor<'a>) -> Option<OptimizationCreated<'a>> {
    let mut facts = CreatedFields::default();
    cursor.object(|cursor| {
        cursor.text(["organizationId", "organization_id"], &mut facts.organization_id)?;
        cursor.text(["projectId", "project_id"], &mut facts.project_id)?;
        cursor.text(["name"], &mut facts.name)?;
        cursor.text(["description"], &mut facts.description)?;
        cursor.text(["kind"], &mut facts.kind)?;
        cursor.field(["createdAt", "created_at"], |cursor| set(&mut facts.created_at, cursor.time_or_null()?))?;
        cursor.text(["createdByEmail", "created_by_email"], &mut facts.created_by_email)?;
        cursor.text(["cellSpecId", "cell_spec_id"], &mut facts.cell_spec_id)?;
        cursor.text(["cellName", "cell_name"], &mut facts.cell_name)?;
        cursor.text(["parameterizedModelId", "parameterized_model_id"], &mut facts.parameterized_model_id)?;
        cursor
            .text(["parameterizedModelName", "parameterized_model_name"], &mut facts.parameterized_model_name)?;
        cursor
            .text(["optimizationTemplateId", "optimization_template_id"], &mut facts.optimization_template_id)?;
        cursor.field(["objectives"], |cursor| set(&mut facts.objectives, cursor.free_object_or_null()?))?;
        cursor.text(JOB_ID, &mut facts.job_id)
    })?;
    Some(OptimizationCreated {
        organization_id: facts.organization_id.flatten().unwrap_or_default(),
        project_id: facts.project_id.flatten().unwrap_or_default(),
        name: facts.name.flatten(),
        description: facts.description.flatten(),
        kind: facts.kind.flatten(),
        created_at: facts.created_at.flatten(),
        created_by_email: facts.created_by_email.flatten(),
        cell_spec_id: facts.cell_spec_id.flatten(),
        cell_name: facts.cell_name.flatten(),
        parameterized_model_id: facts.parameterized_model_id.flatten(),
        parameterized_model_name: facts.parameterized_model_name.flatten(),
        optimization_template_id: facts.optimization_template_id.flatten(),
        objectives: facts.objectives.flatten(),
        job_id: facts.job_id.flatten(),
    })
}

/// The fields of a creation. The outer `None` is a field that has not come, the inner one `null`.
#[derive(Default)]
struct CreatedFields<'a> {
    organization_id: Option<Option<Cow<'a, str>>>,
    project_id: Option<Option<Cow<'a, str>>>,
    name: Option<Option<Cow<'a, str>>>,
    description: Option<Option<Cow<'a, str>>>,
    kind: Option<Option<Cow<'a, str>>>,
    created_at: Option<Option<Timestamp>>,
    created_by_email: Option<Option<Cow<'a, str>>>,
    cell_spec_id: Option<Option<Cow<'a, str>>>,
    cell_name: Option<Option<Cow<'a, str>>>,
    parameterized_model_id: Option<Option<Cow<'a, str>>>,
    parameterized_model_name: Option<Option<Cow<'a, str>>>,
    optimization_template_id: Option<Option<Cow<'a, str>>>,
    objectives: Option<Option<JsonObject<'a>>>,
    job_id: Option<Option<Cow<'a, str>>>,
}

fn details_changed<'a>(cursor: &mut JsonCursor<'a>) -> Option<OptimizationChange<'a>> {
    let (mut name, mut description) = (None, None);
    cursor.object(|cursor| {
        cursor.text(["name"], &mut name)?;
        cursor.text(["description"], &mut description)
    })?;
    Some(OptimizationChange::DetailsChanged { name: name.flatten(), description: description.flatten() })
}

fn display_names_changed<'a>(cursor: &mut JsonCursor<'a>) -> Option<OptimizationChange<'a>> {
    let (mut cell_name, mut model_name) = (None, None);
    cursor.object(|cursor| {
        cursor.text(["cellName", "cell_name"], &mut cell_name)?;
        cursor.text(["parameterizedModelName", "parameterized_model_name"], &mut model_name)
    })?;
    Some(OptimizationChange::DisplayNamesChanged {
        cell_name: cell_name.flatten(),
        parameterized_model_name: model_name.flatten(),
    })
}

fn job_linked<'a>(cursor: &mut JsonCursor<'a>) -> Option<OptimizationChange<'a>> {
    let mut job_id = None;
    cursor.object(|cursor| cursor.field(JOB_ID, |cursor| set(&mut job_id, Cow::Borrowed(cursor.string()?))))?;
    Some(OptimizationChange::JobLinked { job_id: job_id? })
}

fn job_completed<'a>(cursor: &mut JsonCursor<'a>) -> Option<JobChange<'a>> {
    let mut metrics = None;
    cursor
        .object(|cursor| cursor.field(["metrics"], |cursor| set(&mut metrics, cursor.free_object_or_null()?)))?;
    Some(JobChange::Completed { metrics: metrics.flatten() })
}

fn job_failed<'a>(cursor: &mut JsonCursor<'a>) -> Option<JobChange<'a>> {
    let (mut error, mut error_code) = (None, None);
    cursor.object(|cursor| {
        cursor.text(["error"], &mut error)?;
        cursor.text(["errorCode", "error_code"], &mut error_code)
    })?;
    Some(JobChange::Failed { error: error.flatten(), error_code: error_code.flatten() })
}

fn run_completed<'a>(cursor: &mut JsonCursor<'a>) -> Option<RunChange<'a>> {
    let (mut cost, mut parameter_values) = (None, None);
    let (mut iterations, mut evaluations) = (None, None);
    cursor.object(|cursor| {
        cursor.field(["cost"], |cursor| set(&mut cost, cursor.double()?))?;
        cursor.field(["parameterValues", "parameter_values"], |cursor| {
            set(&mut parameter_values, cursor.object_of_numbers()?)
        })?;
        cursor.field(["iterations"], |cursor| set(&mut iterations, cursor.integer_or_its_digits()?))?;
        cursor.field(["evaluations"], |cursor| set(&mut evaluations, cursor.integer_or_its_digits()?))
    })?;
    let parameter_values = parameter_values.map(|text| JsonObject(Cow::Borrowed(text)));
    Some(RunChange::Completed { cost, parameter_values, iterations, evaluations })
}

fn run_failed<'a>(cursor: &mut JsonCursor<'a>) -> Option<RunChange<'a>> {
    let mut error = None;
    cursor.object(|cursor| cursor.text(["error"], &mut error))?;
    Some(RunChange::Failed { error: error.flatten() })
}

#[cfg(test)]
mod tests;
