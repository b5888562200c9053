//! The source files as the checks of the architecture see them: parsed by `syn`, so that comments and literals are out of the
//! way, and flattened to tokens, so that the names in a macro's body count like all others.

use std::fs;
use std::path::Path;

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{ItemMod, ItemUse, Macro, UseTree};

/// A Rust file of this crate.
pub struct Source {
    /// The path below the crate's root, with `/`.
    pub path: String,
    pub text: String,
    pub file: syn::File,
    /// Identifiers and punctuation in their order. Literals and comments are left out; groups keep their brackets.
    tokens: Vec<String>,
    /// The full path of each name that a `use` brings in.
    imports: Vec<Vec<String>>,
}

impl Source {
    /// Parses a file.
    pub fn parse(path: &str, text: &str) -> Source {
        let file = syn::parse_file(text).unwrap_or_else(|error| panic!("{path} does not parse: {error}"));
        let mut imports = Imports::default();
        imports.visit_file(&file);
        // An empty token comes first, so that each name has one before it.
        let mut tokens = vec![String::new()];
        push_all(text.parse().expect("a file that parses has tokens"), &mut tokens);
        Source { path: path.to_owned(), text: text.to_owned(), file, tokens, imports: imports.paths }
    }

    /// Returns the module under the root that the file belongs to: none for the root itself and the program.
    pub fn module(&self) -> Option<&str> {
        let name = self.path.strip_prefix("src/")?.split('/').next()?;
        let name = name.strip_suffix(".rs").unwrap_or(name);
        (!matches!(name, "lib" | "main")).then_some(name)
    }

    /// Returns true if the code has this path or word, and not only as a part of a longer identifier. The paths of `use`
    /// count as written and as expanded.
    pub fn names(&self, word: &str) -> bool {
        let wanted = tokens(word.parse().expect("a word of the tables has tokens"));
        let has = |tokens: &[String]| tokens.windows(wanted.len()).any(|window| window == wanted);
        has(&self.tokens) || self.imports.iter().any(|path| has(&with_colons(path)))
    }

    /// Returns the modules under the root that the file names by `crate::`, a `use` with braces included.
    pub fn modules_named(&self) -> Vec<&str> {
        let written = self.tokens.windows(5).filter_map(|window| match window {
            [before, root, a, b, name] if root == "crate" && a == ":" && b == ":" && before != "$" => {
                Some(&name[..])
            }
            _ => None,
        });
        let imported = self.imports.iter().filter(|path| path[0] == "crate").filter_map(|path| path.get(1));
        // An opening brace stands before the names of a `use`, which are among the imports.
        let mut found: Vec<&str> =
            written.filter(|name| *name != "{").chain(imported.map(String::as_str)).collect();
        found.sort_unstable();
        found.dedup();
        found
    }

    /// Returns true if a chain of `super` leads out of the module under the root.
    pub fn climbs_to_the_root(&self) -> bool {
        let mut climb = Climb { depth: self.path.matches('/').count(), climbs: false };
        climb.visit_file(&self.file);
        climb.climbs
    }
}

/// Reads the Rust files below some folders of the crate's root.
pub fn sources(folders: &[&str]) -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders: Vec<_> = folders.iter().map(|folder| root.join(folder)).collect();
    let mut sources = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(root).unwrap().to_str().unwrap();
                sources.push(Source::parse(name, &fs::read_to_string(&path).unwrap()));
            }
        }
    }
    assert!(sources.len() > 50, "the source is all there");
    sources.sort_by(|one, other| one.path.cmp(&other.path));
    sources
}

/// Returns the tokens of a stream and of the groups in it.
pub fn tokens(stream: TokenStream) -> Vec<String> {
    let mut tokens = Vec::new();
    push_all(stream, &mut tokens);
    tokens
}

/// Appends the tokens of a stream and of the groups in it. A literal becomes an empty token, so that what stands on its two
/// sides stays apart.
fn push_all(stream: TokenStream, tokens: &mut Vec<String>) {
    for token in stream {
        match token {
            TokenTree::Ident(ident) => tokens.push(ident.to_string()),
            TokenTree::Punct(punct) => tokens.push(punct.as_char().to_string()),
            TokenTree::Literal(_) => tokens.push(String::new()),
            TokenTree::Group(group) => {
                let (open, close) = match group.delimiter() {
                    Delimiter::Brace => ("{", "}"),
                    Delimiter::Bracket => ("[", "]"),
                    Delimiter::Parenthesis => ("(", ")"),
                    Delimiter::None => ("", ""),
                };
                tokens.push(open.to_owned());
                push_all(group.stream(), tokens);
                tokens.push(close.to_owned());
            }
        }
    }
}

fn with_colons(path: &[String]) -> Vec<String> {
    let colon = || ":".to_owned();
    path.iter().flat_map(|name| [colon(), colon(), name.clone()]).skip(2).collect()
}

/// Collects the paths of all `use` of a file.
#[derive(Default)]
struct Imports {
    paths: Vec<Vec<String>>,
}

impl<'ast> Visit<'ast> for Imports {
    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        expand(&item.tree, &mut Vec::new(), &mut |path, _| self.paths.push(path.to_vec()));
    }
}

/// Gives each path of a `use` to `found`, with the name by which the file knows it: `*` for a glob.
pub fn expand(tree: &UseTree, before: &mut Vec<String>, found: &mut impl FnMut(&[String], &str)) {
    let depth = before.len();
    let name = match tree {
        UseTree::Path(path) => {
            before.push(path.ident.to_string());
            expand(&path.tree, before, found);
            before.truncate(depth);
            return;
        }
        UseTree::Group(group) => return group.items.iter().for_each(|tree| expand(tree, before, found)),
        UseTree::Glob(_) => return found(before, "*"),
        UseTree::Name(name) => (&name.ident, &name.ident),
        UseTree::Rename(rename) => (&rename.ident, &rename.rename),
    };
    let (ident, known_as) = (name.0.to_string(), name.1.to_string());
    if ident == "self" {
        let known_as = if known_as == "self" { before[depth - 1].clone() } else { known_as };
        return found(before, &known_as);
    }
    before.push(ident);
    found(before, &known_as);
    before.truncate(depth);
}

/// Looks for a chain of `super` that is as long as the place is deep.
struct Climb {
    /// Number of modules between the place and the root.
    depth: usize,
    climbs: bool,
}

impl Climb {
    fn look_at<T: PartialEq<str>>(&mut self, path: impl Iterator<Item = T>) {
        self.climbs |= path.take_while(|name| *name == *"super").count() >= self.depth;
    }
}

impl<'ast> Visit<'ast> for Climb {
    fn visit_item_mod(&mut self, item: &'ast ItemMod) {
        self.depth += 1;
        visit::visit_item_mod(self, item);
        self.depth -= 1;
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        self.look_at(path.segments.iter().map(|segment| segment.ident.to_string()));
        visit::visit_path(self, path);
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        expand(&item.tree, &mut Vec::new(), &mut |path, _| self.look_at(path.iter().cloned()));
    }

    fn visit_macro(&mut self, called: &'ast Macro) {
        let tokens = tokens(called.tokens.clone());
        for at in 0..tokens.len() {
            let chain = tokens[at..].chunks(3).take_while(|step| step[0] == "super" && step[1..] == [":", ":"]);
            self.climbs |= chain.count() >= self.depth;
        }
        visit::visit_macro(self, called);
    }
}
