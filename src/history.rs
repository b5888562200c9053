//! The command `optview history`: what happened to one optimization, read from the log itself. It shows every event of the
//! optimization, its jobs and their runs in the order of the fold, with what each changed in the view; or the view at one
//! point in the log. It works on any [`Source`], such as an archive, and needs no store. It must never write anything but its
//! answer.

use anyhow::{Context, bail};

use crate::config::{AsOf, HistoryConfig, LogSource};
use crate::output;
use crate::progress_display::ProgressDisplay;
use crate::source::Source;
use crate::source::archive::ArchiveSource;
use crate::source::kafka::KafkaSource;

use as_of::LogCutoff;

mod as_of;
mod escapes;
mod fields;
mod ids;
mod json;
mod names;
mod no_effect;
mod scan;
mod text;
mod timeline;

/// The consumer group's name, which librdkafka demands. No offset is ever committed for it.
const GROUP_ID: &str = "optview-history";

/// Reads the log and prints the answer on stdout.
pub fn run(config: &HistoryConfig) -> anyhow::Result<()> {
    let mut answer = Vec::new();
    let outcome = match &config.log_source {
        LogSource::Topics(kafka) => {
            let mut source = KafkaSource::new(kafka, GROUP_ID).context("librdkafka does not take the settings")?;
            write_answer(&mut source, config, &mut answer)
        }
        LogSource::Archive(directory) => {
            let mut source = ArchiveSource::open(directory)
                .with_context(|| format!("the archive {} cannot be read", directory.display()))?;
            write_answer(&mut source, config, &mut answer)
        }
    };
    let answer = String::from_utf8(answer).context("the answer is no text")?;
    match (config.json, answer.as_str()) {
        (true, json) if !json.is_empty() => output::print_json(json.trim_end())?,
        (_, text) => output::print(text)?,
    }
    outcome
}

/// Writes the answer into `out`. It is an error if nothing mentions the optimization, also where something was written.
pub fn write_answer(source: &mut dyn Source, config: &HistoryConfig, out: &mut Vec<u8>) -> anyhow::Result<()> {
    let HistoryConfig { topics: names, id, as_of, framing, .. } = config;
    let after = match as_of {
        Some(AsOf::Position(position)) => Some(*position),
        Some(AsOf::Time(_)) | None => None,
    };
    let mut progress = ProgressDisplay::new(false);
    let scan = scan::scan(source, (names, *framing), id, after, &mut progress);
    progress.finish();
    let scan = scan?;
    let cutoff = match as_of {
        Some(AsOf::Time(time)) => Some(LogCutoff::Before(*time)),
        Some(AsOf::Position(_)) | None => scan.cutoff,
    };
    let timeline = timeline::build(
        id,
        *framing,
        scan.found.values().filter(|record| {
            cutoff.is_none_or(|cutoff| cutoff.includes(record.position, record.timestamp_millis))
        }),
    );
    let warnings = names::warnings(&scan, names);
    match (cutoff, config.json) {
        (Some(_), true) => json::view(&timeline, out)?,
        (Some(cutoff), false) => text::view(id, &timeline, cutoff, names, out)?,
        (None, _) if scan.found.is_empty() => {}
        (None, true) => json::history(id, &timeline, &scan, names, out)?,
        (None, false) => text::history(id, &timeline, &scan, names, out)?,
    }
    if cutoff.is_some() || scan.found.is_empty() {
        warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    }
    if scan.found.is_empty() {
        let searched = names::searched(&scan, names);
        bail!("nothing mentions {id:?} in {searched}; check the id, and that these are its topics");
    }
    Ok(())
}
