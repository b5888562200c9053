use std::sync::Arc as Shared;

use std::io::Read as _;

use axum::http::header::{ACCEPT_ENCODING, IF_NONE_MATCH};
use http_body_util::BodyExt as _;
use tempfile::TempDir;

use super::*;
use crate::domain::{
    Commit, CreationFacts, Metadata, Optimization, PartitionOffset, Register, Stamp, Timestamp, Topic,
};
use crate::store::{ListQuery, OpenStore};

const DESCRIPTION: usize = 40_000;

fn optimization(number: usize) -> Optimization {
    let metadata = Metadata { event_id: "event".into(), occurred_at: Timestamp::default(), sequence: 1 };
    let stamp = Stamp::new(&metadata, 0, PartitionOffset { topic: Topic::Optimizations, partition: 0, offset: 0 });
    let mut optimization = Optimization::new(Shared::from(format!("opt-{number:03}")));
    let created = CreationFacts {
        organization_id: "org-1".into(),
        project_id: "prj-1".into(),
        description: Some("x".repeat(DESCRIPTION).into()),
        ..CreationFacts::default()
    };
    optimization.created = Some(Register::new(created, stamp));
    optimization
}

/// Makes a store of `count` views of 40 kB each.
fn store(count: usize) -> (TempDir, OpenStore) {
    let directory = tempfile::tempdir().unwrap();
    let opened = crate::store::open(directory.path(), 1 << 20).unwrap();
    let optimizations = (0..count).map(|number| Shared::new(optimization(number))).collect();
    opened.writer.commit(Commit { optimizations, jobs: Vec::new() }, Vec::new(), 1).unwrap();
    while opened.writer.commits_written() < 1 {
        opened.writer.check().unwrap();
        std::thread::yield_now();
    }
    (directory, opened)
}

fn shared(bytes: usize) -> ListMemory {
    ListMemory { turns: ListTurns::new(2), memory: ResponseMemory::new(bytes) }
}

fn query() -> ListQuery<'static> {
    ListQuery { limit: 100, ..ListQuery::default() }
}

async fn ask(opened: &OpenStore, shared: &ListMemory) -> Result<Response, HttpError> {
    ask_as("key", opened, shared).await
}

async fn ask_as(key: &str, opened: &OpenStore, shared: &ListMemory) -> Result<Response, HttpError> {
    let reader = opened.writer.reader();
    let list = response(move || reader.page(&query()), request(key, HeaderMap::new()), shared.clone()).await?;
    Ok(list.response)
}

fn request(key: &str, headers: HeaderMap) -> ListRequest {
    ListRequest { headers, caller: CallerIdentity::Key(key.to_owned()), is_versioned: true }
}

async fn ask_with_tag(tag: &HeaderValue, opened: &OpenStore) -> Response {
    let reader = opened.writer.reader();
    let headers = HeaderMap::from_iter([(IF_NONE_MATCH, tag.clone())]);
    let list = response(move || reader.page(&query()), request("key", headers), shared(1 << 20)).await.unwrap();
    list.response
}

fn rename(number: usize, opened: &OpenStore, commit: u64) {
    let mut renamed = optimization(number);
    renamed.created.as_mut().unwrap().value.name = Some("another".into());
    let commit_of_it = Commit { optimizations: vec![Shared::new(renamed)], jobs: Vec::new() };
    opened.writer.commit(commit_of_it, Vec::new(), commit).unwrap();
    while opened.writer.commits_written() < commit {
        opened.writer.check().unwrap();
        std::thread::yield_now();
    }
}

#[tokio::test]
async fn a_client_that_has_the_page_gets_a_304_until_any_view_of_it_changes() {
    // The first page is one piece, the second has views in its last piece only.
    for count in [1, 50] {
        let (_directory, opened) = store(count);
        let tag = ask(&opened, &shared(1 << 20)).await.unwrap().headers()[ETAG].clone();
        assert!(tag.to_str().unwrap().starts_with("W/\""));
        let same = ask_with_tag(&tag, &opened).await;
        assert_eq!((same.status(), &same.headers()[ETAG]), (StatusCode::NOT_MODIFIED, &tag));
        assert!(same.into_body().collect().await.unwrap().to_bytes().is_empty());
        rename(count - 1, &opened, 2);
        let other = ask_with_tag(&tag, &opened).await;
        assert_eq!((other.status(), other.headers()[ETAG] == tag), (StatusCode::OK, false));
        assert_eq!(other.headers()[CACHE_CONTROL], "no-cache");
        drop(other);
        opened.writer.finish().unwrap();
    }
}

async fn next(response: &mut Response) -> Option<Bytes> {
    Some(response.body_mut().frame().await?.unwrap().into_data().unwrap())
}

#[tokio::test]
async fn a_large_page_is_sent_in_pieces_that_are_the_page_together() {
    let (_directory, opened) = store(100);
    let shared = shared(1 << 20);
    let mut response = ask(&opened, &shared).await.unwrap();
    assert_eq!(response.headers()[CONTENT_TYPE], "application/json");
    let (mut pieces, mut body) = (0, Vec::new());
    while let Some(piece) = next(&mut response).await {
        assert!(piece.len() < PIECE + 2 * DESCRIPTION, "{}", piece.len());
        body.extend_from_slice(&piece);
        pieces += 1;
    }
    assert!(pieces > 20, "{pieces}");
    let page = opened.writer.reader().list(&query()).unwrap();
    assert_eq!((Bytes::from(body), page.total), (page.body, 100));
    opened.writer.finish().unwrap();
}

#[tokio::test]
async fn a_page_that_fits_into_a_piece_has_a_length() {
    use axum::body::HttpBody as _;
    let (_directory, opened) = store(1);
    let response = ask(&opened, &shared(1 << 20)).await.unwrap();
    let length = response.body().size_hint().exact().unwrap();
    assert_eq!(length, opened.writer.reader().list(&query()).unwrap().body.len() as u64);
    opened.writer.finish().unwrap();
}

#[tokio::test(start_paused = true)]
async fn unread_pages_of_a_caller_hold_a_piece_each_and_leave_half_of_the_memory_to_the_others() {
    let (_directory, opened) = store(10);
    let shared = shared(2 * 10 * (PIECE + DESCRIPTION));
    let mut unread = Vec::new();
    while let Ok(response) = ask(&opened, &shared).await {
        unread.push(response);
        assert!(unread.len() < 100, "the memory is never full");
    }
    assert!(unread.len() >= 10, "{}", unread.len());
    let mut other = ask_as("another key", &opened, &shared).await.expect("another caller's page");
    while next(&mut other).await.is_some() {}
    // Once one has been read to its end, there is room again.
    let mut read = unread.pop().unwrap();
    while next(&mut read).await.is_some() {}
    assert!(ask(&opened, &shared).await.is_ok());
    drop(unread);
    opened.writer.finish().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_caller_whose_memory_is_full_does_not_hold_up_the_turns_of_the_others() {
    let (_directory, opened) = store(10);
    // A piece is larger than this by a part of a view.
    let memory = ResponseMemory::new(2 * (PIECE + 1_000));
    let shared = ListMemory { turns: ListTurns::new(1), memory };
    let greedy = CallerIdentity::Key("greedy".to_owned());
    let _unread = shared.memory.reserve(&greedy, 1_000).await.unwrap();
    let begun = Instant::now();
    let (refused, other) = tokio::join!(ask_as("greedy", &opened, &shared), ask_as("other", &opened, &shared));
    assert!(matches!(refused, Err(HttpError::Unavailable { .. })));
    let waited = begun.elapsed();
    assert!(other.is_ok() && waited < Duration::from_secs(1), "{waited:?}");
    drop(other);
    opened.writer.finish().unwrap();
}

#[tokio::test]
async fn the_thread_that_reads_a_list_keeps_its_turn_when_the_client_has_left() {
    let (_directory, opened) = store(1);
    let shared = ListMemory { turns: ListTurns::new(1), memory: ResponseMemory::new(1 << 20) };
    let (order, read) = std::sync::mpsc::channel();
    let (go_on, may_go_on) = std::sync::mpsc::channel::<()>();
    let choose = |name: &'static str, wait: Option<std::sync::mpsc::Receiver<()>>| {
        let (reader, order) = (opened.writer.reader(), order.clone());
        move || {
            wait.map(|wait| wait.recv());
            order.send(name).unwrap();
            reader.page(&query())
        }
    };
    let mut first =
        Box::pin(response(choose("first", Some(may_go_on)), request("one", HeaderMap::new()), shared.clone()));
    tokio::select! {
        biased;
        _ = &mut first => panic!("it cannot be read yet"),
        () = std::future::ready(()) => drop(first),
    }
    let second = tokio::spawn(response(choose("second", None), request("two", HeaderMap::new()), shared.clone()));
    for _ in 0..10_000 {
        tokio::task::yield_now().await;
    }
    go_on.send(()).unwrap();
    drop(second.await.unwrap().unwrap());
    assert_eq!(read.try_iter().collect::<Vec<_>>(), ["first", "second"]);
    opened.writer.finish().unwrap();
}

#[tokio::test]
async fn a_compressed_page_is_the_page_and_its_memory_is_given_back() {
    for (count, coding) in [(1, "gzip"), (50, "gzip"), (1, "zstd"), (50, "zstd")] {
        let (_directory, opened) = store(count);
        let shared = shared(4 << 20);
        let reader = opened.writer.reader();
        let headers = HeaderMap::from_iter([(ACCEPT_ENCODING, HeaderValue::from_static(coding))]);
        let list = response(move || reader.page(&query()), request("key", headers), shared.clone()).await.unwrap();
        let response = list.response;
        assert_eq!(response.headers()[CONTENT_ENCODING], coding);
        assert_eq!(response.headers()[VARY], "accept-encoding");
        assert!(shared.memory.try_all().is_none(), "what is under way is counted");
        let tag = response.headers()[ETAG].clone();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let page = opened.writer.reader().list(&query()).unwrap();
        let mut text = Vec::new();
        match coding {
            "gzip" => drop(flate2::read::GzDecoder::new(&*body).read_to_end(&mut text).unwrap()),
            _ => text = zstd::decode_all(&*body).unwrap(),
        }
        assert!(text == page.body && body.len() * 10 < text.len(), "{} of {}", body.len(), text.len());
        drop(body);
        assert!(shared.memory.try_all().is_some());
        assert_eq!(
            ask_with_tag(&tag, &opened).await.status(),
            StatusCode::NOT_MODIFIED,
            "the version is the page's"
        );
        opened.writer.finish().unwrap();
    }
}
