//! How far a tool is: a bar on a terminal, a line every few seconds elsewhere, lines of JSON for programs.

use std::time::{Duration, Instant};

use indicatif::{HumanCount, HumanDuration, ProgressBar, ProgressStyle};
use serde::Serialize;

use super::print_json;

/// How often a line is written.
const A_LINE_EVERY: Duration = Duration::from_secs(5);
/// How often programs are told.
const JSON_EVERY: Duration = Duration::from_secs(1);

pub struct Progress {
    phase: &'static str,
    total: u64,
    begin: Instant,
    told: Instant,
    shows: Shows,
}

enum Shows {
    Bar(ProgressBar),
    Lines,
    Json,
}

#[derive(Serialize)]
struct Line {
    phase: &'static str,
    records_done: u64,
    records_total: u64,
    records_per_second: u64,
    /// Null where that is not known.
    eta_seconds: Option<u64>,
}

impl Progress {
    pub fn new(phase: &'static str, total: u64, json: bool) -> Progress {
        let now = Instant::now();
        let bar = ProgressBar::new(total).with_style(style());
        let shows = match (json, bar.is_hidden()) {
            (true, _) => Shows::Json,
            (false, true) => Shows::Lines,
            (false, false) => Shows::Bar(bar.with_message(phase)),
        };
        Progress { phase, total, begin: now, told: now, shows }
    }

    /// May be called as often as one likes.
    pub fn show(&mut self, done: u64) -> anyhow::Result<()> {
        let every = match &self.shows {
            Shows::Bar(bar) => {
                // What comes while it goes on is not known at the start.
                bar.set_length(self.total.max(done));
                bar.set_position(done);
                return Ok(());
            }
            Shows::Lines => A_LINE_EVERY,
            Shows::Json => JSON_EVERY,
        };
        if self.told.elapsed() < every {
            return Ok(());
        }
        self.told = Instant::now();
        let line = self.line(done);
        if matches!(self.shows, Shows::Json) {
            return print_json(&line);
        }
        let left = line
            .eta_seconds
            .map_or_else(String::new, |seconds| format!(", {} left", HumanDuration(Duration::from_secs(seconds))));
        let (done, total) = (HumanCount(done), HumanCount(line.records_total));
        eprintln!("{}: {done} of {total} records, {}/s{left}", self.phase, HumanCount(line.records_per_second));
        Ok(())
    }

    /// Nothing more is shown.
    pub fn finish(&self) {
        if let Shows::Bar(bar) = &self.shows {
            bar.finish_and_clear();
        }
    }

    pub fn seconds(&self) -> f64 {
        self.begin.elapsed().as_secs_f64()
    }

    fn line(&self, done: u64) -> Line {
        let records_per_second = per_second(done, self.seconds());
        let left = self.total.saturating_sub(done);
        Line {
            phase: self.phase,
            records_done: done,
            records_total: self.total.max(done),
            records_per_second,
            eta_seconds: left.checked_div(records_per_second),
        }
    }
}

pub fn per_second(records: u64, seconds: f64) -> u64 {
    (records as f64 / seconds.max(0.001)).round() as u64
}

fn style() -> ProgressStyle {
    let template = "{msg} {bar:40} {human_pos}/{human_len} records, {per_sec}, {eta} left";
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}
