//! A projector that the test turns itself, by a clock that only the test steps. So no test of the projector waits for time to
//! pass; where the store's thread has work, the test waits for the end of that work.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use optview::projector::{Moment, PauseHandle, Projector, Settings};
use optview::source::Source;
use optview::status::{Report, Status};
use optview::store::Writer;

/// One turn at this step makes a report.
pub const A_REPORT: Duration = Duration::from_millis(250);
/// The most turns that a condition is tried for.
const TURNS_MAX: u32 = 2_000;

/// A clock that stands still until it is stepped. All clones are one clock.
#[derive(Clone)]
pub struct Clock {
    begin: Moment,
    passed_micros: Arc<AtomicU64>,
}

impl Clock {
    pub fn new() -> Clock {
        Clock { begin: Moment::now(), passed_micros: Arc::default() }
    }

    pub fn now(&self) -> Moment {
        self.begin.after(Duration::from_micros(self.passed_micros.load(Ordering::Relaxed)))
    }

    pub fn instant(&self) -> Instant {
        self.now().instant
    }

    pub fn step(&self, by: Duration) {
        self.passed_micros.fetch_add(by.as_micros() as u64, Ordering::Relaxed);
    }
}

/// A projector, its source, and the clock that both go by.
pub struct SteppedProjector<'a, S> {
    pub source: S,
    pub clock: Clock,
    pub status: Status,
    projector: Projector<'a>,
}

impl<'a, S: Source> SteppedProjector<'a, S> {
    pub fn new(
        writer: Writer,
        settings: Settings,
        source: S,
        status: Status,
        control: &'a PauseHandle,
        clock: Clock,
    ) -> SteppedProjector<'a, S> {
        let projector = Projector::new(writer, settings, status.clone(), control, clock.now()).unwrap();
        SteppedProjector { source, clock, status, projector }
    }

    /// Steps the clock, and turns the projector once.
    pub fn turn(&mut self, step: Duration) {
        self.clock.step(step);
        self.projector.turn(self.clock.now(), &mut self.source).unwrap();
    }

    /// Waits until the store's thread has written all that it was given.
    pub fn settle(&mut self) {
        self.projector.settle(&mut self.source).unwrap();
    }

    /// The status as of the clock's time.
    pub fn report(&self) -> Report {
        self.status.report().at(self.clock.instant())
    }

    /// Turns, a report a turn, until the report is as it should be.
    pub fn turn_until(&mut self, what: &str, is: impl Fn(&Report) -> bool) -> Report {
        for _ in 0..TURNS_MAX {
            let report = self.report();
            if is(&report) {
                return report;
            }
            self.turn(A_REPORT);
            self.settle();
        }
        panic!("still not: {what}: {:?}", self.report());
    }

    /// Ends the projector. Returns the source.
    pub fn finish(mut self) -> S {
        self.projector.finish(self.clock.now(), &mut self.source).unwrap();
        self.source
    }
}

/// A part that read a clock of its own would judge by another time than the rest of its turn, and no test could step it.
#[test]
fn the_projector_reads_a_clock_once_a_turn_and_nowhere_else() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = vec![source.join("projector.rs")];
    for entry in fs::read_dir(source.join("projector")).unwrap() {
        files.push(entry.unwrap().path());
    }
    let reads_clock = |line: &str| line.contains("Instant::now()") || line.contains("Utc::now()");
    let mut seen = 0;
    for file in files.iter().filter(|file| file.extension().is_some_and(|extension| extension == "rs")) {
        let text = fs::read_to_string(file).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap();
        seen += 1;
        // Whoever pauses a projector waits on a thread of its own.
        if !(file.ends_with("moment.rs") || file.ends_with("pause.rs")) {
            assert!(!code.lines().any(reads_clock), "{}", file.display());
        }
        if code.contains("Moment::now()") {
            assert!(file.ends_with("projector.rs"), "{}", file.display());
        }
    }
    assert!(seen > 20, "the parts are all there");
}
