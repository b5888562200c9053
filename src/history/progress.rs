//! How far a long scan is: a bar where stderr is a terminal, a line every few seconds where it is not.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

const LINE_EVERY: Duration = Duration::from_secs(3);

pub struct Progress {
    bar: ProgressBar,
    done: u64,
    expected: u64,
    begin: Instant,
    last_line: Instant,
}

impl Progress {
    pub fn new() -> Progress {
        let style = ProgressStyle::with_template("{bar:40} {pos}/{len} records, {per_sec}, {eta} left");
        let bar = ProgressBar::new(0).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        let now = Instant::now();
        Progress { bar, done: 0, expected: 0, begin: now, last_line: now }
    }

    /// So many offsets more are to be read.
    pub fn expect(&mut self, offsets: i64) {
        self.expected += u64::try_from(offsets).unwrap_or(0);
        self.bar.set_length(self.expected);
    }

    pub fn advance(&mut self, records: u64) {
        self.done += records;
        self.bar.set_position(self.done);
        // The bar hides itself where there is no terminal.
        if self.bar.is_hidden() && self.last_line.elapsed() >= LINE_EVERY {
            self.last_line = Instant::now();
            eprintln!("{} of {} records read, {} a second", self.done, self.expected, self.per_second());
        }
    }

    /// Leaves no trace on a terminal.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }

    fn per_second(&self) -> u64 {
        (self.done as f64 / self.begin.elapsed().as_secs_f64()) as u64
    }
}
