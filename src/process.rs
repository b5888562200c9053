//! The settings of the process: a umask by which new files are its user's only, and the limit of open files with its division
//! between connections and all else. Nothing here knows what the files are.

use std::fs;

use rustix::fs::Mode;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit, umask};

/// The limit of open files below which `serve` does not start.
pub const LEAST_OPEN_FILES: u64 = 192;

/// The least number of files that are reserved for everything but connections to the read address: a store and one that is being
/// built beside it, clients of a cluster of some brokers, the operators' address and the control socket.
const LEAST_RESERVE: u64 = 160;

/// The greatest number of files that are reserved, which is enough for clients of a cluster of a hundred brokers.
const GREATEST_RESERVE: u64 = 1024;

/// Makes every file and directory that the process creates from now on its user's only (0600 and 0700), whatever the
/// umask was. It holds for the whole process, because libraries create files, too, and must be called before any thread starts.
pub fn make_new_files_private() {
    umask(Mode::RWXG | Mode::RWXO);
}

/// Raises the limit of open files as far as the process may. If the system refuses that, the limit stays as it is.
pub fn raise_open_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        let raised = Rlimit { current: limit.maximum, ..limit };
        // A limit that is too low is reported by `FileBudget`.
        let _ = setrlimit(Resource::Nofile, raised);
    }
}

/// Returns the number of files that the process may have open.
pub fn open_file_limit() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// Counts the files that the process has open. Returns `None` if the system does not show them.
pub fn open_files() -> Option<usize> {
    // The directory itself is open while it is read.
    fs::read_dir("/dev/fd").ok().map(|files| files.count().saturating_sub(1))
}

/// The division of the files that the process may have open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileBudget {
    /// Number of files that the process may have open.
    pub limit: u64,
    /// Number of connections that the read address may take.
    pub connections: usize,
    /// Number of connections that the configuration demands.
    pub wanted: usize,
}

/// The error for a limit of open files that is too low to serve at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the process may have {limit} files open, and needs {LEAST_OPEN_FILES} at the least: raise the hard limit (ulimit -Hn, \
     LimitNOFILE=, --ulimit nofile=); {needed} suffice for --max-connections {wanted}",
    needed = FileBudget::limit_for(*wanted)
)]
pub struct TooFewFiles {
    /// Number of files that the process may have open.
    pub limit: u64,
    /// Number of connections that the configuration demands.
    pub wanted: usize,
}

impl FileBudget {
    /// Divides `limit` files, of which as many as possible, up to `wanted`, are for connections.
    ///
    /// # Errors
    /// Fails if the limit is below [`LEAST_OPEN_FILES`].
    pub fn new(limit: u64, wanted: usize) -> Result<FileBudget, TooFewFiles> {
        if limit < LEAST_OPEN_FILES {
            return Err(TooFewFiles { limit, wanted });
        }
        let reserve = (limit / 4).clamp(LEAST_RESERVE, GREATEST_RESERVE);
        let available = usize::try_from(limit - reserve).unwrap_or(usize::MAX);
        Ok(FileBudget { limit, connections: wanted.min(available), wanted })
    }

    /// Returns a warning if fewer connections fit than are wanted.
    pub fn warning(&self) -> Option<String> {
        let FileBudget { limit, connections, wanted } = *self;
        (connections < wanted).then(|| {
            format!(
                "the process may have {limit} files open, so that {connections} connections are taken at a time, and not \
                 the {wanted} of --max-connections: raise the hard limit to {} (ulimit -Hn, LimitNOFILE=, --ulimit \
                 nofile=), or give --max-connections {connections}",
                FileBudget::limit_for(wanted)
            )
        })
    }

    /// Returns the least limit that suffices for this many connections.
    fn limit_for(connections: usize) -> u64 {
        let connections = connections as u64;
        let reserve = (connections / 3 + 1).clamp(LEAST_RESERVE, GREATEST_RESERVE);
        connections.saturating_add(reserve).max(LEAST_OPEN_FILES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reserve_is_kept_and_what_is_wanted_fits_in_the_limit_that_is_named() {
        for (limit, connections) in [(192, 32), (256, 96), (1024, 768), (4096, 3072), (20_000, 10_000)] {
            let budget = FileBudget::new(limit, 10_000).unwrap();
            assert_eq!(budget.connections, connections, "{limit}");
            let named = FileBudget::limit_for(10_000).to_string();
            let warning = budget.warning();
            assert_eq!(warning.is_some(), connections < 10_000);
            assert!(warning.is_none_or(|warning| warning.contains(&named)));
        }
        for wanted in [1, 100, 479, 480, 1000, 3072, 10_000, 1_000_000] {
            let limit = FileBudget::limit_for(wanted);
            assert_eq!(FileBudget::new(limit, wanted).unwrap().warning(), None, "{wanted}");
        }
        assert_eq!(FileBudget::new(u64::MAX, 10_000).unwrap().connections, 10_000);
        let refused = FileBudget::new(191, 10_000).unwrap_err().to_string();
        assert!(refused.contains("191 files") && refused.contains("ulimit -Hn"), "{refused}");
    }

    #[test]
    fn the_limit_can_be_raised_and_what_is_open_can_be_counted() {
        raise_open_file_limit();
        let limit = getrlimit(Resource::Nofile);
        assert_eq!(limit.current, limit.maximum);
        let before = open_files().unwrap();
        let file = fs::File::open("/dev/null").unwrap();
        // Other tests open files, too.
        assert!(before > 2 && open_file_limit() > before as u64);
        drop(file);
    }
}
