//! A generation that is open: its store, and the projector's thread that keeps it up to date. It works the same way whether it is live
//! or not yet; only a live one reports to the outside.

mod throttle;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;

use anyhow::{Context as _, bail};

use super::topics;
use crate::config::ProjectionConfig;
use crate::data_dir;
use crate::projector::{self, PauseHandle, Positions, ProjectorError};
use crate::pulse::Pulse;
use crate::source::archive::{ArchiveSource, ArchiveThenTopics};
use crate::source::kafka::{KafkaSource, letter_topic};
use crate::source::{LetterOutlet, Source, TopicNames, letter_outlet};
use crate::status::{State, Status};
use crate::store::{
    self, Checkpoint, DeadLetterBound, LetterTopicNote, MissingHistoryLedger, OpenStore, Reader, StoreError,
};
pub use throttle::Throttle;
use throttle::{ThrottleRelease, ThrottledSource};

/// A callback for a live generation's projector that ends although nobody stopped it.
pub type OnFailure = Arc<dyn Fn() + Send + Sync>;

pub struct GenerationRuntime {
    pub generation: u64,
    pub path: PathBuf,
    pub reader: Reader,
    pub status: Status,
    pub control: Arc<PauseHandle>,
    /// The records that the generation is built without; `None` where nobody can write to it.
    pub missing_history: Option<MissingHistoryLedger>,
    /// The note of the topic that has its dead letters; `None` where nobody can write to it.
    pub letter_topic_note: Option<LetterTopicNote>,
    /// The pulse of the projector, which has no work if nothing is folded.
    pub pulse: Pulse,
    freedom: Arc<ThrottleRelease>,
    /// `None`: it was waited for.
    thread: Option<JoinHandle<anyhow::Result<()>>>,
}

impl GenerationRuntime {
    /// Begins to keep a generation up to date from the topics, after an archive of them if one is given.
    pub fn start(
        config: &ProjectionConfig,
        opened: OpenStore,
        restraint: Throttle,
        archive: Option<ArchiveSource>,
        on_failure: OnFailure,
    ) -> anyhow::Result<GenerationRuntime> {
        let OpenStore { writer, generation, path, .. } = opened;
        let (control, freedom) = (Arc::new(PauseHandle::default()), Arc::new(ThrottleRelease::default()));
        control.set_quiet(restraint.is_quiet);
        let status = Status::new(generation);
        status.set_views(writer.views(), writer.dead_letters());
        if data_dir::GenerationManifest::read(&path).topics.is_empty() {
            data_dir::note_topics(&path, |topic| config.kafka.topics.get(topic).to_owned());
        }
        writer.note_topics(&topics::all(&config.kafka.topics))?;
        let (reader, directory, pulse) = (writer.reader(), path.clone(), writer.pulse());
        let (missing_history, letter_topic_note) = (writer.missing_history(), writer.letter_topic_note());
        let outlet = letters_to_topic(config)?;
        let project = {
            let (config, status, control, freedom) =
                (config.clone(), status.clone(), control.clone(), freedom.clone());
            move || {
                // Also where it panics.
                let _failure = CalledAtEnd(|| {
                    if freedom.is_live.load(Ordering::Acquire) && !control.is_stopped() {
                        on_failure();
                    }
                    // Whoever waits for it to hold need not wait any longer.
                    control.stop();
                });
                let topics = KafkaSource::new(&config.kafka, &config.group_id).map_err(no_client)?;
                let next = positions(writer.checkpoint_at_open(), &config.kafka.topics);
                let run = |source: &mut dyn Source| {
                    store::catch_sled_panic("store", "using it", || {
                        projector::run(source, writer, settings(&config, &path, outlet), status.clone(), &control)
                    })
                };
                let ended = match archive {
                    None => run(&mut ThrottledSource::new(topics, restraint, freedom.clone())),
                    Some(archive) => {
                        let source = ArchiveThenTopics::new(archive, topics, &next);
                        run(&mut ThrottledSource::new(source, restraint, freedom.clone()))
                    }
                };
                if let Err(error) = &ended {
                    status.set_error(Some(error.to_string()));
                    status.set_state(State::Stalled);
                    match error {
                        ProjectorError::Store(failure) => condemn_damaged(&path, failure),
                        error => tracing::error!("{error}"),
                    }
                }
                ended.with_context(|| format!("the generation in {}", path.display()))
            }
        };
        let thread = std::thread::Builder::new().name("projector".to_owned()).spawn(project);
        let thread = thread.map_err(|error| StoreError::of_thread(&directory, error))?;
        Ok(GenerationRuntime {
            generation,
            path: directory,
            reader,
            status,
            control,
            pulse,
            missing_history: Some(missing_history),
            letter_topic_note: Some(letter_topic_note),
            freedom,
            thread: Some(thread),
        })
    }

    /// Returns a generation that nobody can fold on, with a thread that looks after it.
    pub fn frozen(
        generation: u64,
        path: PathBuf,
        reader: Reader,
        status: Status,
        look_after: impl FnOnce(&PauseHandle) -> anyhow::Result<()> + Send + 'static,
    ) -> anyhow::Result<GenerationRuntime> {
        let (control, freedom) = (Arc::new(PauseHandle::default()), Arc::new(ThrottleRelease::default()));
        let told = control.clone();
        let look_after = move || {
            let _stopped = CalledAtEnd(|| told.stop());
            look_after(&told)
        };
        let thread = std::thread::Builder::new().name("frozen".to_owned()).spawn(look_after);
        let thread = thread.map_err(|error| StoreError::of_thread(&path, error))?;
        Ok(GenerationRuntime {
            generation,
            path,
            reader,
            status,
            control,
            pulse: Pulse::default(),
            missing_history: None,
            letter_topic_note: None,
            freedom,
            thread: Some(thread),
        })
    }

    /// Notes whether readers see it. Only then are its offsets published for lag tools.
    pub fn set_live(&self, is_live: bool) {
        self.freedom.is_live.store(is_live, Ordering::Release);
        self.control.set_quiet(!is_live);
    }

    /// Lifts the throttle: from now on it reads as fast as it can.
    pub fn set_built(&self) {
        self.freedom.is_built.store(true, Ordering::Release);
    }

    /// Returns true if it has ended, or is about to.
    pub fn has_ended(&self) -> bool {
        self.control.is_stopped()
    }

    /// Writes all that was read, and ends.
    pub fn stop(mut self) -> anyhow::Result<()> {
        self.control.stop();
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(ended)) => ended,
            Some(Err(_)) => bail!("the projector panicked; the log says where"),
            None => Ok(()),
        }
    }
}

/// A projector that nobody could stop any more must not go on.
impl Drop for GenerationRuntime {
    fn drop(&mut self) {
        self.control.stop();
    }
}

/// Starts the thread that writes dead letters to their topic, if there is one.
fn letters_to_topic(config: &ProjectionConfig) -> Result<Option<LetterOutlet>, StoreError> {
    let Some(topic) = &config.dead_letter_topic else { return Ok(None) };
    let (outlet, inbox) = letter_outlet(topic);
    let started = letter_topic::start(&config.kafka, topic, inbox);
    started.map_err(|error| StoreError::of_thread(&config.data_dir, error))?;
    Ok(Some(outlet))
}

fn settings(config: &ProjectionConfig, path: &Path, outlet: Option<LetterOutlet>) -> projector::Settings {
    projector::Settings {
        topics: config.kafka.topics.clone(),
        framing: config.framing,
        sync_interval: config.sync_interval,
        catch_up_sync_interval: config.catch_up_sync_interval,
        memory_budget: config.memory_budget_bytes,
        orphan_retention: config.orphan_retention,
        dead_letter_limit: config.dead_letter_limit,
        dead_letters_max: DeadLetterBound { count: config.dead_letters_max, bytes: config.dead_letters_max_bytes },
        dead_letter_outlet: outlet,
        store_path: path.to_owned(),
        disk_reserve: config.disk_reserve,
    }
}

/// Adds to the reason why there is no client of the cluster what to do about it.
fn no_client(error: impl std::error::Error + Send + Sync + 'static) -> anyhow::Error {
    let what_to_do = match error.to_string() {
        text if text.contains("thread") => {
            "librdkafka cannot start its threads: raise the limit of threads (ulimit -u, TasksMax=, the container's pids limit)"
        }
        _ => "librdkafka does not take the settings: check --kafka-property and --kafka-properties",
    };
    anyhow::Error::new(error).context(what_to_do)
}

/// Returns the offset at which each partition of these topics goes on.
pub(super) fn positions(checkpoint: &Checkpoint, names: &TopicNames) -> Positions {
    checkpoint
        .iter()
        .filter_map(|(partition, held)| Some((names.partition_of(partition)?, held.next_offset)))
        .collect()
}

struct CalledAtEnd<F: Fn()>(F);

impl<F: Fn()> Drop for CalledAtEnd<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// Damage that shows while running would show again: the next start builds a new generation instead. What is not proven to be
/// damage (the disk, a limit, a mistake of ours) leaves the generation as it is, for the next start to open.
pub(super) fn condemn_damaged(path: &Path, failure: &StoreError) {
    if !failure.is_damage() {
        return;
    }
    tracing::error!("the store is damaged: the next start moves it aside and builds it anew from Kafka");
    if let Err(error) = data_dir::condemn(path, &failure.to_string()) {
        tracing::error!(%error, "the store could not be marked as damaged: remove its directory before the next start");
    }
}
