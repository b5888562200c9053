//! The phases of a catch-up: from the start to the first record, the middle, and the end, in which nothing is read any more.

use std::time::{Duration, SystemTime};

use chrono::{DateTime, Utc};

use crate::support::{Serve, covered};

/// The first and the last second of a catch-up are not steady.
const UNSTEADY: f64 = 1.0;

/// The phases of one catch-up; `None` for what the log of an older build does not have.
pub struct Phases {
    /// Seconds from the start of the process until the first records were folded.
    pub first: Option<f64>,
    /// Records a second, without the first and the last second.
    pub steady: Option<f64>,
    /// Seconds from the fold of the last record until a checkpoint that covers it was on the disk.
    pub end: Option<f64>,
}

/// The number of records that had been folded at some moments, given in seconds since the start.
pub struct ProgressSamples(Vec<(f64, u64)>);

impl ProgressSamples {
    /// Waits until the server is live and its checkpoint covers all records. Returns the seconds since its start, too.
    pub fn until_synced(serve: &Serve, records: u64) -> (f64, ProgressSamples) {
        let mut samples: Vec<(f64, u64)> = Vec::new();
        loop {
            if let Some(status) = serve.status() {
                let (seconds, folded) = (serve.seconds_since_start(), covered(&status, "position"));
                if samples.last().is_none_or(|&(_, before)| before < folded) {
                    samples.push((seconds, folded));
                }
                if status["state"] == "live" && covered(&status, "checkpoint") >= records {
                    return (seconds, ProgressSamples(samples));
                }
            }
            serve.check();
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Records a second without the first and the last second; `None` if little is left without them.
    fn steady(&self) -> Option<f64> {
        let begin = self.0.iter().find(|(_, folded)| *folded > 0)?.0 + UNSTEADY;
        let end = self.0.last()?.0 - UNSTEADY;
        let first = self.0.iter().find(|(seconds, _)| *seconds >= begin)?;
        let last = self.0.iter().rfind(|(seconds, _)| *seconds <= end)?;
        (last.0 - first.0 > UNSTEADY / 2.0).then(|| (last.1 - first.1) as f64 / (last.0 - first.0))
    }
}

impl Phases {
    /// Reads the moments of a catch-up from the log of a server that was started at `started`.
    pub fn of(log: &str, started: SystemTime, samples: &ProgressSamples) -> Phases {
        let lines: Vec<serde_json::Value> =
            log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        let seconds = |line: &serde_json::Value| {
            let time: DateTime<Utc> = line["timestamp"].as_str()?.parse().ok()?;
            SystemTime::from(time).duration_since(started).ok().map(|since| since.as_secs_f64())
        };
        let first = lines.iter().find(|line| line["message"] == "the first records have been folded");
        let folded = lines.iter().position(|line| line["message"] == "all that the topics held has been folded");
        let synced = folded.and_then(|at| {
            let is_last = |line: &&serde_json::Value| {
                line["message"] == "a checkpoint is on the disk" && line["awaited"] == false
            };
            Some(seconds(lines[at..].iter().find(is_last)?)? - seconds(&lines[at])?)
        });
        Phases { first: first.and_then(seconds), steady: samples.steady(), end: synced }
    }
}
