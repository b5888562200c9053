//! The forms of published views: a view as protobuf has the fields of the view in JSON.

use optview::codec::published_view::ViewsFormat;
use optview::codec::view_json;
use optview::domain::{Status, Timestamp, View};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use prost_reflect::{DynamicMessage, FieldDescriptor, MessageDescriptor, Value as FieldValue};
use serde_json::{Map, Value, json};

use crate::event_documents::contract;
use crate::fixtures;

/// Free objects: some of their numbers are no doubles, and their texts have what must be escaped in texts.
const OBJECTS: [&str; 4] = [
    "{}",
    r#"{"Charge time [s]":1e-14,"deep":{"quote\"d":["\n",null,true]}}"#,
    r#"{ "greatest": 18446744073709551615, "long": 0.1000000000000000055511151231257827 }"#,
    r#"{"a":{},"é😀":"}{"}"#,
];

/// The seconds of the years 1 to 9999.
const SECONDS: std::ops::Range<i64> = -62_135_596_800..253_402_300_800;

fn message() -> MessageDescriptor {
    contract().get_message_by_name("optview.views.v1.OptimizationView").unwrap()
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![Just(String::new()), vec(any::<char>(), 0..12).prop_map(String::from_iter), "[a-z0-9-]{36}"]
}

/// Returns the view in JSON as lists show it, with its objectives.
fn json_of(view: &View<'_>) -> Vec<u8> {
    let fields = view.fields().map(|field| format!("\"{}\":{}", field.name, view_json::value(field.value)));
    format!("{{{}}}", fields.join(",")).into_bytes()
}

/// Returns the field of a message in the form that the flat view has it in.
fn flat_value(message: &DynamicMessage, field: &FieldDescriptor) -> Value {
    if field.supports_presence() && !message.has_field(field) {
        return Value::Null;
    }
    match &*message.get_field(field) {
        FieldValue::String(text) => json!(text),
        FieldValue::U64(number) => json!(number),
        FieldValue::Message(time) => {
            let part = |name| time.get_field_by_name(name).unwrap();
            let nanos = u32::try_from(part("nanos").as_i32().unwrap()).unwrap();
            json!(Timestamp::new(part("seconds").as_i64().unwrap(), nanos).unwrap().to_string())
        }
        other => panic!("{}: {other:?}", field.name()),
    }
}

fn decoded(bytes: &[u8]) -> Map<String, Value> {
    let view = DynamicMessage::decode(message(), bytes).unwrap();
    assert_eq!(view.unknown_fields().count(), 0);
    message().fields().map(|field| (field.name().to_owned(), flat_value(&view, &field))).collect()
}

proptest! {
    #[test]
    fn a_view_as_protobuf_has_the_fields_of_the_flat_view(
        ids in [text(), text(), text()],
        texts in vec(option::of(text()), 11),
        status in option::of(select(&Status::ALL[..])),
        objects in [option::of(select(&OBJECTS[..])), option::of(select(&OBJECTS[..]))],
        seconds in SECONDS,
        nanos in prop_oneof![Just(0), Just(125_000_000), 0..1_000_000_000_u32],
        run_count in prop_oneof![0..5_u64, any::<u64>()],
    ) {
        let created_at = Timestamp::new(seconds, nanos).unwrap();
        let view = fixtures::view_of(&ids, &texts, objects, View { status, created_at, run_count, ..View::default() });
        let json = json_of(&view);
        let protobuf = ViewsFormat::Protobuf.encode(json.clone()).unwrap();
        let flat: Map<String, Value> =
            serde_json::from_slice(&ViewsFormat::Flat.encode(json.clone()).unwrap()).unwrap();
        prop_assert_eq!(flat.len(), 19);
        prop_assert_eq!(decoded(&protobuf), flat);
        prop_assert_eq!(ViewsFormat::Protobuf.encode(json).unwrap(), protobuf, "the same view has the same bytes");
    }
}

/// The numbers are on the wire for ever. `buf breaking` compares them with releases, of which the first has no views.
#[test]
fn the_message_has_every_key_of_a_view_with_its_number_in_their_order() {
    let keys = View::default().fields().map(|field| field.name.to_owned());
    let fields: Vec<_> = message().fields().map(|field| (field.number(), field.name().to_owned())).collect();
    assert_eq!(fields, (1..).zip(keys).collect::<Vec<_>>());
    // Null and "" differ in every field that may be null.
    let never_null = ["id", "project_id", "organization_id", "run_count"];
    for field in message().fields() {
        assert_eq!(field.supports_presence(), !never_null.contains(&field.name()), "{}", field.name());
    }
}

#[test]
fn what_is_no_view_does_not_become_a_message() {
    let sound: Map<String, Value> = serde_json::from_slice(&json_of(&View::default())).unwrap();
    let changed = |key: &str, value: Option<Value>| {
        let mut view = sound.clone();
        match value {
            Some(value) => view.insert(key.to_owned(), value),
            None => view.remove(key),
        };
        ViewsFormat::Protobuf.encode(serde_json::to_vec(&view).unwrap()).map_err(|error| error.to_string())
    };
    assert!(changed("name", Some(json!("changed"))).is_ok());
    for (key, value, part) in [
        ("a_new_field", Some(json!(1)), "unknown field `a_new_field`"),
        ("created_at", None, "missing field `created_at`"),
        ("created_at", Some(json!("yesterday")), "`yesterday` is no time"),
        ("id", Some(Value::Null), "invalid type: null"),
        ("run_count", Some(json!(-1)), "invalid value"),
    ] {
        let error = changed(key, value).unwrap_err();
        assert!(error.contains(part), "{key}: {error}");
    }
    assert!(ViewsFormat::Protobuf.encode(b"[]".to_vec()).is_err());
}
