//! An event means the same whatever a serializer or a bus has wrapped around it. Every published shape is wrapped in every way, and
//! must decode to what it decodes to as it is.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::ZlibEncoder;
use optview::codec::{self, Encoding, Framing, ValueForm};
use optview::domain::record::Header;
use optview::domain::{Record, Topic, TopicPartition};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::cases::topic_named;

const TIME: &str = "2026-03-01T09:00:00.125Z";
const GUID: [u8; 16] =
    [0x89, 0x79, 0x17, 0x62, 0x23, 0x36, 0x41, 0x86, 0x96, 0x74, 0x29, 0x9b, 0x90, 0xa8, 0x02, 0xe2];

/// A published shape in one encoding.
struct Shape {
    name: String,
    topic: Topic,
    encoding: Encoding,
    /// The event with its metadata.
    whole: Vec<u8>,
    /// The event without metadata, as it is beside the attributes of a CloudEvent.
    bare: Vec<u8>,
}

fn shapes() -> Vec<Shape> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/suite/fixtures/events");
    let mut shapes = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let folder = entry.unwrap().path();
        let read = |name: &str| fs::read(folder.join(name)).unwrap();
        let topic = topic_named(String::from_utf8(read("json.txt")).unwrap().lines().next().unwrap());
        let name = folder.file_name().unwrap().to_str().unwrap().to_owned();
        for (encoding, whole, bare) in [
            (Encoding::Json, "camel.json", "cloudevents.json"),
            (Encoding::Protobuf, "protobuf.bin", "cloudevents.bin"),
        ] {
            shapes.push(Shape { name: name.clone(), topic, encoding, whole: read(whole), bare: read(bare) });
        }
    }
    assert!(shapes.len() > 80, "the fixtures are all there");
    shapes
}

/// A value in its wrapping, with the headers that come with it.
struct WrappedValue {
    what: &'static str,
    value: Vec<u8>,
    headers: Vec<(&'static str, Vec<u8>)>,
}

impl WrappedValue {
    fn new(what: &'static str, parts: &[&[u8]]) -> WrappedValue {
        WrappedValue { what, value: parts.concat(), headers: Vec::new() }
    }

    fn header(mut self, name: &'static str, value: &[u8]) -> WrappedValue {
        self.headers.push((name, value.to_vec()));
        self
    }
}

fn with_record<T>(topic: Topic, wrapped: &WrappedValue, then: impl FnOnce(&Record<'_>) -> T) -> T {
    let headers: Vec<Header<'_>> = wrapped.headers.iter().map(|(name, value)| (*name, Some(&value[..]))).collect();
    let position = TopicPartition::new(topic, 0).at(0);
    then(&Record { position, timestamp_millis: Some(0), key: Some(b"key"), value: Some(&wrapped.value), headers })
}

/// Returns the decoded event as text, since NaN is not equal to itself; or the reason for which it is refused.
fn decoded(topic: Topic, wrapped: &WrappedValue, framing: Framing) -> String {
    with_record(topic, wrapped, |record| match codec::decode_framed(record, framing) {
        Ok(envelope) => format!("{:?}", envelope.event),
        Err(error) => format!("refused: {error}"),
    })
}

fn form(topic: Topic, wrapped: &WrappedValue) -> String {
    with_record(topic, wrapped, |record| ValueForm::of(record, Framing::Auto).unwrap().unwrap().to_string())
}

fn deflated(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// The reference to a type that Apicurio's serializer writes before a message.
fn type_reference(topic: Topic) -> Vec<u8> {
    let name: &[u8] = match topic {
        Topic::Optimizations => b"OptimizationEvent",
        Topic::Jobs => b"JobEvent",
        Topic::MultistartRuns => b"MultistartRunEvent",
    };
    let len = u8::try_from(name.len()).unwrap();
    [&[len + 2, 0x0a, len][..], name].concat()
}

/// The frames of schema registries around a payload, and the ids in headers beside it.
fn framed(shape: &Shape) -> Vec<WrappedValue> {
    let payload = &shape.whole[..];
    let reference = type_reference(shape.topic);
    let types: Vec<(&str, Vec<u8>)> = match shape.encoding {
        Encoding::Json => vec![("", Vec::new())],
        Encoding::Protobuf => vec![("first", vec![0]), ("path", vec![4, 2, 0]), ("reference", reference.clone())],
    };
    let mut wrapped = Vec::new();
    for (_, type_prefix) in &types {
        wrapped.push(WrappedValue::new("in the Confluent wire format", &[&[0, 0, 0, 3, 9], type_prefix, payload]));
        wrapped.push(WrappedValue::new("in the Confluent wire format", &[&[1], &GUID, type_prefix, payload]));
        wrapped.push(
            WrappedValue::new("", &[payload])
                .header("__value_schema_id", &[&[1][..], &GUID, type_prefix].concat()),
        );
        if *type_prefix != [4, 2, 0] {
            let id = 70_u64.to_be_bytes();
            wrapped.push(WrappedValue::new("in Apicurio's wire format", &[&[0], &id, type_prefix, payload]));
        }
    }
    let indexes: &[&[u8]] = match shape.encoding {
        Encoding::Json => &[b""],
        Encoding::Protobuf => &[&[0], &[7], &[0xac, 0x02]],
    };
    for index in indexes {
        wrapped.push(WrappedValue::new("in AWS Glue's wire format", &[&[3, 0], &GUID, index, payload]));
        let compressed = deflated(&[*index, payload].concat());
        wrapped.push(WrappedValue::new("in AWS Glue's wire format", &[&[3, 5], &GUID, &compressed]));
    }
    wrapped.push(WrappedValue::new("in Apicurio's wire format", &[&[0], &70_u64.to_be_bytes(), payload]));
    let in_headers = match shape.encoding {
        Encoding::Json => payload.to_vec(),
        Encoding::Protobuf => [&reference[..], payload].concat(),
    };
    for value in [payload, &in_headers] {
        wrapped.push(WrappedValue::new("", &[value]).header("apicurio.value.globalId", &70_u64.to_be_bytes()));
    }
    wrapped
}

/// CloudEvents in structured mode around a payload, without the event's own metadata.
fn structured(shape: &Shape) -> Vec<WrappedValue> {
    let id = format!("e-{}", shape.name);
    let attributes = json!({
        "specversion": "1.0", "id": id, "source": "/simulations", "time": TIME, "subject": "any", "extension": {"a": 1},
    });
    let with = |fields: Value| {
        let mut event = attributes.clone();
        event.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        event
    };
    let base64 = STANDARD.encode(&shape.bare);
    let mut wrapped = match shape.encoding {
        Encoding::Json => {
            vec![
                with(json!({"data_base64": base64, "datacontenttype": "application/json"})).to_string(),
                with(json!({"data_base64": base64})).to_string(),
            ]
        }
        Encoding::Protobuf => vec![
            with(json!({"data_base64": base64, "datacontenttype": "application/protobuf"})).to_string(),
            with(json!({"data_base64": base64, "data": null})).to_string(),
        ],
    };
    if shape.encoding == Encoding::Json {
        // The text of the numbers must stay as it is.
        let attributes = attributes.to_string();
        let attributes = attributes.trim_end_matches('}');
        let attributes = format!("{attributes}}}");
        let data = std::str::from_utf8(&shape.bare).unwrap();
        for content_type in
            ["", r#","datacontenttype":"application/json;charset=utf-8""#, r#","datacontenttype":null"#]
        {
            wrapped.push(format!("{}{content_type},\"data\": {data}\n}}", &attributes[..attributes.len() - 1]));
        }
    }
    let types = ["application/cloudevents+json", "Application/CloudEvents+JSON; charset=UTF-8"];
    let wrapped = wrapped.into_iter().flat_map(|value| {
        types.map(|content_type| {
            WrappedValue::new("in a structured CloudEvent", &[value.as_bytes()])
                .header("content-type", content_type.as_bytes())
        })
    });
    wrapped.collect()
}

#[test]
fn every_published_shape_means_the_same_in_every_frame() {
    for shape in shapes() {
        let expected = decoded(shape.topic, &WrappedValue::new("", &[&shape.whole]), Framing::None);
        assert!(!expected.starts_with("refused"), "{}: {expected}", shape.name);
        for wrapped in framed(&shape) {
            let (name, what) = (&shape.name, wrapped.what);
            assert_eq!(
                decoded(shape.topic, &wrapped, Framing::Auto),
                expected,
                "{name} {what} {:?}",
                wrapped.value
            );
            assert!(form(shape.topic, &wrapped).ends_with(what), "{name} {what}: {}", form(shape.topic, &wrapped));
        }
    }
}

#[test]
fn every_published_shape_means_the_same_as_the_data_of_a_structured_cloud_event() {
    for shape in shapes() {
        let (id, name) = (format!("e-{}", shape.name), &shape.name);
        let headers = WrappedValue::new("", &[&shape.bare])
            .header("ce_id", id.as_bytes())
            .header("ce_time", TIME.as_bytes());
        let content_type: &[u8] = match shape.encoding {
            Encoding::Json => b"application/json",
            Encoding::Protobuf => b"application/protobuf",
        };
        let expected = decoded(shape.topic, &headers.header("content-type", content_type), Framing::Auto);
        assert!(!expected.starts_with("refused"), "{name}: {expected}");
        for wrapped in structured(&shape) {
            let text = String::from_utf8_lossy(&wrapped.value);
            assert_eq!(decoded(shape.topic, &wrapped, Framing::Auto), expected, "{name}: {text}");
            assert!(form(shape.topic, &wrapped).ends_with(wrapped.what), "{name}: {text}");
        }
    }
}

#[test]
fn the_events_own_metadata_win_over_the_attributes_of_a_cloud_event() {
    let data = r#"{"metadata":{"eventId":"own","occurredAt":"2026-03-01T09:00:00Z"},"jobId":"j","pending":{}}"#;
    let value = format!(r#"{{"specversion":"1.0","id":"outer","time":"2020-01-01T00:00:00Z","data":{data}}}"#);
    let wrapped =
        WrappedValue::new("", &[value.as_bytes()]).header("content-type", b"application/cloudevents+json");
    assert_eq!(
        decoded(Topic::Jobs, &wrapped, Framing::Auto),
        decoded(Topic::Jobs, &WrappedValue::new("", &[data.as_bytes()]), Framing::Auto)
    );
}

#[test]
fn numbers_that_json_does_not_have_are_taken_in_a_cloud_event_too() {
    let data = r#"{"metadata":{"eventId":"e","occurredAt":"2026-03-01T09:00:00Z"},"jobId":"j","completed":{"metrics":{"a":NaN}}}"#;
    let value = format!(r#"{{"specversion":"1.0","data":{data}}}"#);
    let wrapped =
        WrappedValue::new("", &[value.as_bytes()]).header("content-type", b"application/cloudevents+json");
    let expected = decoded(Topic::Jobs, &WrappedValue::new("", &[data.as_bytes()]), Framing::Auto);
    assert!(expected.contains(r#"{\"a\":null}"#), "{expected}");
    assert_eq!(decoded(Topic::Jobs, &wrapped, Framing::Auto), expected);
}

#[test]
fn a_frame_that_is_named_is_taken_where_auto_would_doubt_and_no_other_is() {
    let event = br#"{"metadata":{"eventId":"e","occurredAt":"2026-03-01T09:00:00Z"},"jobId":"j","pending":{}}"#;
    let confluent = WrappedValue::new("", &[&[0, 0, 0, 0, 7], event]);
    let apicurio = WrappedValue::new("", &[&[0], &7_u64.to_be_bytes(), event]);
    let large_id = WrappedValue::new("", &[&[0], &0x0123_4567_89ab_cdef_u64.to_be_bytes(), event]);
    let glue = WrappedValue::new("", &[&[3, 0], &GUID, event]);
    let plain = WrappedValue::new("", &[event]);
    let expected = decoded(Topic::Jobs, &plain, Framing::Auto);
    for (framing, taken) in [
        (Framing::Auto, [true, true, false, true]),
        (Framing::Confluent, [true, false, false, false]),
        (Framing::Apicurio, [false, true, true, false]),
        (Framing::Glue, [false, false, false, true]),
        (Framing::None, [false, false, false, false]),
    ] {
        for (wrapped, is_taken) in [&confluent, &apicurio, &large_id, &glue].into_iter().zip(taken) {
            let decoded = decoded(Topic::Jobs, wrapped, framing);
            assert_eq!(decoded == expected, is_taken, "{framing:?} {:?}: {decoded}", wrapped.value);
        }
        assert_eq!(
            decoded(Topic::Jobs, &plain, framing),
            expected,
            "what has no frame is understood: {framing:?}"
        );
    }
}

#[test]
fn data_that_grows_beyond_the_limit_of_a_record_is_refused_and_not_held_in_memory() {
    let compressed = deflated(&vec![b' '; (8 << 20) + 1]);
    assert!(compressed.len() < 100_000);
    let wrapped = WrappedValue::new("", &[&[3, 5], &GUID, &compressed]);
    let refused = decoded(Topic::Jobs, &wrapped, Framing::Auto);
    assert!(refused.contains("8388609 bytes, more than"), "{refused}");
}

proptest! {
    #[test]
    fn any_id_of_a_schema_is_skipped(id in any::<u32>(), guid in any::<[u8; 16]>(), small in 1_u64..0x1_0000) {
        for (at, event) in [
            (0, &br#"{"metadata":{"eventId":"e","occurredAt":"2026-03-01T09:00:00Z"},"jobId":"j","pending":{}}"#[..]),
            (1, b"\x0a\x09\x0a\x01e\x12\x04\x08\x80\x94\x01\x12\x01j\x22\x00"),
        ] {
            let expected = decoded(Topic::Jobs, &WrappedValue::new("", &[event]), Framing::None);
            prop_assert!(!expected.starts_with("refused"), "{}", expected);
            let index: &[u8] = if at == 0 { &[] } else { &[0] };
            for wrapped in [
                WrappedValue::new("", &[&[0], &id.to_be_bytes(), index, event]),
                WrappedValue::new("", &[&[1], &guid, index, event]),
                WrappedValue::new("", &[&[3, 0], &guid, index, event]),
                WrappedValue::new("", &[&[0], &small.to_be_bytes(), event]),
            ] {
                prop_assert_eq!(&decoded(Topic::Jobs, &wrapped, Framing::Auto), &expected, "{:?}", wrapped.value);
            }
        }
    }

    #[test]
    fn no_bytes_make_decoding_panic(
        magic in prop_oneof![Just(0_u8), Just(1), Just(3), any::<u8>()],
        rest in proptest::collection::vec(any::<u8>(), 0..60),
        is_structured in any::<bool>(),
    ) {
        let mut wrapped = WrappedValue::new("", &[&[magic], &rest]);
        if is_structured {
            wrapped = wrapped.header("content-type", b"application/cloudevents+json");
        }
        for framing in [Framing::Auto, Framing::Confluent, Framing::Glue, Framing::Apicurio, Framing::None] {
            for topic in Topic::ALL {
                let _ = decoded(topic, &wrapped, framing);
            }
        }
    }
}
