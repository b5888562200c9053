//! Where a tool runs: in the process that holds the data directory, where there is one, else here. Nothing in between:
//! a directory that is held by who does not answer is left alone.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, bail};

use super::{Access, Outcome, Said, Tool, Watch, run};
use crate::config::ProjectionConfig;
use crate::domain::Topic;
use crate::generation::Engine;
use crate::generation::rebuild::refuse_other_cluster;
use crate::http::control;
use crate::source::kafka::KafkaSettings;
use crate::source::kafka::look;
use crate::source::{TopicNames, Watermarks};
use crate::store::verify::{Bounds, PartitionBounds};
use crate::store::{self, DataDirLock, GenerationManifest, ReadOnlyStore, Reader, StoreError};

/// How long a process that holds the directory may take to answer: it may be opening its store, or be about to end.
const PATIENCE: Duration = Duration::from_secs(30);

/// How often it is asked meanwhile.
const ASK_EVERY: Duration = Duration::from_millis(50);

/// How much of the store's pages is held in memory where it is opened here.
pub(super) const CACHE_BYTES: u64 = 64 << 20;

/// Uses a tool on a data directory.
/// `kafka` is where the topics are, and `projection` how the store is kept up to date, as far as a tool needs that and no
/// process serves the store.
pub fn perform(
    data_dir: &Path,
    tool: &Tool,
    kafka: Option<&KafkaSettings>,
    projection: Option<&ProjectionConfig>,
    watch: &mut Watch<'_>,
) -> anyhow::Result<Outcome> {
    let begin = Instant::now();
    loop {
        let waiting_for = match reach(data_dir)? {
            Reached::Process(process) => match ask(process, tool, watch)? {
                Asked::Done(outcome) => return Ok(outcome),
                Asked::NotYet(why) => why,
            },
            Reached::Nobody(hold) => {
                return match projection.filter(|_| tool.needs_engine()) {
                    Some(projection) => work_here(tool, projection, &hold, watch),
                    None => run_here(data_dir, tool, kafka, &hold, watch),
                };
            }
            Reached::Silent => {
                "it does not answer at control.sock: its log says why, or it is another version".to_owned()
            }
        };
        if begin.elapsed() > PATIENCE {
            bail!("{} is held by another process, and {waiting_for}", data_dir.display());
        }
        std::thread::sleep(ASK_EVERY);
    }
}

enum Reached {
    Process(UnixStream),
    /// No process holds the directory, so this one does now.
    Nobody(DataDirLock),
    /// A process holds it, and does not listen, or not yet, or no longer.
    Silent,
}

fn reach(data_dir: &Path) -> anyhow::Result<Reached> {
    let connected = control::connect(data_dir).with_context(|| {
        format!(
            "cannot connect to {}/control.sock: use the tool as the user that `optview serve` runs as",
            data_dir.display()
        )
    })?;
    if let Some(process) = connected {
        return Ok(Reached::Process(process));
    }
    match store::lock_existing_data_dir(data_dir) {
        Ok(hold) => Ok(Reached::Nobody(hold)),
        Err(StoreError::Held { .. }) => Ok(Reached::Silent),
        Err(error) => Err(error.into()),
    }
}

enum Asked {
    Done(Outcome),
    NotYet(String),
}

fn ask(process: UnixStream, tool: &Tool, watch: &mut Watch<'_>) -> anyhow::Result<Asked> {
    let mut ended = None;
    control::ask(process, serde_json::to_vec(tool)?, &mut |line| match serde_json::from_slice(line) {
        Ok(Said::Progress(progress)) => watch(progress),
        Ok(last) => {
            ended = Some(Ok(last));
            ControlFlow::Break(())
        }
        Err(error) => {
            ended = Some(Err(anyhow!(
                "`optview serve` gave an answer that is not understood ({error}): is it of another version?"
            )));
            ControlFlow::Break(())
        }
    })
    .context("`optview serve` ended while it was asked")?;
    match ended.transpose()? {
        Some(Said::Done(outcome)) => Ok(Asked::Done(outcome)),
        Some(Said::NotYet(why)) => Ok(Asked::NotYet(why)),
        Some(Said::Failed(why)) => Err(anyhow!(why)),
        Some(Said::Progress(_)) | None => {
            bail!("`optview serve` was told to end before the answer was whole: try again")
        }
    }
}

/// Opens the store in this process, which holds its directory.
fn run_here(
    data_dir: &Path,
    tool: &Tool,
    kafka: Option<&KafkaSettings>,
    _hold: &DataDirLock,
    watch: &mut Watch<'_>,
) -> anyhow::Result<Outcome> {
    let nothing = Access {
        data_dir: data_dir.to_owned(),
        generation: None,
        reader: Err(StoreError::Missing { path: data_dir.to_owned() }),
        topics: TopicNames::default(),
        bounds: Box::new(|| None),
        is_served: false,
        engine: None,
    };
    let access = match store::open_existing(data_dir, CACHE_BYTES) {
        Ok(ReadOnlyStore { reader, generation, path, .. }) => {
            let about = GenerationManifest::read(&path);
            let [optimizations, jobs, runs] = Topic::ALL.map(|topic| about.topic(topic));
            let topics = TopicNames::new(optimizations, jobs, runs);
            let bounds = bounds(&reader, kafka)?;
            let bounds = Box::new(move || bounds.clone());
            Access { generation: Some(generation), reader: Ok(reader), topics, bounds, ..nothing }
        }
        Err(error) if error.is_damage() || matches!(error, StoreError::OtherLayout { .. }) => {
            Access { reader: Err(error), ..nothing }
        }
        Err(error) => return Err(error.into()),
    };
    run(tool, access, watch)
}

/// Keeps the store up to date in this process, which holds its directory, for as long as the tool takes.
fn work_here(
    tool: &Tool,
    projection: &ProjectionConfig,
    _hold: &DataDirLock,
    watch: &mut Watch<'_>,
) -> anyhow::Result<Outcome> {
    let engine = Engine::new(projection.clone(), Arc::new(|| {}));
    engine.start(None)?;
    let current = engine.reader.get();
    let access = Access {
        data_dir: projection.data_dir.clone(),
        generation: current.as_ref().map(|current| current.status().report().generation),
        reader: current
            .map(|reader| Reader::clone(&reader))
            .ok_or_else(|| StoreError::Missing { path: projection.data_dir.clone() }),
        topics: projection.kafka.topics.clone(),
        bounds: Box::new(|| None),
        is_served: false,
        engine: Some(engine.clone()),
    };
    let outcome = run(tool, access, watch);
    let stopped = engine.stop();
    let outcome = outcome?;
    stopped.map(|()| outcome)
}

/// What the cluster has of the topics that the store has read.
fn bounds(reader: &Reader, kafka: Option<&KafkaSettings>) -> anyhow::Result<Option<Bounds>> {
    let Some(kafka) = kafka else { return Ok(None) };
    let Ok(checkpoint) = reader.checkpoint() else { return Ok(None) };
    refuse_other_cluster(kafka, reader)?;
    let topics: BTreeSet<&str> = checkpoint.keys().map(|(topic, _)| topic.as_str()).collect();
    let found = look::watermarks(kafka, topics.iter().copied())?;
    let ids = look::ids_of_topics(kafka, &topics.into_iter().collect::<Vec<&str>>())?;
    let bounds = |(key, Watermarks { low, high }): ((String, i32), Watermarks)| {
        let topic_id = ids.get(&key.0).copied();
        (key, PartitionBounds { low, high, topic_id })
    };
    Ok(Some(found.into_iter().map(bounds).collect()))
}
