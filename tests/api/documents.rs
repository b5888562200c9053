//! The examples of docs/API.md, run as they stand there: commands in a shell, Python, and TypeScript in a browser on a page of another
//! origin. Their output is what the document shows.

use std::fs;
use std::io::Read as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::Test;
use crate::browser::keys_file;
use crate::examples::{self, ConsoleCommand, Example};
use crate::instance::{Server, World};
use crate::{description, python, script, tools};

pub const TESTS: &[Test] =
    &[test!(every_example_of_the_document_does_what_the_document_shows, Node, Chromium, PythonClients)];

/// The addresses in the document: of an instance with open access, and of one with keys.
const OPEN: &str = "http://localhost:8080";
const KEYED: &str = "https://optview.example.com";

/// The longest time that a command takes.
const DEADLINE: Duration = Duration::from_secs(60);

fn every_example_of_the_document_does_what_the_document_shows(world: &World) {
    examples::check();
    begin(world);
    let open = world.serve_all(&["--cors-origin", "http://localhost:*"]);
    let keyed = world.serve_all(&["--cors-origin", "http://localhost:*", "--api-keys", &keys_file(world)]);
    let path = tools::folder().join("../../docs/API.md");
    let document = fs::read_to_string(path).unwrap();
    let examples = examples::examples(&document);
    let scripts = compile(world, &open, &examples);
    let (mut counts, mut wrong) = ([0; 3], Vec::new());
    for (number, example) in examples.iter().enumerate() {
        let place = format!("docs/API.md:{}", example.line);
        match example.language.as_str() {
            "console" => {
                counts[0] += 1;
                wrong.extend(
                    example.commands().iter().filter_map(|command| run_command(&open, command, &place).err()),
                );
            }
            "python" => {
                counts[1] += 1;
                let path = world.directory().join(format!("example-{number}.py"));
                fs::write(&path, with_addresses(&example.code, &open, &keyed)).unwrap();
                let mut command = Command::new(python::environment(python::CLIENTS[0]).unwrap());
                wrong.extend(run_program(world, command.arg("-u").arg(path), example, &place).err());
            }
            "typescript" => {
                counts[2] += 1;
                let path = scripts.join(format!("example-{number}.js"));
                let code = fs::read_to_string(&path).unwrap();
                fs::write(&path, with_addresses(&code, &open, &keyed)).unwrap();
                let lines = example.printed().len().to_string();
                wrong.extend(
                    run_program(world, tools::node("example.mjs").arg(path).arg(lines), example, &place).err(),
                );
            }
            // Other files, such as settings.
            _ => {}
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(counts.iter().all(|&count| count >= 2), "{counts:?}");
}

/// Puts the optimizations of the document on the topics.
fn begin(world: &World) {
    world.create("opt-1", json!({"name": "Fast charge"}));
    ["pending", "processing", "run"].iter().for_each(|what| world.put("opt-1", what));
    world.create("opt-2", json!({"name": "Low temperature"}));
    ["pending", "processing", "failed"].iter().for_each(|what| world.put("opt-2", what));
    world.create("opt-3", json!({"name": "Fast discharge", "kind": "datafit", "objectives": null, "jobId": null}));
    world.create("opt-4", json!({"name": "Calendar ageing", "projectId": "prj-2"}));
    ["pending", "processing"].iter().for_each(|what| world.put("opt-4", what));
    world.create("opt-5", json!({"name": "Cycle ageing", "projectId": "prj-2"}));
    ["pending", "processing"].iter().for_each(|what| world.put("opt-5", what));
}

fn with_addresses(code: &str, open: &Server, keyed: &Server) -> String {
    code.replace(OPEN, &open.base()).replace(KEYED, &keyed.base())
}

/// Compiles the examples in TypeScript, strictly, beside the types that are made from the description. Returns the folder of the scripts.
fn compile(world: &World, open: &Server, examples: &[Example]) -> std::path::PathBuf {
    let sources: Vec<(String, String)> = examples
        .iter()
        .enumerate()
        .filter(|(_, example)| example.language == "typescript")
        .map(|(number, example)| (format!("example-{number}.ts"), format!("{}export {{}};\n", example.code)))
        .collect();
    description::compile(world, &open.base(), &sources)
}

/// Runs a command of a shell, and compares its output. A stream is read until it has shown what the document shows.
fn run_command(open: &Server, command: &ConsoleCommand, place: &str) -> Result<(), String> {
    let ConsoleCommand { command, expected } = command;
    let address = command.replace("localhost:8080", &open.read);
    let is_stream = command.contains("curl -sN");
    // A stream goes on.
    let expected = &if is_stream { format!("{expected}...") } else { expected.clone() };
    let mut child = Command::new("bash")
        .args(["-c", &if is_stream { format!("exec {address}") } else { address }])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = child.stdout.take().expect("a pipe");
    let (begun, mut output, mut bytes) = (Instant::now(), Vec::new(), [0; 65536]);
    loop {
        let read = stdout.read(&mut bytes).unwrap();
        output.extend_from_slice(&bytes[..read]);
        let text = String::from_utf8_lossy(&output);
        if is_stream && examples::matches(expected, &text) {
            child.kill().unwrap();
            break;
        }
        // A stream without an end gets a comment each 15 s.
        if read == 0 || begun.elapsed() > DEADLINE {
            // It may have ended by itself.
            let _ = child.kill();
            break;
        }
    }
    child.wait().unwrap();
    let text = String::from_utf8_lossy(&output);
    examples::matches(expected, &text)
        .then_some(())
        .ok_or_else(|| format!("{place}: {command}\nshows:\n{text}\nand should:\n{expected}"))
}

/// Runs a program, and compares its lines. The event that comes meanwhile is put on the topics after the first one.
fn run_program(world: &World, command: &mut Command, example: &Example, place: &str) -> Result<(), String> {
    let mut meanwhile = example.meanwhile.as_ref();
    let lines = script::run_with(world, command, |_| {
        if let Some((id, what)) = meanwhile.take() {
            world.put(id, what);
        }
    });
    let expected = example.printed();
    let is_same = lines.len() == expected.len()
        && expected.iter().zip(&lines).all(|(expected, line)| examples::matches(expected, line));
    (is_same && !lines.is_empty())
        .then_some(())
        .ok_or_else(|| format!("{place} prints:\n{}\nand should:\n{}", lines.join("\n"), expected.join("\n")))
}
