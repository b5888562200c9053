//! The file of the control socket. It is made so that nobody but its owner can ever connect, and removed when it is dropped.
//! The process that makes it must hold the data directory: a file that is there before was left by a killed process, and is
//! replaced.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

const NAME: &str = "control.sock";

/// The directory in which the socket is made before it gets its name.
const NEW: &str = "control.new";

/// Number of bytes that a socket's address can hold on every system: Linux allows 108, others 104, with the byte that ends it.
const ADDRESS_LIMIT: usize = 103;

/// A listening control socket.
#[derive(Debug)]
pub struct Socket {
    pub(super) listener: UnixListener,
    pub(super) file: SocketFile,
}

impl Socket {
    /// Listens in a data directory that this process holds.
    pub fn bind(data_dir: &Path) -> io::Result<Socket> {
        // Between its creation and the change of its mode, a socket is open to everybody whom the umask lets in. So it is made
        // where nobody else can reach it, and moved into place, where it replaces an older one without a gap.
        let (new, path) = (data_dir.join(NEW), data_dir.join(NAME));
        if new.exists() {
            fs::remove_dir_all(&new)?;
        }
        DirBuilder::new().mode(0o700).create(&new)?;
        let made = new.join(NAME);
        let listener = at_short_path(&made, |short| UnixListener::bind(short))?;
        fs::set_permissions(&made, Permissions::from_mode(0o600))?;
        fs::rename(&made, &path)?;
        fs::remove_dir(&new)?;
        listener.set_nonblocking(true)?;
        Ok(Socket { listener, file: SocketFile(path) })
    }
}

/// The socket's path, which is removed when this is dropped.
#[derive(Debug)]
pub(super) struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        // A file that stays is replaced by the next process.
        let _ = fs::remove_file(&self.0);
    }
}

/// Connects to the process that listens in a data directory. Returns `None` if none does.
pub(super) fn connect(data_dir: &Path) -> io::Result<Option<UnixStream>> {
    match at_short_path(&data_dir.join(NAME), |short| UnixStream::connect(short)) {
        Ok(stream) => Ok(Some(stream)),
        Err(error) => match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => Ok(None),
            _ => Err(error),
        },
    }
}

/// Calls `with` with a socket's path, or, if that is too long for an address, with a short name of the same file.
fn at_short_path<T>(path: &Path, with: impl FnOnce(&Path) -> io::Result<T>) -> io::Result<T> {
    if path.as_os_str().len() <= ADDRESS_LIMIT {
        return with(path);
    }
    let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else { return with(path) };
    let directory = File::open(directory)?;
    with(&PathBuf::from(format!("/proc/self/fd/{}", directory.as_raw_fd())).join(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_is_its_owners_only_and_goes_with_its_process() {
        let directory = tempfile::tempdir().unwrap();
        let socket = Socket::bind(directory.path()).unwrap();
        let path = directory.path().join(NAME);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(connect(directory.path()).unwrap().is_some());
        assert!(!directory.path().join(NEW).exists());
        drop(socket);
        assert!(!path.exists());
        assert!(connect(directory.path()).unwrap().is_none());
    }

    #[test]
    fn one_that_a_killed_process_left_is_nobodys_and_is_replaced() {
        let directory = tempfile::tempdir().unwrap();
        drop(UnixListener::bind(directory.path().join(NAME)).unwrap());
        fs::create_dir(directory.path().join(NEW)).unwrap();
        fs::write(directory.path().join(NEW).join("left"), "").unwrap();
        assert!(directory.path().join(NAME).exists());
        assert!(connect(directory.path()).unwrap().is_none());
        let _socket = Socket::bind(directory.path()).unwrap();
        assert!(connect(directory.path()).unwrap().is_some());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_path_may_be_longer_than_an_address() {
        let directory = tempfile::tempdir().unwrap();
        let deep = directory.path().join("d".repeat(120));
        fs::create_dir(&deep).unwrap();
        let _socket = Socket::bind(&deep).unwrap();
        assert!(connect(&deep).unwrap().is_some());
        assert!(deep.join(NAME).exists());
    }
}
