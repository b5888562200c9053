//! The making of a catalog that another version wrote.

use std::fs::File;
use std::path::Path;
use std::time::Instant;

use sled::Db;

use super::sync_thread::sync;
use crate::data_dir::IoError;
use crate::store::StoreError;
use crate::store::catalog::Catalog;
use crate::store::content::StoreContent;
use crate::store::journal::Journal;
use crate::store::keys::Trees;

/// Makes the catalog of an open database again from its records, because another version wrote it.
pub(super) fn rebuild_catalog(
    db: &Db,
    file: &Path,
    trees: &Trees,
    content: StoreContent,
) -> Result<(Journal, Catalog), StoreError> {
    let begin = Instant::now();
    let opened = File::open(file).map_err(IoError::of("open", file))?;
    tracing::info!("another version wrote the catalog of this store: it is made again from the records");
    let (journal, catalog) = Journal::rebuild(trees, content.format(), || sync(db, &opened))?;
    let seconds = begin.elapsed().as_secs_f32();
    tracing::info!(optimizations = catalog.len(), seconds, "the catalog has been made again from the records");
    Ok((journal, catalog))
}
