//! What the commands under `archive` are asked for.

use std::path::PathBuf;
use std::time::Duration;

use crate::cli::options;
use crate::logging::LogConfig;
use crate::source::kafka::KafkaSettings;

use super::layers::Layers;
use super::{kafka, log, values};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchiveExportConfig {
    pub directory: PathBuf,
    pub kafka: KafkaSettings,
    pub follow: bool,
    pub commit_interval: Duration,
    pub min_free_disk_bytes: u64,
    pub json: bool,
    pub log: LogConfig,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchiveVerifyConfig {
    pub directory: PathBuf,
    pub json: bool,
    pub log: LogConfig,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchiveImportConfig {
    pub directory: PathBuf,
    pub kafka: KafkaSettings,
    pub json: bool,
    pub log: LogConfig,
}

/// What a tool has to say is on stdout; its log is for when something is wrong.
const LOG: &str = "warn";

pub fn export(layers: &mut Layers<'_>) -> Option<ArchiveExportConfig> {
    let directory = layers.value(&options::ARCHIVE_NEW, values::directory);
    let kafka = kafka::settings(layers, &options::BROKERS);
    let follow = layers.value(&options::FOLLOW, values::switch);
    let commit_interval = layers.value(&options::COMMIT_INTERVAL, values::interval);
    let min_free_disk = super::tools::min_free_disk(layers);
    let json = layers.value(&options::JSON, values::switch);
    let log = log(layers, LOG);
    Some(ArchiveExportConfig {
        directory: directory?,
        kafka: kafka?,
        follow: follow?,
        commit_interval: commit_interval?,
        min_free_disk_bytes: min_free_disk?,
        json: json?,
        log: log?,
    })
}

pub fn verify(layers: &mut Layers<'_>) -> Option<ArchiveVerifyConfig> {
    let directory = layers.value(&options::ARCHIVE, values::directory);
    let json = layers.value(&options::JSON, values::switch);
    let log = log(layers, LOG);
    Some(ArchiveVerifyConfig { directory: directory?, json: json?, log: log? })
}

pub fn import(layers: &mut Layers<'_>) -> Option<ArchiveImportConfig> {
    let directory = layers.value(&options::ARCHIVE, values::directory);
    let kafka = kafka::settings(layers, &options::BROKERS);
    let json = layers.value(&options::JSON, values::switch);
    let log = log(layers, LOG);
    Some(ArchiveImportConfig { directory: directory?, kafka: kafka?, json: json?, log: log? })
}
