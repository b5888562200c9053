//! The value of a dead letter for people: as text with the place of the error marked, or else as a hex dump of its beginning.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

/// The most characters of a text that are shown.
const TEXT_MAX: usize = 4_000;
/// The most bytes of a hex dump.
const DUMP_MAX: usize = 512;
/// Number of bytes in a line of a hex dump.
const LINE: usize = 16;

/// The part of a value that is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Excerpt {
    /// The text of the value, or its hex dump.
    pub text: String,
    /// True if it is a hex dump.
    pub is_dump: bool,
    /// True if the value goes on.
    pub is_cut: bool,
}

/// Returns the part of a value that is shown. If it is text and the reason names a line and a column, the line below that place
/// points to it.
pub fn excerpt(value: &[u8], reason: &str) -> Excerpt {
    match std::str::from_utf8(value) {
        Ok(text) if text.chars().all(|character| !character.is_control() || "\n\r\t".contains(character)) => {
            let end = text.char_indices().nth(TEXT_MAX).map_or(text.len(), |(at, _)| at);
            let shown = &text[..end];
            let text = place_in(reason).map_or_else(|| shown.to_owned(), |place| marked(shown, place));
            Excerpt { text, is_dump: false, is_cut: end < value.len() }
        }
        _ => {
            let shown = &value[..value.len().min(DUMP_MAX)];
            Excerpt { text: dump(shown), is_dump: true, is_cut: shown.len() < value.len() }
        }
    }
}

/// Returns the line and the column that a reason names, both counted from 1.
fn place_in(reason: &str) -> Option<(usize, usize)> {
    let (_, rest) = reason.rsplit_once("line ")?;
    let (line, column) = rest.split_once(" column ")?;
    let digits = column.find(|character: char| !character.is_ascii_digit()).unwrap_or(column.len());
    Some((line.parse().ok()?, column[..digits].parse().ok()?))
}

/// Returns a text with a line that points to a place in it. A column counts bytes, as the decoder's do.
fn marked(text: &str, (line, column): (usize, usize)) -> String {
    let mut marked = String::with_capacity(text.len());
    for (number, content) in (1..).zip(text.split('\n')) {
        marked.push_str(content);
        marked.push('\n');
        if number == line {
            let before = content.bytes().take(column.saturating_sub(1)).filter(|byte| byte & 0xC0 != 0x80).count();
            marked.push_str(&" ".repeat(before));
            marked.push_str("^ here\n");
        }
    }
    marked
}

fn dump(bytes: &[u8]) -> String {
    let mut text = String::new();
    for (number, line) in bytes.chunks(LINE).enumerate() {
        write!(text, "{:08x} ", number * LINE).expect("a string takes any text");
        for at in 0..LINE {
            match line.get(at) {
                Some(byte) => write!(text, " {byte:02x}").expect("a string takes any text"),
                None => text.push_str("   "),
            }
        }
        let characters = line.iter().map(|byte| if (0x20..0x7F).contains(byte) { char::from(*byte) } else { '.' });
        text.push_str("  ");
        text.extend(characters);
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_place_of_the_error_is_marked() {
        let value = "{\n  \"jobId\": x\n}".as_bytes();
        let shown = excerpt(value, "the payload is not JSON: expected value at line 2 column 12");
        assert_eq!(shown.text, "{\n  \"jobId\": x\n           ^ here\n}\n");
        assert!(!shown.is_dump && !shown.is_cut);
        // A letter of two bytes takes one place.
        let shown = excerpt("\"ä\" x".as_bytes(), "at line 1 column 6");
        assert_eq!(shown.text, "\"ä\" x\n    ^ here\n");
    }

    #[test]
    fn a_reason_without_a_place_marks_none() {
        assert_eq!(excerpt(b"{}", "event: none of created is set").text, "{}");
    }

    #[test]
    fn a_place_beyond_the_text_costs_nothing() {
        // A reason quotes names that producers choose.
        let reason = format!("there is `line 1 column {}`", usize::MAX);
        assert_eq!(excerpt(b"{}", &reason).text, "{}\n  ^ here\n");
    }

    #[test]
    fn bytes_that_are_no_text_are_dumped() {
        let shown = excerpt(b"\0\0\0\0\x07abcdefghijklmnop", "event: none is set");
        assert!(shown.is_dump);
        assert_eq!(
            shown.text,
            "00000000  00 00 00 00 07 61 62 63 64 65 66 67 68 69 6a 6b  .....abcdefghijk\n\
             00000010  6c 6d 6e 6f 70                                   lmnop\n"
        );
    }

    proptest! {
        #[test]
        fn no_value_and_no_reason_make_it_panic_and_what_is_shown_has_a_bound(
            value in proptest::collection::vec(any::<u8>(), 0..2_000), text in ".{0,200}", reason: String,
            line in 0..5_usize, column in 0..5_000_usize,
        ) {
            let place = format!("at line {line} column {column}");
            for value in [value.as_slice(), text.as_bytes()] {
                for reason in [&reason, &place] {
                    let shown = excerpt(value, reason);
                    prop_assert!(shown.text.len() <= 4 * TEXT_MAX + DUMP_MAX * 6 + 5_100);
                }
            }
        }
    }
}
