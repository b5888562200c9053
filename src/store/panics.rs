//! The conversion of sled's panics to errors: sled reports damage by a panic as often as by an error. A panic that is not sled's
//! proves nothing about the store, and goes on.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Once;

use super::StoreError;
use crate::codec::stored_record::CorruptValue;
use crate::data_dir::os_errors;
use crate::panic_text::panic_text;

thread_local! {
    /// True if the last panic of this thread began in sled's own source.
    static IS_OF_SLED: Cell<bool> = const { Cell::new(false) };
}

/// Does some work on the store. A panic of sled's that names an error of the operating system becomes that error; any other panic
/// of sled's means that `what` is damaged.
///
/// # Errors
/// The error of the work, and the one that sled's panic stands for.
///
/// # Panics
/// Panics if the work panics outside of sled.
pub fn catch_sled_panic<T, E: From<StoreError>>(
    what: &'static str,
    doing: &str,
    work: impl FnOnce() -> Result<T, E>,
) -> Result<T, E> {
    note_origins();
    let panic = match catch_unwind(AssertUnwindSafe(work)) {
        Ok(done) => return done,
        Err(panic) => panic,
    };
    if !IS_OF_SLED.get() {
        resume_unwind(panic);
    }
    Err(interpret(what, doing, panic_text(&*panic)).into())
}

/// Returns the error that the text of a panic of sled's stands for.
fn interpret(what: &'static str, doing: &str, text: &str) -> StoreError {
    if os_errors::named_in(text).is_some() {
        return StoreError::Panicked { doing: doing.to_owned(), text: text.to_owned() };
    }
    CorruptValue { what, reason: format!("sled panicked while {doing}: {text}") }.into()
}

/// Installs a hook that notes the origin of every panic: a caught panic does not have it any more.
fn note_origins() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            IS_OF_SLED.set(panic.location().is_some_and(|location| is_of_sled(location.file())));
            before(panic);
        }));
    });
}

/// Returns true if a file lies in sled's source: in the directory of a registry (`sled-0.34.7`), or in one of vendored crates.
fn is_of_sled(file: &str) -> bool {
    let mut directories = file.split(['/', '\\']);
    directories.any(|directory| directory == "sled" || directory.starts_with("sled-0"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_panic_of_sled_without_an_error_of_the_system_is_damage() {
        let damage =
            interpret("value", "reading it", "failed to deserialize data: Corruption { at: None, bt: () }");
        assert!(damage.is_damage(), "{damage}");
        for number in [5, 11, 12, 13, 24] {
            let error = std::io::Error::from_raw_os_error(number);
            let text = format!("called `Result::unwrap()` on an `Err` value: {error:?}");
            let refused = interpret("generation", "opening it", &text);
            assert!(!refused.is_damage(), "{refused}");
            assert!(refused.to_string().contains("This is no damage"), "{refused}");
        }
    }

    #[test]
    fn a_panic_of_ours_goes_on() {
        let ours = || {
            catch_sled_panic("value", "reading it", || -> Result<(), StoreError> { panic!("a mistake of ours") })
        };
        let panic = catch_unwind(ours).expect_err("it goes on");
        assert_eq!(panic_text(&*panic), "a mistake of ours");
    }

    #[test]
    fn a_panic_of_sled_is_told_by_where_it_began() {
        let file = "/home/user/.cargo/registry/src/index-0123/sled-0.34.7/src/pagecache/mod.rs";
        assert!(is_of_sled(file) && is_of_sled("vendor/sled/src/flusher.rs"));
        assert!(!is_of_sled("src/store/writer.rs") && !is_of_sled("src/store/sled_fsync.rs"));
        // sled panics at a size of segments that is no power of two.
        let config = || sled::Config::new().segment_size(3);
        #[expect(deprecated, reason = "it is what panics")]
        let refused =
            catch_sled_panic("value", "opening it", || -> Result<_, StoreError> { Ok(config().build()) });
        let error = refused.expect_err("sled panics").to_string();
        assert!(error.contains("sled panicked while opening it"), "{error}");
    }
}
