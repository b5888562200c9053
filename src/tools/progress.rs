//! How far a tool is: a bar where stderr is a terminal, a line every few seconds where it is not, lines of JSON on stdout
//! for programs that watch a rebuild.

use std::io::Write as _;
use std::time::{Duration, Instant};

use indicatif::{HumanCount, HumanDuration, ProgressBar, ProgressStyle};

use crate::engine::rebuild::Progress;

const A_LINE_EVERY: Duration = Duration::from_secs(5);

pub struct Shown {
    bar: ProgressBar,
    json: bool,
    phase: String,
    told: Option<Instant>,
}

impl Shown {
    /// `json`: programs are told, and nobody else.
    pub fn new(json: bool) -> Shown {
        let template = "{msg} {bar:40} {human_pos}/{human_len}, {per_sec}, {eta} left";
        let style = ProgressStyle::with_template(template);
        let bar = if json { ProgressBar::hidden() } else { ProgressBar::no_length() };
        let bar = bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        Shown { bar, json, phase: String::new(), told: None }
    }

    pub fn show(&mut self, progress: &Progress) {
        let is_new = self.phase != progress.phase;
        if self.json {
            if let Ok(line) = serde_json::to_string(progress) {
                // Where nobody reads any more, the end will show it.
                let _ = writeln!(std::io::stdout(), "{line}");
            }
        } else if self.bar.is_hidden() {
            if is_new || self.told.is_none_or(|told| told.elapsed() >= A_LINE_EVERY) {
                self.told = Some(Instant::now());
                eprintln!("{}", line(progress));
            }
        } else {
            if is_new {
                self.bar.reset();
                self.bar.set_message(progress.phase.clone());
            }
            if let Some(total) = progress.records_total {
                self.bar.set_length(total);
            }
            self.bar.set_position(progress.records_done);
        }
        self.phase.clone_from(&progress.phase);
    }

    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

fn line(progress: &Progress) -> String {
    let mut line = format!("{}: {}", progress.phase, HumanCount(progress.records_done));
    if let Some(total) = progress.records_total {
        line += &format!(" of {}", HumanCount(total));
    }
    if let Some(rate) = progress.records_per_second {
        line += &format!(", {rate:.0}/s");
    }
    if let Some(eta) = progress.eta_seconds.and_then(|eta| Duration::try_from_secs_f64(eta).ok()) {
        line += &format!(", {} left", HumanDuration(eta));
    }
    line
}
