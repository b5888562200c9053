//! The encoding of a payload that nothing declares, by its first byte.

use serde::de::IgnoredAny;

use super::{Encoding, non_finite_numbers};

/// U+FEFF in UTF-8, which some Windows programs put before a text.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Skips a byte order mark and white space before the JSON of a payload.
pub fn json_text(payload: &[u8]) -> &[u8] {
    let text = payload.strip_prefix(BYTE_ORDER_MARK).unwrap_or(payload);
    let space = text.iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r')).count();
    &text[space..]
}

/// Returns true if the text is JSON, with numbers allowed that are not finite.
pub fn is_json(text: &str) -> bool {
    let is_json = |text: &str| serde_json::from_str::<IgnoredAny>(text).is_ok();
    is_json(text) || non_finite_numbers::replace_non_finite(text).is_some_and(|(text, _)| is_json(&text))
}

/// Determines the encoding of a payload that nothing declares.
pub fn sniff(payload: &[u8]) -> Encoding {
    let text = json_text(payload);
    if text.first() != Some(&b'{') {
        return Encoding::Protobuf;
    }
    // A payload that begins with white space may be protobuf too: a line feed is the tag of its first field.
    let is_json = text.len() == payload.len() || std::str::from_utf8(text).is_ok_and(is_json);
    if is_json { Encoding::Json } else { Encoding::Protobuf }
}
