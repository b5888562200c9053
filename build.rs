//! Makes the Rust types of `proto/` at build time, with no protoc to install.

use std::io;

const PROTOS: [&str; 3] = [
    "optview/events/v1/optimization.proto",
    "optview/events/v1/job.proto",
    "optview/events/v1/multistart_run.proto",
];

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=proto");
    let descriptors = protox::compile(PROTOS, ["proto"]).map_err(io::Error::other)?;
    prost_build::Config::new().compile_fds(descriptors)
}
