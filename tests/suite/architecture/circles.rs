//! Circles of files: files of `src` of which each names something that the next one declares. A name that a module only passes
//! on by `pub use` counts as the file's that declares it, so that a room's front door is no part of a circle.

use std::collections::{BTreeMap, BTreeSet};

use syn::visit::{self, Visit};
use syn::{Attribute, Item, ItemUse, Macro, Visibility};

use super::source::{Source, expand, sources, tokens};

type ModulePath = Vec<String>;

/// The names that a file declares, and those that it knows from elsewhere.
#[derive(Default)]
struct Module {
    items: BTreeSet<String>,
    /// Each name that a `use` brings in, with its path as written.
    imports: Vec<(String, ModulePath)>,
}

/// Returns every set of files that name each other in a circle, by their paths.
fn circles(sources: &[Source]) -> Vec<Vec<String>> {
    let sources: BTreeMap<ModulePath, &Source> =
        sources.iter().filter_map(|source| Some((module_path(&source.path)?, source))).collect();
    let modules: BTreeMap<ModulePath, Module> =
        sources.iter().map(|(path, source)| (path.clone(), declared(&source.file))).collect();
    let edges: BTreeMap<&ModulePath, BTreeSet<ModulePath>> =
        sources.iter().map(|(path, source)| (path, edges(path, source, &modules))).collect();
    let reached: BTreeMap<&ModulePath, BTreeSet<&ModulePath>> =
        edges.keys().map(|path| (*path, reachable(path, &edges))).collect();
    let mut circles = BTreeSet::new();
    for (path, reaches) in &reached {
        let circle: Vec<String> = reaches
            .iter()
            .filter(|other| reached.get(*other).is_some_and(|back| back.contains(path)))
            .map(|other| sources[*other].path.clone())
            .collect();
        if !circle.is_empty() {
            circles.insert(circle);
        }
    }
    circles.into_iter().collect()
}

/// Returns the path of the module that a file of `src` holds; none for the program and for tests, which look at a module from
/// outside.
fn module_path(file: &str) -> Option<ModulePath> {
    let path = file.strip_prefix("src/")?.strip_suffix(".rs")?;
    let path: ModulePath = path.split('/').map(str::to_owned).collect();
    match path.last().map(String::as_str) {
        Some("main" | "tests") => None,
        Some("lib") => Some(Vec::new()),
        _ => Some(path),
    }
}

fn reachable<'a>(
    from: &ModulePath,
    edges: &BTreeMap<&'a ModulePath, BTreeSet<ModulePath>>,
) -> BTreeSet<&'a ModulePath> {
    let mut reached = BTreeSet::new();
    let mut next: Vec<&ModulePath> = vec![from];
    while let Some(path) = next.pop() {
        for other in &edges[path] {
            let (other, _) = edges.get_key_value(other).expect("an edge leads to a file");
            if reached.insert(*other) {
                next.push(*other);
            }
        }
    }
    reached
}

fn is_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let list = attribute.meta.require_list();
        list.is_ok_and(|list| list.path.is_ident("cfg") && list.tokens.to_string() == "test")
    })
}

fn declared(file: &syn::File) -> Module {
    let mut module = Module::default();
    for item in &file.items {
        let name = match item {
            Item::Const(item) => &item.ident,
            Item::Enum(item) => &item.ident,
            Item::Fn(item) => &item.sig.ident,
            Item::Static(item) => &item.ident,
            Item::Struct(item) => &item.ident,
            Item::Trait(item) => &item.ident,
            Item::Type(item) => &item.ident,
            Item::Use(item) if !is_test(&item.attrs) => {
                expand(&item.tree, &mut Vec::new(), &mut |path, known_as| {
                    module.imports.push((known_as.to_owned(), path.to_vec()));
                });
                continue;
            }
            _ => continue,
        };
        module.items.insert(name.to_string());
    }
    module
}

fn edges(path: &ModulePath, source: &Source, modules: &BTreeMap<ModulePath, Module>) -> BTreeSet<ModulePath> {
    let mut edges = Edges { path, modules, depth: 0, found: BTreeSet::new() };
    edges.visit_file(&source.file);
    edges.found.remove(path);
    edges.found
}

struct Edges<'a> {
    path: &'a ModulePath,
    modules: &'a BTreeMap<ModulePath, Module>,
    /// Number of modules around the place within the file.
    depth: usize,
    found: BTreeSet<ModulePath>,
}

impl Edges<'_> {
    /// Returns true if a `use` of the file brings in this name. A name that is passed on counts once the file itself uses it.
    fn imports(&self, name: &str) -> bool {
        self.modules[self.path].imports.iter().any(|(known_as, _)| known_as == name)
    }

    fn note(&mut self, path: &[String]) {
        let inner = path.iter().take(self.depth).take_while(|name| *name == "super").count();
        let module = resolve(self.modules, self.path, &path[inner..], 0);
        self.found.extend(module.filter(|module| self.modules.contains_key(module)));
    }
}

impl<'ast> Visit<'ast> for Edges<'_> {
    fn visit_item(&mut self, item: &'ast Item) {
        let attributes = match item {
            Item::Mod(item) => &item.attrs,
            Item::Fn(item) => &item.attrs,
            Item::Use(item) => &item.attrs,
            Item::Impl(item) => &item.attrs,
            _ => return visit::visit_item(self, item),
        };
        if !is_test(attributes) {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        self.depth += 1;
        visit::visit_item_mod(self, item);
        self.depth -= 1;
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        if matches!(item.vis, Visibility::Inherited) {
            expand(&item.tree, &mut Vec::new(), &mut |path, _| self.note(path));
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let names: Vec<String> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        if names.len() > 1 || self.imports(&names[0]) {
            self.note(&names);
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, called: &'ast Macro) {
        for name in tokens(called.tokens.clone()) {
            if self.imports(&name) {
                self.note(&[name]);
            }
        }
        visit::visit_macro(self, called);
    }
}

/// Returns the file that declares what a path names, as it is seen from a module; none if it is not of this crate.
fn resolve(
    modules: &BTreeMap<ModulePath, Module>,
    from: &[String],
    path: &[String],
    passed_on: usize,
) -> Option<ModulePath> {
    if passed_on > 8 {
        return None;
    }
    let (mut module, mut rest) = (from.to_vec(), path);
    match rest.first().map(String::as_str)? {
        "crate" | "optview" => (module, rest) = (Vec::new(), &rest[1..]),
        "self" => rest = &rest[1..],
        "super" => {
            while rest.first().is_some_and(|name| name == "super") {
                module.pop()?;
                rest = &rest[1..];
            }
        }
        first => {
            let is_child = modules.contains_key(&[from, &[first.to_owned()]].concat());
            let is_known = modules.get(from)?.imports.iter().any(|(known_as, _)| known_as == first);
            if !is_child && !is_known {
                return None;
            }
        }
    }
    while let [name, after @ ..] = rest {
        let here = modules.get(&module)?;
        let child = [&module[..], std::slice::from_ref(name)].concat();
        if here.items.contains(name) {
            return Some(module);
        }
        if modules.contains_key(&child) {
            (module, rest) = (child, after);
            continue;
        }
        let import = here.imports.iter().find(|(known_as, _)| known_as == name);
        return match import {
            Some((_, path)) => resolve(modules, &module, &[&path[..], after].concat(), passed_on + 1),
            None => Some(module),
        };
    }
    Some(module)
}

#[test]
fn no_files_name_each_other_in_a_circle() {
    let circles = circles(&sources(&["src"]));
    assert!(circles.is_empty(), "{circles:#?}");
}

#[test]
fn the_check_of_circles_finds_one() {
    let found = |files: &[(&str, &str)]| {
        let sources: Vec<Source> = files.iter().map(|(path, text)| Source::parse(path, text)).collect();
        circles(&sources)
    };
    let (root, room) =
        (("src/lib.rs", "pub mod a;"), ("src/a.rs", "mod b; mod c; pub use b::B; use c::C; struct A(C);"));
    let b = ("src/a/b.rs", "use super::c::C; pub struct B(C);");
    // A module does not depend on a name that it only passes on.
    assert_eq!(found(&[root, room, b, ("src/a/c.rs", "pub struct C;")]), Vec::<Vec<String>>::new());
    let circle = [vec!["src/a/b.rs".to_owned(), "src/a/c.rs".to_owned()]];
    assert_eq!(found(&[root, room, b, ("src/a/c.rs", "use super::B; pub struct C(B);")]), circle);
    assert_eq!(
        found(&[root, room, b, ("src/a/c.rs", "pub fn f() -> C { crate::a::b::f() } pub struct C;")]),
        circle
    );
    let circle = [vec!["src/a.rs".to_owned(), "src/a/b.rs".to_owned()]];
    let c = ("src/a/c.rs", "pub struct C;");
    let names_a = ("src/a/b.rs", "use super::A; pub struct B(A);");
    for used in
        ["pub struct A(B);", "pub struct A; fn f() { let a: B = g(); }", "pub struct A; fn f() { vec![B] }"]
    {
        let room = format!("mod b; mod c; pub use b::B; {used}");
        assert_eq!(found(&[root, ("src/a.rs", &room), names_a, c]), circle, "{used}");
    }
    let only_passed_on = ("src/a.rs", "mod b; mod c; pub use b::B; pub struct A;");
    assert_eq!(found(&[root, only_passed_on, names_a, c]), Vec::<Vec<String>>::new());
    let circle = [vec!["src/a.rs".to_owned(), "src/a/c.rs".to_owned()]];
    assert_eq!(found(&[root, room, b, ("src/a/c.rs", "use super::A; pub struct C(A);")]), circle);
}
