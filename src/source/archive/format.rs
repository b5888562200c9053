//! The name of an archive's manifest, and the version of its format.

/// The name of the file that lists all others of an archive.
pub const MANIFEST: &str = "MANIFEST.json";
/// The name of a manifest that is being written, as `disk::replace` names it.
pub(super) const NEW_MANIFEST: &str = "MANIFEST.json.new";
/// The version of the files and of the manifest. It changes when an older optview would misunderstand them.
pub(super) const VERSION: u32 = 1;
