//! Lists as a client meets them: the answer that existing clients know stays as it was, byte for byte; filters, orders and cursors
//! give what they say; no answer shows or counts what the caller may not see; and an answer that is there already is not sent again.

mod answers;

use std::io::Read as _;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Method, Request};
use http_body_util::BodyExt as _;
use optview::domain::event::{JobChange, JsonObject};
use optview::domain::{Optimization, Register, Status as ViewStatus, Timestamp};
use optview::http::{Access, ReadApi, Readiness, read_api};
use optview::live_views::ReaderSource;
use optview::status::{State, Status};
use optview::store::Writer;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use crate::fixtures;

const OPTIMIZATIONS: u32 = 30;

/// An instance with [`OPTIMIZATIONS`] optimizations, of which every third belongs to another organization.
struct Instance {
    _directory: tempfile::TempDir,
    writer: Writer,
    api: ReadApi,
}

fn optimization(number: u32) -> Optimization {
    let name = format!("{} {number}", if number.is_multiple_of(2) { "Fit of Cell" } else { "fit é" });
    let mut optimization = fixtures::optimization(&format!("o{number:02}"), 1, name, "text".to_owned());
    let created = &mut optimization.created.as_mut().unwrap().value;
    if number.is_multiple_of(3) {
        created.organization_id = "org-2".into();
    }
    created.project_id = format!("prj/{}", number % 2).into();
    created.kind = Some(if number.is_multiple_of(5) { "datafit" } else { "optimize" }.into());
    created.created_at = Timestamp::new(i64::from(number / 2), 0).unwrap();
    created.objectives = Some(format!(r#"{{"Time [s]":{number}.0}}"#).into());
    if number.is_multiple_of(4) {
        return optimization;
    }
    optimization.link(&format!("job-{number}").into(), fixtures::stamp(2));
    let change = match number % 4 {
        1 => JobChange::Pending,
        2 => JobChange::Completed { metrics: Some(JsonObject(r#"{"cost":1}"#.into())) },
        _ => JobChange::Failed { error: Some("it \"broke\"".into()), error_code: Some("E1".into()) },
    };
    optimization.job.apply(&change, fixtures::stamp(3));
    optimization
}

impl Instance {
    fn new() -> Instance {
        let directory = tempfile::tempdir().unwrap();
        let writer = fixtures::open(directory.path()).writer;
        let (reader, status) = (ReaderSource::default(), Status::new(1));
        status.set_state(State::Live);
        reader.set(writer.reader(), status.clone());
        let api = read_api(reader, status, Access::open(), Readiness::default());
        let instance = Instance { _directory: directory, writer, api };
        instance.commit((0..OPTIMIZATIONS).map(optimization).collect(), 1);
        instance
    }

    fn commit(&self, optimizations: Vec<Optimization>, commit: u64) {
        self.writer.commit(fixtures::commit_of(optimizations), Vec::new(), commit).unwrap();
        fixtures::wait_until_written(&self.writer, commit);
    }

    async fn send(&self, request: Request<Body>) -> Answer {
        let Ok(response) = self.api.clone().oneshot(request).await;
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Answer { status: parts.status.as_u16(), headers: parts.headers, body }
    }

    async fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        let builder = Request::builder().method(Method::GET).uri(path);
        let builder = headers.iter().fold(builder, |builder, (name, value)| builder.header(*name, *value));
        self.send(builder.body(Body::empty()).unwrap()).await
    }

    /// Gets a list as a caller of `org-1`.
    async fn list(&self, query: &str) -> Answer {
        self.get_with(&format!("/optimizations?{query}"), &[("x-organization-id", "org-1")]).await
    }

    async fn post(&self, body: impl Into<Body>, organization: &str) -> Answer {
        let builder = Request::builder().method(Method::POST).uri("/optimizations/statuses");
        let request = builder.header("x-organization-id", organization).body(body.into()).unwrap();
        self.send(request).await
    }
}

struct Answer {
    status: u16,
    headers: HeaderMap,
    body: Bytes,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {:?}", self.body))
    }

    fn numbers(&self) -> Vec<u32> {
        let body = self.json();
        let views = body["optimizations"].as_array().unwrap_or_else(|| panic!("{body}"));
        views.iter().map(|view| view["id"].as_str().unwrap()[1..].parse().unwrap()).collect()
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).unwrap_or_else(|| panic!("{name} in {:?}", self.headers)).to_str().unwrap()
    }

    /// Returns the query of a link.
    fn link(&self, relation: &str) -> Option<String> {
        let links = self.header("link").split(", ");
        let end = format!(">; rel=\"{relation}\"");
        links.filter_map(|link| Some(link.strip_prefix("<?")?.strip_suffix(&end)?.to_owned())).next()
    }
}

/// Returns the numbers of `org-1` that pass, in the order of a list without a sort.
fn of_org_1(passes: impl Fn(u32) -> bool) -> Vec<u32> {
    let mut numbers: Vec<u32> =
        (0..OPTIMIZATIONS).filter(|number| !number.is_multiple_of(3) && passes(*number)).collect();
    numbers.sort_by_key(|number| (std::cmp::Reverse(number / 2), *number));
    numbers
}

#[tokio::test]
async fn a_list_as_existing_clients_ask_for_it_is_what_it_was() {
    let instance = Instance::new();
    let answer = instance.list("project_id=prj%2F1&status=failed&kind=optimize&limit=1&offset=1").await;
    let expected = concat!(
        r#"{"optimizations":[{"id":"o19","name":"fit é 19","description":"text","project_id":"prj/1","#,
        r#""organization_id":"org-1","status":"failed","kind":"optimize","created_at":"1970-01-01T00:00:09Z","#,
        r#""created_by_email":null,"cell_spec_id":null,"parameterized_model_id":null,"#,
        r#""parameterized_model_name":null,"cell_name":null,"optimization_template_id":null,"metrics":null,"#,
        r#""objectives":{"Time [s]":19.0},"error":"it \"broke\"","error_code":"E1","run_count":0}],"total":4}"#
    );
    assert_eq!((answer.status, str::from_utf8(&answer.body).unwrap()), (200, expected));
    assert_eq!(answer.header("content-type"), "application/json");
    assert!(!answer.headers.contains_key("content-encoding") && !answer.headers.contains_key("x-optview-ignored"));
    let all = instance.get_with("/optimizations", &[]).await;
    let mut expected: Vec<u32> = (0..OPTIMIZATIONS).collect();
    expected.sort_by_key(|number| (std::cmp::Reverse(number / 2), *number));
    assert_eq!((all.numbers(), &all.json()["total"]), (expected, &json!(OPTIMIZATIONS)));
}

#[tokio::test]
async fn filters_select_what_they_name() {
    let instance = Instance::new();
    let check = async |query: &str, expected: Vec<u32>| {
        let answer = instance.list(query).await;
        assert_eq!(answer.json()["total"], json!(expected.len()), "{query}");
        assert_eq!(answer.numbers(), expected, "{query}");
        assert!(!expected.is_empty(), "{query}");
    };
    check("status=failed&status=queued", of_org_1(|number| number % 4 == 3 || number % 4 == 1)).await;
    check("status=null", of_org_1(|number| number.is_multiple_of(4))).await;
    check("status=null&status=succeeded", of_org_1(|number| number.is_multiple_of(2))).await;
    check("id=o04&id=o05&id=o06&id=none&id=o04", vec![4, 5]).await;
    check("id=o04&id=o05&status=queued", vec![5]).await;
    check("q=CELL+1", of_org_1(|number| number.is_multiple_of(2) && (number == 1 || number / 10 == 1))).await;
    check("q=%C3%89&kind=datafit", of_org_1(|number| !number.is_multiple_of(2) && number.is_multiple_of(5))).await;
    let time = "created_after=1970-01-01T00:00:02Z&created_before=1970-01-01T01:00:04%2B01:00";
    check(time, of_org_1(|number| (2..4).contains(&(number / 2)))).await;
    check(&format!("{time}&q=fit&status=queued"), of_org_1(|number| number == 5)).await;
}

#[tokio::test]
async fn lists_are_sorted_as_they_are_asked_for() {
    let instance = Instance::new();
    let newest = of_org_1(|_| true);
    let oldest: Vec<u32> = newest.iter().rev().copied().collect();
    let mut by_name = newest.clone();
    by_name.sort_by_key(|number| {
        format!("{} {number}", if number.is_multiple_of(2) { "fit of cell" } else { "fit é" })
    });
    let by_name_reversed: Vec<u32> = by_name.iter().rev().copied().collect();
    for (sort, expected) in
        [("-created_at", &newest), ("created_at", &oldest), ("name", &by_name), ("-name", &by_name_reversed)]
    {
        assert_eq!(instance.list(&format!("sort={sort}")).await.numbers(), *expected, "{sort}");
        let part = instance.list(&format!("sort={sort}&limit=3&offset=4")).await;
        assert_eq!((part.numbers(), &part.json()["total"]), (expected[4..7].to_vec(), &json!(expected.len())));
    }
    // A rename moves a view.
    let mut renamed = optimization(29);
    renamed.name = Some(Box::new(Register::new("AAA".into(), fixtures::stamp(9))));
    instance.commit(vec![renamed], 2);
    assert_eq!(instance.list("sort=name&limit=1").await.numbers(), [29]);
    assert_eq!(instance.list("q=aaa").await.numbers(), [29]);
    assert_eq!(instance.list("id=o29&q=fit").await.json()["total"], 0);
}

#[tokio::test]
async fn cursors_and_links_lead_through_a_list() {
    let instance = Instance::new();
    for query in ["sort=name&limit=3", "limit=4", "sort=created_at&q=fit&limit=7", "limit=1&status=queued"] {
        let whole = instance.list(&query.replace("limit=", "limit=100&was=")).await;
        let (mut met, mut next) = (Vec::new(), Some(format!("{query}&cursor=")));
        while let Some(page) = next {
            let answer = instance.list(&page).await;
            assert_eq!(answer.json()["total"], whole.json()["total"], "{page}");
            assert_eq!(answer.link("first").as_deref(), Some(&*format!("{query}&cursor=")));
            assert!(!answer.numbers().is_empty(), "{page}: there is no next page where nothing is left");
            met.extend(answer.numbers());
            let cursor = answer.json()["next_cursor"].as_str().map(str::to_owned);
            next = answer.link("next");
            assert_eq!(next, cursor.map(|cursor| format!("{query}&cursor={cursor}")));
        }
        assert_eq!(met, whole.numbers(), "{query}");
        let (mut met, mut next) = (Vec::new(), Some(query.to_owned()));
        while let Some(page) = next {
            let answer = instance.list(&page).await;
            assert!(answer.json().get("next_cursor").is_none());
            met.extend(answer.numbers());
            next = answer.link("next");
        }
        assert_eq!(met, whole.numbers(), "{query}");
    }
}

#[tokio::test]
async fn a_page_of_summaries_leaves_out_two_keys() {
    let instance = Instance::new();
    let mut expected = instance.list("").await.json();
    for view in expected["optimizations"].as_array_mut().unwrap() {
        let view = view.as_object_mut().unwrap();
        assert!(view.remove("metrics").is_some() && view.remove("objectives").is_some());
    }
    assert_eq!(instance.list("summary=true").await.json(), expected);
    assert_eq!(instance.list("summary=false").await.body, instance.list("").await.body);
}

#[tokio::test]
async fn nothing_of_another_organization_is_shown_or_counted() {
    let instance = Instance::new();
    for query in
        ["id=o00&id=o03", "q=fit&limit=1000", "sort=name&limit=1000", "created_before=9999-01-01T00:00:00Z"]
    {
        let answer = instance.list(query).await;
        let numbers = answer.numbers();
        assert!(numbers.iter().all(|number| !number.is_multiple_of(3)), "{query}: {numbers:?}");
        assert_eq!(answer.json()["total"], json!(numbers.len()), "{query}");
    }
    let ids = r#"{"optimization_ids": ["o00", "o01", "o03"]}"#;
    assert_eq!(instance.post(ids, "org-1").await.json().as_array().unwrap().len(), 1);
    let path = "/projects/prj%2F1/optimizations/summary";
    let total = async |organization| {
        instance.get_with(path, &[("x-organization-id", organization)]).await.json()["total"].clone()
    };
    assert_eq!([total("org-1").await, total("org-2").await, total("org-3").await, total("").await], [10, 5, 0, 0]);
}

#[tokio::test]
async fn statuses_are_answered_in_the_order_of_their_ids() {
    let instance = Instance::new();
    let answer = instance.post(r#"{"optimization_ids": ["o07", "none", "o04", "o02", "o07"]}"#, "org-1").await;
    let expected = json!([
        {"optimization_id": "o07", "status": "failed", "error": "it \"broke\"", "error_code": "E1",
         "updated_at": "1970-01-01T00:00:03Z"},
        {"optimization_id": "o04", "status": null, "error": null, "error_code": null,
         "updated_at": "1970-01-01T00:00:02Z"},
        {"optimization_id": "o02", "status": "succeeded", "error": null, "error_code": null,
         "updated_at": "1970-01-01T00:00:03Z"},
    ]);
    assert_eq!((answer.status, answer.json()), (200, expected));
    assert_eq!((answer.header("content-type"), answer.header("x-optview-state")), ("application/json", "live"));
    let limited = instance.post(r#"{"optimization_ids": ["none", "o07", "o04"], "limit": 1}"#, "org-1").await;
    assert_eq!(limited.json().as_array().unwrap().len(), 1);
    assert_eq!(instance.post(r#"{"optimization_ids": []}"#, "org-1").await.json(), json!([]));
    let wrong = instance.post("{}", "org-1").await;
    assert_eq!((wrong.status, &wrong.json()["error_code"]), (422, &json!("VALIDATION_ERROR")));
    let by_get = instance.get_with("/optimizations/statuses", &[]).await;
    assert_eq!(by_get.status, 404, "an optimization may have this id");
}

#[tokio::test]
async fn a_project_is_summed_up() {
    let instance = Instance::new();
    let answer = instance.get_with("/projects/prj%2F1/optimizations/summary", &[]).await;
    let statuses = |queued, failed| json!({"queued": queued, "running": 0, "succeeded": 0, "failed": failed, "canceled": 0, "null": 0});
    let expected = json!({
        "project_id": "prj/1",
        "total": 15,
        "statuses": statuses(8, 7),
        "kinds": [
            {"kind": "datafit", "total": 3, "statuses": statuses(2, 1)},
            {"kind": "optimize", "total": 12, "statuses": statuses(6, 6)},
        ],
    });
    assert_eq!((answer.status, answer.json()), (200, expected));
    let all = ViewStatus::ALL.len() + 1;
    let unknown = instance.get_with("/projects/unknown/optimizations/summary", &[]).await.json();
    assert_eq!((unknown["statuses"].as_object().unwrap().len(), &unknown["kinds"]), (all, &json!([])));
}
