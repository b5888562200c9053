//! The types that `build.rs` makes of `proto/`.

pub mod v1 {
    include!(concat!(env!("OUT_DIR"), "/optview.events.v1.rs"));
}
