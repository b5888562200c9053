//! The store's own checks, in whichever process has it open.

use anyhow::bail;

use super::context::{ToolContext, ToolOutcome};
use crate::progress::ProgressSink;
use crate::store::verify::{self, VerifyReport, VerifySettings};

/// Runs the store's own checks in the process that has it open.
pub fn of_store(access: &ToolContext, watch: &mut ProgressSink<'_>) -> anyhow::Result<ToolOutcome> {
    let reader = match &access.reader {
        // The views of a frozen store cannot be compared with its registers, which this version cannot decode.
        Ok(reader) => reader.check_format().map(|()| reader)?,
        Err(error) => return outcome(&verify::report_unopenable(error)),
    };
    let settings = VerifySettings { gently: access.is_served, bounds: &access.bounds, watch };
    match verify::verify(reader, settings) {
        Some(verified) => outcome(&verified),
        None => bail!("it was told to end"),
    }
}

fn outcome(verified: &VerifyReport) -> anyhow::Result<ToolOutcome> {
    Ok(ToolOutcome { problem_found: verified.problems_found > 0, ..ToolOutcome::new(verified)? })
}
