//! Compares what two generations show, view by view. What changes meanwhile is remembered, so that only that has to be
//! looked at again when both stand at the same positions.

mod parked_jobs;

use std::collections::HashSet;
use std::sync::Arc;

use serde_json::{Map, Value};
use sled::IVec;

use super::{Reader, StoreError, pieces};
use crate::codec::stored_record::{self, Layout};
use crate::domain::{Optimization, Shortfall};
pub use parked_jobs::is_parked_alike;

/// The difference between what two generations show of an optimization.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ViewDiff {
    /// Both show the view, and nothing differs that can be compared.
    Same,
    /// The fields of the contract that differ.
    Differing(Vec<String>),
    /// The views are the same, or neither shows one; these registers are not: in the event that set them, in a
    /// job's history, or of an optimization that waits for its creation.
    Unseen(Vec<String>),
    /// The old generation shows the view, and the new one does not.
    OnlyOld,
    /// The new generation shows the view, and the old one does not.
    OnlyNew,
    /// Neither shows it, and what is stored is the same.
    Neither,
}

/// The stored bytes of one optimization.
struct StoredOptimization {
    stored: IVec,
    layout: Layout,
}

impl StoredOptimization {
    fn parts(&self) -> [&[u8]; 2] {
        let objectives = self.layout.objectives.clone().map_or(&b"null"[..], |range| &self.stored[range]);
        [&self.stored[self.layout.response.clone()], objectives]
    }

    fn fields(&self) -> Result<Map<String, Value>, StoreError> {
        let damaged =
            |error: serde_json::Error| stored_record::CorruptValue { what: "response", reason: error.to_string() };
        let [response, objectives] = self.parts();
        let mut fields: Map<String, Value> = serde_json::from_slice(response).map_err(damaged)?;
        fields.insert("objectives".to_owned(), serde_json::from_slice(objectives).map_err(damaged)?);
        Ok(fields)
    }
}

/// Compares one optimization, and returns what the new one lacks of the old one. If the old one is damaged, it differs: the
/// others are still to be looked at, and it is the new one that must be sound.
///
/// # Errors
/// Fails if the new one cannot be read, or if the old one fails by anything but damage.
pub fn compare(old: &Reader, new: &Reader, id: &str) -> Result<(ViewDiff, Shortfall), StoreError> {
    let new = new.held(id)?;
    // Registers of another format are other bytes, and cannot be decoded.
    let shown_only = old.check_format().is_err();
    let compared = old.held(id).and_then(|old| {
        let shortfall = shortfall(old.as_ref(), new.as_ref(), id, shown_only)?;
        Ok((compare_held(old, new, id, shown_only)?, shortfall))
    });
    match compared {
        Err(error) if error.is_damage() => Ok((ViewDiff::Differing(Vec::new()), Shortfall::default())),
        compared => compared,
    }
}

fn shortfall(
    old: Option<&StoredOptimization>,
    new: Option<&StoredOptimization>,
    id: &str,
    shown_only: bool,
) -> Result<Shortfall, StoreError> {
    let Some(old) = old.filter(|old| new.is_none_or(|new| new.stored != old.stored)) else {
        return Ok(Shortfall::default());
    };
    if shown_only {
        return shown_shortfall(old, new);
    }
    let registers = |held: Option<&StoredOptimization>| match held {
        Some(held) => stored_record::decode_optimization(&held.stored),
        None => Ok(Optimization::new(id.into())),
    };
    Ok(Shortfall::of(&registers(Some(old))?, &registers(new)?))
}

/// Returns what can be known if the old registers cannot be decoded: a view that is not there any more, and was not deleted; and
/// fields that have a value no more, a status that goes back, or fewer runs. The latter mean something only where both
/// have read the same.
fn shown_shortfall(old: &StoredOptimization, new: Option<&StoredOptimization>) -> Result<Shortfall, StoreError> {
    let mut shortfall = Shortfall::default();
    if !old.layout.shown {
        return Ok(shortfall);
    }
    let Some(new) = new.filter(|new| new.layout.shown) else {
        let is_deleted = match new {
            Some(new) => stored_record::decode_optimization(&new.stored)?.deleted.is_some(),
            None => false,
        };
        return Ok(Shortfall { view: !is_deleted, ..shortfall });
    };
    if old.parts() == new.parts() {
        return Ok(shortfall);
    }
    let (old, new) = (old.fields()?, new.fields()?);
    let goes_back = |name: &str| match name {
        "status" => status_rank(&old) > status_rank(&new),
        "run_count" => old[name].as_u64() > new.get(name).and_then(Value::as_u64),
        name => !old[name].is_null() && new.get(name).is_none_or(Value::is_null),
    };
    shortfall.fields = old.keys().filter(|name| goes_back(name)).cloned().collect();
    Ok(shortfall)
}

/// Returns how far the status of a view is on its way from `queued` to an end.
fn status_rank(fields: &Map<String, Value>) -> u8 {
    match fields.get("status").and_then(Value::as_str) {
        None => 0,
        Some("queued") => 1,
        Some("running") => 2,
        Some(_) => 3,
    }
}

fn compare_held(
    old: Option<StoredOptimization>,
    new: Option<StoredOptimization>,
    id: &str,
    shown_only: bool,
) -> Result<ViewDiff, StoreError> {
    let is_same = old.as_ref().map(|old| &old.stored) == new.as_ref().map(|new| &new.stored);
    let shown = |held: &'_ Option<StoredOptimization>| held.as_ref().is_some_and(|held| held.layout.shown);
    Ok(match (shown(&old), shown(&new), old, new) {
        (true, ..) if is_same => ViewDiff::Same,
        (false, ..) if is_same => ViewDiff::Neither,
        (true, false, ..) => ViewDiff::OnlyOld,
        (false, true, ..) => ViewDiff::OnlyNew,
        (true, true, Some(old), Some(new)) if old.parts() != new.parts() => {
            let (old, new) = (old.fields()?, new.fields()?);
            let names: std::collections::BTreeSet<&String> = old.keys().chain(new.keys()).collect();
            let differs = |name: &&&String| old.get(**name) != new.get(**name);
            ViewDiff::Differing(names.iter().filter(differs).map(|name| (*name).clone()).collect())
        }
        (true, ..) if shown_only => ViewDiff::Same,
        (false, ..) if shown_only => ViewDiff::Neither,
        (_, _, old, new) => {
            let registers = |held: Option<StoredOptimization>| match held {
                Some(held) => stored_record::decode_optimization(&held.stored),
                None => Ok(Optimization::new(id.into())),
            };
            ViewDiff::Unseen(differing_registers(&registers(old)?, &registers(new)?))
        }
    })
}

/// By their names, as the fields of [`Optimization`] have them.
fn differing_registers(old: &Optimization, new: &Optimization) -> Vec<String> {
    let differing = [
        ("created", old.created != new.created),
        ("name", old.name != new.name),
        ("description", old.description != new.description),
        ("cell_name", old.cell_name != new.cell_name),
        ("parameterized_model_name", old.parameterized_model_name != new.parameterized_model_name),
        ("deleted", old.deleted != new.deleted),
        ("links", old.links() != new.links()),
        ("job", old.job != new.job),
    ];
    differing.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name.to_owned()).collect()
}

impl Reader {
    /// From now on, what is written is remembered for [`Reader::take_changes`].
    pub fn watch_changes(&self) {
        self.progress.changes.begin();
    }

    /// Returns the ids of what was written since the last call.
    pub fn take_changes(&self) -> HashSet<Arc<str>> {
        self.progress.changes.take_optimizations()
    }

    /// Ends the watch over changes and forgets what was noted.
    pub fn end_watch(&self) {
        self.progress.changes.end();
    }

    /// The ids of some optimizations, shown or not: of those numbered `from` on, `most` numbers. Empty at the end.
    pub fn ids(&self, from: u32, most: u32) -> Vec<Arc<str>> {
        let catalog = self.catalog.read();
        let end = from.saturating_add(most).min(catalog.next_number());
        (from..end).filter_map(|number| catalog.id(number)).collect()
    }

    /// Returns true if anything is stored of an optimization.
    pub fn holds(&self, id: &str) -> bool {
        self.ids.get(id).is_some()
    }

    /// One more than the number of any optimization.
    pub fn numbers(&self) -> u32 {
        self.catalog.read().next_number()
    }

    fn held(&self, id: &str) -> Result<Option<StoredOptimization>, StoreError> {
        let Some(number) = self.ids.get(id) else { return Ok(None) };
        let Some(stored) = pieces::get(&self.trees, &self.trees.optimizations, &number.to_be_bytes())? else {
            return Ok(None);
        };
        let layout = stored_record::layout(&stored)?;
        Ok(Some(StoredOptimization { stored, layout }))
    }
}
