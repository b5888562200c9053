//! The API's description: types for TypeScript are made of it, and an instance whose data stands still is held against it.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::json;

use crate::Test;
use crate::browser::keys_file;
use crate::instance::World;
use crate::{script, tools};

pub const TESTS: &[Test] = &[
    test!(every_answer_to_requests_from_the_description_is_described, Schemathesis),
    test!(a_client_compiles_against_types_of_the_description_and_reads_with_them, Node),
];

fn begin(world: &World) {
    for id in ["opt-1", "opt-2"] {
        world.put(id, "created");
    }
    world.create("opt-3", json!({"jobId": null}));
    // An id like the last segment of another resource.
    world.create("statuses", json!({"jobId": null}));
    ["pending", "processing", "run", "completed"].iter().for_each(|what| world.put("opt-1", what));
    ["pending", "failed"].iter().for_each(|what| world.put("opt-2", what));
    world.create("opt-4", json!({"organizationId": "org-2", "projectId": "prj-2", "kind": "datafit"}));
}

/// schemathesis makes requests from the description, right and wrong ones, and checks every answer with all of its checks. Streams
/// are left out, since they do not end. It must find nothing twice, each time with other requests.
fn every_answer_to_requests_from_the_description_is_described(world: &World) {
    begin(world);
    let server = world.serve_all(&["--missing-wait", "10ms"]);
    for seed in ["1", "2"] {
        let output = Command::new(tools::schemathesis().unwrap())
            .arg("--config-file")
            .arg(tools::folder().join("schemathesis.toml"))
            .args(["run", &format!("{}/openapi.json", server.base()), "--checks", "all", "--seed", seed])
            .args(["--max-examples", "50", "--request-timeout", "40", "--exclude-path-regex", "/events$"])
            .args(["--no-color"])
            // It writes what it has found beside where it runs.
            .current_dir(world.directory())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let report = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "with the seed {seed}:\n{report}");
        assert!(report.contains("No issues found"), "{report}");
    }
}

/// The client that is compiled, and then run.
fn a_client_compiles_against_types_of_the_description_and_reads_with_them(world: &World) {
    begin(world);
    let server = world.serve_all(&["--api-keys", &keys_file(world)]);
    let source = fs::read_to_string(tools::folder().join("client.ts")).unwrap();
    let folder = compile(world, &server.base(), &[("client.ts".to_owned(), source)]);
    let mut command = Command::new("node");
    let results =
        script::run(world, command.arg(folder.join("client.js")).args([&server.base(), crate::browser::KEY]));
    assert_eq!(
        results,
        ["opt-1 succeeded: Charge time [s]", "pages: 4", "statuses: succeeded failed none", "counts: 4", "org-1"]
    );
}

/// Makes types of the description at an address, and compiles these files beside them, strictly. Returns the folder with the
/// scripts that come of them.
pub fn compile(world: &World, base: &str, sources: &[(String, String)]) -> PathBuf {
    let folder = world.directory().join("typescript");
    fs::create_dir(&folder).unwrap();
    let program = |package: &str, path: &str| {
        let mut command = Command::new("node");
        command.arg(tools::folder().join("node_modules").join(package).join(path)).current_dir(&folder);
        command
    };
    let types = format!("{base}/openapi.json");
    run(program("openapi-typescript", "bin/cli.js").args([&types, "-o", "optview.d.ts"]));
    for (name, source) in sources {
        fs::write(folder.join(name), source).unwrap();
    }
    let settings = json!({
        "compilerOptions": {
            "strict": true, "noUncheckedIndexedAccess": true, "exactOptionalPropertyTypes": true, "noImplicitReturns": true,
            "target": "es2022", "module": "es2022", "moduleResolution": "bundler", "lib": ["es2022", "dom", "dom.iterable"],
            "types": [], "skipLibCheck": false,
        },
    });
    fs::write(folder.join("tsconfig.json"), settings.to_string()).unwrap();
    fs::write(folder.join("package.json"), r#"{"type": "module"}"#).unwrap();
    run(&mut program("typescript", "bin/tsc"));
    folder
}

fn run(command: &mut Command) {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let [stdout, stderr] = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
    assert!(output.status.success(), "{command:?} failed:\n{stdout}{stderr}");
}
