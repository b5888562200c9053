//! Mistakes and warnings that lie in several values together, or in what a value names.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::history::AsOf;
use super::layers::Layers;
use crate::credentials::{ApiKeys, ApiKeysError, BearerTokens, TokenRules};
use crate::source::TopicNames;

/// Looks at everything that was parsed. A value that is a mistake already takes part in no other.
pub fn check(layers: &mut Layers<'_>) {
    check_topics(layers);
    check_addresses(layers);
    check_history(layers);
    check_letters(layers);
    check_published_store(layers);
    check_replica(layers);
    if layers.value("status") == Some(true) && layers.value("abort") == Some(true) {
        layers.mistake(&["status", "abort"], "are two things; give one of them");
    }
    for file in ["config", "api_keys", "jwt_jwks", "kafka_properties"] {
        if let Some(path) = layers.last(file).map(PathBuf::from) {
            layers.warn_if_open_to_write(file, &path);
        }
    }
}

/// Reads the keys, if there is a file of them. It is read once, as it may be a pipe. Keys that cannot be used are a mistake at the
/// start, not later.
pub fn api_keys(layers: &mut Layers<'_>) -> Option<ApiKeys> {
    // The commands under `keys` read the file themselves, and make it if it is missing.
    if !matches!(layers.command(), "serve" | "check") {
        return None;
    }
    let path: PathBuf = layers.value("api_keys")?;
    match ApiKeys::from_file(&path) {
        Ok(keys) => Some(keys),
        Err(ApiKeysError { path, mistakes }) => {
            let what = format!("{path:?} cannot be used for keys: {}", mistakes.join("; "));
            layers.mistake(&["api_keys"], &what);
            None
        }
    }
}

/// Reads the keys that tokens are verified with, if there is a file of them, and checks that the options about tokens are complete.
pub fn bearer_tokens(layers: &mut Layers<'_>) -> Option<BearerTokens> {
    let [has_file, has_issuer, has_audience] = ["jwt_jwks", "jwt_issuer", "jwt_audience"]
        .map(|option| layers.last(option).is_some() || layers.is_refused(option));
    for (option, is_there) in [("jwt_issuer", has_issuer), ("jwt_audience", has_audience)] {
        match (has_file, is_there) {
            (true, false) => {
                layers.mistake(&[option], "is required with --jwt-jwks; give NAME, as the tokens have it")
            }
            (false, true) => layers.mistake(&[option], "has no effect without --jwt-jwks; give both, or neither"),
            _ => {}
        }
    }
    let path: PathBuf = layers.value("jwt_jwks")?;
    let (issuer, audience) = (layers.value("jwt_issuer")?, layers.value("jwt_audience")?);
    let rules = TokenRules { issuer, audience, organizations_claim: layers.value("jwt_organizations_claim")? };
    BearerTokens::from_file(&path, rules)
        .map_err(|why| layers.mistake(&["jwt_jwks"], &format!("{path:?} cannot be used to verify tokens: {why}")))
        .ok()
}

fn check_topics(layers: &mut Layers<'_>) {
    const OPTIONS: [&str; 3] = ["topic_optimizations", "topic_jobs", "topic_multistart_runs"];
    const LETTERS: &str = "dead_letter_topic";
    const VIEWS: &str = "publish_views";
    let names = OPTIONS.map(|option| layers.value::<String>(option));
    for (one, other) in [(0, 1), (0, 2), (1, 2)] {
        if names[one].is_some() && names[one] == names[other] {
            layers.mistake(&[OPTIONS[one], OPTIONS[other]], "both name one topic; each stream has its own");
        }
    }
    let letters = layers.value::<String>(LETTERS);
    if let Some(at) = names.iter().position(|name| letters.is_some() && *name == letters) {
        let what = "both name one topic; a dead letter that is written to the topic that it comes from is read as the next";
        layers.mistake(&[OPTIONS[at], LETTERS], what);
    }
    let views = layers.value::<String>(VIEWS);
    for (option, name) in OPTIONS.iter().zip(&names).chain([(&LETTERS, &letters)]) {
        if views.is_some() && views == *name {
            let what = "both name one topic; views need a topic of their own, which nothing else is written to";
            layers.mistake(&[VIEWS, option], what);
        }
    }
}

fn check_addresses(layers: &mut Layers<'_>) {
    let [read, admin] = ["listen", "admin_listen"].map(|option| layers.value::<SocketAddr>(option));
    // Port 0 asks for any free port, so two of them differ.
    if read.is_some_and(|address| address.port() != 0) && read == admin {
        layers.mistake(&["listen", "admin_listen"], "both are the same address; give each its own port");
    }
    // Others than this machine may reach the address.
    let is_open = |address: &SocketAddr| !address.ip().to_canonical().is_loopback();
    let is_given = |option| layers.value::<PathBuf>(option).is_some() || layers.is_refused(option);
    let asks_for_credentials = is_given("api_keys") || is_given("jwt_jwks");
    let says_open = layers.value("open_access") == Some(true);
    if says_open && asks_for_credentials {
        let what = "is given beside keys or tokens, which it contradicts; give it only where everybody may read everything";
        layers.mistake(&["open_access"], what);
    }
    if let Some(read) = read.filter(is_open).filter(|_| !asks_for_credentials && !says_open) {
        match layers.command() {
            // What it shows is made up.
            "demo" => layers.warn(format!("whoever reaches {read} may read every view of the demo")),
            _ => layers.mistake(
                &["listen"],
                &format!(
                    "whoever reaches {read} could read every view; give --api-keys FILE (`optview keys add` makes one), --jwt-jwks \
                     FILE, or --open-access if nobody reaches it but a gateway that checks callers"
                ),
            ),
        }
    }
    if let Some(admin) = admin.filter(is_open) {
        layers.warn(format!(
            "whoever reaches {admin}, which asks for no key, may see every view (/optimizations/ID/why) and what is wrong: let \
             nobody reach it but those who look after this"
        ));
    }
}

/// Checks that whoever changes dead letters has chosen them.
fn check_letters(layers: &mut Layers<'_>) {
    if !matches!(layers.command(), "dead-letters retry" | "dead-letters discard") {
        return;
    }
    let is_given = |option| layers.last(option).is_some() || layers.is_refused(option);
    let chooses_all = layers.value("all") == Some(true);
    let by_kind =
        ["topic", "reason", "before", "after", "from_topic"].into_iter().filter(|option| is_given(*option));
    let mut others: Vec<&str> = by_kind.chain(chooses_all.then_some("all")).collect();
    let has_ids = is_given("ids");
    if has_ids && !others.is_empty() {
        others.insert(0, "ids");
        layers.mistake(&others, "choose in two ways; give ids alone, or what the letters have in common");
    } else if !has_ids && others.is_empty() {
        let what = "nothing says which dead letters are meant; give their ids, --topic, --reason, --before or --after, or --all";
        layers.mistake(&["ids", "all"], what);
    }
}

/// Checks that what is to be published is one thing.
fn check_published_store(layers: &mut Layers<'_>) {
    if layers.command() != "publish" {
        return;
    }
    let [has_store, has_snapshot] =
        ["data_dir", "snapshot"].map(|option| layers.last(option).is_some() || layers.is_refused(option));
    if has_store == has_snapshot {
        let what = "one of them is what is published; give a data directory or a snapshot, and not both";
        layers.mistake(&["data_dir", "snapshot"], what);
    }
}

/// Checks that whoever reads a topic of views is not asked to do anything with events, which it does not read.
fn check_replica(layers: &mut Layers<'_>) {
    const OF_EVENTS: [&str; 18] = [
        "topic_optimizations",
        "topic_jobs",
        "topic_multistart_runs",
        "framing",
        "group_id",
        "catch_up_sync_interval",
        "memory_budget",
        "orphan_retention",
        "dead_letter_limit",
        "dead_letters_max",
        "dead_letters_max_bytes",
        "dead_letter_topic",
        "from_snapshot",
        "on_format_change",
        "publish_views",
        "views_format",
        "views_partitions",
        "views_replication_factor",
    ];
    const FROM_VIEWS: &str = "from_views";
    if layers.last(FROM_VIEWS).is_none() && !layers.is_refused(FROM_VIEWS) {
        return;
    }
    for option in OF_EVENTS {
        if layers.last(option).is_some() {
            let what = "exclude each other: an instance that reads a topic of views reads, keeps and publishes nothing of events; give \
                        one of them";
            layers.mistake(&[FROM_VIEWS, option], what);
        }
    }
}

/// Checks that a history is read from something, and that the moment is one there: a position's meaning depends on the topics'
/// names, which an archive has of its own.
fn check_history(layers: &mut Layers<'_>) {
    if layers.command() != "history" {
        return;
    }
    let is_of_archive = layers.last("from_archive").is_some() || layers.is_refused("from_archive");
    if !is_of_archive && layers.last("brokers").is_none() && !layers.is_refused("brokers") {
        let what = "one of them is required; give HOST:PORT,... or an archive's directory";
        layers.mistake(&["brokers", "from_archive"], what);
    }
    let topics = if is_of_archive {
        layers.value::<(PathBuf, TopicNames)>("from_archive").map(|(_, topics)| topics)
    } else {
        let name = |option| layers.value::<String>(option);
        let names = (name("topic_optimizations"), name("topic_jobs"), name("topic_multistart_runs"));
        match names {
            (Some(optimizations), Some(jobs), Some(runs)) => Some(TopicNames::new(optimizations, jobs, runs)),
            _ => None,
        }
    };
    if let (Some(as_of), Some(topics)) = (layers.value::<String>("as_of"), topics)
        && let Err(why) = AsOf::parse(&as_of, &topics)
    {
        layers.refuse("as_of", &why);
    }
}
