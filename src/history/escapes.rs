//! JSON's escapes, resolved in any bytes, so that a search for a plain text finds it in JSON strings.

/// Replaces the content of `resolved` by `bytes` with every JSON escape resolved. Bytes that are no valid escape stay as they
/// are, so that text that is not quite JSON, or none at all, can be searched too.
pub fn resolve(bytes: &[u8], resolved: &mut Vec<u8>) {
    resolved.clear();
    let mut rest = bytes;
    while let Some(at) = memchr::memchr(b'\\', rest) {
        resolved.extend_from_slice(&rest[..at]);
        rest = &rest[at..];
        let (len, character) = escape(rest).unwrap_or((1, '\\'));
        resolved.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        rest = &rest[len..];
    }
    resolved.extend_from_slice(rest);
}

/// Reads the escape that `text` begins with: its length in bytes, and the character that it stands for.
fn escape(text: &[u8]) -> Option<(usize, char)> {
    let character = match text.get(1)? {
        b'u' => return unicode(text),
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        &byte @ (b'"' | b'\\' | b'/') => char::from(byte),
        _ => return None,
    };
    Some((2, character))
}

/// Reads `\u00fc`, or the surrogate pair of a character beyond the first 65,536.
fn unicode(text: &[u8]) -> Option<(usize, char)> {
    const LEN: usize = 6;
    let first = code_unit(text)?;
    if let Some(character) = char::from_u32(u32::from(first)) {
        return Some((LEN, character));
    }
    let second = code_unit(text.get(LEN..)?)?;
    let character = char::decode_utf16([first, second]).next()?.ok()?;
    Some((2 * LEN, character))
}

fn code_unit(text: &[u8]) -> Option<u16> {
    let digits = text.strip_prefix(b"\\u")?.get(..4)?;
    digits
        .iter()
        .try_fold(0, |unit: u16, &digit| Some(unit << 4 | u16::try_from(char::from(digit).to_digit(16)?).ok()?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn resolved(bytes: &[u8]) -> Vec<u8> {
        let mut resolved = b"left over".to_vec();
        resolve(bytes, &mut resolved);
        resolved
    }

    proptest! {
        #[test]
        fn a_string_stands_as_what_json_means_by_it(text in any::<String>(), escaped in any::<u64>()) {
            let mut json = String::new();
            for (at, character) in text.chars().enumerate() {
                let must = matches!(character, '"' | '\\' | '\0'..='\x1f');
                if must || escaped >> (at % 64) & 1 == 1 {
                    for unit in character.encode_utf16(&mut [0; 2]) {
                        json += &format!("\\u{unit:04x}");
                    }
                } else {
                    json.push(character);
                }
            }
            prop_assert_eq!(serde_json::from_str::<String>(&format!("\"{json}\"")).unwrap(), text.clone());
            prop_assert_eq!(resolved(json.as_bytes()), text.clone().into_bytes());
            let shortest = serde_json::to_string(&text).unwrap();
            prop_assert_eq!(resolved(&shortest.as_bytes()[1..shortest.len() - 1]), text.into_bytes());
        }

        #[test]
        fn bytes_without_a_backslash_stay_as_they_are(mut bytes in any::<Vec<u8>>()) {
            bytes.retain(|byte| *byte != b'\\');
            prop_assert_eq!(resolved(&bytes), bytes);
        }
    }

    #[test]
    fn what_is_no_escape_stays() {
        for bytes in [&b"\\"[..], b"\\x", b"\\u12", b"\\u12g4", b"\\ud800", b"\\ud800\\u0041", b"a\\ub"] {
            assert_eq!(resolved(bytes), if bytes == b"\\ud800\\u0041" { &b"\\ud800A"[..] } else { bytes });
        }
    }
}
