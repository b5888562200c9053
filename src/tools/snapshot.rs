//! The command `optview snapshot`: it copies a store into one file, and makes a store from such a file.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{ProgressCallback, ToolContext, ToolOutcome, print};
use crate::cli::Completion;
use crate::config::SnapshotImportConfig;
use crate::data_dir;
use crate::output;
use crate::progress::{Progress, ProgressDisplay};
use crate::snapshot::{self, DiskReserve, ExportRequest};

/// Runs the export in the process that has the store open.
pub fn export(
    access: &ToolContext,
    file: &Path,
    replace: bool,
    room: DiskReserve,
    watch: &mut ProgressCallback<'_>,
) -> anyhow::Result<ToolOutcome> {
    let reader = access.reader()?;
    let live = data_dir::list(&access.data_dir)?.into_iter().find(|listed| listed.live);
    let exported = ExportRequest {
        reader,
        generation: format!("{:06}", access.generation.unwrap_or_default()),
        topic: &|topic| access.topics.get(topic).to_owned(),
        store_bytes: live.map_or(0, |live| live.bytes),
        room,
        replace,
    };
    let summary =
        snapshot::export(exported, file, &mut |phase, done, total| watch(Progress::new(phase, done, Some(total))));
    ToolOutcome::new(&summary?)
}

/// Runs `optview snapshot import`.
pub fn import(config: &SnapshotImportConfig, stop: &AtomicBool) -> anyhow::Result<Completion> {
    let data_dir = &config.tool.data_dir;
    let _hold = data_dir::lock_data_dir(data_dir)?;
    let mut display = ProgressDisplay::new(false);
    let room = DiskReserve { floor: config.min_free_disk_bytes };
    let summary = snapshot::import(&config.file, data_dir, room, None, &mut |phase, done, total| {
        display.show(&Progress::new(phase, done, Some(total)));
        if stop.load(Ordering::Acquire) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    display.finish();
    let summary = summary?;
    match config.tool.json {
        true => output::print_json(&serde_json::to_string(&summary)?)?,
        false => output::print(&print::import_summary(&summary))?,
    }
    Ok(Completion::Done)
}
