//! Free JSON objects (`objectives`, `metrics`) that are in the contract's form as they are written, so that their text is kept
//! without a copy. `json_object` brings all others into that form.

use std::borrow::Cow;

use smallvec::SmallVec;

use super::JsonCursor;
use crate::domain::event::JsonObject;

/// Number of open objects and lists beyond which the general decoder takes over.
const DEPTH_LIMIT: usize = 8;
/// Number of keys in one object beyond which the general decoder takes over, since each is compared with all before it.
const KEYS_LIMIT: usize = 32;
/// Number of digits that a double keeps, whatever they are.
const EXACT_DIGITS: usize = 15;
/// The least power of ten, by its absolute value, that is written as an exponent, and the greatest that is far from a double's
/// limit.
const WRITTEN_EXPONENTS: std::ops::RangeInclusive<u32> = 6..=290;

impl<'a> JsonCursor<'a> {
    /// Reads an object that is in the contract's form, or `null`, which stands for no object.
    pub fn free_object_or_null(&mut self) -> Option<Option<JsonObject<'a>>> {
        if self.word("null") {
            return Some(None);
        }
        let begin = self.at;
        self.compact_object(0)?;
        let text = self.text.get(begin..self.at)?;
        Some(Some(JsonObject(Cow::Borrowed(text))))
    }

    /// Reads an object without white space that has each key once.
    fn compact_object(&mut self, depth: usize) -> Option<()> {
        let mut keys: SmallVec<[&str; 8]> = SmallVec::new();
        self.items(depth, b'{', b'}', |cursor| {
            let key = cursor.string()?;
            if keys.len() == KEYS_LIMIT || keys.contains(&key) || !cursor.take(b':') {
                return None;
            }
            keys.push(key);
            cursor.compact_value(depth + 1)
        })
    }

    fn compact_value(&mut self, depth: usize) -> Option<()> {
        match self.peek()? {
            b'"' => self.string().map(|_| ()),
            b'{' => self.compact_object(depth),
            b'[' => self.items(depth, b'[', b']', |cursor| cursor.compact_value(depth + 1)),
            b't' => self.word("true").then_some(()),
            b'f' => self.word("false").then_some(()),
            b'n' => self.word("null").then_some(()),
            _ => self.number().filter(|number| is_contract_form(number)).map(|_| ()),
        }
    }

    /// Reads items with commas between them, from `open` to `close`.
    fn items(
        &mut self,
        depth: usize,
        open: u8,
        close: u8,
        mut item: impl FnMut(&mut JsonCursor<'a>) -> Option<()>,
    ) -> Option<()> {
        if depth == DEPTH_LIMIT || !self.take(open) {
            return None;
        }
        if self.take(close) {
            return Some(());
        }
        loop {
            item(self)?;
            if !self.take(b',') {
                return self.take(close).then_some(());
            }
        }
    }
}

/// Returns true if a number is surely in the contract's form: an integer, or a double in the shortest form that reads back the
/// same. Of at most 15 digits a double keeps each, so that no shorter form reads back the same.
fn is_contract_form(number: &str) -> bool {
    let number = number.strip_prefix('-').unwrap_or(number);
    let (mantissa, exponent) = match number.split_once('e') {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (number, None),
    };
    let Some((whole, fraction)) = mantissa.split_once('.') else {
        return match exponent {
            // An `E` is not the contract's form.
            None => mantissa.bytes().all(|byte| byte.is_ascii_digit()),
            Some(exponent) => is_digit_before_exponent(mantissa) && is_written_exponent(exponent),
        };
    };
    let digits = match (whole, fraction) {
        ("0", fraction) => fraction.trim_start_matches('0').len(),
        (whole, "0") => whole.len(),
        (whole, fraction) => whole.len() + fraction.len(),
    };
    let is_exact = digits <= EXACT_DIGITS && !fraction.contains('E');
    let is_short = !fraction.ends_with('0');
    is_exact
        && match exponent {
            Some(exponent) => is_short && is_digit_before_exponent(whole) && is_written_exponent(exponent),
            None if fraction == "0" => true,
            // Below 0.00001 an exponent is written.
            None => is_short && (whole != "0" || !fraction.starts_with("00000")),
        }
}

fn is_digit_before_exponent(whole: &str) -> bool {
    matches!(whole.as_bytes(), [b'1'..=b'9'])
}

/// Returns true for an exponent as it is written of a number that is too small for its digits alone.
fn is_written_exponent(exponent: &str) -> bool {
    let power = exponent.strip_prefix('-').filter(|power| !power.starts_with('0'));
    power.and_then(|power| power.parse().ok()).is_some_and(|power: u32| WRITTEN_EXPONENTS.contains(&power))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::value::RawValue;

    use super::*;
    use crate::codec::json_object;

    /// Generates numbers as programs write them, and some that are close to the limits of what is taken.
    fn number() -> impl Strategy<Value = String> {
        prop_oneof![
            any::<f64>()
                .prop_filter("finite", |number| number.is_finite())
                .prop_map(|number| format!("{number:e}")),
            (-1e18..1e18).prop_map(|number: f64| number.to_string()),
            (-1e-3..1e-3).prop_map(|number: f64| number.to_string()),
            "-?[0-9]{1,18}".prop_map(|digits| digits.trim_start_matches('0').to_owned() + "0"),
            "-?(0|[1-9][0-9]{0,16})\\.[0-9]{1,16}",
            "-?(0|[1-9][0-9]{0,2})\\.0{0,7}[0-9]{1,3}",
            "-?[0-9](\\.[0-9]{1,15})?[eE][+-]?[0-9]{1,3}",
        ]
    }

    fn object() -> impl Strategy<Value = String> {
        let leaf = prop_oneof![
            4 => number(),
            1 => prop_oneof!["true", "false", "null", "\"[a-c]{0,3}\"", "\"°\"", "\"\\\\n\"", "nul", "tru e"],
        ];
        let value = leaf.prop_recursive(3, 12, 3, |value| {
            let field = ("\"[a-c]{1,2}\"", prop_oneof![9 => Just(":"), 1 => Just(": ")], value.clone());
            let field = field.prop_map(|(key, colon, value)| format!("{key}{colon}{value}"));
            prop_oneof![
                proptest::collection::vec(field, 0..4).prop_map(|fields| format!("{{{}}}", fields.join(","))),
                proptest::collection::vec(value, 0..3).prop_map(|values| format!("[{}]", values.join(","))),
            ]
        });
        value.prop_map(|value| format!("{{\"a\":{value}}}"))
    }

    /// Returns the text of the object if the cursor takes all of `json`.
    fn taken(json: &str) -> Option<String> {
        let mut cursor = JsonCursor::new(json);
        let object = cursor.free_object_or_null()??;
        cursor.is_at_end().then(|| object.0.into_owned())
    }

    fn check(json: &str) -> Result<(), TestCaseError> {
        if let Some(fast) = taken(json) {
            let raw: &RawValue =
                serde_json::from_str(json).map_err(|error| TestCaseError::fail(error.to_string()))?;
            let (general, nulled) = json_object::compact(raw).map_err(TestCaseError::fail)?;
            prop_assert_eq!((fast.as_str(), 0), (general.0.as_ref(), nulled), "{}", json);
        }
        Ok(())
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 4_000, ..ProptestConfig::default() })]

        #[test]
        fn an_object_that_is_taken_is_in_the_contract_s_form(json in object()) {
            check(&json)?;
        }

        #[test]
        fn a_number_that_is_taken_is_in_the_contract_s_form(number in number()) {
            check(&format!("{{\"a\":{number}}}"))?;
        }

        #[test]
        fn a_number_of_few_digits_in_the_contract_s_form_is_taken(digits in 1_u64..10_u64.pow(15), shift in 0..24) {
            let number: f64 = format!("{digits}e-{shift}").parse().unwrap();
            let json = format!("{{\"a\":{}}}", serde_json::to_string(&number).unwrap());
            prop_assert_eq!(taken(&json), Some(json.clone()));
        }
    }

    #[test]
    fn what_is_deep_or_has_a_key_twice_is_left_to_the_general_decoder() {
        let nested = |depth: usize| format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth));
        assert!(taken(&nested(DEPTH_LIMIT)).is_some() && taken(&nested(DEPTH_LIMIT + 1)).is_none());
        assert!(taken(r#"{"a":{"a":1},"b":[1,"x",{"b":2}]}"#).is_some());
        assert!(taken(r#"{"b":{"a":1,"a":2}}"#).is_none());
        let many = |keys: usize| (0..keys).map(|key| format!("\"k{key}\":1")).collect::<Vec<_>>().join(",");
        assert!(taken(&format!("{{{}}}", many(KEYS_LIMIT))).is_some());
        assert!(taken(&format!("{{{}}}", many(KEYS_LIMIT + 1))).is_none());
    }
}
