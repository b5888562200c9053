//! Recognizes payloads that neither encoding could decode: formats that producers send by mistake, each with an
//! instruction. It is used only after decoding has failed, so that it refuses nothing that can be decoded.

use serde::de::IgnoredAny;
use serde_json::Deserializer;

use super::{Encoding, payload_encoding};

const GZIP: &str = "gzip data: compress by the producer's `compression.type`, not the value";
const ZSTD: &str = "zstd data: compress by the producer's `compression.type`, not the value";
const LZ4: &str = "lz4 data: compress by the producer's `compression.type`, not the value";
const SNAPPY: &str = "snappy data: compress by the producer's `compression.type`, not the value";
const ZLIB: &str = "zlib (deflate) data: compress by the producer's `compression.type`, not the value";
const UTF_16: &str = "text in UTF-16: send UTF-8";
const ARRAY: &str = "a JSON array: send one event a record";
const SEVERAL: &str = "several JSON values: send one event a record";
const STRING: &str = "a JSON string: send the event as an object, encoded once";
const UNDECLARED: &str =
    "JSON, which the header content-type says it is not: send application/json, or no such header";

/// The first bytes of foreign formats.
const MAGIC: &[(&[u8], &str)] = &[
    (&[0x1f, 0x8b], GZIP),
    (&[0x28, 0xb5, 0x2f, 0xfd], ZSTD),
    (&[0x04, 0x22, 0x4d, 0x18], LZ4),
    (b"\xff\x06\x00\x00sNaPpY", SNAPPY),
    (b"\x82SNAPPY\x00", SNAPPY),
    (&[0x78, 0x01], ZLIB),
    (&[0x78, 0x5e], ZLIB),
    (&[0x78, 0x9c], ZLIB),
    (&[0x78, 0xda], ZLIB),
    (&[0xff, 0xfe], UTF_16),
    (&[0xfe, 0xff], UTF_16),
    (b"{\0", UTF_16),
    (b"\0{", UTF_16),
    (b"Obj\x01", "an Avro file: send protobuf or JSON"),
    (&[0xac, 0xed, 0x00, 0x05], "a serialized Java object: send protobuf or JSON"),
];

/// Describes the payload and what to do about it; `None` if it is no known format.
pub fn recognize(payload: &[u8], read_as: Encoding) -> Option<&'static str> {
    if let Some((_, what)) = MAGIC.iter().find(|(magic, _)| payload.starts_with(magic)) {
        return Some(what);
    }
    let text = std::str::from_utf8(payload_encoding::json_text(payload)).ok()?;
    match text.as_bytes().first()? {
        b'[' => Some(ARRAY),
        b'{' if read_as == Encoding::Protobuf => payload_encoding::is_json(text).then_some(UNDECLARED),
        b'{' => has_several_values(text).then_some(SEVERAL),
        b'"' if serde_json::from_str::<IgnoredAny>(text).is_ok() => Some(STRING),
        b'<' => Some("XML or HTML: send protobuf or JSON"),
        _ if read_as == Encoding::Protobuf && is_plain(text) => {
            Some("text that is no JSON object: send protobuf or JSON")
        }
        _ => None,
    }
}

fn has_several_values(text: &str) -> bool {
    let mut values = Deserializer::from_str(text).into_iter::<IgnoredAny>();
    (0..2).all(|_| matches!(values.next(), Some(Ok(_))))
}

fn is_plain(text: &str) -> bool {
    !text.chars().any(|character| character.is_control() && !character.is_ascii_whitespace())
}
