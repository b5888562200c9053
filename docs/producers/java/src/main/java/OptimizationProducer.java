import com.fasterxml.jackson.databind.ObjectMapper;
import com.google.protobuf.Message;
import com.google.protobuf.Struct;
import com.google.protobuf.util.Structs;
import com.google.protobuf.util.Timestamps;
import com.google.protobuf.util.Values;
import java.nio.charset.StandardCharsets;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import java.util.concurrent.Future;
import optview.events.v1.JobCompleted;
import optview.events.v1.JobEvent;
import optview.events.v1.JobProcessing;
import optview.events.v1.Metadata;
import optview.events.v1.MultistartRunCompleted;
import optview.events.v1.MultistartRunEvent;
import optview.events.v1.OptimizationCreated;
import optview.events.v1.OptimizationEvent;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.serialization.StringSerializer;

/** Writes the life of one optimization to the three topics: BROKERS json|protobuf OPTIMIZATION_ID. */
public final class OptimizationProducer {
  /** The types of the messages: named in each record, so that one on a wrong topic is refused and not misunderstood. */
  private static final Map<String, String> TYPES = Map.of(
      "optimizations", "optview.events.v1.OptimizationEvent",
      "jobs", "optview.events.v1.JobEvent",
      "multistart-runs", "optview.events.v1.MultistartRunEvent");

  private record Event(String topic, String key, byte[] value) {}

  private static List<Event> jsonEvents(String optimizationId, String jobId) throws Exception {
    var created = Map.of("organizationId", "org-1", "projectId", "prj-1", "name", "Fast charge", "kind", "optimize", "jobId", jobId);
    var run = Map.of("cost", 0.0123, "iterations", 42);
    var metrics = Map.of("Charge time [s]", 1174.25, "Cycles", 12);
    return List.of(
        json("optimizations", optimizationId, Map.of("optimizationId", optimizationId, "metadata", jsonMetadata(1), "created", created)),
        json("jobs", jobId, Map.of("jobId", jobId, "metadata", jsonMetadata(1), "processing", Map.of())),
        json("multistart-runs", jobId, Map.of("jobId", jobId, "runIndex", 0, "metadata", jsonMetadata(1), "completed", run)),
        json("jobs", jobId, Map.of("jobId", jobId, "metadata", jsonMetadata(2), "completed", Map.of("metrics", metrics))));
  }

  private static Map<String, Object> jsonMetadata(long sequence) {
    return Map.of("eventId", UUID.randomUUID().toString(), "occurredAt", Instant.now().toString(), "sequence", sequence);
  }

  private static Event json(String topic, String key, Map<String, Object> event) throws Exception {
    return new Event(topic, key, new ObjectMapper().writeValueAsBytes(event));
  }

  private static List<Event> protobufEvents(String optimizationId, String jobId) {
    var created = OptimizationCreated.newBuilder()
        .setOrganizationId("org-1").setProjectId("prj-1").setName("Fast charge").setKind("optimize").setJobId(jobId);
    var run = MultistartRunCompleted.newBuilder().setCost(0.0123).setIterations(42);
    Struct metrics = Structs.of("Charge time [s]", Values.of(1174.25), "Cycles", Values.of(12));
    return List.of(
        protobuf("optimizations", optimizationId,
            OptimizationEvent.newBuilder().setOptimizationId(optimizationId).setMetadata(metadata(1)).setCreated(created).build()),
        protobuf("jobs", jobId,
            JobEvent.newBuilder().setJobId(jobId).setMetadata(metadata(1)).setProcessing(JobProcessing.getDefaultInstance()).build()),
        protobuf("multistart-runs", jobId,
            MultistartRunEvent.newBuilder().setJobId(jobId).setRunIndex(0).setMetadata(metadata(1)).setCompleted(run).build()),
        protobuf("jobs", jobId,
            JobEvent.newBuilder().setJobId(jobId).setMetadata(metadata(2))
                .setCompleted(JobCompleted.newBuilder().setMetrics(metrics)).build()));
  }

  private static Metadata metadata(long sequence) {
    return Metadata.newBuilder()
        .setEventId(UUID.randomUUID().toString()).setOccurredAt(Timestamps.now()).setSequence(sequence).build();
  }

  private static Event protobuf(String topic, String key, Message message) {
    return new Event(topic, key, message.toByteArray());
  }

  public static void main(String[] arguments) throws Exception {
    String brokers = arguments[0], encoding = arguments[1], optimizationId = arguments[2];
    String jobId = "job-of-" + optimizationId;
    List<Event> events = switch (encoding) {
      case "json" -> jsonEvents(optimizationId, jobId);
      case "protobuf" -> protobufEvents(optimizationId, jobId);
      default -> throw new IllegalArgumentException(encoding + " is neither json nor protobuf");
    };
    String prefix = System.getenv().getOrDefault("TOPIC_PREFIX", "");
    Map<String, Object> settings = Map.of("bootstrap.servers", brokers, "enable.idempotence", true, "compression.type", "zstd");
    try (var producer = new KafkaProducer<>(settings, new StringSerializer(), new ByteArraySerializer())) {
      List<Future<RecordMetadata>> deliveries = new ArrayList<>();
      for (Event event : events) {
        var record = new ProducerRecord<>(prefix + event.topic(), event.key(), event.value());
        record.headers().add("content-type", ("application/" + encoding).getBytes(StandardCharsets.UTF_8));
        record.headers().add("ce_type", TYPES.get(event.topic()).getBytes(StandardCharsets.UTF_8));
        deliveries.add(producer.send(record));
      }
      for (Future<RecordMetadata> delivery : deliveries) {
        delivery.get();
      }
    }
    System.out.println(events.size() + " events of " + optimizationId + " were written");
  }
}
