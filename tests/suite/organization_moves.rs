//! Optimizations that move between two organizations all the while: no list shows one to who may not see it, or under a
//! filter that it does not pass, and no total counts more than the caller may see.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use axum::body::Body;
use http_body_util::BodyExt as _;
use optview::credentials::ApiKeys;
use optview::domain::event::JobChange;
use optview::domain::{Optimization, Status, Timestamp};
use optview::http::{Access, ReadApi, Readiness, read_api};
use optview::live_views::ReaderSource;
use optview::status::{self, State};
use optview::store::{ListQuery, Writer};
use serde_json::Value;
use tower::ServiceExt as _;

use crate::fixtures;

const ORGANIZATIONS: [&str; 2] = ["org-0", "org-1"];
const KEYS: &str = "
[[keys]]
key = \"key-0\"
organizations = [\"org-0\"]
[[keys]]
key = \"key-1\"
organizations = [\"org-1\"]
";

/// Number of optimizations that move.
const OPTIMIZATIONS: u64 = 600;
/// Number of times that all of them move, and of lists that each reader reads at the least.
const ROUNDS: u64 = 40;
const PAGES: u64 = 60;

/// The optimization `number` as it is in a round.
fn optimization(number: u64, round: u64) -> Optimization {
    let mut optimization = Optimization::new(Arc::from(format!("optimization-{number:05}")));
    let mut created = fixtures::created(round);
    // Some stay, and change what is filtered by.
    let organization = if number.is_multiple_of(5) { number % 2 } else { (number / 3 + round) % 2 };
    created.value.organization_id = ORGANIZATIONS[organization as usize].into();
    // The lists' order is not that in which records are written, so that a page is read on both sides of a change.
    let place = i64::try_from(number * 257 % OPTIMIZATIONS).unwrap();
    created.value.created_at = Timestamp::new(place, 0).unwrap();
    created.value.project_id = format!("project-{}", (number + round / 2) % 2).into();
    created.value.kind = Some(format!("kind-{}", (number + round) % 3).into());
    optimization.created = Some(created);
    optimization.link(&Arc::from(format!("job-of-{number}")), fixtures::stamp(round));
    let change = if (number + round).is_multiple_of(2) { JobChange::Pending } else { JobChange::Processing };
    optimization.job.apply(&change, fixtures::stamp(round));
    optimization
}

fn commit(writer: &Writer, round: u64) {
    let all = (0..OPTIMIZATIONS).map(|number| optimization(number, round)).collect();
    writer.commit(fixtures::commit_of(all), Vec::new(), round).unwrap();
}

fn api(writer: &Writer) -> ReadApi {
    let keys = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(keys.path(), KEYS).unwrap();
    let access = Access::with_keys(ApiKeys::from_file(keys.path()).unwrap());
    let (reader, status) = (ReaderSource::default(), status::Status::new(1));
    status.set_state(State::Live);
    reader.set(writer.reader(), status.clone());
    read_api(reader, status, access, Readiness::default())
}

async fn get(api: &ReadApi, key: &str, query: &str) -> Value {
    let request = axum::http::Request::builder().uri(format!("/optimizations?{query}")).header("x-api-key", key);
    let Ok(response) = api.clone().oneshot(request.body(Body::empty()).unwrap()).await;
    assert_eq!(response.status(), 200, "{query}");
    serde_json::from_slice(&response.into_body().collect().await.unwrap().to_bytes()).unwrap()
}

/// Reads lists until `over` is set.
fn read(api: &ReadApi, which: usize, pages: &AtomicU64, over: &AtomicBool) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let (key, organization) = (format!("key-{which}"), ORGANIZATIONS[which]);
    let queries = [
        "limit=1000",
        "limit=50&offset=20",
        "limit=1000&status=queued",
        "limit=1000&project_id=project-1",
        "limit=30&kind=kind-2&status=running",
        "limit=1000&project_id=project-0&kind=kind-0&status=queued",
    ];
    for query in queries.into_iter().cycle() {
        if over.load(Ordering::Acquire) {
            return;
        }
        let page = runtime.block_on(get(api, &key, query));
        let views = page["optimizations"].as_array().unwrap();
        for view in views {
            assert_eq!(view["organization_id"], organization, "{query}: {view}");
            for (filter, field) in [("status", "status"), ("kind", "kind"), ("project_id", "project_id")] {
                let wanted = query.split('&').find_map(|pair| pair.strip_prefix(filter)?.strip_prefix('='));
                assert!(wanted.is_none_or(|wanted| view[field] == wanted), "{query}: {view}");
            }
        }
        let total = page["total"].as_u64().unwrap();
        // All there is fits on such a page, so it is what is counted.
        if query.contains("limit=1000") {
            assert_eq!(total, views.len() as u64, "{query}");
        }
        assert!(views.len() as u64 <= total && total <= OPTIMIZATIONS, "{query}: {total}");
        pages.fetch_add(1, Ordering::AcqRel);
    }
}

#[test]
fn no_list_shows_what_belongs_to_another_organization_or_does_not_pass_its_filters() {
    let directory = tempfile::tempdir().unwrap();
    let writer = fixtures::open(directory.path()).writer;
    commit(&writer, 1);
    fixtures::wait_until_written(&writer, 1);
    let api = api(&writer);
    let (pages, over) = ([AtomicU64::new(0), AtomicU64::new(0)], AtomicBool::new(false));
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..2)
            .map(|which| {
                let (api, pages, over) = (&api, &pages[which], &over);
                scope.spawn(move || read(api, which, pages, over))
            })
            .collect();
        let is_done = || pages.iter().all(|pages| pages.load(Ordering::Acquire) >= PAGES);
        let mut round = 1;
        // One that has failed reads no more.
        while (round <= ROUNDS || !is_done()) && !readers.iter().any(|reader| reader.is_finished()) {
            round += 1;
            commit(&writer, round);
            fixtures::wait_until_written(&writer, round);
        }
        over.store(true, Ordering::Release);
    });
    drop(api);
    writer.finish().unwrap();
}

/// Records are written in the order of their numbers, so reads by id show which optimizations have moved already.
#[test]
fn no_total_counts_what_the_caller_may_see_no_more() {
    let directory = tempfile::tempdir().unwrap();
    let writer = fixtures::open(directory.path()).writer;
    let all_in = |round: u64, organization: &str| {
        let moved = |number| {
            let mut optimization = optimization(number, round);
            optimization.created.as_mut().unwrap().value.organization_id = organization.into();
            optimization
        };
        writer.commit(fixtures::commit_of((0..OPTIMIZATIONS).map(moved).collect()), Vec::new(), round).unwrap();
    };
    all_in(1, ORGANIZATIONS[0]);
    fixtures::wait_until_written(&writer, 1);
    let reader = writer.reader();
    for round in 2..12 {
        let [from, to] = [round % 2, (round + 1) % 2].map(|which| ORGANIZATIONS[which as usize]);
        all_in(round, to);
        let mut gone = 0;
        while gone < OPTIMIZATIONS {
            let id = format!("optimization-{gone:05}");
            if reader.get(&id, Some(from)).unwrap().is_some() {
                continue;
            }
            gone += 1;
            let query = ListQuery { organization_id: Some(from), limit: 1, ..ListQuery::default() };
            let total = reader.list(&query).unwrap().total;
            assert!(total <= OPTIMIZATIONS - gone, "{total} are counted, and {gone} have gone");
        }
        fixtures::wait_until_written(&writer, round);
        let query = ListQuery { statuses: Some(Status::Queued).into(), limit: 1, ..ListQuery::default() };
        assert_eq!(reader.list(&query).unwrap().total, OPTIMIZATIONS / 2, "none is lost");
    }
    writer.finish().unwrap();
}
