//! `optview snapshot`: a copy of the store in one file, and a store of such a file.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{Access, Outcome, Watch, print};
use crate::cli::Completion;
use crate::config::SnapshotImportConfig;
use crate::output;
use crate::progress::{Progress, Shown};
use crate::snapshot::{self, Exported, Room};
use crate::store;

/// `optview snapshot export`, where the store is.
pub fn export(
    access: &Access,
    file: &Path,
    replace: bool,
    room: Room,
    watch: &mut Watch<'_>,
) -> anyhow::Result<Outcome> {
    let reader = access.reader()?;
    let live = store::list(&access.data_dir)?.into_iter().find(|listed| listed.live);
    let exported = Exported {
        reader,
        generation: format!("{:06}", access.generation.unwrap_or_default()),
        topic: &|topic| access.topics.get(topic).to_owned(),
        store_bytes: live.map_or(0, |live| live.bytes),
        room,
        replace,
    };
    let summary =
        snapshot::export(exported, file, &mut |phase, done, total| watch(Progress::new(phase, done, Some(total))));
    Outcome::new(&summary?)
}

/// `optview snapshot import`
pub fn import(config: &SnapshotImportConfig, stop: &AtomicBool) -> anyhow::Result<Completion> {
    let data_dir = &config.tool.data_dir;
    let _hold = store::hold(data_dir)?;
    let mut shown = Shown::new(false);
    let room = Room { floor: config.min_free_disk_bytes };
    let summary = snapshot::import(&config.file, data_dir, room, None, &mut |phase, done, total| {
        shown.show(&Progress::new(phase, done, Some(total)));
        if stop.load(Ordering::Acquire) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    shown.finish();
    let summary = summary?;
    match config.tool.json {
        true => output::print_json(&serde_json::to_string(&summary)?)?,
        false => output::print(&print::imported(&summary))?,
    }
    Ok(Completion::Done)
}
