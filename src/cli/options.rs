//! The table of options. A default is written as a user would write it, and is read as such.

/// One option of one or several commands.
#[derive(Debug, PartialEq, Eq)]
pub struct Opt {
    /// The flag without its dashes. The variable's and the key's names follow from it.
    pub name: &'static str,
    /// What stands for its value in `--help`.
    pub value: &'static str,
    pub help: &'static str,
    pub default: Option<&'static str>,
    /// Without it the command cannot start.
    pub required: bool,
    /// It may be given several times.
    pub repeats: bool,
    /// Its value is a list, with commas between; in the configuration file it may be one.
    pub commas: bool,
    pub kind: Kind,
}

/// How an option is typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `--data-dir DIR`
    Value,
    /// `--json`: on where it is given; `true` or `false` as a variable, a key, or after `=`.
    Switch,
    /// Its place tells what it is. It is no variable and no key: it is what the command is asked about.
    Positional,
}

impl Opt {
    /// `data-dir` is `OPTVIEW_DATA_DIR`.
    pub fn variable(&self) -> String {
        format!("OPTVIEW_{}", self.key().to_uppercase())
    }

    /// `data-dir` is `data_dir` in the configuration file.
    pub fn key(&self) -> String {
        self.name.replace('-', "_")
    }

    const fn new(name: &'static str, value: &'static str, help: &'static str) -> Opt {
        Opt { name, value, help, default: None, required: false, repeats: false, commas: false, kind: Kind::Value }
    }

    const fn switch(name: &'static str, help: &'static str) -> Opt {
        Opt { kind: Kind::Switch, default: Some("false"), ..Opt::new(name, "true|false", help) }
    }

    const fn positional(name: &'static str, value: &'static str, help: &'static str) -> Opt {
        Opt { kind: Kind::Positional, ..Opt::new(name, value, help) }
    }

    const fn default(self, default: &'static str) -> Opt {
        Opt { default: Some(default), ..self }
    }

    const fn required(self) -> Opt {
        Opt { required: true, ..self }
    }

    const fn repeats(self) -> Opt {
        Opt { repeats: true, ..self }
    }

    const fn commas(self) -> Opt {
        Opt { commas: true, ..self }
    }
}

pub const BROKERS: Opt = Opt::new("brokers", "HOST:PORT,...", "Kafka's bootstrap addresses").commas().required();
pub const TOPIC_OPTIMIZATIONS: Opt =
    Opt::new("topic-optimizations", "NAME", "The topic of optimization events").default("optimizations");
pub const TOPIC_JOBS: Opt = Opt::new("topic-jobs", "NAME", "The topic of job events").default("jobs");
pub const TOPIC_MULTISTART_RUNS: Opt =
    Opt::new("topic-multistart-runs", "NAME", "The topic of multistart run events").default("multistart-runs");
pub const KAFKA_PROPERTY: Opt = Opt::new(
    "kafka-property",
    "KEY=VALUE",
    "A librdkafka setting, such as security.protocol=SASL_SSL; may be repeated (in the variable: one a line; in the \
     file: a table or a list). Wins over the same key in --kafka-properties",
)
.repeats();
pub const KAFKA_PROPERTIES: Opt =
    Opt::new("kafka-properties", "FILE", "A file of librdkafka settings: KEY=VALUE lines, # for comments");

/// Of every command that talks to Kafka.
pub const KAFKA: &[Opt] =
    &[BROKERS, TOPIC_OPTIMIZATIONS, TOPIC_JOBS, TOPIC_MULTISTART_RUNS, KAFKA_PROPERTY, KAFKA_PROPERTIES];

pub const DATA_DIR: Opt =
    Opt::new("data-dir", "DIR", "Where the views are kept; made if missing, and may be deleted").required();
pub const LISTEN: Opt = Opt::new("listen", "IP:PORT", "Where the read API is served").default("127.0.0.1:8080");
pub const ADMIN_LISTEN: Opt =
    Opt::new("admin-listen", "IP:PORT", "Where /metrics and /status are served, for operators")
        .default("127.0.0.1:9180");
pub const API_KEYS: Opt =
    Opt::new("api-keys", "FILE", "Who may read what. Without it, everybody may read everything");
pub const GROUP_ID: Opt = Opt::new(
    "group-id",
    "NAME",
    "Under which consumer group offsets are written, for lag tools; they are never read back",
)
.default("optview");
pub const SYNC_INTERVAL: Opt =
    Opt::new("sync-interval", "DURATION", "How often the store is synced to disk once caught up").default("5s");
pub const CATCH_UP_SYNC_INTERVAL: Opt =
    Opt::new("catch-up-sync-interval", "DURATION", "How often it is synced while catching up").default("10s");
pub const MEMORY_BUDGET: Opt = Opt::new(
    "memory-budget",
    "BYTES",
    "How much of what changed may wait in memory before it is written while catching up",
)
.default("256MiB");
pub const STORE_CACHE: Opt =
    Opt::new("store-cache", "BYTES", "How much of the store's pages may be held in memory").default("128MiB");
pub const ORPHAN_RETENTION: Opt = Opt::new(
    "orphan-retention",
    "DURATION",
    "How long a job may wait for an optimization that links it before it is told of; nothing is dropped",
)
.default("7d");
pub const MIN_FREE_DISK: Opt =
    Opt::new("min-free-disk", "BYTES", "Stop consuming while the disk has less than this free").default("256MiB");
pub const DRAIN_DEADLINE: Opt =
    Opt::new("drain-deadline", "DURATION", "How long requests under way may take once told to stop").default("5s");
pub const WRITE_DEADLINE: Opt = Opt::new(
    "write-deadline",
    "DURATION",
    "How long the last writes and syncs may take beyond --drain-deadline; then the process ends with 1, and says what is not \
     written",
)
.default("30s");
pub const MAX_CONNECTIONS: Opt = Opt::new(
    "max-connections",
    "COUNT",
    "How many connections may be open at once on --listen, as far as the limit of open files allows",
)
.default("10000");
pub const KEEP_ALIVE: Opt = Opt::new(
    "keep-alive",
    "DURATION",
    "How long a connection is kept between two requests; longer than what stands in front keeps its own (most: 600s)",
)
.default("620s");

pub const FROM_SNAPSHOT: Opt = Opt::new(
    "from-snapshot",
    "FILE",
    "Begin with this snapshot where --data-dir has no store yet; ignored where it has",
);

pub const ON_FORMAT_CHANGE: Opt = Opt::new(
    "on-format-change",
    "rebuild|refuse",
    "Where another version has folded the store in another format: serve its views as they are, and build those that take \
     their place; or do not start",
)
.default("rebuild");

pub const REQUIRE_FRESH: Opt = Opt::switch(
    "require-fresh",
    "Be ready (/readyz) only while live. Without it, a store that was live once is ready at once, and says with each answer \
     that it may be old",
);

/// How a store is kept up to date.
pub const PROJECTION: &[Opt] = &[
    GROUP_ID,
    SYNC_INTERVAL,
    CATCH_UP_SYNC_INTERVAL,
    MEMORY_BUDGET,
    STORE_CACHE,
    ORPHAN_RETENTION,
    MIN_FREE_DISK,
];

pub const SERVE: &[Opt] =
    &[DATA_DIR, FROM_SNAPSHOT, ON_FORMAT_CHANGE, REQUIRE_FRESH, LISTEN, ADMIN_LISTEN, API_KEYS];
pub const CONNECTIONS: &[Opt] = &[DRAIN_DEADLINE, WRITE_DEADLINE, MAX_CONNECTIONS, KEEP_ALIVE];

/// No default: the demo takes the usual port where it is free, and any other where it is not.
pub const DEMO_LISTEN: Opt = Opt::new(
    "listen",
    "IP:PORT",
    "Where the read API is served. Without it: 127.0.0.1:8080, or a free port where that is taken",
);
pub const DEMO_ADMIN_LISTEN: Opt = Opt::new(
    "admin-listen",
    "IP:PORT",
    "Where /metrics and /status are served. Without it: 127.0.0.1:9180, or a free port where that is taken",
);
pub const DEMO_RATE: Opt = Opt::new("rate", "NUMBER", "Events a second").default("50");

pub const DEMO: &[Opt] = &[DEMO_LISTEN, DEMO_ADMIN_LISTEN, DEMO_RATE];

pub const OPTIMIZATIONS: Opt =
    Opt::new("optimizations", "COUNT", "How many optimizations live their lives").default("1000");
pub const RUNS: Opt = Opt::new("runs", "COUNT", "Multistart runs of each job").default("8");
pub const PARTITIONS: Opt = Opt::new("partitions", "COUNT", "Of each topic that has to be created").default("6");
pub const ENCODING: Opt = Opt::new("encoding", "json|protobuf", "How events are written").default("json");
pub const RATE: Opt = Opt::new("rate", "NUMBER", "Events a second. Without it: as fast as it goes");
pub const CONCURRENT: Opt =
    Opt::new("concurrent", "COUNT", "How many optimizations are under way at a time").default("1000");
pub const SEED: Opt = Opt::new("seed", "NUMBER", "The same seed gives the same events").default("1");
pub const PROJECTS: Opt = Opt::new("projects", "COUNT", "Named prj-1, prj-2, ...").default("20");
pub const ORGANIZATIONS: Opt =
    Opt::new("organizations", "COUNT", "Named org-1, org-2, ...; the projects are spread over them").default("2");

pub const LOAD: &[Opt] =
    &[OPTIMIZATIONS, RUNS, PARTITIONS, ENCODING, RATE, CONCURRENT, SEED, PROJECTS, ORGANIZATIONS];

/// Of a tool, which makes no store.
pub const STORE_DIR: Opt =
    Opt::new("data-dir", "DIR", "Of the store; asked of the process that serves it, where one does").required();
pub const JSON: Opt = Opt::switch("json", "Print the result as JSON, for programs");

/// Of every tool that looks at a store.
pub const TOOL: &[Opt] = &[STORE_DIR, JSON];

pub const ID: Opt = Opt::positional("id", "ID", "The optimization's id").required();

pub const EXPLAIN: &[Opt] = &[ID];

pub const BROKERS_IF_ANY: Opt = Opt::new(
    "brokers",
    "HOST:PORT,...",
    "Kafka's bootstrap addresses. Without it, positions are compared with the topics only where a process serves the \
     store, and so does --against-log",
)
.commas();

pub const BROKERS_TO_READ: Opt =
    Opt::new("brokers", "HOST:PORT,...", "Kafka's bootstrap addresses: needed where no process serves the store")
        .commas();

/// Of a tool that reads the topics itself where no process serves the store.
pub const KAFKA_IF_ANY: &[Opt] =
    &[BROKERS_TO_READ, TOPIC_OPTIMIZATIONS, TOPIC_JOBS, TOPIC_MULTISTART_RUNS, KAFKA_PROPERTY, KAFKA_PROPERTIES];

pub const MAX_RATE: Opt =
    Opt::new("max-rate", "NUMBER", "Read no more records a second. Without it: as fast as it goes");
pub const UNTIL: Opt = Opt::new(
    "until",
    "TIME",
    "Fold only what was written before this time (RFC 3339), and let readers see nothing of it",
);
pub const DRY_RUN: Opt = Opt::switch("dry-run", "Build and compare, and let readers see nothing of it");
pub const EXPECT_SAME: Opt = Opt::switch("expect-same", "Do not cut over where any view differs");
pub const ACCEPT_LOSS: Opt =
    Opt::switch("accept-loss", "Build from what the topics have left, where they no longer have all");
pub const FROM_ARCHIVE: Opt = Opt::new(
    "from-archive",
    "DIR",
    "Read this archive first, and then what the topics have beyond it; where a process serves the store, it reads it",
);
pub const KEEP: Opt = Opt::new("keep", "COUNT", "How many generations stay beside the live one").default("1");
pub const EXAMPLES: Opt =
    Opt::new("examples", "COUNT", "How many views that are not the same are named").default("10");
pub const DETACH: Opt = Opt::switch("detach", "Leave it to the process that serves the store");
pub const STATUS: Opt = Opt::switch("status", "Only say how far the rebuild is that is under way");
pub const ABORT: Opt = Opt::switch("abort", "End the rebuild that is under way, and remove what it has made");

pub const REBUILD: &[Opt] =
    &[FROM_ARCHIVE, DRY_RUN, EXPECT_SAME, ACCEPT_LOSS, UNTIL, MAX_RATE, KEEP, EXAMPLES, DETACH, STATUS, ABORT];

pub const TO: Opt = Opt::new(
    "to",
    "GENERATION",
    "Which one, as `optview generations` lists them. Without it: the last but the live one",
);

pub const FROZEN: Opt = Opt::switch(
    "frozen",
    "Show it as it was left, and bring nothing up to date: for one that cannot be, or to look at it. It stays so after a restart, \
     until a rebuild or another rollback",
);

pub const ROLLBACK: &[Opt] = &[TO, FROZEN, KEEP, DETACH];

pub const REMOVE: Opt =
    Opt::new("remove", "GENERATION", "Remove this one, which must not be live, and list the others");
pub const ACCEPT_LOSS_OF_REMOVAL: Opt = Opt {
    help: "Remove it even where it has what neither the topics nor the live generation have",
    ..ACCEPT_LOSS
};

pub const GENERATIONS: &[Opt] = &[REMOVE, ACCEPT_LOSS_OF_REMOVAL];

pub const AGAINST_LOG: Opt =
    Opt::switch("against-log", "Also build all of it anew from the topics, beside it, and compare every record");

pub const VERIFY: &[Opt] = &[
    AGAINST_LOG,
    MAX_RATE,
    BROKERS_IF_ANY,
    TOPIC_OPTIMIZATIONS,
    TOPIC_JOBS,
    TOPIC_MULTISTART_RUNS,
    KAFKA_PROPERTY,
    KAFKA_PROPERTIES,
];
pub const ARCHIVE: Opt = Opt::positional("archive", "DIR", "The archive's directory").required();
pub const ARCHIVE_NEW: Opt = Opt::positional(
    "archive",
    "DIR",
    "The archive's directory; made if missing, continued where it is an archive",
)
.required();
pub const FOLLOW: Opt = Opt::switch("follow", "Go on with what comes, until SIGINT, SIGTERM or SIGHUP");
pub const COMMIT_INTERVAL: Opt =
    Opt::new("commit-interval", "DURATION", "How often what was copied is finished, synced and listed")
        .default("10s");

/// Of a tool that writes much.
pub const MIN_FREE_DISK_LEFT: Opt =
    Opt { help: "Begin, and go on, only where the disk keeps so much free", ..MIN_FREE_DISK };

pub const ARCHIVE_EXPORT: &[Opt] = &[ARCHIVE_NEW, FOLLOW, COMMIT_INTERVAL, MIN_FREE_DISK_LEFT, JSON];
pub const ARCHIVE_VERIFY: &[Opt] = &[ARCHIVE, JSON];
pub const ARCHIVE_IMPORT: &[Opt] = &[ARCHIVE, JSON];
pub const AS_OF: Opt = Opt::new(
    "as-of",
    "TIME|TOPIC/PARTITION@OFFSET",
    "Show the view as the records gave it that were written before a time (RFC 3339), or up to a record and its time",
);

pub const ARCHIVE_TO_READ: Opt =
    Opt::new("from-archive", "DIR", "Read this archive instead of the topics; no cluster is needed then");
pub const BROKERS_OR_ARCHIVE: Opt =
    Opt::new("brokers", "HOST:PORT,...", "Kafka's bootstrap addresses: needed without --from-archive").commas();

pub const HISTORY: &[Opt] = &[
    ID,
    AS_OF,
    ARCHIVE_TO_READ,
    BROKERS_OR_ARCHIVE,
    TOPIC_OPTIMIZATIONS,
    TOPIC_JOBS,
    TOPIC_MULTISTART_RUNS,
    KAFKA_PROPERTY,
    KAFKA_PROPERTIES,
];

pub const SNAPSHOT_NEW: Opt =
    Opt::positional("snapshot", "FILE", "The file to write, outside of data directories").required();
pub const FORCE: Opt = Opt::switch("force", "Replace a file that is there, once the new one is whole");
pub const SNAPSHOT: Opt = Opt::positional("snapshot", "FILE", "A file that `snapshot export` wrote").required();

pub const SNAPSHOT_EXPORT: &[Opt] = &[SNAPSHOT_NEW, FORCE, MIN_FREE_DISK_LEFT];
pub const SNAPSHOT_IMPORT: &[Opt] = &[SNAPSHOT, DATA_DIR, MIN_FREE_DISK_LEFT, JSON];

/// Of a tool that looks at no store.
pub const JSON_OUTPUT: &[Opt] = &[JSON];

pub const CONFIG: Opt = Opt::new("config", "FILE", "A file that gives any of these options (TOML)");
pub const LOG_FORMAT: Opt =
    Opt::new("log-format", "human|json", "How log lines are written to stderr").default("human");
/// No default here: `RUST_LOG` comes between the file and the default.
pub const LOG: Opt = Opt::new(
    "log",
    "FILTER",
    "Which log lines are written, such as warn or info,optview=debug. Without it: RUST_LOG, else info (the demo: error; tools: warn)",
)
.commas();

/// Of every command.
pub const GENERAL: &[Opt] = &[CONFIG, LOG_FORMAT, LOG];
