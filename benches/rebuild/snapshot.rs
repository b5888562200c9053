//! Measures a snapshot of many views, and their verification, beside readers.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::load::Load;
use crate::markers::{self, Markers};
use crate::rebuilt::run;
use crate::sampler::Sampler;
use crate::support::{self, Options, Serve, Topics};
use crate::{figure, millis};

pub fn part(brokers: &str, options: &Options) {
    let (topics, records) = Topics::of_views(brokers, &options.get("optimizations", "1000000"));
    let directory = tempfile::tempdir().expect("a temporary directory");
    let serve = Serve::start(&topics, directory.path());
    let took = serve.wait_until_synced(records);
    figure("fresh", &json!({"records": records, "took_ms": millis(took)}));
    let ids = serve.some_ids(0);
    let markers = Markers::new(&topics);
    let shown = markers.rename(&serve.address());
    let (reads, bare) = (markers.watch(&serve.address()), markers::watch_bare());
    let loading = Load::Paced.start(&topics, &serve, &ids, &options.get("rate", "1000"));
    let print = |what: &str, begin: Instant, figures: &Value| {
        let [reads, bare, shown] = [&reads, &bare, &shown].map(|sampler| sampler.since(begin));
        let of_it = json!({"reads_ms": reads, "bare_reads_ms": bare, "shown_after_ms": shown, "of_it": figures});
        figure(what, &of_it);
    };
    let begin = Instant::now();
    std::thread::sleep(Duration::from_secs(5));
    print("before", begin, &Value::Null);

    let file = directory.path().join("views.snapshot");
    let file = file.to_str().expect("text");
    let begin = Instant::now();
    let (exported, took) = run(serve.tool(&["snapshot", "export", file, "--json"]));
    let figures = json!({"took_ms": millis(took), "views": exported["views"], "bytes": exported["bytes"]});
    print("export", begin, &figures);

    let replica = tempfile::tempdir().expect("a temporary directory");
    let begin = Instant::now();
    let (imported, took) = run(support::tool(&["snapshot", "import", file, "--json"], replica.path()));
    print("import", begin, &json!({"took_ms": millis(took), "views": imported["views"]}));
    assert_eq!(imported["views"], exported["views"]);

    let begin = Instant::now();
    let (verified, took) = run(serve.tool(&["verify", "--json"]));
    print("verify, served", begin, &verdict(&verified, took));
    figure("readers", &loading.finish());
    [reads, bare, shown].into_iter().for_each(Sampler::finish);
    drop(serve);

    let (verified, took) = run(support::tool(&["verify", "--json"], replica.path()));
    figure("verify, alone", &verdict(&verified, took));
    let begin = Instant::now();
    let serve = Serve::start(&topics, replica.path());
    while support::json(&serve.url(&format!("/optimizations/{}", ids[0]))).is_none() {
        std::thread::sleep(Duration::from_millis(5));
    }
    let answers = begin.elapsed();
    let live = serve.wait_until_live();
    figure("replica", &json!({"answers_ms": millis(answers), "live_ms": millis(live)}));
}

fn verdict(verified: &Value, took: Duration) -> Value {
    assert_eq!(verified["problems_found"], 0, "{verified}");
    json!({"took_ms": millis(took), "views": verified["views"], "records": verified["records"], "problems": 0})
}
