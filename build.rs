//! Makes the Rust types of `proto/` at build time, with no protoc to install.

use std::io;

const PROTOS: [&str; 3] = [
    "optview/events/v1/optimization.proto",
    "optview/events/v1/job.proto",
    "optview/events/v1/multistart_run.proto",
];

/// The functions of librdkafka that `src/source/kafka/decompression.rs` takes the place of.
const WRAPPED: [&str; 3] = ["rd_gz_decompress", "rd_kafka_lz4_decompress", "rd_kafka_zstd_decompress"];

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=proto");
    for function in WRAPPED {
        println!("cargo::rustc-link-arg=-Wl,--wrap={function}");
    }
    let descriptors = protox::compile(PROTOS, ["proto"]).map_err(io::Error::other)?;
    prost_build::Config::new().compile_fds(descriptors)
}
