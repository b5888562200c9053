//! The views that were read last, so that a view that is read over and over costs one look-up instead of a walk through the index of
//! ids and the tree of records. A view is taken from here only while no part of a commit has begun since it was read: then the store
//! still holds the same. While a part is being written, nothing is taken from here, and nothing is put here.

use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};

use arc_swap::ArcSwapOption;
use foldhash::fast::RandomState;
use sled::IVec;
use smallvec::SmallVec;

use super::response::Response;
use crate::codec::stored_record::{CorruptValue, is_shown_to};

/// Number of slots. Two views whose ids share a slot take it from each other.
const SLOTS: usize = 8192;

/// Most bytes of a record that is held, so that all of them together take 32 MiB at the most; and nothing as long as sled holds them, too.
const RECORD_MAX: usize = 4 << 10;

/// The views that were read last.
pub struct RecentViews {
    slots: LazyLock<Box<[Slot]>>,
    hasher: RandomState,
}

#[derive(Default)]
struct Slot {
    view: ArcSwapOption<RecentView>,
    /// The mark of the last read that found nothing here.
    missed: AtomicU64,
}

/// A view as it was read.
struct RecentView {
    /// The id, of which nearly all have room here: what lies elsewhere has to be fetched.
    id: SmallVec<[u8; 40]>,
    /// Number of parts of commits that were written by then.
    parts: u64,
    record: IVec,
    response: Response,
}

impl Default for RecentViews {
    fn default() -> RecentViews {
        RecentViews {
            slots: LazyLock::new(|| (0..SLOTS).map(|_| Slot::default()).collect()),
            hasher: RandomState::default(),
        }
    }
}

impl RecentViews {
    /// Returns what a reader of an organization (`None`: of any) gets of a view, if the view was read since `parts` parts of commits are
    /// written: inside, `None` if this reader must not see it. The outer one is `None` if the store has to be read.
    pub fn get(
        &self,
        id: &str,
        organization_id: Option<&str>,
        parts: u64,
    ) -> Result<Option<Option<Response>>, CorruptValue> {
        let view = self.slot(self.hasher.hash_one(id)).view.load();
        let Some(view) = view.as_ref().filter(|view| view.parts == parts && view.id[..] == *id.as_bytes()) else {
            return Ok(None);
        };
        // What is held is shown to somebody, so that only those of one organization have to be distinguished.
        let is_shown = organization_id.is_none() || is_shown_to(&view.record, organization_id)?;
        Ok(Some(is_shown.then(|| view.response.clone())))
    }

    /// Notes a view that was read while `parts` parts of commits were written and no other had begun. It is held from the second such
    /// read on: where every read is of another view, or comes after another part, to hold it would cost more than it saves.
    pub fn note(&self, id: &str, parts: u64, record: &IVec, response: &Response) {
        if record.len() > RECORD_MAX {
            return;
        }
        let hash = self.hasher.hash_one(id);
        let (slot, mark) = (self.slot(hash), hash ^ parts.rotate_left(32));
        if slot.missed.swap(mark, Ordering::Relaxed) == mark {
            let view =
                RecentView { id: id.as_bytes().into(), parts, record: record.clone(), response: response.clone() };
            slot.view.store(Some(Arc::new(view)));
        }
    }

    #[expect(clippy::cast_possible_truncation, reason = "any bits of the hash will do")]
    fn slot(&self, hash: u64) -> &Slot {
        &self.slots[hash as usize % SLOTS]
    }
}
