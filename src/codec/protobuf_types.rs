//! The types of `proto/`, as generated: `cargo check --features generate` writes them anew after a change.

#[expect(clippy::large_enum_variant, reason = "generated; one message at a time is encoded or decoded")]
pub mod v1 {
    include!("generated/optview.events.v1.rs");
}

/// The types of published views.
pub mod views_v1 {
    include!("generated/optview.views.v1.rs");
}
