//! An answer with a list has more than the list: an ETag, a compression, the names of parameters that are not known, and the times that
//! it took.

use super::*;

#[tokio::test]
async fn a_page_that_the_client_has_is_not_sent_again() {
    let instance = Instance::new();
    let tagged = async |query: &str, tag: &str| {
        let path = format!("/optimizations?{query}");
        instance.get_with(&path, &[("x-organization-id", "org-1"), ("if-none-match", tag)]).await
    };
    let queries = ["", "limit=3", "summary=true", "limit=3&cursor=", "id=o01", "q=fit&sort=name"];
    let mut tags = Vec::new();
    for query in queries {
        let answer = instance.list(query).await;
        let tag = answer.header("etag").to_owned();
        assert_eq!(answer.header("cache-control"), "no-cache");
        let again = tagged(query, &tag).await;
        assert_eq!((again.status, again.header("etag"), again.body.len()), (304, &*tag, 0), "{query}");
        tags.push(tag);
    }
    for (at, tag) in tags.iter().enumerate() {
        assert!(!tags[..at].contains(tag), "{}: another page has the same tag", queries[at]);
    }
    // A change of a view, and of the number of views, changes the tag of each page that shows it.
    let mut changed = optimization(1);
    changed.job.apply(&JobChange::Processing, fixtures::stamp(8));
    instance.commit(vec![changed], 2);
    for (query, tag) in queries.iter().zip(&tags) {
        let is_shown = instance.list(query).await.numbers().contains(&1);
        assert_eq!(tagged(query, tag).await.status, if is_shown { 200 } else { 304 }, "{query}");
    }
    instance.commit(vec![optimization(40)], 3);
    assert_eq!(tagged("limit=3", &tags[1]).await.status, 200);
    // The total is on every page, also where the view that has come is not.
    let (page, tag) = (instance.list("limit=3").await, instance.list("limit=3").await.header("etag").to_owned());
    let mut oldest = optimization(41);
    oldest.created.as_mut().unwrap().value.created_at = Timestamp::new(0, 0).unwrap();
    instance.commit(vec![oldest], 4);
    let after = tagged("limit=3", &tag).await;
    assert_eq!((after.status, after.numbers()), (200, page.numbers()));
}

#[tokio::test]
async fn a_parameter_that_is_not_known_is_named() {
    let instance = Instance::new();
    let answer = instance.list("statuss=failed&limit=1&page=2").await;
    assert_eq!((answer.status, answer.header("x-optview-ignored")), (200, "statuss, page"));
    let tag = answer.header("etag").to_owned();
    let again = instance
        .get_with(
            "/optimizations?statuss=failed&limit=1",
            &[("x-organization-id", "org-1"), ("if-none-match", &tag)],
        )
        .await;
    assert_eq!((again.status, again.header("x-optview-ignored")), (304, "statuss"));
    let twice = instance.list("kind=a&limit=1&status=failed&status=null&kind=optimize").await;
    assert_eq!(twice.header("x-optview-ignored"), "kind", "of several kinds only the last counts");
    let misspelt = instance.post(json!({"optimization_ids": [], "limitt": 1}).to_string(), "org-1").await;
    assert_eq!(misspelt.header("x-optview-ignored"), "limitt", "members of a body are parameters, too");
    let nobody = instance.get_with("/optimizations?x=1", &[("x-organization-id", "")]).await;
    assert_eq!(
        (nobody.header("x-optview-ignored"), nobody.json()),
        ("x", json!({"optimizations": [], "total": 0}))
    );
}

#[tokio::test]
async fn a_list_is_compressed_for_those_who_ask() {
    let instance = Instance::new();
    let plain = instance.list("").await;
    assert_eq!(plain.header("vary"), "accept-encoding");
    for coding in ["gzip", "zstd"] {
        let headers = [("x-organization-id", "org-1"), ("accept-encoding", coding)];
        let answer = instance.get_with("/optimizations", &headers).await;
        assert_eq!((answer.header("content-encoding"), answer.header("etag")), (coding, plain.header("etag")));
        let mut text = Vec::new();
        match coding {
            "gzip" => drop(flate2::read::GzDecoder::new(&*answer.body).read_to_end(&mut text).unwrap()),
            _ => text = zstd::decode_all(&*answer.body).unwrap(),
        }
        assert_eq!((text, answer.body.len() * 2 < plain.body.len()), (plain.body.to_vec(), true));
    }
    let small = [("x-organization-id", "org-1"), ("accept-encoding", "gzip")];
    assert!(!instance.get_with("/optimizations?limit=1", &small).await.headers.contains_key("content-encoding"));
}

#[tokio::test]
async fn lists_have_the_times_that_they_took_and_reads_by_id_have_none() {
    let instance = Instance::new();
    let list = instance.list("").await;
    let known = [("x-organization-id", "org-1"), ("if-none-match", list.header("etag"))];
    let unchanged = instance.get_with("/optimizations", &known).await;
    assert_eq!(unchanged.status, 304);
    let statuses = instance.post(r#"{"optimization_ids": ["o07"]}"#, "org-1").await;
    for answer in [&list, &unchanged, &statuses] {
        let parts = answer.header("server-timing").split(", ").map(|part| part.split_once(";dur=").unwrap());
        let times: Vec<(&str, f64)> = parts.map(|(name, time)| (name, time.parse().unwrap())).collect();
        let [("queue", queue), ("store", store), ("total", total)] = times[..] else { panic!("{times:?}") };
        // Each is rounded to a microsecond.
        assert!(queue >= 0.0 && store > 0.0 && queue + store <= total + 0.002, "{times:?}");
    }
    let view = instance.get_with("/optimizations/o07", &[("x-organization-id", "org-1")]).await;
    assert_eq!((view.status, view.headers.contains_key("server-timing")), (200, false));
}
