//! The configuration as meant: what was typed, the environment and the configuration file, merged and checked whole,
//! so that every mistake is named at once and nothing starts half configured.
//!
//! The only reader of the environment. Nothing else may ask it, or the answer would depend on who asks.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::cli::options::{self, Opt};
use crate::cli::{Command, Typed};
use crate::codec::Encoding;
use crate::domain::{Position, Timestamp};
use crate::http::ApiKeys;
use crate::logging::LogConfig;
use crate::source::TopicNames;
use crate::source::kafka::KafkaSettings;
use crate::synthetic::HistorySettings;

pub use archive::{ArchiveExportConfig, ArchiveImportConfig, ArchiveVerifyConfig};
use layers::Layers;
pub use layers::{Environment, Mistakes};
pub use tools::{Asked, RebuildConfig, Removal, RollbackConfig, SnapshotConfig, VerifyConfig};

mod archive;
mod file;
mod kafka;
mod layers;
mod tools;
mod values;
mod variables;

/// What to do, with all that it needs.
#[derive(Clone, Debug, PartialEq)]
pub enum Config {
    Serve(Box<ServeConfig>),
    Demo(DemoConfig),
    Load(LoadConfig),
    Explain(ToolConfig, String),
    Verify(Box<VerifyConfig>),
    Generations(ToolConfig, Removal),
    AcceptLoss(ToolConfig),
    Rebuild(Box<RebuildConfig>),
    Rollback(Box<RollbackConfig>),
    ArchiveExport(ArchiveExportConfig),
    ArchiveVerify(ArchiveVerifyConfig),
    ArchiveImport(ArchiveImportConfig),
    History(HistoryConfig),
    SnapshotExport(SnapshotConfig),
    SnapshotImport(SnapshotConfig),
}

impl Config {
    pub fn log(&self) -> &LogConfig {
        match self {
            Config::Serve(config) => &config.log,
            Config::Demo(config) => &config.log,
            Config::Load(config) => &config.log,
            Config::Rebuild(config) => &config.tool.log,
            Config::Rollback(config) => &config.tool.log,
            Config::Verify(config) => &config.tool.log,
            Config::Explain(config, _) | Config::Generations(config, _) | Config::AcceptLoss(config) => {
                &config.log
            }
            Config::ArchiveExport(config) => &config.log,
            Config::ArchiveVerify(config) => &config.log,
            Config::ArchiveImport(config) => &config.log,
            Config::History(config) => &config.log,
            Config::SnapshotExport(config) | Config::SnapshotImport(config) => &config.tool.log,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServeConfig {
    pub projection: ProjectionConfig,
    /// What a store is made of where there is none.
    pub from_snapshot: Option<PathBuf>,
    pub on_format_change: OnFormatChange,
    /// It is ready only while it is live.
    pub require_fresh: bool,
    pub listen: SocketAddr,
    pub admin_listen: SocketAddr,
    /// `None`: everybody may read everything.
    pub api_keys: Option<ApiKeys>,
    pub drain_deadline: Duration,
    /// How long the end may take beyond that, before what is not written is left unwritten.
    pub write_deadline: Duration,
    pub max_connections: usize,
    /// How long a connection is kept between two requests.
    pub keep_alive: Duration,
    pub log: LogConfig,
}

/// What is to be done with a store that another version has folded in another format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFormatChange {
    /// It is served as it is, until one of this version's takes its place.
    Rebuild,
    /// It is not served.
    Refuse,
}

/// How a store is built from the topics, and kept up to date.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProjectionConfig {
    pub kafka: KafkaSettings,
    pub data_dir: PathBuf,
    pub group_id: String,
    pub sync_interval: Duration,
    pub catch_up_sync_interval: Duration,
    pub memory_budget_bytes: u64,
    pub store_cache_bytes: u64,
    pub orphan_retention: Duration,
    pub min_free_disk_bytes: u64,
}

#[derive(Clone, Debug, PartialEq)]
pub struct DemoConfig {
    /// `None`: the usual port, or a free one where that is taken.
    pub listen: Option<SocketAddr>,
    /// `None`: as for `listen`.
    pub admin_listen: Option<SocketAddr>,
    pub events_per_second: f64,
    pub log: LogConfig,
}

#[derive(Clone, Debug, PartialEq)]
pub struct LoadConfig {
    pub kafka: KafkaSettings,
    pub history: HistorySettings,
    /// Of each topic that has to be created.
    pub partitions: i32,
    pub encoding: Encoding,
    /// `None`: as fast as it goes.
    pub events_per_second: Option<f64>,
    pub log: LogConfig,
}

/// Of a tool that looks at a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolConfig {
    pub data_dir: PathBuf,
    /// For programs.
    pub json: bool,
    pub log: LogConfig,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryConfig {
    pub log_of: LogOf,
    /// What the topics are called there.
    pub topics: TopicNames,
    /// The optimization's id.
    pub id: String,
    /// `None`: all events are told instead.
    pub as_of: Option<AsOf>,
    pub json: bool,
    pub log: LogConfig,
}

/// Where a history is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogOf {
    Topics(KafkaSettings),
    /// In this directory.
    Archive(PathBuf),
}

/// A moment of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AsOf {
    /// Before it.
    Time(Timestamp),
    /// After the record there.
    Position(Position),
}

/// Reads everything, and names every mistake, or else what is to be warned of.
pub fn read(typed: &Typed, environment: &Environment) -> Result<(Config, Vec<String>), Mistakes> {
    let mut layers = Layers::new(typed, environment);
    let config = match typed.command {
        Command::Serve => serve(&mut layers).map(|config| Config::Serve(Box::new(config))),
        Command::Demo => demo(&mut layers).map(Config::Demo),
        Command::Load => load(&mut layers).map(Config::Load),
        Command::Explain => tools::explain(&mut layers),
        Command::Verify => tools::verify(&mut layers).map(|config| Config::Verify(Box::new(config))),
        Command::Rebuild => tools::rebuild(&mut layers).map(|config| Config::Rebuild(Box::new(config))),
        Command::Rollback => tools::rollback(&mut layers).map(|config| Config::Rollback(Box::new(config))),
        Command::Generations => tools::generations(&mut layers),
        Command::AcceptLoss => tools::tool(&mut layers).map(Config::AcceptLoss),
        Command::ArchiveExport => archive::export(&mut layers).map(Config::ArchiveExport),
        Command::ArchiveVerify => archive::verify(&mut layers).map(Config::ArchiveVerify),
        Command::ArchiveImport => archive::import(&mut layers).map(Config::ArchiveImport),
        Command::History => history(&mut layers).map(Config::History),
        Command::SnapshotExport => tools::snapshot_export(&mut layers).map(Config::SnapshotExport),
        Command::SnapshotImport => tools::snapshot_import(&mut layers).map(Config::SnapshotImport),
    };
    layers.finish(config)
}

// The readers below take every value before they look at any: a `?` in between would hide the mistakes after it.

fn serve(layers: &mut Layers<'_>) -> Option<ServeConfig> {
    let kafka = kafka::settings(layers, &options::BROKERS);
    let data_dir = layers.value(&options::DATA_DIR, values::directory);
    let projection = projection(layers, kafka, data_dir);
    let from_snapshot = layers.value(&options::FROM_SNAPSHOT, values::file);
    let on_format_change = layers.value(&options::ON_FORMAT_CHANGE, values::on_format_change);
    let require_fresh = layers.value(&options::REQUIRE_FRESH, values::switch);
    let listen = layers.value(&options::LISTEN, values::address);
    let admin_listen = layers.value(&options::ADMIN_LISTEN, values::address);
    let api_keys = layers.value(&options::API_KEYS, values::api_keys);
    warn_if_open_to_write(layers, &options::API_KEYS);
    let drain_deadline = layers.value(&options::DRAIN_DEADLINE, values::duration);
    let write_deadline = layers.value(&options::WRITE_DEADLINE, values::duration);
    let max_connections = layers.value(&options::MAX_CONNECTIONS, values::at_least(1));
    let keep_alive = layers.value(&options::KEEP_ALIVE, values::interval);
    let log = log(layers, "info");
    two_listeners(layers, [&options::LISTEN, &options::ADMIN_LISTEN], listen, admin_listen);
    warn_of_open_addresses(layers, listen.filter(|_| api_keys.is_none()), admin_listen);
    Some(ServeConfig {
        projection: projection?,
        from_snapshot,
        on_format_change: on_format_change?,
        require_fresh: require_fresh?,
        listen: listen?,
        admin_listen: admin_listen?,
        api_keys,
        drain_deadline: drain_deadline?,
        write_deadline: write_deadline?,
        max_connections: max_connections?,
        keep_alive: keep_alive?,
        log: log?,
    })
}

fn projection(
    layers: &mut Layers<'_>,
    kafka: Option<KafkaSettings>,
    data_dir: Option<PathBuf>,
) -> Option<ProjectionConfig> {
    let group_id = layers.value(&options::GROUP_ID, values::text);
    let sync_interval = layers.value(&options::SYNC_INTERVAL, values::interval);
    let catch_up_sync_interval = layers.value(&options::CATCH_UP_SYNC_INTERVAL, values::interval);
    let memory_budget = layers.value(&options::MEMORY_BUDGET, |text| values::bytes(text, 1 << 20));
    let store_cache = layers.value(&options::STORE_CACHE, |text| values::bytes(text, 1 << 20));
    let orphan_retention = layers.value(&options::ORPHAN_RETENTION, values::interval);
    let min_free_disk = layers.value(&options::MIN_FREE_DISK, |text| values::bytes(text, 0));
    Some(ProjectionConfig {
        kafka: kafka?,
        data_dir: data_dir?,
        group_id: group_id?,
        sync_interval: sync_interval?,
        catch_up_sync_interval: catch_up_sync_interval?,
        memory_budget_bytes: memory_budget?,
        store_cache_bytes: store_cache?,
        orphan_retention: orphan_retention?,
        min_free_disk_bytes: min_free_disk?,
    })
}

fn demo(layers: &mut Layers<'_>) -> Option<DemoConfig> {
    let listen = layers.value(&options::DEMO_LISTEN, values::address);
    let admin_listen = layers.value(&options::DEMO_ADMIN_LISTEN, values::address);
    let events_per_second = layers.value(&options::DEMO_RATE, values::rate);
    // What the demo shows is on stdout; its log is for when something is wrong.
    let log = log(layers, "error");
    two_listeners(layers, [&options::DEMO_LISTEN, &options::DEMO_ADMIN_LISTEN], listen, admin_listen);
    warn_of_open_addresses(layers, listen, admin_listen);
    Some(DemoConfig { listen, admin_listen, events_per_second: events_per_second?, log: log? })
}

fn load(layers: &mut Layers<'_>) -> Option<LoadConfig> {
    let kafka = kafka::settings(layers, &options::BROKERS);
    let optimizations = layers.value(&options::OPTIMIZATIONS, values::at_least(0));
    let runs = layers.value(&options::RUNS, values::at_least(0));
    let concurrent = layers.value(&options::CONCURRENT, values::at_least(1));
    let seed = layers.value(&options::SEED, values::at_least(0));
    let projects = layers.value(&options::PROJECTS, values::at_least(1));
    let organizations = layers.value(&options::ORGANIZATIONS, values::at_least(1));
    let partitions = layers.value(&options::PARTITIONS, values::at_least(1));
    let encoding = layers.value(&options::ENCODING, values::encoding);
    let events_per_second = layers.value(&options::RATE, values::rate);
    let log = log(layers, "info");
    let history = HistorySettings {
        seed: seed?,
        optimizations: optimizations?,
        runs: runs?,
        concurrent: concurrent?,
        projects: projects?,
        organizations: organizations?,
        ..HistorySettings::default()
    };
    Some(LoadConfig {
        kafka: kafka?,
        history,
        partitions: partitions?,
        encoding: encoding?,
        events_per_second,
        log: log?,
    })
}

fn history(layers: &mut Layers<'_>) -> Option<HistoryConfig> {
    let kafka = kafka::settings(layers, &options::BROKERS_OR_ARCHIVE);
    let archive = layers.value(&options::ARCHIVE_TO_READ, values::archive);
    let id = layers.value(&options::ID, values::id);
    // Brokers may be there as a variable, for other commands.
    let is_of_archive = !layers.all(&options::ARCHIVE_TO_READ).is_empty();
    let log_of = match is_of_archive {
        true => archive.map(|(directory, topics)| (LogOf::Archive(directory), topics)),
        false => kafka.map(|kafka| (LogOf::Topics(kafka.clone()), kafka.topics)),
    };
    let is_refused =
        [&options::BROKERS_OR_ARCHIVE, &options::ARCHIVE_TO_READ].map(|option| layers.is_refused(option));
    if !is_of_archive && layers.all(&options::BROKERS_OR_ARCHIVE).is_empty() && is_refused == [false; 2] {
        let options = [&options::BROKERS_OR_ARCHIVE, &options::ARCHIVE_TO_READ];
        layers.mistake(&options, "one of them is required; give HOST:PORT,... or an archive's directory");
    }
    // What a position means depends on the topics' names, which an archive tells, where it can be read.
    let topics = log_of.as_ref().map(|(_, topics)| topics.clone());
    let as_of = match topics.or_else(|| (!is_of_archive).then(TopicNames::default)) {
        Some(topics) => layers.value(&options::AS_OF, |text| values::as_of(text, &topics)),
        None => None,
    };
    let json = layers.value(&options::JSON, values::switch);
    let log = log(layers, "warn");
    let (log_of, topics) = log_of?;
    Some(HistoryConfig { log_of, topics, id: id?, as_of, json: json?, log: log? })
}

fn log(layers: &mut Layers<'_>, default: &str) -> Option<LogConfig> {
    let format = layers.value(&options::LOG_FORMAT, values::log_format);
    let filter = match layers.value(&options::LOG, values::log_filter) {
        Some(filter) => Some(filter),
        None => layers.foreign_variable("RUST_LOG", values::log_filter).or_else(|| Some(default.to_owned())),
    };
    Some(LogConfig { format: format?, filter: filter? })
}

/// Warns of addresses that others than this machine may reach, and that ask for no key. `read` is that of the read API,
/// where that asks for none.
fn warn_of_open_addresses(layers: &mut Layers<'_>, read: Option<SocketAddr>, admin: Option<SocketAddr>) {
    let is_open = |address: &SocketAddr| !address.ip().to_canonical().is_loopback();
    if let Some(read) = read.filter(is_open) {
        layers.warn(format!(
            "whoever reaches {read} may read every view: give --api-keys, or let nobody reach it but a gateway that checks callers"
        ));
    }
    if let Some(admin) = admin.filter(is_open) {
        layers.warn(format!(
            "whoever reaches {admin}, which asks for no key, may see every view (/optimizations/ID/why) and what is wrong: let \
             nobody reach it but those who look after this"
        ));
    }
}

/// Warns where a file that was given may be written to by anybody.
fn warn_if_open_to_write(layers: &mut Layers<'_>, option: &Opt) {
    if let Some(given) = layers.all(option).pop() {
        layers.warn_if_open_to_write(option, Path::new(&given.text));
    }
}

fn two_listeners(layers: &mut Layers<'_>, options: [&Opt; 2], one: Option<SocketAddr>, other: Option<SocketAddr>) {
    // Port 0 asks for any free port, so two of them differ.
    if one.is_some_and(|one| one.port() != 0) && one == other {
        layers.mistake(&options, "both are the same address; give each its own port");
    }
}

#[cfg(test)]
mod tests;
