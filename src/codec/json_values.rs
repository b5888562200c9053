//! The field types of the proto3 JSON mapping: objects, texts, integers and doubles, each in every form that the
//! mapping allows.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Unexpected, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// A message, which JSON writes as an object. serde's derive alone would accept an array too.
pub struct JsonMessage<T>(pub T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for JsonMessage<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<JsonMessage<T>, D::Error> {
        struct ObjectVisitor<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
            type Value = JsonMessage<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<JsonMessage<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(JsonMessage)
            }
        }
        deserializer.deserialize_map(ObjectVisitor(PhantomData))
    }
}

/// A string, borrowed if it has no escapes. (Derived code borrows a `Cow` only outside an `Option`.)
pub struct JsonText<'a>(pub Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for JsonText<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<JsonText<'a>, D::Error> {
        struct TextVisitor;
        impl<'de> Visitor<'de> for TextVisitor {
            type Value = JsonText<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<JsonText<'de>, E> {
                Ok(JsonText(Cow::Borrowed(text)))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<JsonText<'de>, E> {
                Ok(JsonText(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(TextVisitor)
    }
}

/// An unsigned integer: a number, or one in a string. The mapping allows a fraction of zeros and an exponent in
/// both.
pub struct Integer(pub u64);

impl<'de> Deserialize<'de> for Integer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Integer, D::Error> {
        let literal = <&RawValue>::deserialize(deserializer)?.get();
        let number = string_literal_text(literal).unwrap_or(Cow::Borrowed(literal));
        integer_of(&number).map(Integer).ok_or_else(|| {
            D::Error::invalid_value(Unexpected::Other(literal), &"an unsigned integer, or one in a string")
        })
    }
}

/// Returns the text of a string literal; `None` for any other literal.
fn string_literal_text(literal: &str) -> Option<Cow<'_, str>> {
    let text = literal.strip_prefix('"')?.strip_suffix('"')?;
    if text.contains('\\') {
        serde_json::from_str(literal).ok().map(Cow::Owned)
    } else {
        Some(Cow::Borrowed(text))
    }
}

/// Returns the integer that a decimal number is equal to. It computes with digits, because a double is exact only
/// up to 2^53.
fn integer_of(number: &str) -> Option<u64> {
    let (mantissa, exponent) = match number.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i64>().ok()?),
        None => (number, 0),
    };
    let (is_negative, mantissa) = match mantissa.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, mantissa),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((_, "")) => return None,
        Some(parts) => parts,
        None => (mantissa, ""),
    };
    let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !is_digits(whole) || !is_digits(fraction) {
        return None;
    }
    let digits = format!("{whole}{fraction}");
    let significant = digits.trim_end_matches('0');
    if significant.is_empty() {
        return Some(0);
    }
    let zeros = i64::try_from(digits.len() - significant.len()).ok()?;
    let power = exponent.checked_add(zeros)?.checked_sub(i64::try_from(fraction.len()).ok()?)?;
    let power = u32::try_from(power).ok().filter(|_| !is_negative)?;
    significant.parse::<u64>().ok()?.checked_mul(10_u64.checked_pow(power)?)
}

/// A double: a number, its digits in a string, or one of the mapping's three names.
pub struct Double(pub f64);

impl<'de> Deserialize<'de> for Double {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Double, D::Error> {
        let literal = <&RawValue>::deserialize(deserializer)?.get();
        let double = match string_literal_text(literal).as_deref() {
            Some("NaN") => Some(f64::NAN),
            Some("Infinity") => Some(f64::INFINITY),
            Some("-Infinity") => Some(f64::NEG_INFINITY),
            Some(text) => serde_json::from_str(text).ok(),
            // A literal that parses here is one of JSON's numbers. One that is too large for a double becomes
            // infinite.
            None => literal.parse().ok(),
        };
        double
            .map(Double)
            .ok_or_else(|| D::Error::invalid_value(Unexpected::Other(literal), &"a number, or one in a string"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(json: &str) -> Option<u64> {
        serde_json::from_str(json).ok().map(|Integer(integer)| integer)
    }

    #[test]
    fn integers_may_have_an_exponent_and_a_fraction_of_zeros_quoted_or_not() {
        for (number, expected) in [
            ("1e0", Some(1)),
            ("1.0", Some(1)),
            ("12.50E+1", Some(125)),
            ("1200e-2", Some(12)),
            ("0.0", Some(0)),
            ("-0", Some(0)),
            ("-0.0e5", Some(0)),
            ("0e99999999999", Some(0)),
            ("1.8446744073709551615e19", Some(u64::MAX)),
            ("18446744073709551615.000", Some(u64::MAX)),
            ("9007199254740993.0", Some(9_007_199_254_740_993)),
            ("18446744073709551616", None),
            ("1.8446744073709551616e19", None),
            ("1e20", None),
            ("1e999999999999999999", None),
            ("1e-1", None),
            ("0.5", None),
            ("-1", None),
            ("-1e0", None),
        ] {
            assert_eq!(read(number), expected, "{number}");
            assert_eq!(read(&format!("\"{number}\"")), expected, "{number}, quoted");
        }
        for quoted in ["", "+1", "1.", ".5", "1e", "1e+", "e1", " 1", "1 ", "0x1", "1_0", "-", "1.0.0", "NaN"] {
            assert_eq!(read(&format!("\"{quoted}\"")), None, "{quoted}");
        }
        assert_eq!(read(r#""\u0031e1""#), Some(10));
        for other in ["true", "[1]", "{}", "null"] {
            assert_eq!(read(other), None, "{other}");
        }
    }

    proptest! {
        #[test]
        fn any_integer_is_read_wherever_its_point_stands(integer in any::<u64>(), shift in 0_usize..25) {
            let digits = format!("{integer:0>25}");
            let (whole, fraction) = digits.split_at(25 - shift);
            let moved = format!("{}.{fraction}0e{shift}", if whole.is_empty() { "0" } else { whole });
            prop_assert_eq!(integer_of(&moved), Some(integer), "{}", moved);
        }
    }
}
