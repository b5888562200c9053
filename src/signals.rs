//! The signals that tell the process to stop.

use std::fs;
use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Resolves at SIGTERM, at SIGINT, and at SIGHUP, with which the terminal or the session ends. `nohup` has that one ignored,
/// and then it is.
pub async fn stop_signal() {
    let mut signals = match watched() {
        Ok(signals) => signals,
        Err(error) => {
            tracing::error!(%error, "signals cannot be watched: only SIGKILL will stop this");
            return std::future::pending().await;
        }
    };
    let hung_up = async {
        match &mut signals.hangup {
            Some(hangup) => _ = hangup.recv().await,
            None => std::future::pending().await,
        }
    };
    tokio::select! { _ = signals.terminate.recv() => {} _ = signals.interrupt.recv() => {} () = hung_up => {} }
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    /// `None` where whoever started the process has it ignored.
    hangup: Option<Signal>,
}

fn watched() -> io::Result<Signals> {
    let ignored = fs::read_to_string("/proc/self/status").is_ok_and(|status| ignores_hangup(&status));
    Ok(Signals {
        terminate: signal(SignalKind::terminate())?,
        interrupt: signal(SignalKind::interrupt())?,
        hangup: if ignored { None } else { Some(signal(SignalKind::hangup())?) },
    })
}

/// Whether a process whose `/proc/PID/status` is this ignores SIGHUP, which is the lowest bit of the mask.
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
