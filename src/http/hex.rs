//! Lower-case hexadecimal digits for entity tags, correlation ids and hashes of keys. Nothing here allocates, as it is on the hot
//! path.

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// Formats a number as sixteen digits, most significant first.
pub fn of_u64(value: u64) -> [u8; 16] {
    let mut digits = [0; 16];
    for (index, byte) in value.to_be_bytes().into_iter().enumerate() {
        digits[2 * index] = DIGITS[usize::from(byte >> 4)];
        digits[2 * index + 1] = DIGITS[usize::from(byte & 15)];
    }
    digits
}

/// Parses sixty-four digits of either case as thirty-two bytes. Returns `None` for any other text.
pub fn to_32_bytes(text: &str) -> Option<[u8; 32]> {
    let digits: &[u8; 64] = text.as_bytes().try_into().ok()?;
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

fn digit(character: u8) -> Option<u8> {
    char::from(character).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_what_format_writes(value: u64) {
            let digits = of_u64(value).map(char::from).iter().collect::<String>();
            prop_assert_eq!(digits, format!("{value:016x}"));
        }

        #[test]
        fn thirty_two_bytes_are_read_back(bytes: [u8; 32]) {
            let text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            prop_assert_eq!(to_32_bytes(&text), Some(bytes));
            prop_assert_eq!(to_32_bytes(&text.to_uppercase()), Some(bytes));
            prop_assert_eq!(to_32_bytes(&text[1..]), None);
        }
    }

    #[test]
    fn what_is_no_digit_is_refused() {
        assert_eq!(to_32_bytes(&"g".repeat(64)), None);
        assert_eq!(to_32_bytes(&"é".repeat(32)), None);
    }
}
