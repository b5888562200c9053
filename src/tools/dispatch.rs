//! The choice of the process in which a tool runs: the one that holds the data directory, if there is one, else this one. A
//! directory that is held by a process that does not answer is left alone.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, bail};

use super::context::{CACHE_BYTES, ToolContext, ToolOutcome};
use super::host::ToolMessage;
use super::tool::{Tool, run};
use crate::codec::Framing;
use crate::config::ProjectionConfig;
use crate::control;
use crate::data_dir::{self, DataDirError, DataDirLock, GenerationManifest};
use crate::domain::Topic;
use crate::generation::Engine;
use crate::generation::rebuild::refuse_other_cluster;
use crate::progress::ProgressSink;
use crate::source::kafka::KafkaSettings;
use crate::source::kafka::metadata;
use crate::source::{TopicNames, Watermarks};
use crate::store::verify::{PartitionBounds, TopicBounds};
use crate::store::{self, OpenError, ReadOnlyStore, Reader};

/// The longest time that a process that holds the directory may take to answer: it may be opening its store, or about to end.
const PATIENCE: Duration = Duration::from_secs(30);

/// The interval at which that process is asked.
const ASK_EVERY: Duration = Duration::from_millis(50);

/// The silence of that process, during an answer, from which on people are told of it.
const SILENCE_REPORTED: Duration = Duration::from_secs(10);

/// Runs a tool on a data directory, here or in the process that holds it. The requirements of the tool are used only if no process
/// serves the store.
pub fn perform(
    data_dir: &Path,
    tool: &Tool,
    needs: ToolRequirements<'_>,
    watch: &mut ProgressSink<'_>,
) -> anyhow::Result<ToolOutcome> {
    let begin = Instant::now();
    loop {
        let waiting_for = match find_host(data_dir)? {
            ToolHost::Process(process) => match ask(process, tool, watch, needs.stop)? {
                ToolReply::Done(outcome) => return Ok(outcome),
                ToolReply::NotYet(reason) => reason,
            },
            ToolHost::Nobody(hold) => {
                return match needs.projection.filter(|_| tool.needs_engine()) {
                    Some(projection) => run_with_engine(tool, projection, &hold, watch),
                    None => run_here(data_dir, tool, needs, &hold, watch),
                };
            }
            ToolHost::Silent => {
                "it does not answer at control.sock: look for the reason in its log; it may also be of another version"
                    .to_owned()
            }
        };
        if is_set(needs.stop) {
            bail!("told to stop");
        }
        if begin.elapsed() > PATIENCE {
            bail!("{} is held by another process, and {waiting_for}", data_dir.display());
        }
        std::thread::sleep(ASK_EVERY);
    }
}

/// The settings and the stop flag that a tool needs if no process serves the store.
#[derive(Clone, Copy, Default)]
pub struct ToolRequirements<'a> {
    /// The settings of the cluster with the topics.
    pub kafka: Option<&'a KafkaSettings>,
    /// The settings of a projector.
    pub projection: Option<&'a ProjectionConfig>,
    /// The frames that the values of records may have.
    pub framing: Framing,
    /// A flag that is set when the process is to stop.
    pub stop: Option<&'a AtomicBool>,
}

/// Returns true if the process was told to stop.
fn is_set(stop: Option<&AtomicBool>) -> bool {
    stop.is_some_and(|stop| stop.load(Ordering::Acquire))
}

/// The process that a tool is to run in.
enum ToolHost {
    /// The process that holds the directory, connected through its socket.
    Process(UnixStream),
    /// No process held the directory, so this one does now.
    Nobody(DataDirLock),
    /// A process holds the directory, and does not listen, or not yet, or no longer.
    Silent,
}

fn find_host(data_dir: &Path) -> anyhow::Result<ToolHost> {
    let connected = control::connect(data_dir).with_context(|| {
        format!(
            "cannot connect to {}/control.sock: use the tool as the user that `optview serve` runs as",
            data_dir.display()
        )
    })?;
    if let Some(process) = connected {
        return Ok(ToolHost::Process(process));
    }
    match data_dir::lock_existing_data_dir(data_dir) {
        Ok(hold) => Ok(ToolHost::Nobody(hold)),
        Err(DataDirError::Held { .. }) => Ok(ToolHost::Silent),
        Err(error) => Err(error.into()),
    }
}

/// The last message of a process that ran a tool, unless it failed.
pub(super) enum ToolReply {
    Done(ToolOutcome),
    NotYet(String),
}

/// Asks the process that serves a store, until it answers or `stop` is set.
pub(super) fn ask(
    process: UnixStream,
    tool: &Tool,
    watch: &mut ProgressSink<'_>,
    stop: Option<&AtomicBool>,
) -> anyhow::Result<ToolReply> {
    let mut reply = None;
    let mut is_reported = false;
    control::ask(
        process,
        serde_json::to_vec(tool)?,
        &mut |line| match serde_json::from_slice(line) {
            Ok(ToolMessage::Progress(progress)) => watch(progress),
            Ok(last) => {
                reply = Some(Ok(last));
                ControlFlow::Break(())
            }
            Err(error) => {
                reply = Some(Err(anyhow!(
                    "the answer of `optview serve` cannot be understood ({error}): it may be of another version"
                )));
                ControlFlow::Break(())
            }
        },
        &mut |silent| wait_on(silent, &mut is_reported, stop),
    )
    .with_context(|| match is_set(stop) {
        true => "told to stop before `optview serve` had answered",
        false => "`optview serve` ended before it had answered: try again",
    })?;
    match reply.transpose()? {
        Some(ToolMessage::Done(outcome)) => Ok(ToolReply::Done(outcome)),
        Some(ToolMessage::NotYet(why)) => Ok(ToolReply::NotYet(why)),
        Some(ToolMessage::Failed(why)) => Err(anyhow!(why)),
        Some(ToolMessage::Progress(_)) | None => {
            bail!("`optview serve` was told to end before the answer was whole: try again")
        }
    }
}

/// Decides whether to wait on for a process that has been silent for so long, and tells people of a long silence once.
fn wait_on(silent: Duration, is_reported: &mut bool, stop: Option<&AtomicBool>) -> ControlFlow<()> {
    if silent >= SILENCE_REPORTED && !std::mem::replace(is_reported, true) {
        tracing::warn!(
            "`optview serve` has been silent for {} s. It may be at long work, or be suspended, or hang: look at its log. This \
             command waits on until it is ended",
            SILENCE_REPORTED.as_secs()
        );
    }
    if is_set(stop) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
}

/// Runs a tool on the store as it is. This process holds its directory.
fn run_here(
    data_dir: &Path,
    tool: &Tool,
    ToolRequirements { kafka, framing, .. }: ToolRequirements<'_>,
    _hold: &DataDirLock,
    watch: &mut ProgressSink<'_>,
) -> anyhow::Result<ToolOutcome> {
    let nothing = ToolContext {
        data_dir: data_dir.to_owned(),
        generation: None,
        reader: Err(DataDirError::Missing { path: data_dir.to_owned() }.into()),
        topics: TopicNames::default(),
        bounds: Box::new(|| None),
        kafka: kafka.cloned(),
        framing,
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
            ToolContext { generation: Some(generation), reader: Ok(reader), topics, bounds, ..nothing }
        }
        Err(error) if error.is_damage() || matches!(error, OpenError::OtherLayout { .. }) => {
            ToolContext { reader: Err(error), ..nothing }
        }
        Err(error) => return Err(error.into()),
    };
    run(tool, access, watch)
}

/// Runs a tool on the store, which is kept up to date in this process meanwhile. This process holds its directory.
fn run_with_engine(
    tool: &Tool,
    projection: &ProjectionConfig,
    _hold: &DataDirLock,
    watch: &mut ProgressSink<'_>,
) -> anyhow::Result<ToolOutcome> {
    let engine = Engine::new(projection.clone(), Arc::new(|| {}));
    engine.start(None)?;
    let current = engine.reader.get();
    let access = ToolContext {
        data_dir: projection.data_dir.clone(),
        generation: current.as_ref().map(|current| current.status().report().generation),
        reader: current
            .map(|reader| Reader::clone(&reader))
            .ok_or_else(|| DataDirError::Missing { path: projection.data_dir.clone() }.into()),
        topics: projection.kafka.topics.clone(),
        bounds: Box::new(|| None),
        kafka: Some(projection.kafka.clone()),
        framing: projection.framing,
        is_served: false,
        engine: Some(engine.clone()),
    };
    let outcome = run(tool, access, watch);
    let stopped = engine.stop();
    let outcome = outcome?;
    stopped.map(|()| outcome)
}

/// Asks the cluster for the bounds and the ids of the topics that the store has read.
fn bounds(reader: &Reader, kafka: Option<&KafkaSettings>) -> anyhow::Result<Option<TopicBounds>> {
    let Some(kafka) = kafka else { return Ok(None) };
    let Ok(checkpoint) = reader.checkpoint() else { return Ok(None) };
    refuse_other_cluster(kafka, reader)?;
    let topics: BTreeSet<&str> = checkpoint.keys().map(|read| read.topic.as_str()).collect();
    let found = metadata::watermarks(kafka, topics.iter().copied())?;
    let ids = metadata::ids_of_topics(kafka, &topics.into_iter().collect::<Vec<&str>>())?;
    let bounds = found.into_iter().map(|(key, Watermarks { low, high })| {
        let topic_id = ids.get(&key.topic).copied();
        (key, PartitionBounds { low, high, topic_id })
    });
    Ok(Some(bounds.collect()))
}
