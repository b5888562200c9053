//! Decodes events in protobuf.

use std::borrow::Cow;

use prost::Message;
use strum::VariantNames as _;

use super::protobuf_types::v1;
use super::{DecodeError, DecodedPayload, EVENT_FIELD, EventParts, PartialMetadata, json_object};
use crate::domain::event::{Body, JobChange, OptimizationChange, OptimizationCreated, RunChange};
use crate::domain::{OptimizationEvent, RunEvent, Timestamp, Topic};

pub fn decode<'a>(topic: Topic, payload: &[u8]) -> Result<DecodedPayload<'a>, DecodeError> {
    let mut nulled_numbers = 0;
    let (metadata, body) = match topic {
        Topic::Optimizations => optimization(parse::<v1::OptimizationEvent>(payload)?, &mut nulled_numbers)?,
        Topic::Jobs => job(parse::<v1::JobEvent>(payload)?, &mut nulled_numbers)?,
        Topic::MultistartRuns => run(parse::<v1::MultistartRunEvent>(payload)?)?,
    };
    Ok(DecodedPayload { metadata, body, nulled_numbers })
}

fn parse<M: Message + Default>(payload: &[u8]) -> Result<M, DecodeError> {
    M::decode(payload).map_err(|error| DecodeError::payload("protobuf", error.to_string()))
}

fn optimization<'a>(
    message: v1::OptimizationEvent,
    nulled_numbers: &mut u32,
) -> Result<EventParts<'a>, DecodeError> {
    use v1::optimization_event::Event;
    let change = match message.event {
        Some(Event::Created(created)) => {
            OptimizationChange::Created(Box::new(created_of(created, nulled_numbers)?))
        }
        Some(Event::DetailsChanged(details)) => OptimizationChange::DetailsChanged {
            name: details.name.map(Cow::Owned),
            description: details.description.map(Cow::Owned),
        },
        Some(Event::DisplayNamesChanged(names)) => OptimizationChange::DisplayNamesChanged {
            cell_name: names.cell_name.map(Cow::Owned),
            parameterized_model_name: names.parameterized_model_name.map(Cow::Owned),
        },
        Some(Event::JobLinked(linked)) => OptimizationChange::JobLinked { job_id: Cow::Owned(linked.job_id) },
        Some(Event::Deleted(v1::OptimizationDeleted {})) => OptimizationChange::Deleted,
        None => return Err(no_event(OptimizationEvent::VARIANTS)),
    };
    let optimization_id = Cow::Owned(message.optimization_id);
    Ok((metadata(message.metadata)?, Body::Optimization { optimization_id, change }))
}

fn created_of<'a>(
    created: v1::OptimizationCreated,
    nulled_numbers: &mut u32,
) -> Result<OptimizationCreated<'a>, DecodeError> {
    Ok(OptimizationCreated {
        organization_id: Cow::Owned(created.organization_id),
        project_id: Cow::Owned(created.project_id),
        name: created.name.map(Cow::Owned),
        description: created.description.map(Cow::Owned),
        kind: created.kind.map(Cow::Owned),
        created_at: timestamp("created.created_at", created.created_at)?,
        created_by_email: created.created_by_email.map(Cow::Owned),
        cell_spec_id: created.cell_spec_id.map(Cow::Owned),
        cell_name: created.cell_name.map(Cow::Owned),
        parameterized_model_id: created.parameterized_model_id.map(Cow::Owned),
        parameterized_model_name: created.parameterized_model_name.map(Cow::Owned),
        optimization_template_id: created.optimization_template_id.map(Cow::Owned),
        objectives: created.objectives.as_ref().map(|object| json_object::from_struct(object, nulled_numbers)),
        job_id: created.job_id.map(Cow::Owned),
    })
}

fn job<'a>(message: v1::JobEvent, nulled_numbers: &mut u32) -> Result<EventParts<'a>, DecodeError> {
    use v1::job_event::Event;
    let change = match message.event {
        Some(Event::Pending(v1::JobPending {})) => JobChange::Pending,
        Some(Event::Processing(v1::JobProcessing {})) => JobChange::Processing,
        Some(Event::Waiting(v1::JobWaiting {})) => JobChange::Waiting,
        Some(Event::Completed(completed)) => JobChange::Completed {
            metrics: completed.metrics.as_ref().map(|object| json_object::from_struct(object, nulled_numbers)),
        },
        Some(Event::Failed(failed)) => JobChange::Failed {
            error: failed.error.map(Cow::Owned),
            error_code: failed.error_code.map(Cow::Owned),
        },
        Some(Event::Canceled(v1::JobCanceled {})) => JobChange::Canceled,
        None => return Err(no_event(JobChange::VARIANTS)),
    };
    let job_id = Cow::Owned(message.job_id);
    let optimization_id = message.optimization_id.filter(|id| !id.is_empty()).map(Cow::Owned);
    Ok((metadata(message.metadata)?, Body::Job { job_id, optimization_id, change }))
}

fn run<'a>(message: v1::MultistartRunEvent) -> Result<EventParts<'a>, DecodeError> {
    use v1::multistart_run_event::Event;
    let change = match message.event {
        Some(Event::Started(v1::MultistartRunStarted {})) => RunChange::Started,
        Some(Event::Completed(completed)) => RunChange::Completed {
            cost: completed.cost,
            // No reader sees these values, so that a null among them loses nothing.
            parameter_values: completed.parameter_values.as_ref().map(|o| json_object::from_struct(o, &mut 0)),
            iterations: completed.iterations,
            evaluations: completed.evaluations,
        },
        Some(Event::Failed(failed)) => RunChange::Failed { error: failed.error.map(Cow::Owned) },
        Some(Event::Canceled(v1::MultistartRunCanceled {})) => RunChange::Canceled,
        None => return Err(no_event(RunEvent::VARIANTS)),
    };
    let body = Body::Run {
        job_id: Cow::Owned(message.job_id),
        run_index: message.run_index,
        optimization_id: message.optimization_id.filter(|id| !id.is_empty()).map(Cow::Owned),
        change,
    };
    Ok((metadata(message.metadata)?, body))
}

fn metadata<'a>(message: Option<v1::Metadata>) -> Result<Option<PartialMetadata<'a>>, DecodeError> {
    let Some(message) = message else { return Ok(None) };
    Ok(Some(PartialMetadata {
        event_id: Some(Cow::Owned(message.event_id)),
        occurred_at: timestamp("metadata.occurred_at", message.occurred_at)?,
        sequence: message.sequence,
    }))
}

fn timestamp(field: &str, time: Option<prost_types::Timestamp>) -> Result<Option<Timestamp>, DecodeError> {
    let Some(time) = time else { return Ok(None) };
    let known = u32::try_from(time.nanos).ok().and_then(|nanos| Timestamp::new(time.seconds, nanos));
    known.map(Some).ok_or_else(|| {
        let reason =
            format!("{} s and {} ns since 1970 is not a time in the years 1 to 9999", time.seconds, time.nanos);
        DecodeError::field(field, reason)
    })
}

fn no_event(names: &[&str]) -> DecodeError {
    DecodeError::field(EVENT_FIELD, format!("none of {} is set", names.join(", ")))
}
