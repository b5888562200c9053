"""Writes the life of one optimization to the three topics: producer.py BROKERS json|protobuf OPTIMIZATION_ID"""

import json
import os
import sys
import uuid
from datetime import datetime, timezone

from confluent_kafka import Producer

from optview.events.v1.job_pb2 import JobCompleted, JobEvent, JobProcessing
from optview.events.v1.metadata_pb2 import Metadata
from optview.events.v1.multistart_run_pb2 import MultistartRunCompleted, MultistartRunEvent
from optview.events.v1.optimization_pb2 import OptimizationCreated, OptimizationEvent

# Named in each record, so that one which is put on a wrong topic is refused and not misunderstood.
TYPES = {
    "optimizations": "optview.events.v1.OptimizationEvent",
    "jobs": "optview.events.v1.JobEvent",
    "multistart-runs": "optview.events.v1.MultistartRunEvent",
}


def json_events(optimization_id, job_id):
    def metadata(sequence):
        now = datetime.now(timezone.utc).isoformat()
        return {"eventId": str(uuid.uuid4()), "occurredAt": now, "sequence": sequence}

    created = {"organizationId": "org-1", "projectId": "prj-1", "name": "Fast charge", "kind": "optimize", "jobId": job_id}
    run = {"cost": 0.0123, "iterations": 42}
    metrics = {"Charge time [s]": 1174.25, "Cycles": 12}
    events = [
        ("optimizations", optimization_id, {"optimizationId": optimization_id, "metadata": metadata(1), "created": created}),
        ("jobs", job_id, {"jobId": job_id, "metadata": metadata(1), "processing": {}}),
        ("multistart-runs", job_id, {"jobId": job_id, "runIndex": 0, "metadata": metadata(1), "completed": run}),
        ("jobs", job_id, {"jobId": job_id, "metadata": metadata(2), "completed": {"metrics": metrics}}),
    ]
    # Without allow_nan=False, NaN is written as a number that JSON does not have.
    return [(topic, key, json.dumps(event, allow_nan=False).encode()) for topic, key, event in events]


def protobuf_events(optimization_id, job_id):
    def metadata(sequence):
        metadata = Metadata(event_id=str(uuid.uuid4()), sequence=sequence)
        metadata.occurred_at.GetCurrentTime()
        return metadata

    created = OptimizationCreated(
        organization_id="org-1", project_id="prj-1", name="Fast charge", kind="optimize", job_id=job_id
    )
    run = MultistartRunCompleted(cost=0.0123, iterations=42)
    completed = JobCompleted()
    completed.metrics.update({"Charge time [s]": 1174.25, "Cycles": 12})
    events = [
        ("optimizations", optimization_id, OptimizationEvent(optimization_id=optimization_id, metadata=metadata(1), created=created)),
        ("jobs", job_id, JobEvent(job_id=job_id, metadata=metadata(1), processing=JobProcessing())),
        ("multistart-runs", job_id, MultistartRunEvent(job_id=job_id, run_index=0, metadata=metadata(1), completed=run)),
        ("jobs", job_id, JobEvent(job_id=job_id, metadata=metadata(2), completed=completed)),
    ]
    return [(topic, key, event.SerializeToString()) for topic, key, event in events]


def main(brokers, encoding, optimization_id):
    events = {"json": json_events, "protobuf": protobuf_events}[encoding](optimization_id, f"job-of-{optimization_id}")
    producer = Producer({"bootstrap.servers": brokers, "enable.idempotence": True, "compression.type": "zstd"})
    failures = []

    def delivered(error, _message):
        if error is not None:
            failures.append(error)

    for topic, key, value in events:
        headers = {"content-type": f"application/{encoding}", "ce_type": TYPES[topic]}
        topic = os.environ.get("TOPIC_PREFIX", "") + topic
        producer.produce(topic, key=key, value=value, headers=headers, on_delivery=delivered)
    producer.flush()
    if failures:
        sys.exit(f"{len(failures)} of {len(events)} events were not written: {failures[0]}")
    print(f"{len(events)} events of {optimization_id} were written")


if len(sys.argv) != 4:
    sys.exit(__doc__)
main(*sys.argv[1:])
