use proptest::prelude::*;

use super::*;
use crate::codec::event_json::decode_any;

fn space() -> impl Strategy<Value = &'static str> {
    prop_oneof![6 => Just(""), 1 => Just(" "), 1 => Just("\n\t")]
}

fn string() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => "[a-z0-9-]{0,40}".prop_map(|text| format!("\"{text}\"")),
        1 => "\\PC{0,12}".prop_map(|text| format!("\"{text}\"")),
        1 => Just("null".to_owned()),
        1 => Just(r#""\u00e9""#.to_owned()),
    ]
}

fn time() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => Just(r#""2026-03-01T09:00:00.125Z""#.to_owned()),
        1 => Just(r#""2026-02-30T09:00:00Z""#.to_owned()),
        1 => Just(r#""+300000-01-01T00:00:00Z""#.to_owned()),
        1 => string(),
    ]
}

fn number() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => any::<u32>().prop_map(|number| number.to_string()),
        1 => any::<f64>().prop_map(|number| format!("{number:e}")),
        1 => any::<u64>().prop_map(|number| format!("\"{number}\"")),
        1 => prop_oneof![
            "-0", "-1", "01", "1.", "1e400", "1.0", "1e0", "NaN", "-Infinity", "\"\"", "\"\\+1\"", "\"1e0\"",
            "\"1.0\"", "\"01\"", "\"-0\"", "\"NaN\"",
        ]
        .prop_map(String::from),
    ]
}

/// Generates free objects. `json_cursor` has the property of their numbers.
fn free_object() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => (string(), number()).prop_map(|(key, value)| format!("{{{key}:{value}}}")),
        1 => (string(), string(), space())
            .prop_map(|(key, value, space)| format!("{{{key}:{{\"a\":[{value},true]}}{space}}}")),
        1 => prop_oneof!["null", "\\{\\}", "\\[\\]", "1"].prop_map(String::from),
    ]
}

/// Generates the fields of a message: each of the given ones or not, and now and then one of them twice.
fn fields(fields: Vec<BoxedStrategy<String>>) -> impl Strategy<Value = String> {
    let count = fields.len();
    let which = proptest::collection::vec(any::<proptest::sample::Index>(), 0..count);
    let all = prop_oneof![3 => Just(true), 1 => Just(false)];
    (fields, which, all).prop_map(move |(fields, which, all)| {
        let some = which.iter().map(|which| which.get(&fields).as_str());
        if all { fields.join(",") } else { some.collect::<Vec<_>>().join(",") }
    })
}

fn field(key: &'static str, value: impl Strategy<Value = String> + 'static) -> BoxedStrategy<String> {
    (space(), value).prop_map(move |(space, value)| format!("\"{key}\"{space}:{value}")).boxed()
}

/// Generates the fields of which a message has one.
fn event() -> impl Strategy<Value = String> {
    let message = |key: &'static str, of: Vec<BoxedStrategy<String>>| {
        fields(of).prop_map(move |fields| format!("\"{key}\":{{{fields}}}"))
    };
    let created = vec![
        field("organizationId", string()),
        field("project_id", string()),
        field("name", string()),
        field("description", string()),
        field("kind", string()),
        field("createdAt", time()),
        field("createdByEmail", string()),
        field("cell_spec_id", string()),
        field("cellName", string()),
        field("parameterizedModelId", string()),
        field("parameterized_model_name", string()),
        field("optimizationTemplateId", string()),
        field("objectives", free_object()),
        field("jobId", string()),
    ];
    let completed = vec![
        field("cost", number()),
        field("parameterValues", free_object()),
        field("iterations", number()),
        field("evaluations", number()),
    ];
    prop_oneof![
        1 => Just(r#""started":{}"#.to_owned()),
        1 => Just(r#""pending":{ }"#.to_owned()),
        1 => Just(r#""canceled":[]"#.to_owned()),
        1 => Just(r#""deleted":{}"#.to_owned()),
        1 => Just(r#""processing":{"later":1}"#.to_owned()),
        4 => message("created", created),
        2 => message("completed", completed),
        2 => message("completed", vec![field("metrics", free_object())]),
        1 => message("failed", vec![field("error", string())]),
        1 => message("failed", vec![field("error", string()), field("errorCode", string())]),
        1 => message("detailsChanged", vec![field("name", string()), field("description", string())]),
        1 => message(
            "displayNamesChanged",
            vec![field("cellName", string()), field("parameterizedModelName", string())],
        ),
        1 => message("jobLinked", vec![field("job_id", string())]),
    ]
}

/// Generates messages of the contract, and texts that are nearly such messages.
fn message() -> impl Strategy<Value = String> {
    let subject = prop_oneof![
        (string(), string(), number()).prop_map(|(job_id, optimization_id, run_index)| {
            format!("\"jobId\":{job_id},\"optimization_id\":{optimization_id},\"runIndex\":{run_index}")
        }),
        (string(), string()).prop_map(|(job_id, optimization_id)| format!(
            "\"job_id\":{job_id},\"optimizationId\":{optimization_id}"
        )),
        string().prop_map(|optimization_id| format!("\"optimizationId\":{optimization_id}")),
    ];
    let events = prop_oneof![
        6 => event(),
        1 => proptest::collection::vec(event(), 2).prop_map(|events| events.join(",")),
    ];
    (space(), string(), time(), number(), subject, events).prop_map(
        |(space, event_id, time, sequence, subject, events)| {
            format!(
                "{{{space}\"metadata\":{space}{{\"eventId\":{event_id},\"occurredAt\":{time}{space},\
                 \"sequence\":{sequence}}},{subject},{events}{space}}}"
            )
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6_000, ..ProptestConfig::default() })]

    #[test]
    fn the_fast_lane_gives_what_the_general_decoder_gives_or_nothing(
        message in message(),
        damage in proptest::option::weighted(0.3, (any::<proptest::sample::Index>(), any::<char>())),
    ) {
        let mut text = message;
        if let Some((at, with)) = damage {
            let at = at.index(text.chars().count());
            text = text.chars().enumerate().map(|(n, held)| if n == at { with } else { held }).collect();
        }
        for topic in Topic::ALL {
            if let Some(fast) = decode(topic, &text) {
                prop_assert_eq!(Ok(fast), decode_any(topic, &text));
            }
        }
    }
}

#[test]
fn what_most_records_are_takes_the_fast_lane() {
    let metadata = r#""metadata":{"eventId":"e-1","occurredAt":"2026-03-01T09:00:00.125Z","sequence":"1"}"#;
    let created = r#""created":{"organizationId":"org-1","projectId":"prj-9","name":"Plating margin 484",
        "description":null,"kind":"optimize","createdAt":"2026-01-01T03:35:55.684Z","createdByEmail":"a@example.com",
        "cellSpecId":"c-1","cellName":"Pouch 5 Ah – β","parameterizedModelId":"m-1","parameterizedModelName":"MSMR",
        "objectives":{"Low temperature":{"type":"DesignObjective","weight":2,"tolerance":1e-14,
        "options":{"Temperature [K]":319,"solver":"IDAKLU","rescale":true},
        "constraints":{"Minimum anode potential [V]":{"lower":0.565309,"upper":null}}}},"jobId":"j-1"}"#;
    let created = created.split("\n        ").collect::<String>();
    let metrics = r#""completed":{"metrics":{"Charge time [s]":4154.024372,"Cycles":167,"LLI [mol]":1.67e-14}}"#;
    let run =
        r#""completed":{"cost":0.0123,"parameterValues":{"D [m2.s-1]":1e-14},"iterations":42,"evaluations":9}"#;
    let records = [
        (Topic::Optimizations, created.as_str()),
        (Topic::Optimizations, r#""detailsChanged":{"name":"","description":"two"}"#),
        (Topic::Optimizations, r#""displayNamesChanged":{"cellName":"LG M50"}"#),
        (Topic::Optimizations, r#""jobLinked":{"jobId":"j-2"}"#),
        (Topic::Optimizations, r#""deleted":{}"#),
        (Topic::Jobs, r#""pending":{}"#),
        (Topic::Jobs, metrics),
        (Topic::Jobs, r#""completed":{}"#),
        (Topic::Jobs, r#""failed":{"error":"worker lost","errorCode":"INTERNAL_ERROR"}"#),
        (Topic::MultistartRuns, r#""runIndex":3,"started":{}"#),
        (Topic::MultistartRuns, run),
        (Topic::MultistartRuns, r#""failed":{"error":"diverged"}"#),
    ];
    for (topic, event) in records {
        let job = if topic == Topic::Optimizations { "" } else { r#""jobId":"j-1","# };
        let record = format!("{{{metadata},{job}\"optimizationId\":\"o-1\",{event}}}");
        assert!(decode(topic, &record).is_some(), "{record}");
        let is_free = event.contains("objectives") || event.contains("metrics");
        let spaced = record.replace(",\"", " ,\n\t\"");
        assert!(is_free || decode(topic, &spaced).is_some(), "{spaced}");
    }
}
