//! Numbers that JSON has no literal for (NaN and the infinities), which Python's `json` and others write
//! nevertheless.

use memchr::memchr3;

/// The literal that replaces such a number. JSON's grammar allows it, but no double can hold it, so that it is
/// refused wherever a number is expected except in the places that know its meaning.
const STAND_IN: &str = "1e999";

/// Replaces each `NaN`, `Infinity` and `-Infinity` outside of strings by the stand-in. Returns the text and the
/// number of replacements; `None` if there are none.
pub fn replace_non_finite(text: &str) -> Option<(String, u32)> {
    let (mut replaced, mut count) = (String::new(), 0);
    let mut rest = text;
    while let Some(at) = memchr3(b'"', b'N', b'I', rest.as_bytes()) {
        let (before, found) = rest.split_at(at);
        if found.starts_with('"') {
            let len = string_len(found);
            replaced.push_str(&rest[..at + len]);
            rest = &found[len..];
            continue;
        }
        // The sign of an infinity becomes the sign of its stand-in.
        replaced.push_str(before);
        let after = found.strip_prefix("NaN").or_else(|| found.strip_prefix("Infinity"));
        let Some(after) = after.filter(|after| is_whole_word(&replaced, after)) else {
            replaced.push_str(&found[..1]);
            rest = &found[1..];
            continue;
        };
        replaced.push_str(STAND_IN);
        count += 1;
        rest = after;
    }
    replaced.push_str(rest);
    (count > 0).then_some((replaced, count))
}

/// Returns true if the literal between `before` and `after` is a word of its own, and not part of a number or
/// another word.
fn is_whole_word(before: &str, after: &str) -> bool {
    let is_begun = before.trim_ascii_end().ends_with([':', ',', '[', '-']);
    is_begun && !after.starts_with(|next: char| next.is_alphanumeric() || "._+-".contains(next))
}

/// Returns the length in bytes of the string at the beginning of `text`, both quotes included; the length of all
/// of `text` if the string is not closed.
pub fn string_len(text: &str) -> usize {
    let mut bytes = text.bytes().enumerate().skip(1);
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'"' => return at + 1,
            b'\\' => drop(bytes.next()),
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_stands_outside_of_strings_is_replaced() {
        for (text, expected) in [
            (r#"{"a":NaN}"#, Some((r#"{"a":1e999}"#, 1))),
            (r#"{"a":[-Infinity, Infinity,NaN]}"#, Some((r#"{"a":[-1e999, 1e999,1e999]}"#, 3))),
            (r#"{"NaN":"Infinity \" NaN","é":NaN}"#, Some((r#"{"NaN":"Infinity \" NaN","é":1e999}"#, 1))),
            (r#"{"NaN":"-Infinity"}"#, None),
            (r#"{"a":Null,"b":Inf}"#, None),
            (r#"{"a":1NaN,"b":NaN5,"c":-NaNs}"#, None),
            (r#"{"a":"NaN"#, None),
            ("", None),
        ] {
            let replaced = replace_non_finite(text);
            assert_eq!(replaced.as_ref().map(|(text, count)| (text.as_str(), *count)), expected, "{text}");
        }
    }
}
