//! The arrows: which module may name which, and which folder alone knows each outside thing. The circles of files and the
//! language of names and comments have files of their own. All of it is read from the source, so that a new `use` in the wrong room fails here and not in a review.

mod circles;
mod language;
mod source;
mod tables;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use source::{Source, sources};
use tables::{ARROWS, IMPURE, OUTSIDE};

/// Number of lines from which a file of `src` is too long.
const LONGEST_FILE: usize = 400;

#[test]
fn modules_name_only_what_the_table_of_arrows_allows() {
    let sources = sources(&["src"]);
    let modules: BTreeSet<&str> = sources.iter().filter_map(|source| source.module()).collect();
    let known: BTreeSet<&str> = ARROWS.iter().map(|(module, _)| *module).collect();
    assert_eq!(modules, known, "the table has the modules that there are");
    let wrong: Vec<String> = sources.iter().flat_map(wrong_arrows).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_table_of_arrows_has_no_circle_and_no_arrow_too_many() {
    let order: Vec<&str> = ARROWS.iter().map(|(module, _)| *module).collect();
    let sources = sources(&["src"]);
    for (at, (module, allowed)) in ARROWS.iter().enumerate() {
        for other in *allowed {
            assert!(order[..at].contains(other), "{module} names {other}, which stands below it");
            let of_module = sources.iter().filter(|source| source.module() == Some(module));
            let is_used = of_module.flat_map(Source::modules_named).any(|name| name == *other);
            assert!(is_used, "{module} does not name {other}: take the arrow out");
        }
    }
}

#[test]
fn each_outside_thing_is_known_to_one_place() {
    let sources = sources(&["src"]);
    let wrong: Vec<String> = sources.iter().flat_map(wrong_outside).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    for (words, places) in OUTSIDE {
        for place in *places {
            let named =
                |source: &&Source| source.path.starts_with(place) && words.iter().any(|word| source.names(word));
            assert!(sources.iter().any(|source| named(&source)), "{words:?} is not named in {place}: take it out");
        }
    }
}

#[test]
fn the_domain_the_codec_and_the_life_of_a_generation_are_pure() {
    let (mut seen, mut machines) = (0, 0);
    for source in &sources(&["src"]) {
        let is_machine = source.path.starts_with("src/generation/life");
        if is_machine || matches!(source.module(), Some("domain" | "codec" | "synthetic")) {
            seen += 1;
            machines += usize::from(is_machine);
            let found: Vec<_> = IMPURE.iter().filter(|word| source.names(word)).collect();
            assert!(found.is_empty(), "{} names {found:?}", source.path);
        }
    }
    assert!(seen > 20 && machines > 10, "the pure files are all there");
}

#[test]
fn no_file_is_too_long_to_read() {
    let lines = |source: Source| (source.text.lines().count(), source.path);
    let found: Vec<_> =
        sources(&["src"]).into_iter().map(lines).filter(|(lines, _)| *lines >= LONGEST_FILE).collect();
    assert!(found.is_empty(), "{found:?} have {LONGEST_FILE} lines and more");
}

#[test]
fn the_checks_find_what_they_look_for() {
    let arrows = |path: &str, text: &str| wrong_arrows(&Source::parse(path, text));
    for (path, text) in [
        ("src/domain/fold.rs", "use crate::store::Writer;"),
        ("src/domain/fold.rs", "fn f() -> crate::codec::DecodeError { g() }"),
        ("src/store.rs", "use crate::{codec::{self, stored}, domain, http};"),
        ("src/store.rs", "pub use crate::{\n    projector as loop_,\n};"),
        ("src/codec/deep/er.rs", "use super::super::super::http::json;"),
        ("src/status.rs", "use super::store::Reader;"),
        ("src/codec.rs", "mod tests { use super::super::http; }"),
        ("src/http.rs", "use optview::projector;"),
        ("src/domain/fold.rs", "fn f() { vec![crate::store::open(a)] }"),
        ("src/domain/fold.rs", "fn f() { vec![super::super::store::open(a)] }"),
    ] {
        assert_eq!(arrows(path, text).len(), 1, "{path}: {text}");
    }
    for (path, text) in [
        ("src/store.rs", "use crate::{codec::{stored::{Damaged}}, domain::Job}; use crate::store::keys;"),
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
    let outside = |path: &str, text: &str| wrong_outside(&Source::parse(path, text)).len();
    assert_eq!(outside("src/projector.rs", "fn f<'a>(db: &'a sled::Db) {}"), 1);
    assert_eq!(outside("src/store/keys.rs", "use sled::Db;"), 0);
    let serve = "use axum::Router; fn f() { let a = std::env::var(\"A\"); unsafe { b() } }";
    assert_eq!(outside("src/serve.rs", serve), 3);
    assert_eq!(outside("src/serve.rs", "use std::{env::{self, var}, fs};"), 1);
    assert_eq!(outside("src/main.rs", "fn f() { std::env::args_os(); let sledge = a_sled; /* sled */ }"), 0);
    assert_eq!(outside("src/http/list.rs", "use crate::store::Writer;"), 1);
    for printing in ["println!(1)", "eprint!(1)", "dbg!(1)", "io::stdout()", "std::io::stderr().lock()"] {
        assert_eq!(outside("src/tools/print.rs", &format!("fn f() {{ {printing} }}")), 1, "{printing}");
    }
    // Names in the bodies of macros count like all others.
    for text in ["fn f() { vec![sled::open(a)] }", "macro_rules! m { () => { sled::open(a) } }"] {
        assert_eq!(outside("src/projector.rs", text), 1, "{text}");
    }
}

#[test]
fn every_module_is_a_file_beside_its_folder() {
    let found: Vec<_> = sources(language::SPOKEN).into_iter().map(|source| source.path).collect();
    // Cargo would take a file right under `benches/` for a benchmark.
    let old: Vec<_> =
        found.iter().filter(|path| path.ends_with("/mod.rs") && *path != "benches/support/mod.rs").collect();
    assert!(old.is_empty(), "{old:?}: write `name.rs` beside `name/`");
}

fn wrong_arrows(source: &Source) -> Vec<String> {
    let Some(module) = source.module() else { return Vec::new() };
    if source.path.ends_with("/tests.rs") {
        // Tests look at a module from outside.
        return Vec::new();
    }
    let allowed = ARROWS.iter().find(|(name, _)| *name == module).map_or(&[][..], |(_, allowed)| allowed);
    let mut wrong = Vec::new();
    for name in source.modules_named() {
        if name != module && !allowed.contains(&name) {
            wrong.push(format!("{} names {name}", source.path));
        }
    }
    if source.climbs_to_the_root() {
        wrong.push(format!("{} names the root by `super`: write `crate::`", source.path));
    }
    if source.names("optview") {
        wrong.push(format!("{} names the crate as others do: write `crate::`", source.path));
    }
    wrong
}

fn wrong_outside(source: &Source) -> Vec<String> {
    let words = OUTSIDE
        .iter()
        .filter(|(_, places)| !places.iter().any(|place| source.path.starts_with(place)))
        .flat_map(|(words, _)| *words);
    words.filter(|word| source.names(word)).map(|word| format!("{} names {word}", source.path)).collect()
}

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
