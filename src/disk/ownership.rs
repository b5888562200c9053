//! The ownership of files: messages for refused access that name the file, its owner and the remedy, and a check that no process
//! leaves files in a directory that the directory's owner could not open.

use std::fs::{self, Metadata};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, CWD, accessat};
use rustix::process::geteuid;

/// The error for a directory whose files belong to another user than the one that would write there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{path} belongs to {owner}, and this runs as {own}: {owner} could not open what it would make there. Run it as that user \
     ({run_as}), or give all of it to this one: `chown -R {own_id} {directory}`",
    path = path.display(),
    owner = user(*owner),
    own = user(*own),
    own_id = own,
    run_as = run_as(*owner, *group),
    directory = directory.display()
)]
pub struct OtherOwner {
    /// The directory that would be written to.
    pub directory: PathBuf,
    /// The path that belongs to another user.
    pub path: PathBuf,
    /// The id of the user that `path` belongs to.
    pub owner: u32,
    /// The id of the group that `path` belongs to.
    pub group: u32,
    /// The user that the process runs as.
    pub own: u32,
}

/// Checks that the process does not write as root to a directory that belongs to another user, who could not open the new
/// files. `path` shows whose the directory is: it is the directory, or a file in it that is as old. Users other than root can
/// write only where the directory's owner has let them, which is left to the system.
///
/// # Errors
/// Fails if the path belongs to another user. A path that cannot be examined is no failure here: opening it will fail.
pub fn check_owner(directory: &Path, path: &Path) -> Result<(), OtherOwner> {
    let Ok(found) = fs::metadata(path) else { return Ok(()) };
    check_owner_as(geteuid().as_raw(), directory, path, &found)
}

fn check_owner_as(own: u32, directory: &Path, path: &Path, found: &Metadata) -> Result<(), OtherOwner> {
    if own != 0 || found.uid() == 0 {
        return Ok(());
    }
    let (directory, path) = (directory.to_owned(), path.to_owned());
    Err(OtherOwner { directory, path, owner: found.uid(), group: found.gid(), own })
}

/// Removes the rights of others, who are neither owner nor in the group, from a file or directory of this user.
/// The group keeps its rights: they are given on purpose, as `fsGroup` of Kubernetes does. Returns true if the mode was
/// changed.
///
/// # Errors
/// Fails if the path cannot be examined, or its mode cannot be changed.
pub fn close_to_others(path: &Path) -> io::Result<bool> {
    let found = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
        found => found?,
    };
    let mode = found.mode() & 0o7777;
    if found.is_symlink() || mode & 0o007 == 0 || found.uid() != geteuid().as_raw() {
        return Ok(false);
    }
    fs::set_permissions(path, fs::Permissions::from_mode(mode & !0o007))?;
    Ok(true)
}

/// Returns the end of a message about refused access: the file, its owner, and the remedy. It is empty for any other error.
pub fn permission_remedy(path: &Path, error: &io::Error) -> String {
    if error.kind() != ErrorKind::PermissionDenied {
        return String::new();
    }
    let own = geteuid().as_raw();
    let found = refused(path).and_then(|path| Some((fs::symlink_metadata(&path).ok()?, path)));
    let Some((found, path)) = found else {
        return format!("; this runs as {}, who may not look there", user(own));
    };
    let (uid, mode) = (found.uid(), found.mode() & 0o7777);
    let (owner, shown) = (user(uid), path.display());
    let helps = match uid == own {
        true => format!("`chmod u+rwX {shown}`, unless the disk itself refuses it"),
        false => format!("run it as {owner} ({}), or `chown -R {own} {shown}`", run_as(uid, found.gid())),
    };
    format!("; {shown} belongs to {owner} with mode {mode:04o}, and this runs as {}: {helps}", user(own))
}

/// Finds the file or directory that the process may not use as it must: the path itself, the first of its entries that is
/// refused, or the directory above that is closed.
fn refused(path: &Path) -> Option<PathBuf> {
    let (all, pass) = (Access::READ_OK | Access::WRITE_OK, Access::EXEC_OK);
    let may = |path: &Path, access| accessat(CWD, path, access, AtFlags::EACCESS).is_ok();
    let above: Vec<&Path> = path.ancestors().skip(1).filter(|path| !path.as_os_str().is_empty()).collect();
    if let Some(barred) = above.iter().rev().find(|path| path.is_dir() && !may(path, pass)) {
        return Some(barred.to_path_buf());
    }
    let there = path.ancestors().find(|path| fs::symlink_metadata(path).is_ok())?;
    if !may(there, all) {
        return Some(there.to_owned());
    }
    let entries = fs::read_dir(there).into_iter().flatten().flatten().map(|entry| entry.path());
    let entry = entries.into_iter().find(|entry| !may(entry, all));
    // Creating and removing a file needs rights on its directory.
    entry
        .or_else(|| there.parent().filter(|parent| !may(parent, all)).map(Path::to_path_buf))
        .or(Some(there.to_owned()))
}

/// Checks that files can be made in a directory, or, if it does not exist, in its nearest existing ancestor. Nothing is made.
///
/// # Errors
/// The operating system's, if it refuses that.
pub fn check_writable(directory: &Path) -> io::Result<()> {
    let existing = directory.ancestors().find(|path| !matches!(path.try_exists(), Ok(false)));
    // The empty parent of a path of one name stands for the current directory.
    let existing = existing.filter(|path| !path.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Ok(accessat(CWD, existing, Access::WRITE_OK | Access::EXEC_OK, AtFlags::EACCESS)?)
}

/// Formats a user with its name, if it has one, and its id.
fn user(id: u32) -> String {
    match name_of(id) {
        Some(name) => format!("{name} (uid {id})"),
        None => format!("uid {id}"),
    }
}

/// Returns the command line that runs optview as a user, who may have no name on this machine, as in containers.
fn run_as(user: u32, group: u32) -> String {
    match name_of(user) {
        Some(name) => format!("`sudo -u {name} optview ...`"),
        None => format!("`setpriv --reuid={user} --regid={group} --clear-groups optview ...`"),
    }
}

/// Looks up a user's name in `/etc/passwd`.
fn name_of(id: u32) -> Option<String> {
    let users = fs::read_to_string("/etc/passwd").ok()?;
    users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, found) = (fields.next()?, fields.nth(1)?);
        (found.parse() == Ok(id)).then(|| name.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_writes_to_nobodys_directory_but_its_own_and_the_owner_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let found = fs::metadata(directory.path()).unwrap();
        let check = |own| check_owner_as(own, directory.path(), directory.path(), &found);
        assert_eq!(check(found.uid()), Ok(()));
        assert_eq!(check(4_000_000_000), Ok(()), "what others may do there is up to the system");
        let other = OtherOwner {
            directory: "/data".into(),
            path: "/data/CURRENT".into(),
            owner: 4_000_000_000,
            group: 7,
            own: 0,
        };
        let text = other.to_string();
        for part in [
            "/data/CURRENT belongs to uid 4000000000, and this runs as root (uid 0)",
            "`setpriv --reuid=4000000000 --regid=7 --clear-groups optview ...`",
            "`chown -R 0 /data`",
        ] {
            assert!(text.contains(part), "no {part}: {text}");
        }
        assert_eq!(run_as(0, 0), "`sudo -u root optview ...`");
    }

    #[test]
    fn others_lose_what_they_could_do_and_the_group_keeps_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a");
        fs::write(&path, "").unwrap();
        for (before, after) in [(0o755, 0o750), (0o666, 0o660), (0o2775, 0o2770), (0o600, 0o600)] {
            fs::set_permissions(&path, fs::Permissions::from_mode(before)).unwrap();
            assert_eq!(close_to_others(&path).unwrap(), before != after);
            assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, after);
        }
        assert!(!close_to_others(&directory.path().join("none")).unwrap());
    }

    #[test]
    fn what_is_refused_names_the_file_its_owner_and_its_mode() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a");
        fs::write(&path, "").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o040)).unwrap();
        let denied = io::Error::from_raw_os_error(13);
        for path in [&path, &path.join("below")] {
            let text = permission_remedy(path, &denied);
            assert!(text.contains(" belongs to ") && text.contains("and this runs as"), "{text}");
        }
        assert!(permission_remedy(&path, &denied).contains(&format!("{} belongs to", path.display())));
        assert!(permission_remedy(&path, &denied).contains("mode 0040"));
        assert_eq!(permission_remedy(&path, &io::Error::from_raw_os_error(2)), "");
    }
}
