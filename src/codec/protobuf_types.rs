//! The types that `build.rs` generates from `proto/`.

#[expect(clippy::large_enum_variant, reason = "generated; one message at a time is encoded or decoded")]
pub mod v1 {
    include!(concat!(env!("OUT_DIR"), "/optview.events.v1.rs"));
}
