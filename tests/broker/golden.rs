//! The contract's golden cases hold through a real broker and a real HTTP client: in the given order and in
//! others, with repetitions, as JSON and as protobuf, over one partition and over six.

use optview::codec::encode::encode;
use optview::codec::{self, Encoding};
use optview::domain::{PartitionOffset, Record};
use serde_json::{Value, json};

use crate::cases::{Case, CaseRecord, cases};
use crate::cluster::{PutRecord, put};
use crate::dice::Dice;
use crate::rig::Rig;
use crate::server::{Answer, Server};
use crate::{Requirement, Test};

pub const TESTS: &[Test] = &[
    Test {
        name: "every_golden_case_holds_over_one_partition",
        needs: Requirement::Broker,
        run: |rig| check(rig, 1),
    },
    Test {
        name: "every_golden_case_holds_over_six_partitions",
        needs: Requirement::Broker,
        run: |rig| check(rig, 6),
    },
];

#[derive(Clone, Copy, Debug)]
enum Order {
    Given,
    Reversed,
    Shuffled(u64),
    /// The records are shuffled, and about half of them come twice or more.
    Repeated(u64),
}

const ORDERS: [Order; 9] = [
    Order::Given,
    Order::Reversed,
    Order::Shuffled(1),
    Order::Shuffled(2),
    Order::Shuffled(3),
    Order::Shuffled(4),
    Order::Repeated(5),
    Order::Repeated(6),
    Order::Repeated(7),
];

impl Order {
    fn of<T: Clone>(self, records: &[T]) -> Vec<T> {
        let mut ordered = records.to_vec();
        match self {
            Order::Given => {}
            Order::Reversed => ordered.reverse(),
            Order::Shuffled(seed) => Dice::new(seed).shuffle(&mut ordered),
            Order::Repeated(seed) => {
                let mut dice = Dice::new(seed);
                let again = (0..records.len().div_ceil(2)).map(|_| records[dice.below(records.len())].clone());
                ordered.extend(again.collect::<Vec<_>>());
                dice.shuffle(&mut ordered);
            }
        }
        ordered
    }
}

fn check(rig: &Rig, partitions: i32) {
    rig.create_topics(partitions);
    let json = variants(Encoding::Json);
    let protobuf = variants(Encoding::Protobuf);
    assert_eq!(json.len(), 17 * ORDERS.len());
    // One half exists before the start, and the other comes while the server runs.
    put(rig, &records(&json, Encoding::Json));
    let server = Server::start(rig, &[]);
    server.wait_until_live();
    put(rig, &records(&protobuf, Encoding::Protobuf));
    let report = server.wait_until_all_is_kept(rig);
    assert_eq!(report.dead_letters, 0);
    let shown: Vec<&Case> = json.iter().chain(&protobuf).filter(|case| case.view.is_some()).collect();
    for case in json.iter().chain(&protobuf) {
        check_by_id(&server, case);
    }
    check_list(&server, &shown);
    assert_eq!(report.views, shown.len() as u64);
}

/// Returns each case in each order, under its own ids, so that one server can hold them all.
fn variants(encoding: Encoding) -> Vec<Case> {
    let variant = |order: Order, case: Case| {
        let prefix = format!("{encoding:?}-{order:?}-").to_lowercase().replace(['(', ')'], ".");
        with_ids(&prefix, Case { records: order.of(&case.records), ..case })
    };
    ORDERS.into_iter().flat_map(|order| cases().into_iter().map(move |case| variant(order, case))).collect()
}

/// Returns the same case with other ids.
fn with_ids(prefix: &str, mut case: Case) -> Case {
    case.name.insert_str(0, prefix);
    for record in &mut case.records {
        record.key.insert_str(0, prefix);
        prefix_ids(prefix, &mut record.value);
    }
    if let Some(view) = &mut case.view {
        view["id"] = json!(format!("{prefix}{}", view["id"].as_str().expect("an id")));
    }
    case.missing = case.missing.map(|id| format!("{prefix}{id}"));
    case
}

fn prefix_ids(prefix: &str, value: &mut Value) {
    let Value::Object(fields) = value else { return };
    for (name, field) in fields {
        match (name.as_str(), field) {
            (
                "eventId" | "event_id" | "optimizationId" | "optimization_id" | "jobId" | "job_id",
                Value::String(id),
            ) => id.insert_str(0, prefix),
            // In free objects, a text that looks like an id is none.
            ("objectives" | "metrics" | "parameterValues" | "parameter_values", _) => {}
            (_, field) => prefix_ids(prefix, field),
        }
    }
}

fn records(cases: &[Case], encoding: Encoding) -> Vec<PutRecord> {
    cases.iter().flat_map(|case| case.records.iter().map(move |record| as_put(record, encoding))).collect()
}

fn as_put(record: &CaseRecord, encoding: Encoding) -> PutRecord {
    let topic = record.topic();
    let key = record.key.clone().into_bytes();
    let json = (!record.value.is_null()).then(|| serde_json::to_vec(&record.value).expect("JSON"));
    let value = match encoding {
        Encoding::Json => json,
        Encoding::Protobuf => json.map(|json| {
            let read = codec::decode(&Record {
                position: PartitionOffset { topic, partition: 0, offset: 0 },
                timestamp_millis: None,
                key: Some(&key),
                value: Some(&json),
                headers: Vec::new(),
            });
            let mut value = Vec::new();
            encode(&read.expect("a record of the contract").event, encoding, &mut value);
            value
        }),
    };
    PutRecord { topic, partition: None, key: Some(key), value, content_type: None }
}

fn check_by_id(server: &Server, case: &Case) {
    let Answer { status, body } = server.get(&format!("/optimizations/{}", case.id()));
    match &case.view {
        Some(view) => {
            assert_eq!(status, 200, "{}: {body}", case.name);
            assert_eq!(&body, view, "{}", case.name);
        }
        None => {
            assert_eq!(status, 404, "{}: {body}", case.name);
            assert_eq!(body["error_code"], "NOT_FOUND", "{}", case.name);
            assert!(body["message"].is_string() && body.get("detail").is_some(), "{}: {body}", case.name);
        }
    }
}

/// Checks that the list has the same views, in its own order, with the objectives that they were created with.
fn check_list(server: &Server, shown: &[&Case]) {
    let Answer { status, body } = server.get("/optimizations?limit=1000");
    assert_eq!((status, &body["total"]), (200, &json!(shown.len())));
    let listed = body["optimizations"].as_array().expect("a list");
    assert_eq!(listed.len(), shown.len());
    let place = |view: &Value| (std::cmp::Reverse(view["created_at"].to_string()), view["id"].to_string());
    assert!(listed.is_sorted_by_key(place));
    for case in shown {
        let mut item = listed.iter().find(|item| item["id"] == case.id()).expect("it is in the list").clone();
        let created = case.records.iter().find_map(|record| record.value.get("created")).expect("it was created");
        assert_eq!(item["objectives"], created["objectives"], "{}", case.name);
        item["objectives"] = Value::Null;
        assert_eq!(Some(&item), case.view.as_ref(), "{}", case.name);
    }
}
