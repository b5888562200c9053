//! The version of the program and the commit that it was built from.

/// The version, as in `Cargo.toml`.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The version, with the commit if that is known.
pub const LONG_VERSION: &str = env!("OPTVIEW_LONG_VERSION");

/// The commit that was built; `None` if neither git nor `BUILD_COMMIT` had it at build time.
pub const COMMIT: Option<&str> = {
    let commit = env!("BUILD_COMMIT");
    if commit.is_empty() { None } else { Some(commit) }
};
