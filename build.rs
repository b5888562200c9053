//! Records the commit that is built. With the feature `generate` it also writes the Rust types of `proto/` anew, without an
//! installed protoc.

use std::path::Path;
use std::process::Command;
use std::{env, io};

/// The functions of librdkafka that `src/source/kafka/decompression.rs` replaces.
const WRAPPED: [&str; 3] = ["rd_gz_decompress", "rd_kafka_lz4_decompress", "rd_kafka_zstd_decompress"];

/// Names the commit if the build has no git, as in a container.
const COMMIT_VARIABLE: &str = "BUILD_COMMIT";

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=build.rs");
    // Other linkers have no such option: librdkafka decompresses by itself there, without a bound.
    if env::var("CARGO_CFG_TARGET_OS").is_ok_and(|system| system == "linux") {
        for function in WRAPPED {
            println!("cargo::rustc-link-arg=-Wl,--wrap={function}");
        }
    }
    note_commit();
    #[cfg(feature = "generate")]
    generated_code::write()?;
    Ok(())
}

/// The code that is generated from `proto/`. It is kept in the repository, since what generates it takes half a minute to compile.
#[cfg(feature = "generate")]
mod generated_code {
    use std::{fs, io};

    use protox::prost::Message as _;

    const PROTOS: [&str; 4] = [
        "optview/events/v1/optimization.proto",
        "optview/events/v1/job.proto",
        "optview/events/v1/multistart_run.proto",
        "optview/views/v1/view.proto",
    ];

    const FOLDER: &str = "src/codec/generated";

    /// The message of published views, which is read from their JSON.
    const VIEW: &str = ".optview.views.v1.OptimizationView";
    /// The fields of that message that are no texts and no numbers in JSON, each with the function that reads it.
    const VIEW_FIELDS: [(&str, &str); 3] =
        [("created_at", "time"), ("metrics", "object_text"), ("objectives", "object_text")];

    /// Writes the Rust types of the messages, and their descriptors, with which `optview validate` compares the fields that producers send.
    pub fn write() -> io::Result<()> {
        println!("cargo::rerun-if-changed=proto/optview");
        let mut compiler = protox::Compiler::new(["proto"]).map_err(io::Error::other)?;
        compiler.include_imports(true).include_source_info(true).open_files(PROTOS).map_err(io::Error::other)?;
        let mut files = compiler.file_descriptor_set();
        // The contract's own comments become the descriptions of its JSON Schemas.
        for file in files.file.iter_mut().filter(|file| file.package().starts_with("google.")) {
            file.source_code_info = None;
        }
        fs::write(format!("{FOLDER}/contract.binpb"), files.encode_to_vec())?;
        let mut config = prost_build::Config::new();
        config.out_dir(FOLDER);
        config.message_attribute(VIEW, "#[derive(::serde::Deserialize)] #[serde(deny_unknown_fields)]");
        for (field, function) in VIEW_FIELDS {
            let attribute = format!("#[serde(deserialize_with = \"crate::codec::published_view::{function}\")]");
            config.field_attribute(format!("{VIEW}.{field}"), attribute);
        }
        config.compile_fds(files)
    }
}

/// Records the commit, or an empty text if it is unknown, which does not fail the build.
fn note_commit() {
    println!("cargo::rerun-if-env-changed={COMMIT_VARIABLE}");
    let given = env::var(COMMIT_VARIABLE).ok().map(|commit| commit.trim().to_owned());
    let commit = given.filter(|commit| !commit.is_empty()).or_else(commit_of_git).unwrap_or_default();
    let version = env::var("CARGO_PKG_VERSION").unwrap_or_default();
    let long = if commit.is_empty() { version } else { format!("{version} ({commit})") };
    println!("cargo::rustc-env={COMMIT_VARIABLE}={commit}");
    println!("cargo::rustc-env=OPTVIEW_LONG_VERSION={long}");
}

/// Returns the commit that is checked out, if this is a work tree of its own and not a copy inside another one.
fn commit_of_git() -> Option<String> {
    let top = git(&["rev-parse", "--show-toplevel"])?;
    let here = env::var("CARGO_MANIFEST_DIR").ok()?;
    if Path::new(&top).canonicalize().ok()? != Path::new(&here).canonicalize().ok()? {
        return None;
    }
    // Both files change with each commit and each checkout. A missing file would make this script run at every
    // build.
    for file in ["HEAD", "logs/HEAD"] {
        if let Some(path) = git(&["rev-parse", "--git-path", file]).filter(|path| Path::new(path).exists()) {
            println!("cargo::rerun-if-changed={path}");
        }
    }
    git(&["rev-parse", "--short=12", "HEAD"])
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok().filter(|output| output.status.success())?;
    let text = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (!text.is_empty()).then_some(text)
}
