//! `optview verify`: proves the store, live or not.

use anyhow::bail;

use super::{Access, Outcome, Watch};
use crate::engine::rebuild::Progress;
use crate::store::verify::{self, Settings, Verified};

pub fn verify(access: &Access, watch: &mut Watch<'_>) -> anyhow::Result<Outcome> {
    let reader = match &access.reader {
        // Where it is frozen, nothing in it can be held against its registers.
        Ok(reader) => reader.check_format().map(|()| reader)?,
        Err(error) => return outcome(&verify::unopened(error)),
    };
    let settings = Settings {
        gently: access.is_served,
        bounds: &access.bounds,
        watch: &mut |phase, records_done, records_total| watch(Progress::new(phase, records_done, records_total)),
    };
    match verify::verify(reader, settings) {
        Some(verified) => outcome(&verified),
        None => bail!("it was told to end"),
    }
}

fn outcome(verified: &Verified) -> anyhow::Result<Outcome> {
    Ok(Outcome { problem_found: verified.problems_found > 0, ..Outcome::new(verified)? })
}
