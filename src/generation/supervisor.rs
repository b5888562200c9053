//! A watch over the live generation's projector, on a thread of its own: a stage that is stuck cannot report that itself.
//! Never waits for anything that a stage may hold, and never ends anything: what stands still may go on.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use metrics::{describe_gauge, gauge};

use super::rebuild_slot::RebuildSlot;
use crate::pulse::Stage;
use crate::status::{StageStall, Standstill, Status};

const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Time that a stage may be at one piece of work. All of them take milliseconds, but for a sync, which takes as long as the
/// disk needs for what changed within `--sync-interval`.
const STALLED_AFTER: Duration = Duration::from_secs(10);
/// The same while much is written at once: while catching up, and beside a rebuild.
const STALLED_AFTER_WHILE_BUSY: Duration = Duration::from_secs(60);

/// Begins to look. Ends when nobody has the slot any more.
pub(super) fn start(rebuilds: &Arc<RebuildSlot>) -> std::io::Result<()> {
    describe_gauge!(
        "optview_stage_stalled",
        "1 while the projector's stage has been at one piece of work for too long"
    );
    let rebuilds = Arc::downgrade(rebuilds);
    std::thread::Builder::new().name("supervisor".to_owned()).spawn(move || supervise(&rebuilds)).map(drop)
}

fn supervise(rebuilds: &Weak<RebuildSlot>) {
    let mut supervisor = Supervisor::default();
    while let Some(rebuilds) = rebuilds.upgrade() {
        let live = &rebuilds.live;
        let is_busy = live.status.is_catching_up() || rebuilds.is_rebuilding();
        let (now, limit) = (Instant::now(), if is_busy { STALLED_AFTER_WHILE_BUSY } else { STALLED_AFTER });
        let mut standing = live.pulse.lock().stalled_stages(now, limit);
        supervisor.grant(&mut standing, limit, now);
        supervisor.look(&live.status, &standing, Instant::now(), Utc::now());
        drop(rebuilds);
        std::thread::sleep(LOOK_EVERY);
    }
}

#[derive(Default)]
struct Supervisor {
    /// The stage that was reported last as standing still.
    told: Option<Stage>,
    /// The time at which work was last allowed to take long.
    last_busy: Option<Instant>,
}

impl Supervisor {
    /// Takes out what began while it was allowed to take long, and has not taken as long yet: the last sync of a catch-up goes on
    /// while the instance is live already.
    fn grant(&mut self, standing: &mut Vec<(Stage, Instant)>, limit: Duration, now: Instant) {
        if limit == STALLED_AFTER_WHILE_BUSY {
            self.last_busy = Some(now);
        }
        let began_busy = |began: Instant| self.last_busy.is_some_and(|busy| began <= busy + LOOK_EVERY);
        let is_late = |began: Instant| now.saturating_duration_since(began) >= STALLED_AFTER_WHILE_BUSY;
        standing.retain(|&(_, began)| !began_busy(began) || is_late(began));
    }

    fn look(&mut self, status: &Status, standing: &[(Stage, Instant)], now: Instant, time: DateTime<Utc>) {
        for stage in Stage::ALL {
            let stands = standing.iter().any(|(standing, _)| *standing == stage);
            gauge!("optview_stage_stalled", "stage" => stage.name()).set(f64::from(u8::from(stands)));
        }
        let standstill = standstill(standing, now, time);
        let cause = standing.first().map(|(stage, _)| *stage);
        match &standstill {
            Some(standstill) if cause != self.told => tracing::error!("{}", standstill.text),
            None if self.told.is_some() => tracing::info!("the projector goes on: no stage stands still any more"),
            _ => {}
        }
        self.told = cause;
        status.set_standstill(standstill);
    }
}

fn standstill(standing: &[(Stage, Instant)], now: Instant, time: DateTime<Utc>) -> Option<Standstill> {
    let since = |since: Instant| {
        let ago = TimeDelta::from_std(now.saturating_duration_since(since)).unwrap_or_default();
        (time - ago).to_rfc3339_opts(SecondsFormat::Millis, true)
    };
    let &(cause, begun) = standing.first()?;
    let (does, remedy) = explain(cause);
    let text = format!(
        "the projector stands still: its stage `{}`, which {does}, began a piece of work at {} and has not ended it. {remedy}",
        cause.name(),
        since(begun)
    );
    let stages =
        standing.iter().map(|&(stage, begun)| StageStall { stage: stage.name(), since: since(begun) }).collect();
    Some(Standstill { stages, text })
}

/// Returns what a stage does, and what to do if it stands still.
fn explain(stage: Stage) -> (&'static str, &'static str) {
    match stage {
        Stage::Sync => (
            "syncs the store to the disk",
            "Look at the disk of --data-dir: it goes on by itself when the disk does. Until then no checkpoint is written: after \
             a restart, what was read since the last one is read again",
        ),
        Stage::Store => (
            "writes views to the store",
            "Look at the disk of --data-dir: it goes on by itself when the disk does. Until then views stay as they are",
        ),
        Stage::Source => (
            "takes records from Kafka, or from an archive",
            "Views stay as they are. Where an archive is read, look at its disk; else restart, and please report it with the log",
        ),
        Stage::Decoder | Stage::Fold => (
            "makes views of records",
            "Views stay as they are. Look whether the machine gives the process any time at all; else restart, and please report \
             it with the log",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::{PartitionFreshness, PartitionReport, PartitionState, State};

    fn partition(state: PartitionState) -> PartitionReport {
        PartitionReport {
            topic: "jobs".to_owned(),
            partition: 0,
            position: 0,
            checkpoint: None,
            low: None,
            high: None,
            lag_records: None,
            lag_seconds: None,
            state,
            freshness: PartitionFreshness::default(),
        }
    }

    #[test]
    fn more_time_is_given_while_much_is_written() {
        use PartitionState::{CatchingUp, Live, Stopped};
        for (state, partitions, is_busy) in [
            (State::Starting, &[][..], true),
            (State::CatchingUp, &[CatchingUp], true),
            (State::Live, &[Live], false),
            (State::Stale, &[Live], false),
            (State::Stopping, &[CatchingUp], false),
            // A partition that has stopped makes the whole stalled, and the others go on.
            (State::Stalled, &[Stopped, CatchingUp], true),
            (State::Stalled, &[Stopped, Live], false),
        ] {
            let status = Status::new(1);
            status.set_progress(partitions.iter().copied().map(partition).collect(), 0, 0);
            status.set_state(state);
            assert_eq!(status.is_catching_up(), is_busy, "{state:?} {partitions:?}");
            // What stands still must be given neither more nor less time because it was found to.
            let (now, time) = (Instant::now(), DateTime::UNIX_EPOCH);
            Supervisor::default().look(&status, &[(Stage::Fold, now)], now, time);
            assert_eq!(status.is_catching_up(), is_busy, "{state:?} {partitions:?}");
        }
    }

    #[test]
    fn what_began_while_much_was_written_keeps_the_time_it_had_then() {
        let (began, mut supervisor) = (Instant::now(), Supervisor::default());
        let mut stands_after = |seconds, limit| {
            let mut standing = vec![(Stage::Sync, began)];
            supervisor.grant(&mut standing, limit, began + Duration::from_secs(seconds));
            !standing.is_empty()
        };
        // It becomes live 2 s after the last sync of the catch-up began.
        assert!(!stands_after(2, STALLED_AFTER_WHILE_BUSY));
        assert!(!stands_after(12, STALLED_AFTER));
        assert!(!stands_after(59, STALLED_AFTER));
        assert!(stands_after(60, STALLED_AFTER));
        let mut later = vec![(Stage::Sync, began + Duration::from_secs(20))];
        supervisor.grant(&mut later, STALLED_AFTER, began + Duration::from_secs(31));
        assert_eq!(later.len(), 1, "it began once live");
    }

    #[test]
    fn a_stage_that_stands_still_is_named_with_its_time_and_forgotten_when_it_goes_on() {
        let (status, mut supervisor) = (Status::new(1), Supervisor::default());
        status.set_state(State::Live);
        let (now, time) =
            (Instant::now() + Duration::from_secs(100), DateTime::from_timestamp(1_000_000, 0).unwrap());
        let standing =
            [(Stage::Store, now - Duration::from_secs(11)), (Stage::Fold, now - Duration::from_secs(10))];
        supervisor.look(&status, &standing, now, time);
        let report = status.report();
        assert_eq!(report.state, State::Stalled);
        let stages: Vec<_> =
            report.stalled_stages.iter().map(|stall| (stall.stage, stall.since.as_str())).collect();
        assert_eq!(stages, [("store", "1970-01-12T13:46:29.000Z"), ("fold", "1970-01-12T13:46:30.000Z")]);
        let error = report.last_error.unwrap();
        for part in ["its stage `store`", "at 1970-01-12T13:46:29.000Z", "--data-dir"] {
            assert!(error.contains(part), "no {part}: {error}");
        }
        supervisor.look(&status, &[], now, time);
        let report = status.report();
        assert_eq!((report.state, report.last_error, report.stalled_stages.len()), (State::Live, None, 0));
    }
}
