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
    /// The offset of the first byte that is shown.
    #[serde(default)]
    pub begin: usize,
    /// True if not all of the value is shown.
    pub is_cut: bool,
}

/// Returns the part of a value that is shown. `place` is the offset of the byte to point to.
pub fn excerpt(value: &[u8], place: Option<usize>) -> Excerpt {
    match std::str::from_utf8(value) {
        Ok(text) if text.chars().all(|character| !character.is_control() || "\n\r\t".contains(character)) => {
            let place = place.filter(|place| *place <= text.len());
            of_text(text, place.map(|place| text.floor_char_boundary(place)))
        }
        _ => {
            let place = place.filter(|place| *place <= value.len());
            // The place is in the middle, unless that is within the beginning.
            let before = place.unwrap_or_default().saturating_sub(DUMP_MAX / 2) / LINE * LINE;
            let begin = if place.is_some_and(|place| place >= DUMP_MAX) { before } else { 0 };
            let shown = &value[begin..value.len().min(begin + DUMP_MAX)];
            let text = dump(shown, begin, place);
            Excerpt { text, is_dump: true, begin, is_cut: shown.len() < value.len() }
        }
    }
}

/// Returns the part of a text that is shown: its beginning, or what is around a place beyond that.
fn of_text(text: &str, place: Option<usize>) -> Excerpt {
    let end_of =
        |begin: usize| text[begin..].char_indices().nth(TEXT_MAX).map_or(text.len(), |(at, _)| begin + at);
    let begin = match place {
        Some(place) if place >= end_of(0) && end_of(0) < text.len() => {
            text.floor_char_boundary(place - TEXT_MAX / 2)
        }
        _ => 0,
    };
    let end = end_of(begin);
    let shown = &text[begin..end];
    let is_cut = shown.len() < text.len();
    let text = place.map_or_else(|| shown.to_owned(), |place| marked(shown, place - begin));
    Excerpt { text, is_dump: false, begin, is_cut }
}

/// Returns a text with a line that points to a place in it.
fn marked(text: &str, place: usize) -> String {
    let mut marked = String::with_capacity(text.len());
    let mut begin = 0;
    for content in text.split('\n') {
        marked.push_str(content);
        marked.push('\n');
        if let Some(within) = place.checked_sub(begin).filter(|within| *within <= content.len()) {
            let before = content.bytes().take(within).filter(|byte| byte & 0xC0 != 0x80).count();
            marked.push_str(&" ".repeat(before));
            marked.push_str("^ here\n");
        }
        begin += content.len() + 1;
    }
    marked
}

/// Returns the dump of bytes that begin at an offset, with a line that points to a place.
fn dump(bytes: &[u8], begin: usize, place: Option<usize>) -> String {
    let mut text = String::new();
    for (offset, line) in (begin..).step_by(LINE).zip(bytes.chunks(LINE)) {
        write!(text, "{offset:08x} ").expect("a string takes any text");
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
        // The place behind the last byte is where more was expected.
        let end = if offset + line.len() == begin + bytes.len() { line.len() + 1 } else { line.len() };
        if let Some(at) = place.and_then(|place| place.checked_sub(offset)).filter(|at| *at < end) {
            text.push_str(&" ".repeat(10 + 3 * at));
            text.push_str("^^ here\n");
        }
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
        let shown = excerpt(value, Some(13));
        assert_eq!(shown.text, "{\n  \"jobId\": x\n           ^ here\n}\n");
        assert!(!shown.is_dump && !shown.is_cut);
        // A letter of two bytes takes one place.
        let shown = excerpt("\"ä\" x".as_bytes(), Some(5));
        assert_eq!(shown.text, "\"ä\" x\n    ^ here\n");
    }

    #[test]
    fn a_place_far_in_a_text_is_shown_with_what_is_around_it() {
        let value = format!("{{\"name\":\"{}\", x}}", "ü".repeat(400_000));
        let at = value.len() - 2;
        let shown = excerpt(value.as_bytes(), Some(at));
        assert!(shown.is_cut && shown.begin > 700_000, "{}", shown.begin);
        let (line, mark) = shown.text.split_once('\n').unwrap();
        let before = mark.find('^').unwrap();
        assert_eq!(line.chars().nth(before), Some('x'), "{mark}");
        assert!(line.ends_with("\", x}"));
    }

    #[test]
    fn without_a_place_nothing_is_marked() {
        assert_eq!(excerpt(b"{}", None).text, "{}");
    }

    #[test]
    fn a_place_beyond_the_text_or_within_a_character_is_none_or_before_it() {
        assert_eq!(excerpt(b"{}", Some(2)).text, "{}\n  ^ here\n");
        assert_eq!(excerpt(b"{}", Some(usize::MAX)).text, "{}");
        assert_eq!(excerpt("ä".as_bytes(), Some(1)).text, "ä\n^ here\n");
    }

    #[test]
    fn bytes_that_are_no_text_are_dumped() {
        let shown = excerpt(b"\0\0\0\0\x07abcdefghijklmnop", None);
        assert!(shown.is_dump);
        assert_eq!(
            shown.text,
            "00000000  00 00 00 00 07 61 62 63 64 65 66 67 68 69 6a 6b  .....abcdefghijk\n\
             00000010  6c 6d 6e 6f 70                                   lmnop\n"
        );
    }

    #[test]
    fn the_place_of_the_error_is_marked_in_a_dump_which_begins_before_it() {
        let shown = excerpt(b"\0\0\0\0\x07abcdefghijklmnop", Some(17));
        assert!(
            shown.text.contains(" 6c 6d 6e 6f 70 ")
                && shown.text.ends_with(&format!("\n{}^^ here\n", " ".repeat(13)))
        );
        // Where more was expected.
        let shown = excerpt(b"\0abc", Some(4));
        assert!(shown.text.ends_with(&format!("\n{}^^ here\n", " ".repeat(22))), "{}", shown.text);
        let value: Vec<u8> = (0..=u8::MAX).cycle().take(10_000).collect();
        let shown = excerpt(&value, Some(5_001));
        assert_eq!((shown.begin % LINE, shown.is_cut), (0, true));
        let lines: Vec<&str> = shown.text.lines().collect();
        let at = lines.iter().position(|line| line.ends_with("^^ here")).unwrap();
        assert!(lines[at - 1].starts_with("00001380 ") && (10..24).contains(&at), "{}", shown.text);
        assert_eq!(&lines[at - 1][lines[at].find('^').unwrap()..][..2], "89");
        assert!(!excerpt(&value, Some(10_001)).text.contains("here"));
    }

    proptest! {
        #[test]
        fn no_value_and_no_place_make_it_panic_and_what_is_shown_has_a_bound(
            value in proptest::collection::vec(any::<u8>(), 0..2_000), text in ".{0,200}", byte: Option<u16>,
        ) {
            for value in [value.as_slice(), text.as_bytes()] {
                let shown = excerpt(value, byte.map(usize::from));
                prop_assert!(shown.text.len() <= 4 * TEXT_MAX + DUMP_MAX * 6 + 5_100);
            }
        }
    }
}
