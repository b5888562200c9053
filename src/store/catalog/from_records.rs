//! The catalog's entries, made again from the records: for a catalog on disk that another version wrote.

use std::borrow::Cow;

use serde::Deserialize;
use smallvec::SmallVec;

use super::{Catalog, CatalogLoader, Entry, ListEntry, NO_CHUNK};
use crate::codec::stored_record::{self, CorruptValue, FORMAT, VIEWS_FORMAT};
use crate::domain::{Optimization, Status, Timestamp, name_key};
use crate::store::keys::Trees;
use crate::store::{StoreError, pieces};

/// Number of records whose entries are passed on together.
const BATCH: usize = 256;

/// Builds the catalog from the records alone, for a generation that is only read: nothing is written.
///
/// # Errors
/// The store's.
pub fn read(trees: &Trees, format: u8) -> Result<Catalog, StoreError> {
    let mut loader = CatalogLoader::default();
    each_batch(trees, format, |entries| {
        entries.iter().for_each(|entry| loader.put(entry, NO_CHUNK));
        Ok(())
    })?;
    Ok(loader.finish())
}

/// Makes an entry of each stored optimization, in the order of their numbers, and passes them to `take` in batches.
///
/// Registers of another fold format cannot be decoded. Entries of such a generation are made from the responses, so that its lists
/// are right; the jobs that its optimizations link stay unknown, as they do for readers of such a generation anyway. So are those of one
/// that is made of a topic of views, which has no registers.
///
/// # Errors
/// Those of the store and of `take`.
pub fn each_batch(
    trees: &Trees,
    format: u8,
    mut take: impl FnMut(&[Entry<'_>]) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let mut keys = trees.optimizations.iter().keys().peekable();
    while keys.peek().is_some() {
        let mut records = Vec::new();
        for key in keys.by_ref().take(BATCH) {
            let key = key?;
            if let Some(stored) = pieces::get(trees, &trees.optimizations, &key)? {
                records.push((number(&key)?, stored));
            }
        }
        if format == FORMAT {
            let decode =
                |(number, stored): &(u32, sled::IVec)| Ok((*number, stored_record::decode_optimization(stored)?));
            let optimizations =
                records.iter().map(decode).collect::<Result<Vec<(u32, Optimization)>, StoreError>>()?;
            let entries: Vec<_> = optimizations.iter().map(|(number, it)| Entry::of(it, *number)).collect();
            take(&entries)?;
        } else {
            let (mut views, mut hidden) = (Vec::new(), Vec::new());
            for (number, stored) in &records {
                let layout = stored_record::layout(stored)?;
                if layout.shown {
                    views.push((*number, view(&stored[layout.response])?));
                } else if format == VIEWS_FORMAT {
                    let origin = stored_record::origin_of(stored)?;
                    hidden.push(Entry::of_view(origin.id, None, *number));
                }
            }
            let mut entries =
                views.iter().map(|(number, view)| view.entry(*number)).collect::<Result<Vec<_>, _>>()?;
            entries.append(&mut hidden);
            take(&entries)?;
        }
    }
    Ok(())
}

fn number(key: &[u8]) -> Result<u32, CorruptValue> {
    let key = key.try_into().map_err(|_| damaged("its key is not a number of four bytes"))?;
    Ok(u32::from_be_bytes(key))
}

fn damaged(reason: impl ToString) -> CorruptValue {
    CorruptValue { what: "optimization", reason: reason.to_string() }
}

fn view(response: &[u8]) -> Result<ListedView<'_>, CorruptValue> {
    serde_json::from_slice(response).map_err(damaged)
}

/// The fields of a response that lists depend on.
#[derive(Deserialize)]
struct ListedView<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow)]
    organization_id: Cow<'a, str>,
    #[serde(borrow)]
    name: Option<Cow<'a, str>>,
    #[serde(borrow)]
    project_id: Cow<'a, str>,
    #[serde(borrow)]
    kind: Option<Cow<'a, str>>,
    #[serde(borrow)]
    status: Option<Cow<'a, str>>,
    #[serde(borrow)]
    created_at: Cow<'a, str>,
}

impl ListedView<'_> {
    fn entry(&self, number: u32) -> Result<Entry<'_>, CorruptValue> {
        let status = |text: &Cow<'_, str>| Status::ALL.into_iter().find(|status| status.as_str() == text);
        let created_at = Timestamp::parse(&self.created_at);
        let listed = ListEntry {
            organization_id: &self.organization_id,
            project_id: &self.project_id,
            kind: self.kind.as_deref(),
            status: self.status.as_ref().and_then(status),
            created_at: created_at.ok_or_else(|| damaged("its response has no time of creation"))?,
            name: self.name.as_deref().map(name_key::beginning),
        };
        Ok(Entry { number, id: &self.id, listed: Some(listed), jobs: SmallVec::new() })
    }
}
