//! The display of the progress of long work, which is the same for every command: a bar if stderr is a terminal, a line every
//! few seconds if it is not, lines of JSON on stdout for programs.

use std::fmt;
use std::time::{Duration, Instant};

use indicatif::{HumanCount, HumanDuration, ProgressBar, ProgressState, ProgressStyle};

use crate::progress::Progress;
use crate::terminal::rate;
use crate::{logging, output};

/// The interval between two lines for people. The first line of a phase comes at once.
const A_LINE_EVERY: Duration = Duration::from_secs(5);
/// The interval between two lines of JSON. The first line of a phase comes at once.
const JSON_EVERY: Duration = Duration::from_secs(1);

/// A display of progress.
pub struct ProgressDisplay {
    target: DisplayTarget,
    phase: String,
    /// The moment at which the phase began.
    begin: Instant,
    /// Number of records that were done when the phase began.
    done_before: u64,
    last_line: Option<Instant>,
    /// True if the last line reported that the work waits.
    waited: bool,
}

/// The readers of a display, who decide its form.
enum DisplayTarget {
    Terminal(ProgressBar),
    People,
    Programs,
}

impl ProgressDisplay {
    /// Makes a display: for programs if `json`, else for people.
    pub fn new(json: bool) -> ProgressDisplay {
        let style = ProgressStyle::with_template("{msg} {bar:40} {human_pos}/{human_len}, {rate}, {eta} left")
            .map(|style| {
                style.with_key("rate", |state: &ProgressState, out: &mut dyn fmt::Write| {
                    // Writing into the bar's line cannot fail.
                    let _ = out.write_str(&rate(state.per_sec()));
                })
            });
        let bar = ProgressBar::no_length().with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        let target = match json {
            true => DisplayTarget::Programs,
            // The bar hides itself if there is no terminal.
            false if bar.is_hidden() => DisplayTarget::People,
            false => DisplayTarget::Terminal(bar),
        };
        let phase = String::new();
        ProgressDisplay { target, phase, begin: Instant::now(), done_before: 0, last_line: None, waited: false }
    }

    /// Shows the progress, unless the last line is too recent. It may be called as often as one likes.
    pub fn show(&mut self, progress: &Progress) {
        let is_new = self.phase != progress.phase;
        if is_new {
            (self.begin, self.done_before, self.last_line) = (Instant::now(), progress.records_done, None);
            self.phase.clone_from(&progress.phase);
        }
        let every = match &self.target {
            DisplayTarget::Terminal(bar) => return draw(bar, progress, is_new),
            DisplayTarget::People => A_LINE_EVERY,
            DisplayTarget::Programs => JSON_EVERY,
        };
        // The begin of a wait is shown at once.
        let begins_to_wait = progress.waiting_for.is_some() && !self.waited;
        if self.last_line.is_some_and(|last_line| last_line.elapsed() < every) && !begins_to_wait {
            return;
        }
        self.waited = progress.waiting_for.is_some();
        self.last_line = Some(Instant::now());
        let progress = self.measured(progress);
        match self.target {
            // If nobody reads stdout any more, the write of the result will fail.
            DisplayTarget::Programs => {
                drop(serde_json::to_string(&progress).map(|line| output::print_json(&line)))
            }
            DisplayTarget::People | DisplayTarget::Terminal(_) => logging::print_line(&line(&progress)),
        }
    }

    /// Ends the display, and removes the bar from a terminal.
    pub fn finish(&self) {
        if let DisplayTarget::Terminal(bar) = &self.target {
            bar.finish_and_clear();
        }
    }

    /// Adds the rate that was measured in this phase, if `progress` has none.
    fn measured(&self, progress: &Progress) -> Progress {
        let progress = progress.clone();
        let done = progress.records_done.saturating_sub(self.done_before);
        match progress.records_per_second {
            None if done > 0 => progress.with_rate(done as f64 / self.begin.elapsed().as_secs_f64().max(0.001)),
            _ => progress,
        }
    }
}

fn draw(bar: &ProgressBar, progress: &Progress, is_new: bool) {
    if is_new {
        bar.reset();
    }
    bar.set_message(match &progress.waiting_for {
        Some(why) => format!("{}, waits: {why}", progress.phase),
        None => progress.phase.clone(),
    });
    if let Some(total) = progress.records_total {
        // Records that come while the work goes on are not in the total.
        bar.set_length(total.max(progress.records_done));
    }
    bar.set_position(progress.records_done);
}

fn line(progress: &Progress) -> String {
    match &progress.waiting_for {
        Some(why) => format!("{}; it waits: {why}", how_far(progress)),
        None => how_far(progress),
    }
}

fn how_far(progress: &Progress) -> String {
    let Progress {
        phase,
        records_done,
        records_total,
        records_per_second,
        eta_seconds,
        waiting_for: _,
        so_far: _,
    } = progress;
    let mut line = format!("{phase}: {}", HumanCount(*records_done));
    if let Some(total) = records_total {
        line += &format!(" of {}", HumanCount(*total));
    }
    if *records_done == 0 {
        return line;
    }
    if let Some(per_second) = records_per_second.as_ref().filter(|rate| **rate > 0.0) {
        line += &format!(", {}", rate(*per_second));
    }
    if let Some(eta) = eta_seconds.and_then(|eta| Duration::try_from_secs_f64(eta).ok()) {
        line += &format!(", {} left", HumanDuration(eta));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_what_is_known() {
        for (progress, expected) in [
            (Progress::new("building", 0, None), "building: 0"),
            (Progress::new("building", 0, Some(20_000)).with_rate(0.0), "building: 0 of 20,000"),
            (
                Progress::new("building", 5_000, Some(20_000)).with_rate(1_000.0),
                "building: 5,000 of 20,000, 1,000/s, 15 seconds left",
            ),
            (Progress::new("switching", 7, Some(7)), "switching: 7 of 7"),
            (
                Progress { waiting_for: Some("no broker".to_owned()), ..Progress::new("building", 0, None) },
                "building: 0; it waits: no broker",
            ),
        ] {
            assert_eq!(line(&progress), expected);
        }
    }

    #[test]
    fn a_rate_is_measured_if_it_is_not_given() {
        let mut display = ProgressDisplay::new(false);
        display.show(&Progress::new("checking", 100, Some(1_000)));
        display.begin -= Duration::from_secs(10);
        let measured = display.measured(&Progress::new("checking", 600, Some(1_000)));
        let (rate, left) = (measured.records_per_second.unwrap(), measured.eta_seconds.unwrap());
        assert!((45.0..=50.0).contains(&rate) && (8.0..9.0).contains(&left), "{measured:?}");
        let given = Progress::new("checking", 600, Some(1_000)).with_rate(7.0);
        assert_eq!(display.measured(&given), given);
    }
}
