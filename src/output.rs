//! The answers of commands on stdout, and the errors if they cannot be written. Nothing else writes to stdout, and nothing
//! panics because of it.

use std::error::Error;
use std::fs::File;
use std::io::{self, ErrorKind, Write as _};
use std::os::fd::AsFd as _;

use crate::terminal::{printable, printable_json};

/// The reason for which an answer was not written, or only in part.
#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    /// The reader of stdout has gone, as `head` does once it has its lines. It does not need the rest.
    #[error("nobody reads stdout any more")]
    ReaderGone,
    /// A write failed, so that the answer is not complete: the disk may be full.
    #[error("cannot write the answer to stdout")]
    Failed(#[source] io::Error),
}

impl From<io::Error> for OutputError {
    fn from(error: io::Error) -> OutputError {
        match error.kind() {
            ErrorKind::BrokenPipe => OutputError::ReaderGone,
            _ => OutputError::Failed(error),
        }
    }
}

/// Writes an answer for people to stdout, with escapes for characters that disturb a terminal.
pub fn print(text: &str) -> Result<(), OutputError> {
    write(printable(text).as_bytes())
}

/// Writes a line of JSON for programs to stdout.
pub fn print_json(json: &str) -> Result<(), OutputError> {
    write(format!("{}\n", printable_json(json)).as_bytes())
}

/// Returns stdout as a file without a lock, for lines that one thread writes for as long as the process runs.
///
/// # Errors
/// Fails if stdout is closed, or too many files are open.
pub fn as_file() -> io::Result<File> {
    Ok(File::from(io::stdout().as_fd().try_clone_to_owned()?))
}

fn write(answer: &[u8]) -> Result<(), OutputError> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(answer)?;
    // A rest in the buffer would be lost silently at the end of the process.
    Ok(stdout.flush()?)
}

/// Returns true if a command failed only because the reader of its answer has gone.
pub fn is_reader_gone(error: &(dyn Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(OutputError::ReaderGone) = error.downcast_ref() {
            return true;
        }
        cause = error.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("the command failed")]
    struct CommandError(#[source] Box<dyn Error>);

    #[test]
    fn only_a_reader_that_is_gone_is_no_failure() {
        for (kind, expected) in [(ErrorKind::BrokenPipe, true), (ErrorKind::StorageFull, false)] {
            let failed = || OutputError::from(io::Error::from(kind));
            assert_eq!(is_reader_gone(&failed()), expected, "{kind}");
            assert_eq!(is_reader_gone(&CommandError(failed().into())), expected, "{kind}");
        }
        // A broker that hangs up is no reader of stdout.
        assert!(!is_reader_gone(&CommandError(io::Error::from(ErrorKind::BrokenPipe).into())));
    }
}
