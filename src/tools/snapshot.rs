//! `optview snapshot export`: a copy of the live generation in one file.

use std::path::Path;

use super::context::{ToolContext, ToolOutcome};
use crate::data_dir;
use crate::disk::DiskReserve;
use crate::progress::ProgressSink;
use crate::snapshot::{self, ExportRequest};

/// Runs the export in the process that has the store open.
pub fn export(
    access: &ToolContext,
    file: &Path,
    replace: bool,
    room: DiskReserve,
    watch: &mut ProgressSink<'_>,
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
    ToolOutcome::new(&snapshot::export(exported, file, watch)?)
}
