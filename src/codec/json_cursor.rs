//! A reader of plain JSON from its beginning to its end, for the fast lane (`event_json_fast`). Every method returns `None` for a
//! text that it does not accept, after which the cursor must not be used. It accepts no text that JSON's grammar refuses, and escapes
//! only in the values of texts.

mod free_object;

use std::borrow::Cow;

use super::non_finite_numbers::string_len;
use crate::domain::Timestamp;

pub struct JsonCursor<'a> {
    text: &'a str,
    at: usize,
    /// Is true if a key of the object that is being read comes next.
    is_at_key: bool,
}

impl<'a> JsonCursor<'a> {
    pub fn new(text: &'a str) -> JsonCursor<'a> {
        JsonCursor { text, at: 0, is_at_key: false }
    }

    /// Returns true if nothing but white space is left.
    #[inline(always)]
    pub fn is_at_end(&mut self) -> bool {
        self.space();
        self.at == self.text.len()
    }

    /// Reads an object. `fields` tries each field that the object may have, by [`JsonCursor::field`], in the order in which
    /// producers write them. Fields in another order take more than one pass. A pass that reads none has met a field that the
    /// object may not have.
    #[inline(always)]
    pub fn object(&mut self, mut fields: impl FnMut(&mut JsonCursor<'a>) -> Option<()>) -> Option<()> {
        self.open()?;
        while self.is_at_key {
            let begin = self.at;
            fields(self)?;
            if self.at == begin {
                return None;
            }
        }
        Some(())
    }

    /// Reads a field if its key, one of `names`, comes next. `value` reads the value.
    #[inline(always)]
    pub fn field<const N: usize>(
        &mut self,
        names: [&'static str; N],
        value: impl FnOnce(&mut JsonCursor<'a>) -> Option<()>,
    ) -> Option<()> {
        if !self.is_at_key || !names.iter().any(|name| self.key(name)) {
            return Some(());
        }
        self.colon()?;
        value(self)?;
        self.next_key()
    }

    /// Reads a field whose value is an object without fields, if its key comes next.
    #[inline(always)]
    pub fn empty_field(&mut self, name: &'static str, then: impl FnOnce() -> Option<()>) -> Option<()> {
        self.field([name], |cursor| {
            cursor.token(b'{')?;
            cursor.token(b'}')?;
            then()
        })
    }

    /// Reads a text, or `null`, into an empty slot if its key comes next.
    #[inline(always)]
    pub fn text<const N: usize>(
        &mut self,
        names: [&'static str; N],
        slot: &mut Option<Option<Cow<'a, str>>>,
    ) -> Option<()> {
        self.field(names, |cursor| set(slot, cursor.text_or_null()?))
    }

    /// Reads an object whose values are all numbers, and returns its text.
    pub fn object_of_numbers(&mut self) -> Option<&'a str> {
        let begin = self.at;
        self.open()?;
        while self.is_at_key {
            self.string()?;
            self.colon()?;
            self.number()?;
            self.next_key()?;
        }
        self.text.get(begin..self.at)
    }

    /// Reads a text, which alone may have escapes, or `null`, which stands for no text.
    #[inline(always)]
    pub fn text_or_null(&mut self) -> Option<Option<Cow<'a, str>>> {
        match self.string() {
            Some(text) => Some(Some(Cow::Borrowed(text))),
            None if self.word("null") => Some(None),
            None => self.escaped_text().map(Some),
        }
    }

    /// Reads a time, or `null`, which stands for no time.
    pub fn time_or_null(&mut self) -> Option<Option<Timestamp>> {
        match self.word("null") {
            true => Some(None),
            false => Timestamp::parse(self.string()?).map(Some),
        }
    }

    /// Reads a string without escapes. Where it returns `None`, the cursor stays where it was.
    #[inline(always)]
    pub fn string(&mut self) -> Option<&'a str> {
        if self.peek() != Some(b'"') {
            return None;
        }
        let begin = self.at + 1;
        let end = begin + plain_len(&self.text.as_bytes()[begin..]);
        if self.text.as_bytes().get(end) != Some(&b'"') {
            return None;
        }
        self.at = end + 1;
        self.text.get(begin..end)
    }

    /// Reads an unsigned integer of at most 19 digits, without a fraction or an exponent.
    #[inline(always)]
    pub fn integer(&mut self) -> Option<u64> {
        let begin = self.at;
        let mut integer = 0_u64;
        while let Some(digit @ b'0'..=b'9') = self.peek() {
            integer = integer.wrapping_mul(10).wrapping_add(u64::from(digit - b'0'));
            self.at += 1;
        }
        let count = self.at - begin;
        // Any number of 19 digits fits 64 bits, and none begins with a zero but 0 itself.
        let is_plain = count == 1 || ((2..=19).contains(&count) && self.text.as_bytes()[begin] != b'0');
        is_plain.then_some(integer)
    }

    /// Reads an unsigned integer as it is or in quotes.
    #[inline(always)]
    pub fn integer_or_its_digits(&mut self) -> Option<u64> {
        if !self.take(b'"') {
            return self.integer();
        }
        let integer = self.integer()?;
        self.take(b'"').then_some(integer)
    }

    /// Reads a number as a double.
    #[inline(always)]
    pub fn double(&mut self) -> Option<f64> {
        let number = self.number()?;
        exact_double(number).or_else(|| number.parse().ok())
    }

    /// Reads a number of JSON's grammar. Returns the number's text.
    #[inline(always)]
    fn number(&mut self) -> Option<&'a str> {
        let begin = self.at;
        self.take(b'-');
        match self.peek()? {
            b'0' => self.at += 1,
            b'1'..=b'9' => self.digits()?,
            _ => return None,
        }
        if self.take(b'.') {
            self.digits()?;
        }
        if self.take(b'e') || self.take(b'E') {
            let _ = self.take(b'+') || self.take(b'-');
            self.digits()?;
        }
        self.text.get(begin..self.at)
    }

    /// Reads one or more digits.
    #[inline(always)]
    fn digits(&mut self) -> Option<()> {
        let begin = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        (self.at > begin).then_some(())
    }

    /// Reads a string that may have escapes.
    #[cold]
    fn escaped_text(&mut self) -> Option<Cow<'a, str>> {
        let rest = self.text.get(self.at..).filter(|rest| rest.starts_with('"'))?;
        let len = string_len(rest);
        let text = serde_json::from_str(&rest[..len]).ok()?;
        self.at += len;
        Some(Cow::Owned(text))
    }

    /// Steps over a word if it comes next.
    fn word(&mut self, word: &str) -> bool {
        let is = self.text.as_bytes()[self.at..].starts_with(word.as_bytes());
        self.at += if is { word.len() } else { 0 };
        is
    }

    /// Steps over a key without escapes if it comes next.
    #[inline(always)]
    fn key(&mut self, name: &str) -> bool {
        let quoted = self.text.as_bytes().get(self.at + 1..self.at + 2 + name.len());
        let is =
            quoted.is_some_and(|quoted| quoted[..name.len()] == *name.as_bytes() && quoted[name.len()] == b'"');
        if is {
            self.at += 2 + name.len();
        }
        is
    }

    /// Steps over the beginning of an object, to its first key or behind its end.
    #[inline(always)]
    fn open(&mut self) -> Option<()> {
        self.token(b'{')?;
        self.space();
        self.is_at_key = self.peek() == Some(b'"');
        if self.is_at_key { Some(()) } else { self.token(b'}') }
    }

    /// Steps over the colon behind a key, to the value.
    #[inline(always)]
    fn colon(&mut self) -> Option<()> {
        self.token(b':')?;
        self.space();
        Some(())
    }

    /// Steps from behind a value to the next key, or behind the object's end.
    #[inline(always)]
    fn next_key(&mut self) -> Option<()> {
        self.space();
        self.is_at_key = self.take(b',');
        if !self.is_at_key {
            return self.token(b'}');
        }
        self.space();
        (self.peek() == Some(b'"')).then_some(())
    }

    /// Steps over `byte` and the white space before it.
    #[inline(always)]
    fn token(&mut self, byte: u8) -> Option<()> {
        if self.peek() != Some(byte) {
            self.space();
        }
        self.take(byte).then_some(())
    }

    #[inline(always)]
    fn take(&mut self, byte: u8) -> bool {
        let is = self.peek() == Some(byte);
        if is {
            self.at += 1;
        }
        is
    }

    #[inline(always)]
    fn space(&mut self) {
        if self.peek().is_some_and(|byte| byte <= b' ') {
            self.skip_space();
        }
    }

    #[inline(never)]
    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
    }

    #[inline(always)]
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }
}

/// Sets an empty slot. A field that comes twice is left to the general decoder.
#[inline(always)]
pub fn set<T>(slot: &mut Option<T>, value: T) -> Option<()> {
    if slot.is_some() {
        return None;
    }
    *slot = Some(value);
    Some(())
}

/// Number of bytes before the first quote, backslash or control character. While there is none it compares 16 bytes at a time, for which
/// compilers take the processor's wide registers, because ids are most of a record; then eight at a time, to find where it is.
fn plain_len(bytes: &[u8]) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = 0x8080_8080_8080_8080;
    let zeros = |word: u64| word.wrapping_sub(ONES) & !word & HIGHS;
    let is_mark = |byte: u8| (byte == b'"') | (byte == b'\\') | (byte < 0x20);
    let mut len = 0;
    while let Some(chunk) = bytes[len..].first_chunk::<16>()
        && !chunk.iter().fold(false, |any, byte| any | is_mark(*byte))
    {
        len += 16;
    }
    while let Some(chunk) = bytes[len..].first_chunk::<8>() {
        let word = u64::from_le_bytes(*chunk);
        let quotes = zeros(word ^ (ONES * u64::from(b'"')));
        let backslashes = zeros(word ^ (ONES * u64::from(b'\\')));
        let controls = word.wrapping_sub(ONES * 0x20) & !word & HIGHS;
        // The lowest mark is exact. Those above it may not be, because of the subtraction's borrows.
        let marks = quotes | backslashes | controls;
        if marks != 0 {
            return len + (marks.trailing_zeros() / 8) as usize;
        }
        len += 8;
    }
    let rest = bytes[len..].iter().position(|byte| is_mark(*byte));
    len + rest.unwrap_or(bytes.len() - len)
}

/// Reads a decimal number of at most 15 digits without an exponent. Its digits and the power of ten are exact doubles then, so
/// that their quotient is rounded once, as the number itself would be (William Clinger, "How to read floating point numbers accurately").
fn exact_double(number: &str) -> Option<f64> {
    const POWERS: [f64; 16] =
        [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];
    let (mut digits, mut fraction_len, mut is_fraction) = (0_u64, 0, false);
    if number.len() > 16 {
        return None;
    }
    for byte in number.bytes() {
        match byte {
            b'0'..=b'9' => {
                digits = digits * 10 + u64::from(byte - b'0');
                fraction_len += usize::from(is_fraction);
            }
            b'.' => is_fraction = true,
            _ => return None,
        }
    }
    (digits < 1_000_000_000_000_000).then(|| digits as f64 / POWERS[fraction_len])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_plain_run_of_bytes_ends_where_a_slow_look_says(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let slow = bytes.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1f));
            prop_assert_eq!(plain_len(&bytes), slow.unwrap_or(bytes.len()));
        }

        #[test]
        fn a_string_ends_at_its_quote_and_has_no_escapes_and_no_control_characters(
            text in "[a-z\"\\\\\n\u{1}é ]{0,24}",
        ) {
            let json = format!("\"{text}\"");
            let expected: Option<&str> = serde_json::from_str(&json).ok();
            prop_assert_eq!(JsonCursor::new(&json).string().filter(|read| read.len() == text.len()), expected);
        }

        #[test]
        fn a_double_that_is_computed_is_what_the_standard_library_parses(
            number in "(0|[1-9][0-9]{0,16})(\\.[0-9]{1,16})?",
        ) {
            if let Some(double) = exact_double(&number) {
                prop_assert_eq!(double.to_bits(), number.parse::<f64>().unwrap().to_bits());
            }
        }
    }

    #[test]
    fn a_double_of_few_digits_is_computed() {
        for (number, expected) in
            [("0", 0.0), ("1.47553", 1.47553), ("0.0123", 0.0123), ("99999999999999.9", 99999999999999.9)]
        {
            assert_eq!(exact_double(number), Some(expected));
        }
        assert_eq!(exact_double("9007199254740993"), None);
    }
}
