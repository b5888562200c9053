//! The text of a caught panic, for messages.

use std::any::Any;

/// Returns the message that a panic was raised with.
pub fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no reason given")
}

#[cfg(test)]
mod tests {
    use std::panic::catch_unwind;

    use super::*;

    #[test]
    fn the_text_of_a_panic_is_found_whatever_its_type() {
        let number = 7;
        let text_of =
            |raise: fn(i32)| panic_text(&*catch_unwind(|| raise(number)).expect_err("it panics")).to_owned();
        assert_eq!(text_of(|_| panic!("fixed")), "fixed");
        assert_eq!(text_of(|number| panic!("made of {number}")), "made of 7");
        assert_eq!(text_of(|number| std::panic::panic_any(number)), "no reason given");
    }
}
