//! Has the status say what the generation was built without, for as long as nobody has accepted it.

use super::Projector;
use crate::status::{self, MissingHistory};

impl Projector {
    /// Gives the text of what is missing and not accepted.
    pub(super) fn report_missing_history(&self) -> Option<String> {
        let missing: Vec<MissingHistory> = self.missing_history.not_accepted().into_iter().map(shown).collect();
        let text = status::missing_history_text(&missing);
        self.status.set_missing_history(missing);
        text
    }
}

fn shown(missing: crate::store::MissingHistory) -> MissingHistory {
    let crate::store::MissingHistory { topic, partition, from, to, since, accepted_at: _ } = missing;
    MissingHistory { topic, partition, from, to, since }
}
