//! The arrows: which module may name which, and which folder alone knows each outside thing. Read from the source, so that
//! a new `use` in the wrong room fails here and not in a review.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// What each module may name of ours, besides itself. In reading order: nothing names what stands below it.
const ARROWS: &[(&str, &[&str])] = &[
    ("disk", &[]),
    ("progress", &[]),
    ("domain", &[]),
    ("codec", &["domain"]),
    ("source", &["disk", "domain"]),
    ("store", &["disk", "domain", "codec"]),
    ("status", &[]),
    ("projector", &["disk", "domain", "codec", "source", "store", "status"]),
    ("explain", &["domain", "source", "store"]),
    ("http", &["domain", "source", "store", "status", "explain"]),
    ("synthetic", &["domain"]),
    ("cli", &[]),
    ("logging", &[]),
    ("config", &["cli", "logging", "domain", "codec", "source", "synthetic", "http"]),
    ("load", &["config", "codec", "progress", "source", "synthetic"]),
    ("engine", &["config", "disk", "domain", "http", "progress", "projector", "source", "status", "store"]),
    ("snapshot", &["codec", "disk", "domain", "source", "store"]),
    (
        "tools",
        &["cli", "config", "domain", "engine", "explain", "http", "progress", "snapshot", "source", "store"],
    ),
    ("serve", &["config", "engine", "http", "snapshot", "status", "store", "tools"]),
    ("archive", &["cli", "config", "disk", "domain", "progress", "source"]),
    ("history", &["config", "codec", "domain", "progress", "source"]),
    ("demo", &["config", "serve", "codec", "domain", "source", "store", "synthetic"]),
];

/// What is named only under these paths: what stands before `::`, or a word that means such a thing.
const OUTSIDE: &[(&[&str], &[&str])] = &[
    (&["rdkafka"], &["src/source/kafka/"]),
    (&["sled"], &["src/store/"]),
    (&["prost", "prost_types", "protobuf_types"], &["src/codec/"]),
    (&["axum", "hyper", "hyper_util", "http_body_util", "tower"], &["src/http/"]),
    // The projector's loop is a plain thread. librdkafka's admin client answers with futures only.
    (&["tokio"], &["src/http/", "src/serve.rs", "src/demo.rs", "src/main.rs", "src/source/kafka/admin.rs"]),
    (&["env::var", "env::var_os", "env::vars", "env::vars_os"], &["src/config/"]),
    (&["clap"], &["src/cli.rs"]),
    (&["toml::"], &["src/config/", "src/http/keys.rs"]),
    (
        &["anyhow"],
        &[
            "src/main.rs",
            "src/serve.rs",
            "src/demo.rs",
            "src/load.rs",
            "src/logging.rs",
            "src/tools",
            "src/engine",
            "src/archive",
            "src/history.rs",
        ],
    ),
    (&["zstd"], &["src/source/archive/", "src/snapshot/file.rs"]),
    (&["base64"], &["src/source/archive/"]),
    (&["rustix"], &["src/disk.rs", "src/store/generations.rs"]),
    (&["tracing_subscriber"], &["src/logging.rs"]),
    (&["memchr"], &["src/history/"]),
    (&["ProgressBar"], &["src/progress.rs"]),
    (&["unsafe"], &["src/source/kafka/queue.rs", "src/store/really_sync.rs"]),
    // One writes; whoever serves reads.
    (&["Writer"], &["src/store/", "src/projector.rs"]),
];

/// What the pure modules do without: I/O, clocks, threads, chance, logging, and the order of hashes.
const IMPURE: &[&str] = &[
    "std::fs",
    "File",
    "stdin",
    "stdout",
    "stderr",
    "std::net",
    "std::env",
    "std::process",
    "std::thread",
    "std::time",
    "SystemTime",
    "Instant",
    "Utc",
    "Local",
    "RandomState::new",
    "tracing",
    "println",
    "eprintln",
    "metrics::counter",
    "metrics::gauge",
];

/// Lines of a file.
const LONGEST_FILE: usize = 400;

#[test]
fn modules_name_only_what_the_table_of_arrows_allows() {
    let sources = sources();
    let modules: BTreeSet<&str> = sources.iter().filter_map(|source| source.module()).collect();
    let known: BTreeSet<&str> = ARROWS.iter().map(|(module, _)| *module).collect();
    assert_eq!(modules, known, "the table has the modules that there are");
    let wrong: Vec<String> = sources.iter().flat_map(wrong_arrows).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_table_of_arrows_has_no_circle_and_no_arrow_too_many() {
    let order: Vec<&str> = ARROWS.iter().map(|(module, _)| *module).collect();
    let sources = sources();
    for (at, (module, allowed)) in ARROWS.iter().enumerate() {
        for other in *allowed {
            assert!(order[..at].contains(other), "{module} names {other}, which stands below it");
            let of_module = sources.iter().filter(|source| source.module() == Some(module));
            let is_used = of_module.flat_map(|source| names_of_ours(&source.code)).any(|name| name == *other);
            assert!(is_used, "{module} does not name {other}: take the arrow out");
        }
    }
}

#[test]
fn each_outside_thing_is_known_to_one_place() {
    let sources = sources();
    let wrong: Vec<String> = sources.iter().flat_map(wrong_outside).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    for (words, places) in OUTSIDE {
        for place in *places {
            let named = |source: &&Source| {
                source.path.starts_with(place) && words.iter().any(|word| names(&source.code, word))
            };
            assert!(sources.iter().any(|source| named(&source)), "{words:?} is not named in {place}: take it out");
        }
    }
}

#[test]
fn the_domain_and_the_codec_are_pure() {
    let mut seen = 0;
    for source in &sources() {
        if matches!(source.module(), Some("domain" | "codec" | "synthetic")) {
            seen += 1;
            let found: Vec<_> = IMPURE.iter().filter(|word| names(&source.code, word)).collect();
            assert!(found.is_empty(), "{} names {found:?}", source.path);
        }
    }
    assert!(seen > 20, "the pure files are all there");
}

#[test]
fn no_file_is_too_long_to_read() {
    let too_long = |source: &Source| source.lines >= LONGEST_FILE;
    let found: Vec<_> = sources().into_iter().filter(too_long).map(|source| (source.path, source.lines)).collect();
    assert!(found.is_empty(), "{found:?} have {LONGEST_FILE} lines and more");
}

#[test]
fn the_checks_find_what_they_look_for() {
    let arrows = |path: &str, text: &str| wrong_arrows(&Source::of(path, text));
    for (path, text) in [
        ("src/domain/fold.rs", "use crate::store::Writer;"),
        ("src/domain/fold.rs", "fn f() -> crate::codec::DecodeError { todo!() }"),
        ("src/store/mod.rs", "use crate::{codec::{self, stored}, domain, http};"),
        ("src/store/mod.rs", "pub use crate::{\n    projector as loop_,\n};"),
        ("src/codec/deep/er.rs", "use super::super::super::http::json;"),
        ("src/status.rs", "use super::store::Reader;"),
        ("src/codec/mod.rs", "mod tests { use super::super::http; }"),
        ("src/http/mod.rs", "use optview::projector;"),
    ] {
        assert_eq!(arrows(path, text).len(), 1, "{path}: {text}");
    }
    for (path, text) in [
        ("src/store/mod.rs", "use crate::{codec::{stored::{Damaged}}, domain::Job}; use crate::store::keys;"),
        ("src/codec/deep/er.rs", "use super::super::framing;\nmod tests { use super::super::super::stored; }"),
        (
            "src/domain/fold.rs",
            "// crate::store is not for us\n/* crate::http */ const A: &str = \"crate::store\";",
        ),
        (
            "src/domain/fold.rs",
            "const A: &str = r#\"\"crate::store\"#; const B: char = '\"'; const C: &str = \"\\\"\";",
        ),
        ("src/main.rs", "use optview::serve;"),
    ] {
        assert_eq!(arrows(path, text), [""; 0], "{path}: {text}");
    }
    let outside = |path: &str, text: &str| wrong_outside(&Source::of(path, text)).len();
    assert_eq!(outside("src/projector.rs", "fn f<'a>(db: &'a sled::Db) {}"), 1);
    assert_eq!(outside("src/store/keys.rs", "use sled::Db;"), 0);
    assert_eq!(outside("src/serve.rs", "use axum::Router; let a = std::env::var(\"A\"); unsafe { b() }"), 3);
    assert_eq!(outside("src/main.rs", "std::env::args_os(); let sledge = a_sled; // sled"), 0);
    assert_eq!(outside("src/http/list.rs", "use crate::store::Writer;"), 1);
}

/// A file under `src/`.
struct Source {
    path: String,
    /// Without comments, and with empty literals.
    code: String,
    lines: usize,
}

impl Source {
    fn of(path: &str, text: &str) -> Source {
        Source { path: path.to_owned(), code: code_of(text), lines: text.lines().count() }
    }

    /// The module under the root that it is of; none for the root itself and the program.
    fn module(&self) -> Option<&str> {
        let name = self.path.strip_prefix("src/")?.split('/').next()?;
        let name = name.strip_suffix(".rs").unwrap_or(name);
        (!matches!(name, "lib" | "main")).then_some(name)
    }

    /// How many modules it lies under the root.
    fn depth(&self) -> usize {
        self.path.matches('/').count() - usize::from(self.path.ends_with("/mod.rs"))
    }
}

fn sources() -> Vec<Source> {
    let mut sources = Vec::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders = vec![root.join("src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(root).unwrap().to_str().unwrap();
                sources.push(Source::of(name, &fs::read_to_string(&path).unwrap()));
            }
        }
    }
    assert!(sources.len() > 50, "the source is all there");
    sources
}

fn wrong_arrows(source: &Source) -> Vec<String> {
    let Some(module) = source.module() else { return Vec::new() };
    if source.path.ends_with("/tests.rs") {
        // Tests look at a module from outside.
        return Vec::new();
    }
    let allowed = ARROWS.iter().find(|(name, _)| *name == module).map_or(&[][..], |(_, allowed)| allowed);
    let mut wrong = Vec::new();
    for name in names_of_ours(&source.code) {
        if name != module && !allowed.contains(&name.as_str()) {
            wrong.push(format!("{} names {name}", source.path));
        }
    }
    if climbs_to_the_root(source) {
        wrong.push(format!("{} names the root by `super`: write `crate::`", source.path));
    }
    if names(&source.code, "optview") {
        wrong.push(format!("{} names the crate as others do: write `crate::`", source.path));
    }
    wrong
}

fn wrong_outside(source: &Source) -> Vec<String> {
    let elsewhere = |(_, places): &&(&[&str], &[&str])| !places.iter().any(|place| source.path.starts_with(place));
    let words = OUTSIDE.iter().filter(elsewhere).flat_map(|(words, _)| *words);
    words.filter(|word| names(&source.code, word)).map(|word| format!("{} names {word}", source.path)).collect()
}

/// The first names after every `crate::`, those in braces included.
fn names_of_ours(code: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        if code[..at].ends_with(is_of_name) || code[..at].ends_with('$') {
            continue;
        }
        let rest = &code[at + "crate::".len()..];
        let Some(group) = rest.strip_prefix('{') else {
            found.insert(name_at(rest));
            continue;
        };
        let mut depth = 1;
        let mut begins = true;
        for (at, character) in group.char_indices() {
            match character {
                '{' => depth += 1,
                '}' => depth -= 1,
                ',' if depth == 1 => begins = true,
                _ if begins && is_of_name(character) => {
                    found.insert(name_at(&group[at..]));
                    begins = false;
                }
                _ => {}
            }
            if depth == 0 {
                break;
            }
        }
    }
    found
}

fn name_at(text: &str) -> String {
    text.chars().take_while(|&character| is_of_name(character)).collect()
}

/// Whether a chain of `super` leads out of the module under the root.
fn climbs_to_the_root(source: &Source) -> bool {
    let mut deeper = 0;
    for line in source.code.lines() {
        let declared = line.trim_start().trim_start_matches("pub ");
        deeper += usize::from(declared.starts_with("mod ") && declared.contains('{'));
        let mut rest = line;
        while let Some(at) = rest.find("super::") {
            let chain = &rest[at..];
            let mut left = chain;
            let mut steps = 0;
            while let Some(next) = left.strip_prefix("super::") {
                (left, steps) = (next, steps + 1);
            }
            if steps >= source.depth() + deeper {
                return true;
            }
            rest = left;
        }
    }
    false
}

/// Whether the code has this path or word, and not only as a part of a longer one.
fn names(code: &str, word: &str) -> bool {
    code.match_indices(word).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        let after = code[at + word.len()..].chars().next();
        !before.is_some_and(is_of_name) && (word.ends_with(':') || !after.is_some_and(is_of_name))
    })
}

fn is_of_name(character: char) -> bool {
    character.is_ascii_alphanumeric() || character == '_'
}

/// Rust without its comments, and with nothing in its texts.
fn code_of(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(character) = rest.chars().next() {
        let skipped = match character {
            '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            '/' if rest.starts_with("/*") => rest.find("*/").map_or(rest.len(), |end| end + 2),
            '"' => quoted_len(rest, '"'),
            'r' if !code.ends_with(is_of_name) => raw_len(rest),
            '\'' => char_len(rest),
            _ => 0,
        };
        if skipped > 0 {
            // What stood on two sides of it stays apart, and lines stay lines.
            code.extend([" "].into_iter().chain(rest[..skipped].matches('\n')));
            rest = &rest[skipped..];
        } else {
            code.push(character);
            rest = &rest[character.len_utf8()..];
        }
    }
    code
}

/// With both quotes.
fn quoted_len(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, character) in text.char_indices().skip(1) {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if character == quote => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// Of a raw text; 0 where there is none.
fn raw_len(text: &str) -> usize {
    let hashes = text[1..].bytes().take_while(|byte| *byte == b'#').count();
    let begin = 1 + hashes;
    if !text[begin..].starts_with('"') {
        return 0;
    }
    let end = format!("\"{}", "#".repeat(hashes));
    text[begin + 1..].find(&end).map_or(text.len(), |at| begin + 1 + at + end.len())
}

/// Of a character's literal; 0 for a lifetime.
fn char_len(text: &str) -> usize {
    let mut characters = text.char_indices().skip(1);
    match (characters.next(), characters.next()) {
        (Some((_, '\\')), _) => quoted_len(text, '\''),
        (Some(_), Some((at, '\''))) => at + 1,
        _ => 0,
    }
}

/// The table as `docs/ARCHITECTURE.md` shows it is this one.
#[test]
fn the_document_shows_this_table() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/ARCHITECTURE.md");
    let document = fs::read_to_string(path).unwrap();
    let row = |line: &str| -> Option<(String, String)> {
        let mut cells = line.strip_prefix("| `")?.splitn(3, '|');
        let module = cells.next()?.trim().trim_matches('`').to_owned();
        Some((module, cells.next()?.trim().replace('`', "")))
    };
    let shown: BTreeMap<String, String> = document.lines().filter_map(row).collect();
    for (module, allowed) in ARROWS {
        let expected = if allowed.is_empty() { "nothing of ours".to_owned() } else { allowed.join(", ") };
        assert_eq!(shown.get(*module), Some(&expected), "the row of {module}");
    }
}
