//! The formatting of text for terminals: text that cannot disturb them, tables that fit them, rates with few digits.

use std::borrow::Cow;
use std::fmt::Write as _;

use console::{Term, measure_text_width};
use indicatif::HumanCount;

/// The space between two columns of a table.
const GAP: usize = 2;
/// Number of spaces before a row's further lines.
const INDENT: usize = 4;

/// Replaces characters that move a terminal's cursor, colour it or turn the direction of what follows by escapes (`\u{1b}`).
/// Line ends stay.
pub fn printable(text: &str) -> Cow<'_, str> {
    if !text.contains(is_disturbing) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        match is_disturbing(character) {
            true => shown.extend(character.escape_unicode()),
            false => shown.push(character),
        }
    }
    Cow::Owned(shown)
}

/// Replaces line ends, too, in a text that is to stay on its line: what others chose, such as a name, begins no line of its own.
pub fn printable_line(text: &str) -> Cow<'_, str> {
    match printable(text) {
        shown if shown.contains('\n') => Cow::Owned(shown.replace('\n', "\\u{a}")),
        shown => shown,
    }
}

/// Replaces the same characters in a JSON text by JSON's own escapes. JSON itself demands that for some of them only.
pub fn printable_json(json: &str) -> Cow<'_, str> {
    if !json.contains(is_disturbing) {
        return Cow::Borrowed(json);
    }
    let mut shown = String::with_capacity(json.len() + 8);
    for character in json.chars() {
        // Such characters stand in strings only, and none of them needs more than four digits.
        match is_disturbing(character) {
            true => shown += &format!("\\u{:04x}", u32::from(character)),
            false => shown.push(character),
        }
    }
    Cow::Owned(shown)
}

/// Returns true for control characters but line ends, and for the characters with which Unicode sets the direction of text or
/// ends lines.
fn is_disturbing(character: char) -> bool {
    match character {
        '\n' => false,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}' => {
            true
        }
        _ => character.is_control(),
    }
}

/// Formats a table with columns as wide as their cells. On a terminal that is narrower, each row takes several lines: its first
/// columns stand in the first, the others, indented, in the lines that follow.
pub fn table(rows: Vec<Vec<String>>) -> String {
    table_of_width(&rows, Term::stdout().size_checked().map(|(_, columns)| usize::from(columns)))
}

fn table_of_width(rows: &[Vec<String>], width: Option<usize>) -> String {
    // A line end within a cell would end the row.
    let cell = |cell: &String| printable(&cell.replace(['\t', '\n'], " ")).into_owned();
    let rows: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(cell).collect()).collect();
    let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
    let widths: Vec<usize> = (0..columns)
        .map(|column| {
            let cells = rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| measure_text_width(cell)).max().unwrap_or_default()
        })
        .collect();
    let lines = lines(&widths, width);
    let mut table = String::new();
    for row in &rows {
        for (at, line) in lines.iter().enumerate() {
            let mut text = " ".repeat(if at == 0 { 0 } else { INDENT });
            for column in line.clone() {
                let cell = row.get(column).map_or("", String::as_str);
                text += cell;
                text += &" ".repeat(widths[column] + GAP - measure_text_width(cell));
            }
            let text = text.trim_end();
            if at == 0 || !text.is_empty() {
                table += text;
                table.push('\n');
            }
        }
    }
    table
}

/// Distributes the columns over the lines of a row.
fn lines(widths: &[usize], width: Option<usize>) -> Vec<std::ops::Range<usize>> {
    let mut lines = Vec::new();
    let (mut begin, mut used) = (0, 0);
    for (column, own) in widths.iter().enumerate() {
        if column > begin && width.is_some_and(|width| used + own > width) {
            lines.push(begin..column);
            (begin, used) = (column, INDENT);
        }
        used += own + GAP;
    }
    lines.push(begin..widths.len());
    lines
}

/// Formats a rate a second: as a whole number from 100 on, else with three significant digits.
#[expect(clippy::cast_possible_truncation, reason = "a rate is far below what an integer of 64 bits holds")]
pub fn rate(per_second: f64) -> String {
    let mut text = String::new();
    // Writing into a string cannot fail.
    let _ = match per_second {
        rate if !rate.is_finite() || rate <= 0.0 => write!(text, "0/s"),
        rate if rate >= 99.95 => write!(text, "{}/s", HumanCount(rate.round() as u64)),
        rate if rate >= 9.995 => write!(text, "{rate:.1}/s"),
        rate if rate >= 0.9995 => write!(text, "{rate:.2}/s"),
        rate => write!(text, "{rate:.3}/s"),
    };
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_disturb_a_terminal_is_shown_as_an_escape() {
        for (text, expected) in [
            ("o-1\nü😀 עברית", "o-1\nü😀 עברית"),
            ("\u{1b}[31mred", "\\u{1b}[31mred"),
            ("a\u{202e}b\u{2066}c\u{200f}", "a\\u{202e}b\\u{2066}c\\u{200f}"),
            ("a\rb\u{7}\u{9b}\u{7f}\t", "a\\u{d}b\\u{7}\\u{9b}\\u{7f}\\u{9}"),
            ("a\u{2028}b\u{feff}", "a\\u{2028}b\\u{feff}"),
        ] {
            assert_eq!(printable(text), expected);
        }
    }

    #[test]
    fn json_stays_the_same_json() {
        let text = "\u{1b}[31m \u{9b} \u{202e}\u{7f} ü😀";
        let json = serde_json::to_string(text).unwrap();
        let shown = printable_json(&json);
        assert_eq!(shown, "\"\\u001b[31m \\u009b \\u202e\\u007f ü😀\"");
        assert_eq!(serde_json::from_str::<String>(&shown).unwrap(), text);
        assert_eq!(printable_json(r#"{"a":1}"#), r#"{"a":1}"#);
    }

    fn cells(row: &[&str]) -> Vec<String> {
        row.iter().map(|cell| (*cell).to_owned()).collect()
    }

    #[test]
    fn a_table_fits_the_terminal_by_more_lines_a_row() {
        let rows = [
            cells(&["FIELD", "VALUE", "SET BY", "EVENT ID"]),
            cells(&["name", "\"a\tb\"", "created", "e-1\u{1b}"]),
            cells(&["kind", "null", "created", ""]),
        ];
        let whole = "FIELD  VALUE  SET BY   EVENT ID\n\
                     name   \"a b\"  created  e-1\\u{1b}\n\
                     kind   null   created\n";
        assert_eq!(table_of_width(&rows, None), whole);
        assert_eq!(table_of_width(&rows, Some(32)), whole);
        let folded = "FIELD  VALUE  SET BY\n    EVENT ID\n\
                      name   \"a b\"  created\n    e-1\\u{1b}\n\
                      kind   null   created\n";
        assert_eq!(table_of_width(&rows, Some(31)), folded);
        let narrow = table_of_width(&rows, Some(14));
        assert!(
            narrow.starts_with("FIELD  VALUE\n    SET BY\n    EVENT ID\nname   \"a b\"\n    created\n"),
            "{narrow}"
        );
        assert_eq!(table_of_width(&[], Some(80)), "");
    }

    #[test]
    fn a_table_counts_columns_and_not_bytes() {
        let rows = [cells(&["größe", "a"]), cells(&["電池", "b"])];
        assert_eq!(table_of_width(&rows, None), "größe  a\n電池   b\n");
    }

    #[test]
    fn a_rate_has_three_significant_digits() {
        for (rate_per_second, expected) in [
            (0.0, "0/s"),
            (0.123_456, "0.123/s"),
            (1.234_56, "1.23/s"),
            (12.345_6, "12.3/s"),
            (99.96, "100/s"),
            (123.456, "123/s"),
            (1_234_567.8, "1,234,568/s"),
            (f64::NAN, "0/s"),
        ] {
            assert_eq!(rate(rate_per_second), expected);
        }
    }
}
