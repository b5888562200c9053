//! The processor time of a process, from Linux's `/proc`.

use std::path::Path;

/// User and system, of all threads of a process by its number, or `self`.
pub fn cpu_seconds(process: &str) -> f64 {
    let stat = std::fs::read_to_string(Path::new("/proc").join(process).join("stat")).expect("the process lives");
    let (_, fields) = stat.rsplit_once(')').expect("a process has a name");
    let ticks: f64 = fields
        .split_whitespace()
        .skip(11)
        .take(2)
        .map(|ticks| ticks.parse::<f64>().expect("a number of ticks"))
        .sum();
    ticks / 100.0
}
