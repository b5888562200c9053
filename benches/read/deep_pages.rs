//! Measures the effect of lists on other requests: reads by id and a dashboard's page, alone, and beside clients
//! that ask for deep pages.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::support::{Options, Serve, Topics, percentile};

const ROUND: Duration = Duration::from_secs(5);

/// Runs with each of the numbers of projects.
pub fn run(brokers: &str, options: &Options) {
    let optimizations = options.get("optimizations", "200000");
    let rate = options.get("rate", "200");
    println!("{optimizations} optimizations, {rate} events/s, {} s a round", ROUND.as_secs());
    println!("| projects | what | beside | p50 | p99 | most | others' pages |");
    println!("|---|---|---|---|---|---|---|");
    for projects in options.get("projects", "1,20,50000").split(',') {
        let topics = Topics::new(brokers, &format!("bench-deep-{optimizations}-{projects}"));
        let records = topics.loaded(&["--optimizations", &optimizations, "--runs", "0", "--projects", projects]);
        let directory = tempfile::tempdir().expect("a temporary directory");
        let serve = Serve::start(&topics, directory.path());
        serve.wait_until_synced(records);
        let _load = topics.traffic(&rate);
        std::thread::sleep(Duration::from_secs(1));
        Round { serve: &serve, projects }.all();
    }
}

struct Round<'a> {
    serve: &'a Serve,
    projects: &'a str,
}

impl Round<'_> {
    fn all(&self) {
        let first = super::support::json(&self.serve.url("/optimizations?limit=1")).expect("a list");
        let total = first["total"].as_u64().expect("a total");
        let project = first["optimizations"][0]["project_id"].as_str().expect("a project").to_owned();
        let ids = self.serve.some_ids(0);
        let by_id = || ids.iter().map(|id| format!("/optimizations/{id}")).collect::<Vec<_>>();
        let dashboard = || vec![format!("/optimizations?project_id={project}&limit=100")];
        // All clients ask for the end as it was at the beginning, although more views come meanwhile.
        let deepest = || vec![format!("/optimizations?limit=1&offset={}", total - 1)];
        let filtered = || vec![format!("/optimizations?status=failed&limit=1&offset={}", total / 100)];
        let all = || (0..total).step_by(1000).map(|offset| format!("/optimizations?limit=1000&offset={offset}"));
        self.measure("read by id", "nothing", by_id(), &[]);
        self.measure("read by id", "4 x `limit=1` at the last offset", by_id(), &vec![deepest(); 4]);
        self.measure("read by id", "4 x `status=failed&limit=1`, deep", by_id(), &vec![filtered(); 4]);
        self.measure("read by id", "one that pages through all", by_id(), &[all().collect()]);
        self.measure("page of a project", "nothing", dashboard(), &[]);
        self.measure("page of a project", "30 x `limit=1` at the last offset", dashboard(), &vec![deepest(); 30]);
    }

    fn measure(&self, what: &str, beside: &str, paths: Vec<String>, others: &[Vec<String>]) {
        let others: Vec<DeepReaders> =
            others.iter().map(|paths| DeepReaders::start(self.serve, paths.clone())).collect();
        let mut took = Vec::new();
        let (agent, begin) = (ureq::Agent::new_with_defaults(), Instant::now());
        for path in paths.iter().cycle() {
            took.push(get(&agent, &self.serve.url(path)).as_secs_f64() * 1000.0);
            if begin.elapsed() > ROUND {
                break;
            }
            // The client pauses, so that its waiting is measured and not the machine's load by it.
            std::thread::sleep(Duration::from_millis(1));
        }
        let pages: u64 = others.into_iter().map(DeepReaders::finish).sum();
        took.sort_by(f64::total_cmp);
        let [half, p99, most] = [50.0, 99.0, 100.0].map(|hundredths| percentile(&took, hundredths));
        println!(
            "| {} | {what} | {beside} | {half:.2} ms | {p99:.2} ms | {most:.1} ms | {:.0} a second |",
            self.projects,
            pages as f64 / begin.elapsed().as_secs_f64()
        );
    }
}

fn get(agent: &ureq::Agent, url: &str) -> Duration {
    let begin = Instant::now();
    agent.get(url).call().expect("an answer").into_body().read_to_vec().expect("its body");
    begin.elapsed()
}

/// Connections that ask for one path after another until they are finished, each as soon as the last one is
/// answered.
struct DeepReaders {
    stop: Arc<AtomicBool>,
    answers: Arc<AtomicU64>,
    thread: JoinHandle<()>,
}

impl DeepReaders {
    fn start(serve: &Serve, paths: Vec<String>) -> DeepReaders {
        let (stop, answers) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (stopped, answered) = (stop.clone(), answers.clone());
        let urls: Vec<String> = paths.iter().map(|path| serve.url(path)).collect();
        let thread = std::thread::spawn(move || {
            let agent = ureq::Agent::new_with_defaults();
            for url in urls.iter().cycle().take_while(|_| !stopped.load(Ordering::Relaxed)) {
                get(&agent, url);
                answered.fetch_add(1, Ordering::Relaxed);
            }
        });
        DeepReaders { stop, answers, thread }
    }

    /// Returns the number of answers.
    fn finish(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        let answers = self.answers.load(Ordering::Relaxed);
        self.thread.join().expect("every page is answered");
        answers
    }
}
