//! A file that is read again when it changes. One that cannot be used leaves what was read before in force, and the error stands
//! until a file comes that can.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};
use chrono::{DateTime, Utc};
use parking_lot::Mutex;

use crate::disk::FileFingerprint;

type ReadFile<T> = dyn Fn(&Path) -> Result<T, String> + Send + Sync;

/// A value that was read from a file, and follows the file.
pub struct ReloadedFile<T> {
    current: ArcSwap<T>,
    /// The file; `None` for a value that comes from none.
    source: Option<FileSource<T>>,
    history: Mutex<History>,
}

struct FileSource<T> {
    path: PathBuf,
    read: Box<ReadFile<T>>,
}

/// The looks at the file so far.
struct History {
    /// The fingerprint at the last look; `None` before the first, and if there was no file.
    seen: Option<FileFingerprint>,
    /// The fingerprint of the file that was read last, whether it could be used or not.
    read: Option<FileFingerprint>,
    /// True if the last look found no file.
    was_missing: bool,
    state: FileState,
}

/// The state of a file that is read again when it changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileState {
    /// The time at which the value in force was read.
    pub read_at: DateTime<Utc>,
    /// The reason for which the file cannot be used as it is now; `None` if it can.
    pub error: Option<String>,
    /// The time since which it cannot be used.
    pub error_since: Option<DateTime<Utc>>,
}

/// The result of one look at the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Look {
    /// Nothing new was read.
    Unchanged,
    /// Another value is in force from now on, or the same one from a file that could not be used before.
    Reloaded,
    /// The file cannot be used any more, or for another reason than before.
    Broken(String),
}

impl<T: PartialEq> ReloadedFile<T> {
    /// Makes a value that follows the file at `path`, which it has just been read from. The error of `read` must not show a secret.
    pub fn new(
        path: PathBuf,
        value: T,
        read: impl Fn(&Path) -> Result<T, String> + Send + Sync + 'static,
    ) -> ReloadedFile<T> {
        ReloadedFile { source: Some(FileSource { path, read: Box::new(read) }), ..ReloadedFile::fixed(value) }
    }

    /// Makes a value that never changes.
    pub fn fixed(value: T) -> ReloadedFile<T> {
        let state = FileState { read_at: Utc::now(), error: None, error_since: None };
        let history = History { seen: None, read: None, was_missing: false, state };
        ReloadedFile { current: ArcSwap::from_pointee(value), source: None, history: Mutex::new(history) }
    }

    /// Returns the value in force.
    pub fn get(&self) -> Guard<Arc<T>> {
        self.current.load()
    }

    /// Returns the path of the file; `None` for a value that comes from none.
    pub fn path(&self) -> Option<&Path> {
        self.source.as_ref().map(|source| source.path.as_path())
    }

    /// Returns the state of the file at the last look.
    pub fn state(&self) -> FileState {
        self.history.lock().state.clone()
    }

    /// Looks at the file, and reads it if it has changed and then rested for one look: somebody who writes it in place may not have
    /// finished at the first. The looks must be further apart than a file system's clock is coarse; a second will do.
    pub fn look(&self) -> Look {
        let Some(FileSource { path, read }) = &self.source else { return Look::Unchanged };
        let mut history = self.history.lock();
        let found = match FileFingerprint::of(path) {
            // What came through a pipe was read once, and cannot be read again.
            Ok(found) if !found.is_regular() => return Look::Unchanged,
            Ok(found) => found,
            Err(error) => {
                history.seen = None;
                // Whoever replaces a file by removing it first is not at fault.
                let was_missing = std::mem::replace(&mut history.was_missing, true);
                let why = format!("the file cannot be read: {error}");
                return if was_missing { history.note_error(why) } else { Look::Unchanged };
            }
        };
        history.was_missing = false;
        if history.seen.replace(found) != Some(found) || history.read == Some(found) {
            return Look::Unchanged;
        }
        let value = read(path);
        if FileFingerprint::of(path).ok() != Some(found) {
            return Look::Unchanged;
        }
        history.read = Some(found);
        match value {
            Ok(value) => {
                let had_error = history.state.error.take().is_some();
                let is_new = **self.current.load() != value;
                history.state = FileState { read_at: Utc::now(), error: None, error_since: None };
                if is_new {
                    self.current.store(Arc::new(value));
                }
                if is_new || had_error { Look::Reloaded } else { Look::Unchanged }
            }
            Err(why) => history.note_error(why),
        }
    }
}

impl History {
    fn note_error(&mut self, why: String) -> Look {
        // After a file that was missing, the next one is read even if it is the one that was read last.
        self.read = self.seen;
        if self.state.error.as_ref() == Some(&why) {
            return Look::Unchanged;
        }
        self.state.error = Some(why.clone());
        self.state.error_since.get_or_insert_with(Utc::now);
        Look::Broken(why)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// A file of one number, which counts how often it was read.
    struct NumberFile {
        directory: tempfile::TempDir,
        file: ReloadedFile<u32>,
        reads: Arc<Mutex<usize>>,
    }

    impl NumberFile {
        fn new(number: u32) -> NumberFile {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("number");
            fs::write(&path, number.to_string()).unwrap();
            let reads = Arc::new(Mutex::new(0));
            let counted = reads.clone();
            let file = ReloadedFile::new(path, number, move |path| {
                *counted.lock() += 1;
                let text = fs::read_to_string(path).map_err(|error| error.to_string())?;
                text.parse().map_err(|_| format!("{text:?} is no number"))
            });
            let number = NumberFile { directory, file, reads };
            assert_eq!(number.looks(), [Look::Unchanged, Look::Unchanged], "it has just been read");
            number
        }

        fn path(&self) -> PathBuf {
            self.directory.path().join("number")
        }

        /// Replaces the file, so that its inode is another.
        fn replace(&self, text: &str) {
            crate::disk::replace(&self.path(), text.as_bytes()).unwrap();
        }

        /// Looks as often as it takes to see what is there, and once more.
        fn looks(&self) -> [Look; 2] {
            self.file.look();
            [self.file.look(), self.file.look()]
        }

        fn value(&self) -> u32 {
            **self.file.get()
        }
    }

    #[test]
    fn a_file_that_changes_is_read_again_once_it_has_rested_for_a_look() {
        let number = NumberFile::new(1);
        number.replace("2");
        assert_eq!((number.file.look(), number.value()), (Look::Unchanged, 1));
        assert_eq!((number.file.look(), number.value()), (Look::Reloaded, 2));
        let reads = *number.reads.lock();
        for _ in 0..10 {
            assert_eq!(number.file.look(), Look::Unchanged);
        }
        assert_eq!(*number.reads.lock(), reads, "it has not changed");
        number.replace("2");
        assert_eq!(number.looks(), [Look::Unchanged, Look::Unchanged]);
        assert_eq!(*number.reads.lock(), reads + 1, "the same is there in another file");
    }

    #[test]
    fn a_file_that_cannot_be_used_leaves_what_was_there_and_is_reported_until_it_can() {
        let number = NumberFile::new(1);
        number.replace("two");
        let broken = Look::Broken("\"two\" is no number".to_owned());
        assert_eq!((number.looks(), number.value()), ([broken, Look::Unchanged], 1));
        let since = number.file.state().error_since.expect("an error stands");
        fs::remove_file(number.path()).unwrap();
        let [gone, again] = number.looks();
        assert!(matches!(&gone, Look::Broken(why) if why.starts_with("the file cannot be read: ")), "{gone:?}");
        assert_eq!((again, number.value()), (Look::Unchanged, 1));
        assert_eq!(number.file.state().error_since, Some(since), "it could not be used all the while");
        number.replace("1");
        assert_eq!(number.looks(), [Look::Reloaded, Look::Unchanged]);
        let state = number.file.state();
        assert_eq!((state.error, state.error_since, number.value()), (None, None, 1));
    }

    #[test]
    fn a_file_that_changes_while_it_is_read_is_read_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("number");
        fs::write(&path, "1").unwrap();
        let is_first = std::sync::atomic::AtomicBool::new(true);
        let file = ReloadedFile::new(path, 0, move |path| {
            let text = fs::read_to_string(path).map_err(|error| error.to_string())?;
            if is_first.swap(false, std::sync::atomic::Ordering::AcqRel) {
                crate::disk::replace(path, b"2").unwrap();
            }
            text.parse().map_err(|_| "no number".to_owned())
        });
        assert_eq!([file.look(), file.look()], [Look::Unchanged, Look::Unchanged], "it did not rest");
        assert_eq!(**file.get(), 0);
        assert_eq!([file.look(), file.look()], [Look::Unchanged, Look::Reloaded]);
        assert_eq!(**file.get(), 2);
    }

    #[test]
    fn a_file_that_is_away_for_a_moment_is_no_error() {
        let number = NumberFile::new(1);
        fs::remove_file(number.path()).unwrap();
        assert_eq!(number.file.look(), Look::Unchanged);
        number.replace("2");
        assert_eq!((number.looks(), number.value()), ([Look::Reloaded, Look::Unchanged], 2));
    }

    #[test]
    fn a_link_that_leads_to_another_file_is_a_change() {
        let number = NumberFile::new(1);
        let data = |name: &str| number.directory.path().join(name);
        for (name, text) in [("one", "1"), ("two", "2")] {
            fs::write(data(name), text).unwrap();
        }
        let lead_to = |name: &str| {
            std::os::unix::fs::symlink(data(name), data("link")).unwrap();
            fs::rename(data("link"), number.path()).unwrap();
        };
        lead_to("one");
        assert_eq!(number.looks(), [Look::Unchanged, Look::Unchanged]);
        lead_to("two");
        assert_eq!((number.looks(), number.value()), ([Look::Reloaded, Look::Unchanged], 2));
    }

    #[test]
    fn what_came_through_a_pipe_and_what_comes_from_no_file_is_not_read_again() {
        let (reader, _writer) = std::io::pipe().unwrap();
        let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&reader));
        let piped = ReloadedFile::new(path.into(), 1, |_| panic!("it is read again"));
        let fixed = ReloadedFile::fixed(2);
        for _ in 0..3 {
            assert_eq!((piped.look(), fixed.look()), (Look::Unchanged, Look::Unchanged));
        }
    }
}
