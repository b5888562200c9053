// Writes the life of one optimization to the three topics: producer BROKERS json|protobuf OPTIMIZATION_ID
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kgo"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	eventsv1 "optview/events/v1"
)

// types are named in each record, so that one which is put on a wrong topic is refused and not misunderstood.
var types = map[string]string{
	"optimizations":   "optview.events.v1.OptimizationEvent",
	"jobs":            "optview.events.v1.JobEvent",
	"multistart-runs": "optview.events.v1.MultistartRunEvent",
}

type object = map[string]any

// event is a record without what all records have in common.
type event struct {
	topic, key string
	value      []byte
}

func jsonEvents(optimizationID, jobID string) ([]event, error) {
	metadata := func(sequence int) object {
		return object{"eventId": uuid.NewString(), "occurredAt": time.Now().UTC(), "sequence": sequence}
	}
	created := object{"organizationId": "org-1", "projectId": "prj-1", "name": "Fast charge", "kind": "optimize", "jobId": jobID}
	run := object{"cost": 0.0123, "iterations": 42}
	metrics := object{"Charge time [s]": 1174.25, "Cycles": 12}
	var events []event
	for _, message := range []struct {
		topic, key string
		fields     object
	}{
		{"optimizations", optimizationID, object{"optimizationId": optimizationID, "metadata": metadata(1), "created": created}},
		{"jobs", jobID, object{"jobId": jobID, "metadata": metadata(1), "processing": object{}}},
		{"multistart-runs", jobID, object{"jobId": jobID, "runIndex": 0, "metadata": metadata(1), "completed": run}},
		{"jobs", jobID, object{"jobId": jobID, "metadata": metadata(2), "completed": object{"metrics": metrics}}},
	} {
		value, err := json.Marshal(message.fields)
		if err != nil {
			return nil, err
		}
		events = append(events, event{message.topic, message.key, value})
	}
	return events, nil
}

func protobufEvents(optimizationID, jobID string) ([]event, error) {
	metadata := func(sequence uint64) *eventsv1.Metadata {
		return &eventsv1.Metadata{EventId: uuid.NewString(), OccurredAt: timestamppb.Now(), Sequence: sequence}
	}
	metrics, err := structpb.NewStruct(object{"Charge time [s]": 1174.25, "Cycles": 12})
	if err != nil {
		return nil, err
	}
	created := &eventsv1.OptimizationEvent_Created{Created: &eventsv1.OptimizationCreated{
		OrganizationId: "org-1", ProjectId: "prj-1",
		Name: proto.String("Fast charge"), Kind: proto.String("optimize"), JobId: proto.String(jobID),
	}}
	processing := &eventsv1.JobEvent_Processing{Processing: &eventsv1.JobProcessing{}}
	run := &eventsv1.MultistartRunEvent_Completed{Completed: &eventsv1.MultistartRunCompleted{
		Cost: proto.Float64(0.0123), Iterations: proto.Uint64(42),
	}}
	completed := &eventsv1.JobEvent_Completed{Completed: &eventsv1.JobCompleted{Metrics: metrics}}
	var events []event
	for _, message := range []struct {
		topic, key string
		message    proto.Message
	}{
		{"optimizations", optimizationID, &eventsv1.OptimizationEvent{OptimizationId: optimizationID, Metadata: metadata(1), Event: created}},
		{"jobs", jobID, &eventsv1.JobEvent{JobId: jobID, Metadata: metadata(1), Event: processing}},
		{"multistart-runs", jobID, &eventsv1.MultistartRunEvent{JobId: jobID, RunIndex: 0, Metadata: metadata(1), Event: run}},
		{"jobs", jobID, &eventsv1.JobEvent{JobId: jobID, Metadata: metadata(2), Event: completed}},
	} {
		value, err := proto.Marshal(message.message)
		if err != nil {
			return nil, err
		}
		events = append(events, event{message.topic, message.key, value})
	}
	return events, nil
}

func write(brokers, encoding string, events []event) error {
	// A producer of franz-go is idempotent, and waits for all replicas.
	client, err := kgo.NewClient(
		kgo.SeedBrokers(strings.Split(brokers, ",")...),
		kgo.ProducerBatchCompression(kgo.ZstdCompression()),
		kgo.RecordDeliveryTimeout(30*time.Second),
	)
	if err != nil {
		return err
	}
	defer client.Close()
	var records []*kgo.Record
	for _, event := range events {
		records = append(records, &kgo.Record{
			Topic: os.Getenv("TOPIC_PREFIX") + event.topic,
			Key:   []byte(event.key),
			Value: event.value,
			Headers: []kgo.RecordHeader{
				{Key: "content-type", Value: []byte("application/" + encoding)},
				{Key: "ce_type", Value: []byte(types[event.topic])},
			},
		})
	}
	return client.ProduceSync(context.Background(), records...).FirstErr()
}

func main() {
	log.SetFlags(0)
	eventsOf := map[string]func(string, string) ([]event, error){"json": jsonEvents, "protobuf": protobufEvents}
	if len(os.Args) != 4 || eventsOf[os.Args[2]] == nil {
		log.Fatal("producer BROKERS json|protobuf OPTIMIZATION_ID")
	}
	brokers, encoding, optimizationID := os.Args[1], os.Args[2], os.Args[3]
	events, err := eventsOf[encoding](optimizationID, "job-of-"+optimizationID)
	if err == nil {
		err = write(brokers, encoding, events)
	}
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%d events of %s were written\n", len(events), optimizationID)
}
