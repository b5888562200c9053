//! `optview archive verify`: looks at every byte of an archive, and says what it looked at.

use indicatif::{HumanBytes, HumanCount};
use serde::Serialize;

use super::{print_json, print_lines};
use crate::cli::Completion;
use crate::config::ArchiveVerifyConfig;
use crate::progress::{Progress, Shown};
use crate::source::archive::{Manifest, Span, verify};

#[derive(Debug, PartialEq, Eq, Serialize)]
struct Told {
    phase: &'static str,
    files: u64,
    records: u64,
    bytes: u64,
    /// That have records.
    partitions: usize,
    cluster_id: String,
    spans: Vec<Span>,
    problems: Vec<String>,
}

pub fn run(config: &ArchiveVerifyConfig) -> anyhow::Result<Completion> {
    let manifest = Manifest::read(&config.directory)?;
    let mut shown = Shown::new(config.json);
    let verified = verify(&config.directory, &manifest, |so_far| {
        shown.show(&Progress::new("verifying", so_far.records, Some(manifest.records())));
    });
    shown.finish();
    let spans: Vec<Span> = manifest.spans().into_values().collect();
    let told = Told {
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
        print_json(&told)?
    } else {
        print(&told)?
    }
    Ok(if told.problems.is_empty() { Completion::Done } else { Completion::DifferenceFound })
}

fn print(told: &Told) -> anyhow::Result<()> {
    let mut lines = vec![
        format!(
            "checked {} files, {}, {} records of {} partitions, of the cluster {}",
            told.files,
            HumanBytes(told.bytes),
            HumanCount(told.records),
            told.partitions,
            told.cluster_id
        ),
        format!("{:<28} {:>14} {:>14} {:>14}", "partition", "first offset", "next offset", "records"),
    ];
    for Span { stream, partition, first, next, records } in &told.spans {
        lines.push(format!("{:<28} {first:>14} {next:>14} {records:>14}", format!("{stream}/{partition}")));
    }
    lines.push(match told.problems.len() {
        0 => "no problems: every checksum is right, every line is a record, and nothing is missing between the files"
            .to_owned(),
        count => format!("{count} problems:"),
    });
    lines.extend(told.problems.iter().map(|problem| format!("  {problem}")));
    print_lines(&lines)
}
