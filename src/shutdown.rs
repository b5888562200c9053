//! The deadline of `serve`'s shutdown, and the message if it is exceeded, which names the records that were read and are not on
//! the disk. It is made from the status alone, so it never waits for a stage of the projector.

use std::time::Duration;

use crate::status::{PartitionReport, Report};

/// Number of partitions that a message names.
const NAMED_MAX: usize = 50;

/// The time that the shutdown may take.
#[derive(Clone, Copy, Debug)]
pub struct EndDeadline {
    /// The time until requests under way are cut off (`--drain-deadline`).
    pub drain: Duration,
    /// The time after that until all records that were read must be on the disk (`--write-deadline`).
    pub write: Duration,
}

impl EndDeadline {
    /// Returns the time for the whole shutdown.
    pub fn whole(self) -> Duration {
        self.drain.saturating_add(self.write)
    }

    /// Returns the message for a shutdown that took longer, with the partitions that are not written.
    pub fn exceeded_message(self, report: &Report) -> String {
        format!(
            "the shutdown took longer than --drain-deadline ({}) and --write-deadline ({}) together, so the process ended \
             before it was complete: {}",
            humantime::format_duration(self.drain),
            humantime::format_duration(self.write),
            unwritten(report)
        )
    }
}

/// Returns the message for a shutdown that a second signal cut short.
pub fn second_signal_message(report: &Report) -> String {
    format!(
        "told to stop a second time, so the process ended before its shutdown was complete: {}",
        unwritten(report)
    )
}

/// Describes the records that were read and are not on the disk, as far as the status knows, and what that means.
fn unwritten(report: &Report) -> String {
    let cause = match report.stalled_stages.first() {
        Some(stall) => format!("the stage `{}` has stood still since {}. ", stall.stage, stall.since),
        None => String::new(),
    };
    let unwritten: Vec<&PartitionReport> =
        report.partitions.iter().filter(|one| one.checkpoint.unwrap_or(0) < one.position).collect();
    if unwritten.is_empty() {
        return format!("{cause}Nothing is lost: all that was read is on the disk");
    }
    let names: Vec<String> = (unwritten.iter().take(NAMED_MAX))
        .map(|one| {
            let name = format!("{}/{}", one.topic, one.partition);
            match one.checkpoint {
                Some(checkpoint) => format!("{name}: read up to {}, on the disk up to {checkpoint}", one.position),
                None => format!("{name}: read up to {}, and nothing on the disk", one.position),
            }
        })
        .collect();
    let more = match unwritten.len() - names.len() {
        0 => String::new(),
        more => format!("; and {more} partitions more"),
    };
    format!(
        "{cause}Not known to be on the disk: {}{more}. Nothing is lost as long as the topics keep those records: the next start \
         reads them again",
        names.join("; ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::{PartitionFreshness, PartitionState, StageStall, Status};

    fn partition(partition: i32, position: i64, checkpoint: Option<i64>) -> PartitionReport {
        PartitionReport {
            topic: "jobs".to_owned(),
            partition,
            position,
            checkpoint,
            low: None,
            high: None,
            lag_records: None,
            lag_seconds: None,
            state: PartitionState::Live,
            freshness: PartitionFreshness::default(),
        }
    }

    fn passed(partitions: Vec<PartitionReport>, stalled_stages: Vec<StageStall>) -> String {
        let deadline = EndDeadline { drain: Duration::from_secs(5), write: Duration::from_millis(1500) };
        deadline.exceeded_message(&Report { partitions, stalled_stages, ..Status::new(1).report() })
    }

    #[test]
    fn only_what_is_not_on_the_disk_is_named() {
        let text = passed(
            vec![partition(0, 7, Some(7)), partition(1, 9, Some(7)), partition(2, 3, None), partition(3, 0, None)],
            vec![StageStall { stage: "sync", since: "2026-01-01T00:00:00Z".to_owned() }],
        );
        assert_eq!(
            text,
            "the shutdown took longer than --drain-deadline (5s) and --write-deadline (1s 500ms) together, so the process ended \
             before it was complete: the stage `sync` has stood still since 2026-01-01T00:00:00Z. Not known to be on the disk: \
             jobs/1: read up to 9, on the disk up to 7; jobs/2: read up to 3, and nothing on the disk. Nothing is lost as long \
             as the topics keep those records: the next start reads them again"
        );
    }

    #[test]
    fn the_message_states_if_everything_is_on_the_disk() {
        for partitions in [Vec::new(), vec![partition(0, 7, Some(7))]] {
            let text = passed(partitions, Vec::new());
            assert!(text.ends_with("complete: Nothing is lost: all that was read is on the disk"), "{text}");
        }
    }

    #[test]
    fn of_very_many_partitions_some_are_named_and_the_rest_is_counted() {
        let text = passed((0..120).map(|number| partition(number, 9, Some(7))).collect(), Vec::new());
        assert_eq!(text.matches("read up to").count(), NAMED_MAX);
        assert!(text.contains("; and 70 partitions more"), "{text}");
    }
}
