//! Lower-case hexadecimal digits for entity tags and correlation ids. Nothing here allocates, as it is on the hot
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
    }
}
