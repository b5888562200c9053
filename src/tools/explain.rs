//! `optview explain`: which event set each field of a view.

use anyhow::bail;

use super::context::{ToolContext, ToolOutcome};
use crate::explain;

/// Explains the view of an optimization, or states why there is none.
pub fn explain(access: &ToolContext, id: &str) -> anyhow::Result<ToolOutcome> {
    let reader = access.reader()?;
    if let Some(explanation) = explain::explain(reader, id, &access.topics)? {
        return ToolOutcome::new(&explanation);
    }
    if let Some(text) = explain::unlinked_job(reader, id, &access.topics)? {
        bail!("{text}");
    }
    match &reader.linking(id)[..] {
        [] => bail!(
            "no event of an optimization {id:?} has been read: check its id, and whether `optview serve` has caught up"
        ),
        linking => bail!("{id:?} is no optimization; it is a job of {}: explain that", linking.join(", ")),
    }
}
