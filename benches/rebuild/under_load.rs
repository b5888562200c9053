//! Measures rebuild and rollback beside readers and traffic: the speed of the build, and the delays of the
//! readers.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::load::Load;
use crate::markers::{self, Markers};
use crate::rebuilt::{Phases, rebuild, run};
use crate::sampler::{Sampler, rounded};
use crate::support::{Options, Serve, Topics, percentile, yardstick};
use crate::{figure, history, millis};

/// Duration of the observation without a rebuild, for comparison.
const QUIET: Duration = Duration::from_secs(5);

pub fn part(brokers: &str, options: &Options) {
    let (topics, records) = history(brokers, options);
    let directory = tempfile::tempdir().expect("a temporary directory");
    let serve = Serve::start(&topics, directory.path());
    serve.wait_until_synced(records);
    let watched = LoadedRun::begin(&topics, &serve);
    let mut ratios: Vec<f64> =
        (0..options.number("rounds", "3")).map(|_| watched.rebuild(Load::Nothing, &serve, options)).collect();
    ratios.sort_by(f64::total_cmp);
    figure("median", &json!({"built_percent_of_fresh": percentile(&ratios, 50.0)}));
    for load in [Load::Paced, Load::Saturating] {
        watched.rebuild(load, &serve, options);
    }
    watched.finish();
}

/// Records per second at which another `serve` catches up from nothing beside the same load: the yardstick.
fn fresh(topics: &Topics, load: Load) -> f64 {
    let records = yardstick::records(&topics.settings).expect("the topics are there");
    let directory = tempfile::tempdir().expect("a temporary directory");
    let serve = Serve::start_beside(topics, directory.path());
    let per_second = records as f64 / serve.wait_until_synced(records).as_secs_f64();
    let cpu = rounded(serve.cpu_seconds() / (records as f64 / 1e6));
    let figures = json!({
        "beside": load.name(), "records": records, "per_second": per_second.round(), "cpu_seconds_per_million": cpu,
    });
    figure("fresh", &figures);
    per_second
}

/// The measurements that go on all the while.
struct LoadedRun<'t> {
    topics: &'t Topics,
    /// Ids of optimizations of the loaded history. Their lives are over, so that none of them will be deleted.
    ids: Vec<String>,
    reads: Sampler,
    bare: Sampler,
    shown: Sampler,
}

impl<'t> LoadedRun<'t> {
    fn begin(topics: &'t Topics, serve: &Serve) -> LoadedRun<'t> {
        let ids = serve.some_ids(0);
        let markers = Markers::new(topics);
        let address = serve.address();
        let shown = markers.rename(&address);
        LoadedRun { topics, ids, reads: markers.watch(&address), bare: markers::watch_bare(), shown }
    }

    /// Rebuilds and rolls back. Returns the build's speed in hundredths of the yardstick's.
    fn rebuild(&self, load: Load, serve: &Serve, options: &Options) -> f64 {
        let loading = load.start(self.topics, serve, &self.ids, &options.get("rate", "1000"));
        std::thread::sleep(QUIET);
        self.print("before", load, Instant::now() - QUIET, &Value::Null);

        let fresh = fresh(self.topics, load);
        let (begin, cpu) = (Instant::now(), serve.cpu_seconds());
        let done = rebuild(serve);
        let cpu = serve.cpu_seconds() - cpu;
        let Phases { building, comparing, switching } = Phases::of_last(serve);
        let records = done["records"].as_f64().expect("a number");
        let built = records / building.as_secs_f64();
        let percent = rounded(100.0 * built / fresh);
        let figures = json!({
            "records": records, "same": done["same"], "differing": done["differing"],
            "fresh_per_second": fresh.round(), "built_per_second": built.round(), "built_percent_of_fresh": percent,
            "building_ms": millis(building), "comparing_ms": millis(comparing), "switching_ms": millis(switching),
            "cpu_seconds_per_million": rounded(cpu / (records / 1e6)),
        });
        self.print("rebuild", load, begin, &figures);

        let begin = Instant::now();
        let (done, took) = run(serve.tool(&["rollback", "--json"]));
        assert_eq!(done["cut_over"], true, "{done}");
        self.print("rollback", load, begin, &json!({"took_ms": millis(took)}));
        figure("readers", &json!({"beside": load.name(), "all_answered": loading.finish()}));
        percent
    }

    fn print(&self, what: &str, load: Load, since: Instant, figures: &Value) {
        figure(
            what,
            &json!({
                "beside": load.name(), "reads_ms": self.reads.since(since), "bare_reads_ms": self.bare.since(since),
                "shown_after_ms": self.shown.since(since), "of_it": figures,
            }),
        );
    }

    fn finish(self) {
        [self.reads, self.bare, self.shown].into_iter().for_each(Sampler::finish);
    }
}
