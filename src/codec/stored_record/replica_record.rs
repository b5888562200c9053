//! The record of an optimization in a store that is made of a topic of views: what readers get of it, as in any store, and in place of
//! the registers the place in the topic's order that the view has.

use serde::{Deserialize, Serialize};

use super::{CorruptValue, append, encode_shown, layout, read};
use crate::domain::View;

/// The number that stands for the fold format of a store that is made of a topic of views. Its records have no registers, so that
/// nothing can be folded on.
pub const VIEWS_FORMAT: u8 = 0;

/// The origin of a replicated record, which stands where others have their registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordOrigin<'a> {
    /// The version of the view on its topic. A view of a lower one is older.
    pub version: u64,
    /// The id of the optimization, which the response of one that is gone does not have.
    pub id: &'a str,
}

/// Encodes a view into `out`, whose content is replaced; `None` for an optimization that readers do not see any more.
///
/// # Errors
/// A part of it is longer than the layout has room for.
pub fn encode_replicated(
    origin: RecordOrigin<'_>,
    view: Option<&View<'_>>,
    out: &mut Vec<u8>,
) -> Result<(), CorruptValue> {
    encode_shown(view, view.and_then(|view| view.objectives), out)?;
    append(&origin, out, "origin of a view")
}

/// Returns the origin of a replicated record.
///
/// # Errors
/// The record is none.
pub fn origin_of(stored: &[u8]) -> Result<RecordOrigin<'_>, CorruptValue> {
    read(&stored[layout(stored)?.registers..], "origin of a view")
}
