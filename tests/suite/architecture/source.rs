//! The source as the checks of its architecture see it: each file without comments and literals, and the names in it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// A file under `src/`.
pub struct Source {
    pub path: String,
    /// Without comments, and with empty literals.
    pub code: String,
    pub lines: usize,
}

impl Source {
    pub fn of(path: &str, text: &str) -> Source {
        Source { path: path.to_owned(), code: code_of(text), lines: text.lines().count() }
    }

    /// The module under the root that it is of; none for the root itself and the program.
    pub fn module(&self) -> Option<&str> {
        let name = self.path.strip_prefix("src/")?.split('/').next()?;
        let name = name.strip_suffix(".rs").unwrap_or(name);
        (!matches!(name, "lib" | "main")).then_some(name)
    }

    /// How many modules it lies under the root.
    fn depth(&self) -> usize {
        self.path.matches('/').count()
    }
}

pub fn sources() -> Vec<Source> {
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

/// The first names after every `crate::`, those in braces included.
pub fn names_of_ours(code: &str) -> BTreeSet<String> {
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
pub fn climbs_to_the_root(source: &Source) -> bool {
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
pub fn names(code: &str, word: &str) -> bool {
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
