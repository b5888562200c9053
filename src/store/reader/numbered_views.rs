//! The reading of views for who publishes them: by their numbers, as lists show them.

use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};

use sled::IVec;

use super::Reader;
use super::view_forms::{RecordForm, push_record};
use crate::codec::stored_record;
use crate::domain::ReadPosition;
use crate::store::list_query::ViewForm;
use crate::store::{StoreError, TouchedViews, pieces};

/// A view with what is known of its optimization.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NumberedView {
    /// The number of the optimization in this store.
    pub number: u32,
    /// The id of the optimization.
    pub id: Arc<str>,
    /// The view; `None` if readers see none, as of what was deleted.
    pub shown: Option<ShownView>,
}

/// A view that readers see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShownView {
    /// The id of the organization that may read the view.
    pub organization_id: String,
    /// The id of the project that the view belongs to.
    pub project_id: String,
    /// The view as lists show it: 19 keys, the objectives filled in.
    pub json: Vec<u8>,
}

impl Reader {
    /// Has the writer note for a publisher what it writes from now on; `None`: for nobody any more. Whatever was written before the call
    /// can be read after it.
    pub fn note_touched_in(&self, touched: Option<Arc<TouchedViews>>) {
        self.progress.touched.store(touched);
        fence(Ordering::SeqCst);
    }

    /// Has a store that nobody writes to published as it is. `bound` is a position that no view is beyond.
    pub fn publish_as_it_is(&self, bound: ReadPosition) {
        self.progress.bound.store(Arc::new(bound));
        self.progress.has_whole_bound.store(true, Ordering::Release);
        self.progress.caught_up.store(true, Ordering::Release);
    }

    /// Returns true once everything has been written that the topics held at the start.
    pub fn has_caught_up(&self) -> bool {
        self.progress.caught_up.load(Ordering::Acquire)
    }

    /// Returns true once [`Reader::position_bound`] has every partition of the topics.
    pub fn has_whole_bound(&self) -> bool {
        self.progress.has_whole_bound.load(Ordering::Acquire)
    }

    /// Returns the number of an optimization.
    pub fn number_of(&self, id: &str) -> Option<u32> {
        self.ids.get(id)
    }

    /// Returns the number that the next new optimization gets. All that there are have smaller ones.
    pub fn next_number(&self) -> u32 {
        self.catalog.read().next_number()
    }

    /// Returns the view of an optimization, by its number; `None` if there is no optimization of this number.
    ///
    /// # Errors
    /// The errors of [`Reader::get`].
    pub fn numbered_view(&self, number: u32) -> Result<Option<NumberedView>, StoreError> {
        let Some(id) = self.catalog.read().id_of(number) else { return Ok(None) };
        let stored = pieces::get(&self.trees, &self.trees.optimizations, &number.to_be_bytes());
        let shown = stored.and_then(|stored| stored.map_or(Ok(None), |stored| shown(&stored)));
        Ok(Some(NumberedView { number, id, shown: self.progress.failure.note_error(shown)? }))
    }
}

fn shown(stored: &IVec) -> Result<Option<ShownView>, StoreError> {
    let layout = stored_record::layout(stored)?;
    if !layout.shown {
        return Ok(None);
    }
    let mut json = Vec::new();
    push_record(stored, &layout, RecordForm::View(ViewForm::Full), &mut json)?;
    Ok(Some(ShownView {
        organization_id: String::from_utf8_lossy(&stored[layout.organization_id.clone()]).into_owned(),
        project_id: stored_record::project_id(stored, &layout)?,
        json,
    }))
}
