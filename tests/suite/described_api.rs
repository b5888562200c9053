//! The description of the API at `/openapi.json` says what the API does: every path is there, every answer that a client gets is
//! described, and bodies have the keys that their schemas have. The pages need nothing from anywhere else.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use crate::live_instance::{Answer, FOREIGN, Instance, OWN, view};

async fn document(instance: &Instance) -> Value {
    let answer = instance.get("/openapi.json", &[]).await;
    assert_eq!((answer.status, answer.headers["content-type"].to_str().unwrap()), (200, "application/json"));
    answer.json()
}

fn instance() -> Instance {
    let instance = Instance::new(Duration::ZERO);
    // The last one is called as the last segment of another resource.
    instance.generation.write(vec![view("opt-1", 1), view("a/b", 1), view("statuses", 1)]);
    instance
}

/// The keys of an object, in any order.
fn keys(object: &Value) -> BTreeSet<&str> {
    object.as_object().unwrap_or_else(|| panic!("no object: {object}")).keys().map(String::as_str).collect()
}

/// The query strings that every path is asked with: none, one full of mistakes, and one that brings further headers.
const QUERIES: [&str; 3] =
    ["", "?limit=0&status=nonsense&wait=x&after=x", "?statuss=failed&after=optimizations:0:0&timeout=1ms"];

/// Headers that depend on what is asked or found.
const MAY_BE_ABSENT: [&str; 4] =
    ["x-optview-position", "x-optview-after-outcome", "x-optview-ignored", "traceparent"];

/// Headers that a description of an API does not repeat.
const OF_HTTP: [&str; 6] = [
    "content-type",
    "content-length",
    "vary",
    "x-content-type-options",
    "content-security-policy",
    "referrer-policy",
];

#[tokio::test]
async fn every_path_is_there_and_answers_what_is_described() {
    let instance = instance();
    let document = document(&instance).await;
    assert_eq!(document["openapi"], "3.1.0");
    for (path, item) in document["paths"].as_object().unwrap() {
        // The only one that reads a body is tried by `lists`.
        let Some(operation) = item.get("get") else { continue };
        assert!(operation["operationId"].is_string() && operation["summary"].is_string(), "{path}");
        let is_stream = operation["responses"]["200"]["content"].get("text/event-stream").is_some();
        for (id, headers) in
            [("opt-1", &[OWN][..]), ("nope", &[OWN]), ("opt-1", &[FOREIGN]), ("a%2Fb", &[OWN]), ("opt-1", &[])]
        {
            for query in QUERIES {
                let path = format!("{}{query}", path.replace("{id}", id).replace("{project_id}", "project-1"));
                let response = instance.send(&path, headers).await;
                let status = response.status().as_u16().to_string();
                let described = &operation["responses"][&status];
                assert!(described.is_object(), "{status} of {path} is not described");
                let headers = described["headers"].as_object().unwrap();
                for name in headers.keys() {
                    let is_there = response.headers().contains_key(name) || MAY_BE_ABSENT.contains(&name.as_str());
                    assert!(is_there, "{path}: no {name} with {status}");
                }
                for name in response.headers().keys() {
                    let is_described = headers.contains_key(name.as_str()) || OF_HTTP.contains(&name.as_str());
                    assert!(is_described, "{path}: {name} of {status} is not described");
                }
                let content_type = response.headers().get("content-type").map(|value| value.to_str().unwrap());
                let content = content_type.map(|name| name.split(';').next().unwrap());
                assert!(
                    content.is_none_or(|name| described["content"].get(name).is_some()),
                    "{path}: {content:?}"
                );
                if status == "404" {
                    let body = Answer::of(response).await.json();
                    assert_ne!(body["message"], "there is nothing at this path: check the address", "{path}");
                }
            }
        }
        assert!(is_stream == path.ends_with("/events"), "{path}");
    }
}

#[tokio::test]
async fn the_guide_says_of_every_error_what_to_do() {
    let guide = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/API.md")).unwrap();
    let rows: Vec<&str> = guide.lines().filter(|line| line.starts_with("| ")).collect();
    let mut codes = BTreeSet::new();
    for operation in document(&instance()).await["paths"].as_object().unwrap().values().flat_map(operations) {
        for (status, answer) in operation["responses"].as_object().unwrap() {
            let Some(code) = answer["content"]["application/json"]["example"]["error_code"].as_str() else {
                continue;
            };
            let has_row = rows.iter().any(|row| row.contains(status) && row.contains(&format!("`{code}`")));
            assert!(has_row, "no row of {status} {code}");
            codes.insert(code.to_owned());
        }
    }
    assert!(codes.len() >= 10, "{codes:?}");
}

/// Returns the operations of a path.
fn operations(path: &Value) -> impl Iterator<Item = &Value> {
    path.as_object().unwrap().values()
}

#[tokio::test]
async fn bodies_have_the_keys_of_their_schemas_and_examples_do_too() {
    let instance = instance();
    let document = document(&instance).await;
    for (path, item) in document["paths"].as_object().unwrap() {
        let Some(operation) = item.get("get").filter(|_| !path.ends_with("/events")) else { continue };
        let asked = path.replace("{id}", "opt-1").replace("{project_id}", "project-1");
        let body = instance.get(&asked, &[OWN]).await.json();
        let content = &operation["responses"]["200"]["content"]["application/json"];
        let schema =
            document.pointer(content["schema"]["$ref"].as_str().unwrap().trim_start_matches('#')).unwrap();
        for found in [&body, &content["example"]] {
            check(&document, schema, found, path);
        }
    }
}

/// Checks the keys of a body, and of what it holds, against a schema.
fn check(document: &Value, schema: &Value, found: &Value, place: &str) {
    let schema = match schema["$ref"].as_str() {
        Some(reference) => document.pointer(reference.trim_start_matches('#')).unwrap(),
        None => schema,
    };
    if let Some(items) = schema.get("items") {
        found
            .as_array()
            .unwrap_or_else(|| panic!("{place}: no array"))
            .iter()
            .for_each(|one| check(document, items, one, place));
    }
    let Some(properties) = schema.get("properties") else { return };
    if found.is_null() {
        return;
    }
    let required: BTreeSet<&str> =
        schema["required"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    match schema["additionalProperties"].as_bool() {
        Some(true) => assert!(required.is_subset(&keys(found)), "{place}: {found}"),
        _ => {
            let known: BTreeSet<&str> = keys(&schema["properties"]);
            assert!(required.is_subset(&keys(found)) && keys(found).is_subset(&known), "{place}: {found}");
        }
    }
    for (name, schema) in properties.as_object().unwrap() {
        if let Some(found) = found.get(name) {
            check(document, schema, found, &format!("{place}.{name}"));
        }
    }
}

#[tokio::test]
async fn the_pages_are_there_for_anybody_and_may_load_nothing_from_elsewhere() {
    let instance = instance();
    for path in ["/", "/docs", "/pages/home.js", "/pages/docs.js", "/pages/style.css", "/openapi.json"] {
        let answer = instance.get(path, &[]).await;
        assert_eq!(answer.status, 200, "{path}");
        assert_eq!(answer.headers["x-content-type-options"], "nosniff");
        if path != "/openapi.json" {
            let policy = answer.headers["content-security-policy"].to_str().unwrap();
            for directive in policy.split("; ") {
                let (_, sources) = directive.split_once(' ').unwrap();
                assert!(["'none'", "'self'", "data:"].contains(&sources), "{directive}");
            }
        }
        let etag = answer.headers["etag"].to_str().unwrap();
        assert_eq!(instance.get(path, &[("if-none-match", etag)]).await.status, 304, "{path}");
    }
}
