//! `optview publish`: puts all views of a store at rest, or of a snapshot, on a topic of views, and ends.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, bail};

use crate::config::PublishConfig;
use crate::data_dir::{self, DataDirError, GenerationManifest, PublishedNote};
use crate::domain::ReadPosition;
use crate::output;
use crate::progress::Progress;
use crate::progress_display::ProgressDisplay;
use crate::publication::{Publication, PublishedViews, Publisher, PublisherSettings, publish_at_rest};
use crate::snapshot;
use crate::source::kafka::views_topic::KafkaViewsTopic;
use crate::source::views_topic::ViewsTopic as _;
use crate::store;

/// Number of bytes of the store's pages that are held in memory.
const CACHE_BYTES: u64 = 64 << 20;

/// The time between two marks, which is longer than it takes to publish anything.
const ONE_MARK_ONLY: Duration = Duration::from_secs(24 * 3600);

/// Publishes a store or a snapshot.
///
/// # Errors
/// The store is served, cannot be read, or is behind the topic; or the topic cannot be used.
pub fn run(config: &PublishConfig, stop: &AtomicBool) -> anyhow::Result<()> {
    let published = match (&config.data_dir, &config.snapshot) {
        (Some(data_dir), _) => publish_store(config, data_dir, Origin::DataDir, stop)?,
        (None, Some(file)) => publish_snapshot(config, file, stop)?,
        (None, None) => bail!("nothing is to be published: give --data-dir or --snapshot"),
    };
    if config.json {
        return Ok(output::print_json(&serde_json::to_string(&published)?)?);
    }
    let PublishedViews { topic, views, published, version } = published;
    Ok(output::print(&format!(
        "All {views} views are on the topic {topic}: {published} records were put there, and its version is {version}.\n"
    ))?)
}

/// Makes a store of the snapshot in a directory beside it, which is removed again.
fn publish_snapshot(config: &PublishConfig, file: &Path, stop: &AtomicBool) -> anyhow::Result<PublishedViews> {
    let directory = tempfile::tempdir_in(
        file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new(".")),
    );
    let directory = directory.context("no directory for the snapshot's store can be made beside it")?;
    snapshot::import(file, directory.path(), config.disk_reserve, Some(&config.kafka.topics), &mut |_| {
        if stop.load(Ordering::Acquire) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    publish_store(config, directory.path(), Origin::Snapshot, stop)
}

/// The origin of the store that is published.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Origin {
    DataDir,
    Snapshot,
}

fn publish_store(
    config: &PublishConfig,
    data_dir: &Path,
    origin: Origin,
    stop: &AtomicBool,
) -> anyhow::Result<PublishedViews> {
    let _hold = data_dir::lock_existing_data_dir(data_dir).map_err(|error| match error {
        DataDirError::Held { .. } => anyhow::Error::from(error).context(
            "a process serves the store: start that with --publish-views, which publishes it as it goes on",
        ),
        error => error.into(),
    })?;
    let store = store::open_existing(data_dir, CACHE_BYTES)?;
    store.reader.check_format()?;
    let settings = config.publication.topic().context("no topic of views is given")?;
    let publication = Publication::new(&settings.name, config.publication.views_format);
    let mut topic = KafkaViewsTopic::new(config.kafka.clone(), settings, publication.stop_flag());
    let is_closed = origin == Origin::DataDir && GenerationManifest::read(&store.path).closed.is_some();
    let bound = match is_closed {
        true => ReadPosition::clone(&store.reader.visible_position()),
        // Views may be ahead of the checkpoint, but not of the topics that they were made from.
        false => ReadPosition::new(topic.input_ends()?),
    };
    store.reader.publish_as_it_is(bound);
    // Whoever asks for this wants the topic compared, whatever was noted.
    PublishedNote::forget(&store.path)?;
    publication.attach(&store.reader, &store.path)?;
    let publisher = Publisher::new(topic, publication.clone(), PublisherSettings::new(ONE_MARK_ONLY));
    let mut display = ProgressDisplay::new(false);
    let published = publish_at_rest(publisher, &publication, &mut |records_done| {
        display.show(&Progress::new("publishing", records_done, None));
        !stop.load(Ordering::Acquire)
    });
    display.finish();
    Ok(published?)
}
