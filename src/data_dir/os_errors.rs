//! The refusals of the operating system, and their remedies. sled passes such an error on as an error, as the text of a panic, or
//! as a copy that has only its text left; each of these is recognized here, so that it is not taken for damage.

use std::io;

use rustix::io::Errno;

/// Returns the error of the operating system that a text names, as `std::io::Error` prints one: `Os { code: 24, ...` or
/// `... (os error 24)`.
pub fn named_in(text: &str) -> Option<Errno> {
    ["Os { code: ", "(os error "].into_iter().find_map(|before| {
        let (_, number) = text.split_once(before)?;
        let digits = number.find(|character: char| !character.is_ascii_digit()).unwrap_or(number.len());
        number[..digits].parse().ok().map(Errno::from_raw_os_error)
    })
}

/// Returns the remedy of an error, as the end of a message. It is empty if the error is none of the operating system's.
pub fn remedy(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(number) => remedy_of(Errno::from_raw_os_error(number)),
        None => remedy_in(&error.to_string()),
    }
}

/// Returns the remedy of the error that a text names, as the end of a message. It is empty if the text names none.
pub fn remedy_in(text: &str) -> String {
    named_in(text).map(remedy_of).unwrap_or_default()
}

fn remedy_of(error: Errno) -> String {
    let what = match error {
        Errno::ACCESS | Errno::PERM => "let the user that optview runs as read and write it",
        Errno::ROFS => "mount its disk so that it can be written to",
        Errno::MFILE => "raise the limit of open files (ulimit -n, LimitNOFILE=)",
        Errno::NFILE => "raise the machine's limit of open files (fs.file-max)",
        Errno::AGAIN => "raise the limit of threads (ulimit -u, TasksMax=, the container's pids limit)",
        Errno::NOMEM => "give it more memory, or a smaller --memory-budget and --store-cache",
        Errno::NOSPC | Errno::DQUOT => "make room on its disk",
        _ => "look at its disk and at the system's log (dmesg)",
    };
    format!(
        "; {what}, and start again. This is no damage: the store is left as it is, and is opened again at the next start"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_of_the_system_is_found_however_it_is_printed() {
        let error = io::Error::from_raw_os_error(24);
        let copied = io::Error::new(error.kind(), format!("{error:?}"));
        let unwrapped = format!("called `Result::unwrap()` on an `Err` value: {error:?}");
        for text in [error.to_string(), format!("{error:?}"), format!("{copied:?}"), unwrapped] {
            assert_eq!(named_in(&text), Some(Errno::MFILE), "{text}");
            assert!(remedy_in(&text).contains("ulimit -n"), "{text}");
        }
        assert!(remedy(&copied).contains("ulimit -n"));
        assert!(remedy(&error).contains("ulimit -n"));
    }

    #[test]
    fn what_names_no_error_of_the_system_has_no_remedy() {
        for text in ["failed to deserialize data: Corruption", "code: 24", "Os { code: x }", "(os error ", ""] {
            assert_eq!(named_in(text), None, "{text}");
            assert_eq!(remedy_in(text), "");
        }
        assert_eq!(remedy(&io::Error::new(io::ErrorKind::UnexpectedEof, "failed to fill whole buffer")), "");
    }
}
