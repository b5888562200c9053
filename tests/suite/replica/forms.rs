//! The forms in which views are published: each is shown as it was, to the byte, and what this version does not know is refused.

use optview::codec::published_view::ViewsFormat;
use optview::codec::replicated_view::ReplicatedView;
use optview::codec::view_json;
use optview::domain::{Status, Timestamp, View};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Map, Value, json};

use crate::fixtures;

const OBJECTS: [&str; 4] = [
    "{}",
    r#"{"Charge time [s]":1e-14,"deep":{"quote\"d":["\n",null,true]}}"#,
    r#"{ "greatest": 18446744073709551615, "long": 0.1000000000000000055511151231257827 }"#,
    r#"{"a":{},"é😀":"}{\\"}"#,
];

fn text() -> impl Strategy<Value = String> {
    prop_oneof![any::<String>(), r#"[\\"/,:a-c{}\n\u{7f}]{0,12}"#]
}

proptest! {
    #[test]
    fn a_view_of_any_form_is_read_back_as_it_was(
        ids in [text(), text(), text()],
        texts in proptest::collection::vec(option::of(text()), 11),
        status in option::of(select(&Status::ALL[..])),
        objects in [option::of(select(&OBJECTS[..])), option::of(select(&OBJECTS[..]))],
        (seconds, nanos) in (-62_135_596_800..253_402_300_800_i64, prop_oneof![Just(0), Just(125_000_000), 0..1_000_000_000_u32]),
        run_count in any::<u64>(),
    ) {
        let created_at = Timestamp::new(seconds, nanos).unwrap();
        let view = fixtures::view_of(&ids, &texts, objects, View { status, created_at, run_count, ..View::default() });
        for format in ViewsFormat::ALL {
            let value = format.encode(view_json::listed(&view)).unwrap();
            let read = ReplicatedView::decode(&value, Some(format.content_type())).unwrap();
            prop_assert_eq!(read.view(), view.clone(), "{:?}", format);
        }
    }

    #[test]
    fn no_bytes_make_it_panic(bytes: Vec<u8>, cut in 0..400_usize) {
        for format in ViewsFormat::ALL {
            let mut value = format.encode(view_json::listed(&View { id: "a", ..View::default() })).unwrap();
            value.truncate(cut);
            for value in [&value, &bytes] {
                let _ = ReplicatedView::decode(value, Some(format.content_type()));
            }
        }
    }
}

/// Returns the reason for which a view is refused of which one key has another value, or none.
fn refusal(sound: &Map<String, Value>, key: &str, value: Option<Value>) -> String {
    let mut view = sound.clone();
    match value {
        Some(value) => view.insert(key.to_owned(), value),
        None => view.remove(key),
    };
    let view = serde_json::to_vec(&view).unwrap();
    ReplicatedView::decode(&view, Some("application/json")).unwrap_err().to_string()
}

#[test]
fn what_this_version_would_not_show_is_refused_and_named() {
    let view = view_json::listed(&View { id: "a", metrics: Some("{}"), ..View::default() });
    let sound: Map<String, Value> = serde_json::from_slice(&view).unwrap();
    let json = Some("application/json");
    assert!(ReplicatedView::decode(&view, json).is_ok());
    for (key, value, part) in [
        ("a_new_field", Some(json!(1)), "unknown field `a_new_field`"),
        ("created_at", None, "missing field `created_at`"),
        ("status", Some(json!("paused")), "its status `paused`"),
        ("metrics", Some(json!([1])), "its `metrics` is not the text of a JSON object"),
        ("objectives", Some(json!("{")), "its `objectives` is not the text of a JSON object"),
        // Flat in part: no publisher writes that.
        ("objectives", Some(json!("{}")), "has something that this version does not show"),
    ] {
        let error = refusal(&sound, key, value);
        assert!(error.contains(part), "{key}: {error}");
    }
    let mut spaced = view.clone();
    spaced.push(b' ');
    assert!(ReplicatedView::decode(&spaced, json).is_err(), "it could not be shown to the byte");
    for content_type in [None, Some("text/plain"), Some("application/avro")] {
        assert!(ReplicatedView::decode(&view, content_type).unwrap_err().to_string().contains("content-type"));
    }
    let mut protobuf = ViewsFormat::Protobuf.encode(view).unwrap();
    let content_type = Some("application/protobuf");
    assert!(ReplicatedView::decode(&protobuf, content_type).is_ok());
    // Field 20, which a later version may add.
    protobuf.extend_from_slice(&[0xA0, 0x01, 0x01]);
    let error = ReplicatedView::decode(&protobuf, content_type).unwrap_err().to_string();
    assert!(error.contains("something that this version does not show"), "{error}");
}
