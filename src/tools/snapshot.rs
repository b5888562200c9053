//! `optview snapshot export`: a copy of the live generation in one file.

use std::path::Path;

use indicatif::HumanCount;

use super::context::{ToolContext, ToolOutcome};
use crate::data_dir;
use crate::disk::DiskReserve;
use crate::progress::ProgressSink;
use crate::snapshot::{self, ExportRequest, SnapshotSummary};

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

/// Formats the summary of an export for people.
pub fn export_text(summary: &SnapshotSummary) -> String {
    format!("Wrote {}, {}", summary.file.display(), contents(summary))
}

/// Formats the summary of an import for people.
pub fn import_text(summary: &SnapshotSummary) -> String {
    format!("Made generation {} of {}, {}", summary.generation, summary.file.display(), contents(summary))
}

fn contents(summary: &SnapshotSummary) -> String {
    let SnapshotSummary { views, records, bytes, positions, .. } = summary;
    let read: i64 = positions.iter().map(|at| at.next_offset).sum();
    format!(
        "{}: {} views, {} records, read up to {read} in {} partitions\n",
        bytesize::ByteSize(*bytes),
        HumanCount(*views),
        HumanCount(*records),
        positions.len()
    )
}
