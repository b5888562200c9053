use proptest::prelude::*;

use super::*;
use crate::codec::{Encoding, Framing, complete, decode_any_payload, envelope};
use crate::domain::record::Header;
use crate::domain::{Envelope, Event, PartitionOffset, Record};

/// Headers that complete metadata: both attributes, one of them, or none.
const HEADERS: [&[Header<'_>]; 3] = [
    &[],
    &[("ce_id", Some(b"e-9")), ("ce_time", Some(b"2026-03-01T09:00:00Z"))],
    &[("ce_time", Some(b"2026-02-30T09:00:00Z")), ("traceparent", None)],
];

fn record<'a>(topic: Topic, payload: &'a [u8], headers: &[(&'a str, Option<&'a [u8]>)]) -> Record<'a> {
    let position = PartitionOffset { topic, partition: 1, offset: 7 };
    Record { position, timestamp_millis: Some(5), key: None, value: Some(payload), headers: headers.to_vec() }
}

/// Returns what the fast lane makes of a record.
fn plain<'a>(record: &Record<'a>) -> Option<Envelope<'a>> {
    decode(
        record.position.topic,
        record.value?,
        |metadata| complete(metadata, record, None),
        |metadata, body| envelope(record, Event { metadata, body }, 0),
    )
}

/// Checks that the fast lane gives what the general decoder gives, or nothing, on any topic and with any headers.
fn check(payload: &[u8]) -> Result<(), TestCaseError> {
    for topic in Topic::ALL {
        for headers in HEADERS {
            let record = record(topic, payload, headers);
            if let Some(plain) = plain(&record) {
                let any = decode_any_payload(&record, Framing::None, Encoding::Json, payload, None);
                prop_assert_eq!(Ok(plain), any, "{}", String::from_utf8_lossy(payload));
            }
        }
    }
    Ok(())
}

fn space() -> impl Strategy<Value = &'static str> {
    prop_oneof![6 => Just(""), 1 => Just(" "), 1 => Just("\n\t")]
}

fn string() -> impl Strategy<Value = String> {
    prop_oneof![
        24 => "[a-z0-9-]{1,40}".prop_map(|text| format!("\"{text}\"")),
        1 => Just("\"\"".to_owned()),
        1 => "\\PC{0,12}".prop_map(|text| format!("\"{text}\"")),
        1 => Just("null".to_owned()),
        1 => Just(r#""\u00e9""#.to_owned()),
    ]
}

fn time() -> impl Strategy<Value = String> {
    prop_oneof![
        24 => Just(r#""2026-03-01T09:00:00.125Z""#.to_owned()),
        1 => Just(r#""2026-02-30T09:00:00Z""#.to_owned()),
        1 => Just(r#""+300000-01-01T00:00:00Z""#.to_owned()),
        1 => string(),
    ]
}

fn number() -> impl Strategy<Value = String> {
    prop_oneof![
        24 => any::<u32>().prop_map(|number| number.to_string()),
        1 => any::<u64>().prop_map(|number| number.to_string()),
        1 => (any::<i64>(), 0..20).prop_map(|(digits, shift)| format!("{digits}e-{shift}")),
        3 => (any::<u32>(), any::<u32>(), any::<bool>()).prop_map(|(whole, fraction, is_long)| {
            if is_long { format!("{whole}.{fraction}{whole}") } else { format!("{}.{fraction}", whole % 1_000) }
        }),
        1 => any::<f64>().prop_map(|number| format!("{number:e}")),
        1 => any::<u64>().prop_map(|number| format!("\"{number}\"")),
        4 => prop_oneof![
            "-0", "-1", "01", "007", "1.", "99999999999999999999", "1e400", "1.0", "1e0", "NaN", "-Infinity", "\"\"", "\"\\+1\"", "\"1e0\"",
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

/// Generates the fields of a message: all in their order, or all in any order, with one of them twice or not, or some.
fn fields(fields: Vec<BoxedStrategy<String>>) -> impl Strategy<Value = String> {
    let which = proptest::collection::vec(any::<proptest::sample::Index>(), 0..fields.len());
    let ordered = fields.clone().prop_map(|fields| fields.join(","));
    let shuffled = fields.clone().prop_shuffle().prop_map(|fields| fields.join(","));
    let doubled = (fields.clone(), any::<proptest::sample::Index>());
    let doubled = doubled.prop_flat_map(|(fields, one)| {
        let twice = one.get(&fields).clone();
        Just([fields, vec![twice]].concat()).prop_shuffle().prop_map(|fields| fields.join(","))
    });
    let some = (fields, which).prop_map(|(fields, which)| {
        which.iter().map(|which| which.get(&fields).as_str()).collect::<Vec<_>>().join(",")
    });
    prop_oneof![8 => ordered, 2 => shuffled, 1 => doubled, 1 => some]
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

/// Generates messages of the contract, and texts that are nearly such messages. Their fields come in any order, now and then twice.
fn message() -> impl Strategy<Value = String> {
    let metadata = fields(vec![
        prop_oneof![field("eventId", string()), field("event_id", string())].boxed(),
        prop_oneof![field("occurredAt", time()), field("occurred_at", time())].boxed(),
        field("sequence", number()),
    ]);
    let metadata = (space(), metadata, space());
    let metadata =
        metadata.prop_map(|(before, fields, behind)| format!("\"metadata\":{before}{{{fields}}}{behind}"));
    let of_jobs = vec![
        metadata.boxed(),
        prop_oneof![3 => field("jobId", string()), 1 => field("job_id", string())].boxed(),
        prop_oneof![3 => field("optimizationId", string()), 1 => field("optimization_id", string())].boxed(),
        event().boxed(),
    ];
    let mut of_runs = of_jobs.clone();
    of_runs.insert(2, prop_oneof![field("runIndex", number()), field("run_index", number())].boxed());
    let mut of_optimizations = of_jobs.clone();
    drop(of_optimizations.remove(1));
    let fields = prop_oneof![fields(of_jobs), fields(of_runs), fields(of_optimizations)];
    (space(), fields, space()).prop_map(|(before, fields, behind)| format!("{before}{{{fields}{behind}}}{behind}"))
}

/// A change of a payload's bytes, at places that are taken modulo its length.
#[derive(Clone, Debug)]
enum Damage {
    Replace(usize, u8),
    Insert(usize, u8),
    Cut(usize, usize),
    Swap(usize, usize, usize),
    Double(usize, usize),
}

impl Damage {
    fn apply(&self, bytes: &mut Vec<u8>) {
        let len = bytes.len().max(1);
        match *self {
            _ if bytes.is_empty() => {}
            Damage::Replace(at, with) => bytes[at % len] = with,
            Damage::Insert(at, byte) => bytes.insert(at % len, byte),
            Damage::Cut(at, count) => drop(bytes.drain(at % len..(at % len + count).min(len))),
            Damage::Swap(one, other, count) => {
                for at in 0..count {
                    bytes.swap((one + at) % len, (other + at) % len);
                }
            }
            Damage::Double(at, count) => {
                let piece = bytes[at % len..(at % len + count).min(len)].to_vec();
                bytes.splice(at % len..at % len, piece);
            }
        }
    }
}

fn damage() -> impl Strategy<Value = Damage> {
    let byte = || {
        prop_oneof![
            3 => proptest::sample::select(&b"\"\\{}[]:,.-+eE019nt \t\n"[..]),
            1 => any::<u8>(),
        ]
    };
    let (at, count) = (0_usize..2_000, 1_usize..40);
    prop_oneof![
        (at.clone(), byte()).prop_map(|(at, with)| Damage::Replace(at, with)),
        (at.clone(), byte()).prop_map(|(at, byte)| Damage::Insert(at, byte)),
        (at.clone(), count.clone()).prop_map(|(at, count)| Damage::Cut(at, count)),
        (at.clone(), at.clone(), count.clone()).prop_map(|(one, other, count)| Damage::Swap(one, other, count)),
        (at, count).prop_map(|(at, count)| Damage::Double(at, count)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10_000, ..ProptestConfig::default() })]

    #[test]
    fn the_fast_lane_gives_what_the_general_decoder_gives_or_nothing(
        message in message(),
        damage in prop_oneof![2 => Just(Vec::new()), 1 => proptest::collection::vec(damage(), 1..3)],
    ) {
        let mut payload = message.into_bytes();
        for damage in damage {
            damage.apply(&mut payload);
        }
        check(&payload)?;
    }
}

/// Returns records as most are, without and with white space between fields where nothing free is in them, by their topics.
fn usual_records() -> Vec<(Topic, String)> {
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
    let mut usual = Vec::new();
    for (topic, event) in records {
        let job = if topic == Topic::Optimizations { "" } else { r#""jobId":"j-1","# };
        let text = format!("{{{metadata},{job}\"optimizationId\":\"o-1\",{event}}}");
        let is_free = event.contains("objectives") || event.contains("metrics");
        let spaced = (!is_free).then(|| (topic, text.replace(",\"", " ,\n\t\"").replace("\":", "\" : ")));
        usual.push((topic, text));
        usual.extend(spaced);
    }
    usual
}

#[test]
fn what_most_records_are_takes_the_fast_lane() {
    for (topic, text) in usual_records() {
        assert!(plain(&record(topic, text.as_bytes(), &[])).is_some(), "{text}");
    }
}

#[test]
fn no_single_byte_of_a_usual_record_that_is_another_or_missing_makes_the_fast_lane_differ() {
    let mut plain_count = 0;
    for (topic, text) in usual_records() {
        for at in 0..text.len() {
            for with in b"\"\\{}[]:,.-+eE0 n\n\x01\xff".iter().map(|byte| Some(*byte)).chain([None]) {
                let mut payload = text.clone().into_bytes();
                payload.splice(at..=at, with);
                let record = record(topic, &payload, &[]);
                if let Some(plain) = plain(&record) {
                    plain_count += 1;
                    let any = decode_any_payload(&record, Framing::None, Encoding::Json, &payload, None);
                    assert_eq!(Ok(plain), any, "{}", String::from_utf8_lossy(&payload));
                }
            }
        }
    }
    assert!(plain_count > 10_000, "{plain_count} of the damaged records were still plain");
}
