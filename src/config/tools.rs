//! The tools that look at a store.

use std::path::PathBuf;

use crate::cli::options::{self, Opt};

use super::layers::Layers;
use super::{Config, ProjectionConfig, ToolConfig, kafka, log, projection, values};

pub fn tool(layers: &mut Layers<'_>) -> Option<ToolConfig> {
    tool_of(layers, &options::STORE_DIR)
}

fn tool_of(layers: &mut Layers<'_>, data_dir: &'static Opt) -> Option<ToolConfig> {
    let data_dir = layers.value(data_dir, values::directory);
    let json = layers.value(&options::JSON, values::switch);
    // What a tool finds is on stdout; its log is for when something is wrong.
    let log = log(layers, "warn");
    Some(ToolConfig { data_dir: data_dir?, json: json?, log: log? })
}

/// How a store is to be proven.
#[derive(Clone, Debug, PartialEq)]
pub struct VerifyConfig {
    pub tool: ToolConfig,
    /// Whether it is compared with what the topics give.
    pub against_log: bool,
    /// For where no process serves the store; `None` where no brokers were given. Positions are compared with its cluster.
    pub projection: Option<ProjectionConfig>,
    /// Records a second.
    pub max_rate: Option<f64>,
}

pub fn verify(layers: &mut Layers<'_>) -> Option<VerifyConfig> {
    let tool = tool(layers);
    let kafka = kafka::settings(layers, &options::BROKERS_IF_ANY);
    let projection = projection(layers, kafka, tool.as_ref().map(|tool| tool.data_dir.clone()));
    let against_log = layers.value(&options::AGAINST_LOG, values::switch);
    let max_rate = layers.value(&options::MAX_RATE, values::rate);
    Some(VerifyConfig { tool: tool?, against_log: against_log?, projection, max_rate })
}

pub fn explain(layers: &mut Layers<'_>) -> Option<Config> {
    let id = layers.value(&options::ID, values::id);
    let tool = tool(layers);
    Some(Config::Explain(tool?, id?))
}

/// Which generation is to be removed, if any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Removal {
    pub generation: Option<u64>,
    /// Also where it has more than the one that took its place.
    pub accept_loss: bool,
}

pub fn generations(layers: &mut Layers<'_>) -> Option<Config> {
    let generation = layers.value(&options::REMOVE, values::generation);
    let accept_loss = layers.value(&options::ACCEPT_LOSS_OF_REMOVAL, values::switch);
    let tool = tool(layers);
    Some(Config::Generations(tool?, Removal { generation, accept_loss: accept_loss? }))
}

/// What a rebuild is to do.
#[derive(Clone, Debug, PartialEq)]
pub struct RebuildConfig {
    pub tool: ToolConfig,
    /// For where no process serves the store; `None` where no brokers were given.
    pub projection: Option<ProjectionConfig>,
    pub asked: Asked,
    /// Absolute, as it may be another process that reads it.
    pub from_archive: Option<PathBuf>,
    pub dry_run: bool,
    pub expect_same: bool,
    pub accept_loss: bool,
    /// Milliseconds since 1970.
    pub until_millis: Option<i64>,
    /// Records a second.
    pub max_rate: Option<f64>,
    pub keep: usize,
    pub examples: usize,
    pub detach: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    Begin,
    Status,
    Abort,
}

#[derive(Clone, Debug, PartialEq)]
pub struct RollbackConfig {
    pub tool: ToolConfig,
    /// As of a rebuild.
    pub projection: Option<ProjectionConfig>,
    /// `None`: the last but the live one.
    pub to: Option<u64>,
    pub keep: usize,
    pub detach: bool,
    /// Set if readers are to see the generation as it was left, without keeping it up to date.
    pub frozen: bool,
}

/// A snapshot, and the data directory that it is of, or for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotConfig {
    pub tool: ToolConfig,
    pub file: PathBuf,
    /// Whether an export may replace a file that is there.
    pub force: bool,
    pub min_free_disk_bytes: u64,
}

pub fn snapshot_export(layers: &mut Layers<'_>) -> Option<SnapshotConfig> {
    let file = layers.value(&options::SNAPSHOT_NEW, values::file);
    let tool = tool(layers);
    let force = layers.value(&options::FORCE, values::switch);
    let min_free_disk = min_free_disk(layers);
    Some(SnapshotConfig { tool: tool?, file: file?, force: force?, min_free_disk_bytes: min_free_disk? })
}

pub fn snapshot_import(layers: &mut Layers<'_>) -> Option<SnapshotConfig> {
    let file = layers.value(&options::SNAPSHOT, values::file);
    let tool = tool_of(layers, &options::DATA_DIR);
    let min_free_disk = min_free_disk(layers);
    Some(SnapshotConfig { tool: tool?, file: file?, force: false, min_free_disk_bytes: min_free_disk? })
}

/// Of what writes much, and is not asked for how it keeps a store up to date.
pub fn min_free_disk(layers: &mut Layers<'_>) -> Option<u64> {
    layers.value(&options::MIN_FREE_DISK_LEFT, |text| values::bytes(text, 0))
}

pub fn rebuild(layers: &mut Layers<'_>) -> Option<RebuildConfig> {
    let tool = tool(layers);
    let projection = projection_to_read(layers, tool.as_ref());
    let from_archive = layers.value(&options::FROM_ARCHIVE, values::directory_anywhere);
    let dry_run = layers.value(&options::DRY_RUN, values::switch);
    let expect_same = layers.value(&options::EXPECT_SAME, values::switch);
    let accept_loss = layers.value(&options::ACCEPT_LOSS, values::switch);
    let until_millis = layers.value(&options::UNTIL, values::time);
    let max_rate = layers.value(&options::MAX_RATE, values::rate);
    let keep = layers.value(&options::KEEP, values::at_least(0));
    let examples = layers.value(&options::EXAMPLES, values::at_least(0));
    let detach = layers.value(&options::DETACH, values::switch);
    let status = layers.value(&options::STATUS, values::switch);
    let abort = layers.value(&options::ABORT, values::switch);
    let asked = match (status?, abort?) {
        (false, false) => Asked::Begin,
        (true, false) => Asked::Status,
        (false, true) => Asked::Abort,
        (true, true) => {
            layers.mistake(&[&options::STATUS, &options::ABORT], "are two things; give one of them");
            Asked::Status
        }
    };
    Some(RebuildConfig {
        tool: tool?,
        projection,
        asked,
        from_archive,
        dry_run: dry_run?,
        expect_same: expect_same?,
        accept_loss: accept_loss?,
        until_millis,
        max_rate,
        keep: keep?,
        examples: examples?,
        detach: detach?,
    })
}

pub fn rollback(layers: &mut Layers<'_>) -> Option<RollbackConfig> {
    let tool = tool(layers);
    let projection = projection_to_read(layers, tool.as_ref());
    let to = layers.value(&options::TO, values::generation);
    let keep = layers.value(&options::KEEP, values::at_least(0));
    let detach = layers.value(&options::DETACH, values::switch);
    let frozen = layers.value(&options::FROZEN, values::switch);
    Some(RollbackConfig { tool: tool?, projection, to, keep: keep?, detach: detach?, frozen: frozen? })
}

fn projection_to_read(layers: &mut Layers<'_>, tool: Option<&ToolConfig>) -> Option<ProjectionConfig> {
    let kafka = kafka::settings(layers, &options::BROKERS_TO_READ);
    projection(layers, kafka, tool.map(|tool| tool.data_dir.clone()))
}
