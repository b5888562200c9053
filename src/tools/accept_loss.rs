//! `optview accept-loss`: somebody accepts that the views are built without records that the topics no longer had.

use serde::{Deserialize, Serialize};

use super::context::{ToolContext, ToolOutcome};
use crate::data_dir::MissingHistory;
use crate::store;

/// The loss that was accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AcceptedLoss {
    pub generation: String,
    /// The records that nobody had accepted to be missing before.
    pub accepted: Vec<MissingHistory>,
}

pub fn accept(access: ToolContext) -> anyhow::Result<ToolOutcome> {
    access.reader()?;
    let (generation, accepted) = match &access.engine {
        Some(engine) => engine.accept_missing_history()?,
        None => {
            let data_dir = access.data_dir.clone();
            // It is opened again, to be written to.
            drop(access);
            store::accept_missing_history(&data_dir)?
        }
    };
    for missing in &accepted {
        tracing::warn!(
            generation,
            topic = missing.topic,
            partition = missing.partition,
            from = missing.from,
            to = missing.to,
            "it is accepted that the views are built without these records"
        );
    }
    ToolOutcome::new(&AcceptedLoss { generation: format!("{generation:06}"), accepted })
}

impl AcceptedLoss {
    /// Returns the text that people read.
    pub fn text(&self) -> String {
        let Self { generation, accepted } = self;
        if accepted.is_empty() {
            return format!(
                "Generation {generation} is built without no record that is not accepted to be missing.\n"
            );
        }
        let mut text = format!("Accepted that generation {generation} is built without these records:\n");
        for missing in accepted {
            let MissingHistory { topic, partition, from, to, .. } = missing;
            text += &format!("  {topic}/{partition} from {from} to {to}\n");
        }
        text
    }
}
