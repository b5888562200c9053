//! `optview archive verify`: verifies every byte of an archive, and prints a summary.

use indicatif::{HumanBytes, HumanCount};
use serde::Serialize;

use super::{print_json, print_lines};
use crate::cli::Completion;
use crate::config::ArchiveVerifyConfig;
use crate::progress::Progress;
use crate::progress_display::ProgressDisplay;
use crate::source::archive::{Manifest, Span, verify};

#[derive(Debug, PartialEq, Eq, Serialize)]
struct VerificationSummary {
    phase: &'static str,
    files: u64,
    records: u64,
    bytes: u64,
    /// Number of partitions with records.
    partitions: usize,
    cluster_id: String,
    spans: Vec<Span>,
    problems: Vec<String>,
}

/// Verifies the archive, and prints the summary. The completion shows whether any problem was found.
pub fn run(config: &ArchiveVerifyConfig) -> anyhow::Result<Completion> {
    let manifest = Manifest::read(&config.directory)?;
    let mut shown = ProgressDisplay::new(config.json);
    let verified = verify(&config.directory, &manifest, |so_far| {
        shown.show(&Progress::new("verifying", so_far.records, Some(manifest.records())));
    });
    shown.finish();
    let spans: Vec<Span> = manifest.spans().into_values().collect();
    let summary = VerificationSummary {
        phase: "done",
        files: verified.files,
        records: verified.records,
        bytes: verified.bytes,
        partitions: spans.len(),
        cluster_id: manifest.cluster_id,
        spans,
        problems: verified.problems,
    };
    if config.json {
        print_json(&summary)?
    } else {
        print(&summary)?
    }
    Ok(if summary.problems.is_empty() { Completion::Done } else { Completion::DifferenceFound })
}

fn print(summary: &VerificationSummary) -> anyhow::Result<()> {
    let mut lines = vec![
        format!(
            "checked {} files, {}, {} records of {} partitions, of the cluster {}",
            summary.files,
            HumanBytes(summary.bytes),
            HumanCount(summary.records),
            summary.partitions,
            summary.cluster_id
        ),
        format!("{:<28} {:>14} {:>14} {:>14}", "partition", "first offset", "next offset", "records"),
    ];
    for Span { stream, partition, first, next, records } in &summary.spans {
        lines.push(format!("{:<28} {first:>14} {next:>14} {records:>14}", format!("{stream}/{partition}")));
    }
    lines.push(match summary.problems.len() {
        0 => "no problems: every checksum is right, every line is a record, and nothing is missing between the files"
            .to_owned(),
        count => format!("{count} problems:"),
    });
    lines.extend(summary.problems.iter().map(|problem| format!("  {problem}")));
    print_lines(&lines)
}
