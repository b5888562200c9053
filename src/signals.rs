//! The signals that stop the process.

use std::fs;
use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Waits for SIGTERM, SIGINT, or SIGHUP, which the end of a terminal or a session sends. A SIGHUP that the process was started
/// to ignore, as by `nohup`, stays ignored.
pub async fn stop_signal() {
    let mut signals = match Signals::watch() {
        Ok(signals) => signals,
        Err(error) => {
            tracing::error!(%error, "signals cannot be watched: only SIGKILL will stop this");
            return std::future::pending().await;
        }
    };
    let hangup = async {
        match &mut signals.hangup {
            Some(hangup) => _ = hangup.recv().await,
            None => std::future::pending().await,
        }
    };
    tokio::select! { _ = signals.terminate.recv() => {} _ = signals.interrupt.recv() => {} () = hangup => {} }
}

/// The streams of the signals that stop the process.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    /// The stream of SIGHUP; `None` if the process was started to ignore it.
    hangup: Option<Signal>,
}

impl Signals {
    fn watch() -> io::Result<Signals> {
        let ignored = fs::read_to_string("/proc/self/status").is_ok_and(|status| ignores_hangup(&status));
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: if ignored { None } else { Some(signal(SignalKind::hangup())?) },
        })
    }
}

/// Returns true if a process with this `/proc/PID/status` ignores SIGHUP, which is the lowest bit of the mask.
fn ignores_hangup(status: &str) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hangup_is_ignored_where_whoever_started_the_process_ignores_it() {
        for (mask, expected) in [
            ("0000000000001000", false),
            ("0000000000001001", true),
            ("0000000000000001", true),
            ("nonsense", false),
        ] {
            let status = format!("Name:\toptview\nSigBlk:\t0000000000000001\nSigIgn:\t{mask}\nSigCgt:\t0\n");
            assert_eq!(ignores_hangup(&status), expected, "{mask}");
        }
        assert!(!ignores_hangup(""));
    }
}
