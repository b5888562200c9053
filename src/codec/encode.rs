//! Encodes events into records' bytes as producers write them: for `load`, `demo` and the tests.
//!
//! No header names the encoding: the first byte shows it, and real topics have records without headers.

use crate::domain::{Body, Event};

/// The encoding of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// JSON in proto3's mapping.
    Json,
    /// The binary format of the contract's protobuf messages.
    Protobuf,
}

/// Writes the record's value over whatever `value` held, so that one buffer serves many events.
pub fn encode(event: &Event<'_>, encoding: Encoding, value: &mut Vec<u8>) {
    value.clear();
    match encoding {
        Encoding::Json => super::encode_json::encode(event, value),
        Encoding::Protobuf => super::encode_protobuf::encode(event, value),
    }
}

/// Returns the record's key: an optimization's id on its topic, the job's id on the two others.
pub fn key<'e>(event: &'e Event<'_>) -> &'e str {
    match &event.body {
        Body::Optimization { optimization_id, .. } => optimization_id,
        Body::Job { job_id, .. } | Body::Run { job_id, .. } => job_id,
    }
}

#[cfg(test)]
mod tests {
    use prost::Message;
    use serde_json::{Value, json};

    use super::*;
    use crate::codec::protobuf_types::v1;
    use crate::domain::event::{JobChange, JsonObject, OptimizationChange, OptimizationCreated, RunChange};
    use crate::domain::{Metadata, Timestamp};

    fn event(body: Body<'static>) -> Event<'static> {
        let occurred_at = Timestamp::parse("2026-03-01T09:00:00.125Z").unwrap();
        Event { metadata: Metadata { event_id: "e-1".into(), occurred_at, sequence: 2 }, body }
    }

    fn created() -> Event<'static> {
        let facts = OptimizationCreated {
            organization_id: "org-1".into(),
            project_id: "prj-1".into(),
            name: Some("a \"quoted\"\nname".into()),
            description: Some("".into()),
            objectives: Some(JsonObject(r#"{"Time [s]":{"weight":1,"tolerance":1e-14}}"#.into())),
            job_id: Some("job-1".into()),
            ..OptimizationCreated::default()
        };
        event(Body::Optimization {
            optimization_id: "opt-1".into(),
            change: OptimizationChange::Created(Box::new(facts)),
        })
    }

    fn run_completed() -> Event<'static> {
        let change = RunChange::Completed {
            cost: Some(0.0123),
            parameter_values: Some(JsonObject(r#"{"D [m2.s-1]":1e-14}"#.into())),
            iterations: Some(42),
            evaluations: None,
        };
        event(Body::Run { job_id: "job-1".into(), run_index: 0, optimization_id: None, change })
    }

    fn encoded(event: &Event<'_>, encoding: Encoding) -> Vec<u8> {
        let mut value = b"left over".to_vec();
        encode(event, encoding, &mut value);
        value
    }

    #[test]
    fn json_is_that_of_the_contract() {
        let metadata = json!({"eventId": "e-1", "occurredAt": "2026-03-01T09:00:00.125Z", "sequence": "2"});
        let failed = JobChange::Failed { error: None, error_code: Some("SOLVER_ERROR".into()) };
        let failed =
            event(Body::Job { job_id: "job-1".into(), optimization_id: Some("opt-1".into()), change: failed });
        for (event, expected) in [
            (
                created(),
                json!({"metadata": metadata, "optimizationId": "opt-1", "created": {
                    "organizationId": "org-1", "projectId": "prj-1", "name": "a \"quoted\"\nname", "description": "",
                    "objectives": {"Time [s]": {"weight": 1, "tolerance": 1e-14}}, "jobId": "job-1"}}),
            ),
            (
                run_completed(),
                json!({"metadata": metadata, "jobId": "job-1", "runIndex": 0, "completed": {
                    "cost": 0.0123, "parameterValues": {"D [m2.s-1]": 1e-14}, "iterations": 42}}),
            ),
            (
                failed,
                json!({"metadata": metadata, "jobId": "job-1", "optimizationId": "opt-1",
                       "failed": {"errorCode": "SOLVER_ERROR"}}),
            ),
        ] {
            let written: Value = serde_json::from_slice(&encoded(&event, Encoding::Json)).unwrap();
            assert_eq!(written, expected);
        }
    }

    #[test]
    fn protobuf_reads_back() {
        let read = v1::OptimizationEvent::decode(&*encoded(&created(), Encoding::Protobuf)).unwrap();
        assert_eq!(read.optimization_id, "opt-1");
        let metadata = read.metadata.unwrap();
        assert_eq!((metadata.event_id.as_str(), metadata.sequence), ("e-1", 2));
        assert_eq!(
            metadata.occurred_at.unwrap(),
            prost_types::Timestamp { seconds: 1_772_355_600, nanos: 125_000_000 }
        );
        let Some(v1::optimization_event::Event::Created(created)) = read.event else { panic!("created") };
        assert_eq!(created.description.as_deref(), Some(""));
        assert_eq!(created.cell_name, None);
        assert!(created.objectives.unwrap().fields.contains_key("Time [s]"));

        let read = v1::MultistartRunEvent::decode(&*encoded(&run_completed(), Encoding::Protobuf)).unwrap();
        let Some(v1::multistart_run_event::Event::Completed(completed)) = read.event else { panic!("completed") };
        assert_eq!((completed.cost, completed.iterations, completed.evaluations), (Some(0.0123), Some(42), None));
        let kind = &completed.parameter_values.unwrap().fields["D [m2.s-1]"].kind;
        assert_eq!(*kind, Some(prost_types::value::Kind::NumberValue(1e-14)));
    }

    #[test]
    fn the_key_is_the_id_of_what_the_topic_is_about() {
        assert_eq!(key(&created()), "opt-1");
        assert_eq!(key(&run_completed()), "job-1");
    }
}
