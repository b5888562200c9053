//! `optview history`: what happened to one optimization, read from the log itself: every event of it, its jobs and their
//! runs in the order of the fold, with what each changed in the view; or the view as it was at a moment. Works on any
//! [`Source`], such as an archive, and needs no store. Must never write anything but its answer.

use anyhow::{Context, bail};

use crate::config::{AsOf, HistoryConfig, LogSource};
use crate::domain::OwnedRecord;
use crate::output;
use crate::progress::Shown;
use crate::source::Source;
use crate::source::archive::ArchiveSource;
use crate::source::kafka::KafkaSource;

use moment::Moment;

mod escapes;
mod fields;
mod ids;
mod json;
mod moment;
mod scan;
mod text;
mod timeline;
mod unchanged;
mod words;

/// Nothing is ever committed for it; librdkafka wants a name.
const GROUP_ID: &str = "optview-history";

/// Reads the log, and prints the answer on stdout.
pub fn run(config: &HistoryConfig) -> anyhow::Result<()> {
    let mut answer = Vec::new();
    let told = match &config.log_source {
        LogSource::Topics(kafka) => {
            let source = KafkaSource::new(kafka, GROUP_ID);
            tell(&mut source.context("librdkafka does not take the settings")?, config, &mut answer)
        }
        LogSource::Archive(directory) => {
            let source = ArchiveSource::open(directory);
            let cannot = || format!("the archive {} cannot be read", directory.display());
            tell(&mut source.with_context(cannot)?, config, &mut answer)
        }
    };
    let answer = String::from_utf8(answer).context("the answer is no text")?;
    match (config.json, answer.as_str()) {
        (true, json) if !json.is_empty() => output::print_json(json.trim_end())?,
        (_, text) => output::print(text)?,
    }
    told
}

/// Writes the answer into `out`. Where nothing mentions the optimization that is an error, whatever was written.
pub fn tell(source: &mut dyn Source, config: &HistoryConfig, out: &mut Vec<u8>) -> anyhow::Result<()> {
    let HistoryConfig { topics: names, id, as_of, .. } = config;
    let after = match as_of {
        Some(AsOf::Position(position)) => Some(*position),
        Some(AsOf::Time(_)) | None => None,
    };
    let mut shown = Shown::new(false);
    let scan = scan::scan(source, names, id, after, &mut shown);
    shown.finish();
    let scan = scan?;
    let moment = match as_of {
        Some(AsOf::Time(time)) => Some(Moment::Before(*time)),
        Some(AsOf::Position(_)) | None => scan.moment,
    };
    let was_written =
        |kept: &&OwnedRecord| moment.is_none_or(|moment| moment.is_after(kept.position, kept.timestamp_millis));
    let timeline = timeline::tell(id, scan.kept.values().filter(was_written));
    let warnings = words::warnings(&scan, names);
    match (moment, config.json) {
        (Some(_), true) => json::view(&timeline, out)?,
        (Some(moment), false) => text::view(id, &timeline, moment, names, out)?,
        (None, _) if scan.kept.is_empty() => {}
        (None, true) => json::history(id, &timeline, &scan, names, out)?,
        (None, false) => text::history(id, &timeline, &scan, names, out)?,
    }
    if moment.is_some() || scan.kept.is_empty() {
        warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    }
    if scan.kept.is_empty() {
        let searched = words::searched(&scan, names);
        bail!("nothing mentions {id:?} in {searched}; check the id, and that these are its topics");
    }
    Ok(())
}
