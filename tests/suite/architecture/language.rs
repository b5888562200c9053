//! The language of names and comments: what `docs/ARCHITECTURE.md` promises of it, counted.

use syn::visit::{self, Visit};

use super::source::{Source, sources, tokens};

/// The words that no doc comment begins with: each begins a fragment, whose subject the reader would have to guess.
const FRAGMENT_STARTS: &[&str] = &[
    "Of",
    "That",
    "From where",
    "From which",
    "By which",
    "By what",
    "For what",
    "For whom",
    "For which",
    "Where",
    "What",
    "Which",
    "Whether",
    "Who",
    "Whom",
    "Whose",
    "How",
    "Why",
    "When",
    "In",
    "On",
    "At",
    "To",
    "With",
    "Without",
    "Under",
    "Until",
    "If",
    "Such",
    "So",
    "As",
    "And",
    "But",
    "Only",
    "Not",
    "None",
];

/// The number of closures that have a name and one use. It may only become less: with each that goes, this is taken down.
const CLOSURES_WITH_ONE_USE: usize = 156;

/// The verbs of speech that comments of code hardly need: a function returns, a log reports, a file contains.
const SPEECH: &[&str] = &["tell", "tells", "told", "telling", "say", "says", "said", "saying"];

/// The number of verbs of speech that a thousand words of comments may have.
const SPEECH_PER_THOUSAND: f64 = 0.5;

/// Participles without a regular ending, pronouns, and verbs: none of them is a noun that can stand alone.
const NO_NOUNS: &[&str] = &[
    "all", "any", "asks", "been", "begun", "broken", "brought", "built", "came", "does", "done", "drawn", "each",
    "fallen", "felt", "found", "frozen", "given", "gives", "gone", "had", "has", "heard", "held", "hidden", "how",
    "is", "it", "its", "kept", "known", "laid", "left", "lost", "made", "met", "needs", "none", "ours", "put",
    "said", "says", "seen", "seldom", "sent", "shown", "some", "spent", "stands", "still", "stood", "such",
    "sunk", "taken", "tells", "that", "theirs", "them", "they", "this", "told", "torn", "was", "what", "which",
    "who", "whole", "why", "worn", "written",
];

/// One-word names with such an ending that are nouns of the field, with the reason for each.
const NOUNS: &[(&str, &str)] = &[
    ("encoding", "the encoding of an event, as HTTP and Kafka call it"),
    ("created", "the contract's event of that name"),
    ("embed", "no participle"),
    ("ending", "the end of a life, as a noun"),
    ("feed", "no participle"),
    ("finding", "a thing that was found, as a noun"),
    ("framing", "the framing of a record's bytes, Confluent's word"),
    ("listing", "a directory's listing"),
    ("logging", "the name that Rust's own crates give to that module"),
    ("meaning", "the meaning of an error's code, as a noun"),
    ("need", "no participle"),
    ("ordering", "as in `std::cmp::Ordering`"),
    ("outranking", "the relation of an event to the later one that it loses to, as a noun"),
    ("ping", "no participle"),
    ("recording", "a thing that was recorded, as a noun"),
    ("ring", "no participle"),
    ("seed", "no participle"),
    ("setting", "a setting of a topic or of the program"),
    ("speed", "no participle"),
    ("string", "no participle"),
    ("thing", "no participle"),
    ("timing", "no participle"),
];

/// Returns the doc comments of a file, and the texts under a heading in one, that begin with a fragment, as `path:line: comment`.
fn fragments(source: &Source) -> Vec<String> {
    let mut found = Vec::new();
    let mut before_is_doc = false;
    for (number, line) in (1..).zip(source.text.lines()) {
        let comment = doc_text(line);
        if let Some(text) = comment.filter(|text| !before_is_doc && begins_as_fragment(text)) {
            found.push(format!("{}:{number}: {text}", source.path));
        }
        before_is_doc = comment.is_some_and(|text| !text.starts_with("# "));
    }
    found
}

fn doc_text(line: &str) -> Option<&str> {
    let line = line.trim_start();
    let text = line.strip_prefix("///").or_else(|| line.strip_prefix("//!"))?;
    (!text.starts_with('/')).then(|| text.trim())
}

fn begins_as_fragment(text: &str) -> bool {
    FRAGMENT_STARTS.iter().any(|words| {
        let rest = text.strip_prefix(*words);
        rest.is_some_and(|rest| {
            !rest.starts_with(|next: char| next.is_alphanumeric() || next == '_' || next == '\'')
        })
    })
}

/// Counts words in comments, and the verbs of speech among them.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct SpeechCount {
    pub words: usize,
    pub speech: usize,
}

impl SpeechCount {
    pub fn of(text: &str) -> SpeechCount {
        let mut count = SpeechCount::default();
        for comment in text.lines().filter_map(|line| line.trim_start().strip_prefix("//")) {
            for word in comment.split(|next: char| !next.is_ascii_alphabetic() && next != '\'') {
                count.words += usize::from(!word.is_empty());
                count.speech += usize::from(SPEECH.contains(&word.to_lowercase().as_str()));
            }
        }
        count
    }

    pub fn add(&mut self, other: SpeechCount) {
        self.words += other.words;
        self.speech += other.speech;
    }

    /// Verbs of speech a thousand words.
    pub fn per_thousand(self) -> f64 {
        1000.0 * self.speech as f64 / self.words.max(1) as f64
    }
}

/// Returns the names of all types that a file declares, in functions too.
fn types(source: &Source) -> Vec<String> {
    let mut types = Types::default();
    types.visit_file(&source.file);
    types.names
}

#[derive(Default)]
struct Types {
    names: Vec<String>,
}

impl<'ast> Visit<'ast> for Types {
    fn visit_item_struct(&mut self, item: &'ast syn::ItemStruct) {
        self.names.push(item.ident.to_string());
        visit::visit_item_struct(self, item);
    }

    fn visit_item_enum(&mut self, item: &'ast syn::ItemEnum) {
        self.names.push(item.ident.to_string());
        visit::visit_item_enum(self, item);
    }

    fn visit_item_union(&mut self, item: &'ast syn::ItemUnion) {
        self.names.push(item.ident.to_string());
        visit::visit_item_union(self, item);
    }

    fn visit_item_trait(&mut self, item: &'ast syn::ItemTrait) {
        self.names.push(item.ident.to_string());
        visit::visit_item_trait(self, item);
    }

    fn visit_item_type(&mut self, item: &'ast syn::ItemType) {
        self.names.push(item.ident.to_string());
        visit::visit_item_type(self, item);
    }
}

/// Returns true if a name is a lone participle, pronoun or verb. A name of two words and more has a noun to stand on.
fn is_lone_participle(name: &str) -> bool {
    let inner = name.get(1..).unwrap_or_default();
    if inner.contains('_') || inner.contains(char::is_uppercase) {
        return false;
    }
    let name = name.to_lowercase();
    if NOUNS.iter().any(|(noun, _)| *noun == name) {
        return false;
    }
    NO_NOUNS.contains(&name.as_str()) || name.ends_with("ed") || name.ends_with("ing")
}

/// Returns the closures of a file that have a name and one use, as `path: name`: each can be written where it is used, unless that
/// makes it worse.
fn closures_with_one_use(source: &Source) -> Vec<String> {
    let mut closures = Closures::default();
    closures.visit_file(&source.file);
    closures.names.into_iter().map(|name| format!("{}: {name}", source.path)).collect()
}

#[derive(Default)]
struct Closures {
    names: Vec<String>,
}

impl<'ast> Visit<'ast> for Closures {
    fn visit_block(&mut self, block: &'ast syn::Block) {
        for (at, statement) in block.stmts.iter().enumerate() {
            let syn::Stmt::Local(syn::Local { pat: syn::Pat::Ident(name), init: Some(init), .. }) = statement
            else {
                continue;
            };
            if matches!(*init.expr, syn::Expr::Closure(_)) {
                let mut uses = Uses { name: name.ident.to_string(), count: 0 };
                block.stmts[at + 1..].iter().for_each(|later| uses.visit_stmt(later));
                if uses.count == 1 {
                    self.names.push(uses.name);
                }
            }
        }
        visit::visit_block(self, block);
    }
}

/// Counts the uses of a name, in macros' bodies too.
struct Uses {
    name: String,
    count: usize,
}

impl<'ast> Visit<'ast> for Uses {
    fn visit_ident(&mut self, ident: &'ast syn::Ident) {
        self.count += usize::from(*ident == self.name);
    }

    fn visit_macro(&mut self, called: &'ast syn::Macro) {
        self.count += tokens(called.tokens.clone()).iter().filter(|token| **token == self.name).count();
    }
}

/// Returns the name by which a file's module is known.
fn file_name(source: &Source) -> &str {
    let name = source.path.rsplit('/').next().unwrap_or_default();
    name.strip_suffix(".rs").unwrap_or(name)
}

/// The folders whose language is counted.
pub const SPOKEN: &[&str] = &["src", "tests", "benches"];

#[test]
fn names_and_comments_are_in_plain_words() {
    let (mut found, mut participles, mut type_count) = (Vec::new(), Vec::new(), 0);
    let (mut closures, mut lines) = (Vec::new(), 0);
    let mut speech = SpeechCount::default();
    for source in &sources(SPOKEN) {
        found.extend(fragments(source));
        speech.add(SpeechCount::of(&source.text));
        closures.extend(closures_with_one_use(source));
        lines += source.text.lines().count();
        let names = types(source);
        type_count += names.len();
        let lone = names.into_iter().filter(|name| is_lone_participle(name));
        participles.extend(lone.map(|name| format!("{}: {name}", source.path)));
        if is_lone_participle(file_name(source)) {
            participles.push(format!("{}: the file", source.path));
        }
    }
    assert!(type_count > 300 && speech.words > 20_000, "the source is all there");
    println!("{found:#?}\n{participles:#?}\n{closures:#?}");
    println!(
        "{} fragments, {} lone participles beside {type_count} types, {:.2} verbs of speech in a thousand words of {}",
        found.len(),
        participles.len(),
        speech.per_thousand(),
        speech.words
    );
    println!("{} closures with a name and one use in {lines} lines", closures.len());
    assert!(found.is_empty(), "a doc comment is a whole sentence about its item: {found:#?}");
    assert!(participles.is_empty(), "a type or a file is a noun that can stand alone: {participles:#?}");
    assert!(
        closures.len() <= CLOSURES_WITH_ONE_USE,
        "{} closures have a name and one use: write a new one where it is used, or make it a function: {closures:#?}",
        closures.len()
    );
    assert!(speech.per_thousand() < SPEECH_PER_THOUSAND, "{:.2}", speech.per_thousand());
}

#[test]
fn the_checks_of_the_language_find_what_they_look_for() {
    let fragments = |text: &str| fragments(&Source::parse("src/a.rs", text)).len();
    for text in [
        "/// Of the fold.\nstruct A;",
        "struct A {\n    /// From where it goes on.\n    b: u8,\n}",
        "//! What a module is.\n",
        "m! {\n    /// Whether it is.\n    a\n}",
        "/// Reads a file.\n///\n/// # Errors\n/// Where there is none.\nfn a() {}",
    ] {
        assert_eq!(fragments(text), 1, "{text}");
    }
    for text in [
        "/// Offset of the fold.\nstruct A;",
        "/// The format.\n/// Of the fold.\nstruct A;",
        "// Of the fold.\nstruct A;",
        "/// To's and fro's.\nstruct A;",
    ] {
        assert_eq!(fragments(text), 0, "{text}");
    }
    for name in ["Told", "Kept", "What", "Restrained", "Copying", "done", "archived", "encoded"] {
        assert!(is_lone_participle(name), "{name}");
    }
    for name in ["StoredRecord", "Seed", "ReadGate", "missing_history", "Entry", "Encoding"] {
        assert!(!is_lone_participle(name), "{name}");
    }
    let closures = |text: &str| closures_with_one_use(&Source::parse("src/a.rs", text));
    assert_eq!(closures("fn f() { let a = |b| b + 1; c.map(a); }"), ["src/a.rs: a"]);
    assert_eq!(closures("fn f() { let a = |b| b + 1; g!(a(2)); }"), ["src/a.rs: a"]);
    for text in
        ["fn f() { let a = |b| b + 1; a(1) + a(2) }", "fn f() { c.map(|b| b + 1); }", "fn f() { let a = 1; g(a) }"]
    {
        assert_eq!(closures(text), [""; 0], "{text}");
    }
    let types = types(&Source::parse("src/a.rs", "struct A; fn f() { enum B {} type C = A; } trait D {}"));
    assert_eq!(types, ["A", "B", "C", "D"]);
    let speech = SpeechCount::of(
        "/// It tells a reader's name.\nlet said = \"said\"; // no line of its own\n// He SAID so.",
    );
    assert_eq!(speech, SpeechCount { words: 8, speech: 2 });
}
