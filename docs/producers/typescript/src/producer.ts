// Writes the life of one optimization to the three topics: producer.js BROKERS json|protobuf OPTIMIZATION_ID

import { randomUUID } from "node:crypto";
import { create, toBinary, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampNow } from "@bufbuild/protobuf/wkt";
import { CompressionTypes, Kafka, logLevel } from "kafkajs";
import { JobEventSchema } from "./generated/optview/events/v1/job_pb.js";
import { MultistartRunEventSchema } from "./generated/optview/events/v1/multistart_run_pb.js";
import { OptimizationEventSchema } from "./generated/optview/events/v1/optimization_pb.js";

// Named in each record, so that one which is put on a wrong topic is refused and not misunderstood.
const TYPES = {
  optimizations: "optview.events.v1.OptimizationEvent",
  jobs: "optview.events.v1.JobEvent",
  "multistart-runs": "optview.events.v1.MultistartRunEvent",
};

type Topic = keyof typeof TYPES;
type Event = { topic: Topic; key: string; value: Buffer };

function jsonEvents(optimizationId: string, jobId: string): Event[] {
  const metadata = (sequence: number) => ({ eventId: randomUUID(), occurredAt: new Date().toISOString(), sequence });
  const created = { organizationId: "org-1", projectId: "prj-1", name: "Fast charge", kind: "optimize", jobId };
  const metrics = { "Charge time [s]": 1174.25, Cycles: 12 };
  const event = (topic: Topic, key: string, event: object) => ({ topic, key, value: Buffer.from(JSON.stringify(event)) });
  return [
    event("optimizations", optimizationId, { optimizationId, metadata: metadata(1), created }),
    event("jobs", jobId, { jobId, metadata: metadata(1), processing: {} }),
    event("multistart-runs", jobId, { jobId, runIndex: 0, metadata: metadata(1), completed: { cost: 0.0123, iterations: 42 } }),
    event("jobs", jobId, { jobId, metadata: metadata(2), completed: { metrics } }),
  ];
}

function protobufEvents(optimizationId: string, jobId: string): Event[] {
  const metadata = (sequence: bigint) => ({ eventId: randomUUID(), occurredAt: timestampNow(), sequence });
  const optimization = (event: MessageInitShape<typeof OptimizationEventSchema>["event"]) =>
    toBinary(OptimizationEventSchema, create(OptimizationEventSchema, { optimizationId, metadata: metadata(1n), event }));
  const job = (sequence: bigint, event: MessageInitShape<typeof JobEventSchema>["event"]) =>
    toBinary(JobEventSchema, create(JobEventSchema, { jobId, metadata: metadata(sequence), event }));
  const run = (runIndex: number, event: MessageInitShape<typeof MultistartRunEventSchema>["event"]) =>
    toBinary(MultistartRunEventSchema, create(MultistartRunEventSchema, { jobId, runIndex, metadata: metadata(1n), event }));

  const created = { organizationId: "org-1", projectId: "prj-1", name: "Fast charge", kind: "optimize", jobId };
  const metrics = { "Charge time [s]": 1174.25, Cycles: 12 };
  const event = (topic: Topic, key: string, value: Uint8Array) => ({ topic, key, value: Buffer.from(value) });
  return [
    event("optimizations", optimizationId, optimization({ case: "created", value: created })),
    event("jobs", jobId, job(1n, { case: "processing", value: {} })),
    event("multistart-runs", jobId, run(0, { case: "completed", value: { cost: 0.0123, iterations: 42n } })),
    event("jobs", jobId, job(2n, { case: "completed", value: { metrics } })),
  ];
}

const [brokers, encoding, optimizationId] = process.argv.slice(2);
if (brokers === undefined || optimizationId === undefined || (encoding !== "json" && encoding !== "protobuf")) {
  console.error("producer.js BROKERS json|protobuf OPTIMIZATION_ID");
  process.exit(2);
}
const eventsOf = { json: jsonEvents, protobuf: protobufEvents }[encoding];
const events = eventsOf(optimizationId, `job-of-${optimizationId}`);
const prefix = process.env["TOPIC_PREFIX"] ?? "";
const headers = (topic: Topic) => ({ "content-type": `application/${encoding}`, ce_type: TYPES[topic] });
const kafka = new Kafka({ brokers: brokers.split(","), logLevel: logLevel.ERROR });
const producer = kafka.producer({ idempotent: true });
await producer.connect();
try {
  await producer.sendBatch({
    compression: CompressionTypes.GZIP,
    topicMessages: events.map(({ topic, key, value }) => ({
      topic: prefix + topic,
      messages: [{ key, value, headers: headers(topic) }],
    })),
  });
} finally {
  await producer.disconnect();
}
console.log(`${events.length} events of ${optimizationId} were written`);
