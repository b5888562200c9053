//! Between bytes and values. The only folder that knows protobuf and the event encodings.

pub mod encode;
mod encode_json;
mod encode_protobuf;
pub mod protobuf_types;

pub use encode::Encoding;
