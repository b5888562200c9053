//! The history that the views lack for ever: records that the topics no longer had when the generation began, and whose absence
//! nobody has accepted. Everything that is there has been read all the same, so this does not show in the state.

use serde::Serialize;

/// A range of records of one partition that the generation was built without.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MissingHistory {
    /// The topic's name in the cluster.
    pub topic: String,
    /// The number of the partition within its topic, counted from 0.
    pub partition: i32,
    /// The first offset that is missing.
    pub from: i64,
    /// The first offset after `from` that is there.
    pub to: i64,
    /// The time at which this was noted, RFC 3339.
    pub since: String,
}

/// Describes the missing records and the remedy; `None` if none are missing.
pub fn text(missing_history: &[MissingHistory]) -> Option<String> {
    let ranges: Vec<String> = missing_history
        .iter()
        .map(|missing| format!("{}/{} from {} to {}", missing.topic, missing.partition, missing.from, missing.to))
        .collect();
    (!ranges.is_empty()).then(|| {
        format!(
            "the views are built without records that the topics no longer had: {}. Where an archive has them, `optview \
             rebuild --from-archive DIR` builds the views with them; `optview accept-loss` accepts that they are missing",
            ranges.join(", ")
        )
    })
}

#[cfg(test)]
mod tests {
    use super::super::Status;
    use super::*;

    #[test]
    fn what_is_missing_is_named_with_what_to_do_until_it_is_accepted() {
        let status = Status::new(1);
        assert!(!status.is_incomplete());
        let since = "2026-11-28T12:00:00Z".to_owned();
        let missing = MissingHistory { topic: "jobs".to_owned(), partition: 2, from: 0, to: 17, since };
        status.set_missing_history(vec![missing]);
        status.set_progress(Vec::new(), 0, 0);
        assert!(status.is_incomplete(), "progress does not change that");
        let text = status.report().missing_history_text().expect("a text");
        for part in ["jobs/2 from 0 to 17", "optview accept-loss", "--from-archive"] {
            assert!(text.contains(part), "no {part}: {text}");
        }
        status.set_error(Some(text));
        status.set_missing_history(Vec::new());
        assert_eq!(status.report().last_error, None, "it was nothing else");
        assert_eq!((status.is_incomplete(), status.report().missing_history_text()), (false, None));
    }
}
