//! The examples of a document: its fenced blocks, and what they say comes out.

/// A fenced block of code.
#[derive(Clone, Debug)]
pub struct Example {
    pub language: String,
    pub code: String,
    /// The event that comes while it runs, once it has shown its first result, from a comment before the block
    /// (`<!-- meanwhile ID WHAT -->`).
    pub meanwhile: Option<(String, String)>,
    /// The line of the document in which it begins.
    pub line: usize,
}

/// A command of a `console` block, with the output that the document shows.
#[derive(Debug)]
pub struct ConsoleCommand {
    pub command: String,
    pub expected: String,
}

/// Returns the examples of a document.
pub fn examples(text: &str) -> Vec<Example> {
    let mut examples = Vec::new();
    let mut meanwhile = None;
    let mut open: Option<Example> = None;
    for (number, line) in text.lines().enumerate() {
        let fence = line.strip_prefix("```");
        match (&mut open, fence) {
            (Some(_), Some(_)) => examples.extend(open.take()),
            (Some(example), None) => {
                example.code.push_str(line);
                example.code.push('\n');
            }
            (None, Some(language)) => {
                let (language, code) = (language.to_owned(), String::new());
                open = Some(Example { language, code, meanwhile: meanwhile.take(), line: number + 1 });
            }
            (None, None) => {
                let comment = line.strip_prefix("<!-- meanwhile ").and_then(|rest| rest.strip_suffix(" -->"));
                if let Some((id, what)) = comment.and_then(|event| event.split_once(' ')) {
                    meanwhile = Some((id.to_owned(), what.to_owned()));
                }
            }
        }
    }
    assert!(open.is_none() && meanwhile.is_none(), "a block or a comment that belongs to nothing");
    examples
}

impl Example {
    /// Returns the commands of a `console` block.
    pub fn commands(&self) -> Vec<ConsoleCommand> {
        let mut commands: Vec<ConsoleCommand> = Vec::new();
        for line in self.code.lines() {
            match (line.strip_prefix("$ "), commands.last_mut()) {
                (Some(command), _) => {
                    commands.push(ConsoleCommand { command: command.to_owned(), expected: String::new() });
                }
                (None, Some(last)) if last.command.ends_with('\\') => {
                    last.command.pop();
                    last.command.push_str(line.trim_start());
                }
                (None, Some(last)) => {
                    last.expected.push_str(line);
                    last.expected.push('\n');
                }
                (None, None) => panic!("line {}: output before the first command", self.line),
            }
        }
        commands
    }

    /// Returns the lines that a program prints, which stand in comments behind what prints them, in their order
    /// (`print(status)  # running, then succeeded`).
    pub fn printed(&self) -> Vec<String> {
        let comment = if self.language == "python" { "# " } else { "// " };
        let printing = self.code.lines().filter(|line| line.contains("print(") || line.contains("console.log("));
        let comments = printing.map(|line| {
            let (_, comment) = line.rsplit_once(comment).unwrap_or_else(|| panic!("no result behind: {line}"));
            comment
        });
        comments.flat_map(|comment| comment.split(", then ")).map(str::to_owned).collect()
    }
}

/// Returns true if an output is what a document shows: `...` stands for anything, and line breaks with the blanks after them for
/// nothing, since documents break long lines.
pub fn matches(expected: &str, actual: &str) -> bool {
    let [expected, actual] = [expected, actual]
        .map(|text| text.lines().map(|line| line.trim_start().trim_end_matches('\r')).collect::<String>());
    let mut pieces = expected.split("...");
    let Some(mut rest) = pieces.next().and_then(|first| actual.strip_prefix(first)) else { return false };
    let mut pieces = pieces.peekable();
    if pieces.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(piece) = pieces.next() {
        if pieces.peek().is_none() {
            return rest.ends_with(piece);
        }
        let Some(at) = rest.find(piece) else { return false };
        rest = &rest[at + piece.len()..];
    }
    true
}

/// Checks this file's own functions, for the binary runs no other tests of them.
pub fn check() {
    let text = "a\n<!-- meanwhile opt-1 completed -->\n```console\n$ one \\\n    two\nx\n y\n$ three\n```\n";
    let found = examples(text);
    assert_eq!((found.len(), found[0].line), (1, 3));
    assert_eq!(found[0].meanwhile, Some(("opt-1".to_owned(), "completed".to_owned())));
    let commands = found[0].commands();
    assert_eq!((commands[0].command.as_str(), commands[0].expected.as_str()), ("one two", "x\n y\n"));
    assert_eq!((commands[1].command.as_str(), commands[1].expected.as_str()), ("three", ""));
    let python = examples("```python\nprint(a)  # 1, then 2\nb()\n```\n");
    assert_eq!(python[0].printed(), ["1", "2"]);
    for (expected, actual, is_match) in [
        ("{\"a\":1,\n  \"b\":2}\n", "{\"a\":1,\"b\":2}", true),
        ("{\"a\":1,\n  \"b\":2}\n", "{\"a\":1,\"b\":3}", false),
        ("a...c", "a c b c", true),
        ("a...c", "a c b", false),
        ("a...b...c", "a b c", true),
        ("a...b...c", "a c", false),
        ("...", "anything", true),
        ("", "x", false),
        ("HTTP/1.1 304\n", "HTTP/1.1 304\r\n", true),
        ("ab", "a", false),
        ("a", "ab", false),
    ] {
        assert_eq!(matches(expected, actual), is_match, "{expected} {actual}");
    }
}
