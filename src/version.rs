//! Which program this is.

/// The version, as in `Cargo.toml`.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The version, and the commit where it is known.
pub const LONG_VERSION: &str = env!("OPTVIEW_LONG_VERSION");

/// The commit that was built; `None` where neither git nor `BUILD_COMMIT` said it at build time.
pub const COMMIT: Option<&str> = {
    let commit = env!("BUILD_COMMIT");
    if commit.is_empty() { None } else { Some(commit) }
};
