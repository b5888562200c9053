//! The fields of a view that an event changed.

use crate::codec::view_json;
use crate::domain::View;

/// A field that an event changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldChange {
    pub field: &'static str,
    /// The value before the event, as JSON.
    pub old: String,
    /// The value after the event, as JSON.
    pub new: String,
}

/// Returns the fields that differ, in the view's order. All fields of a view that is `None` are null.
pub fn changes(old: Option<&View<'_>>, new: Option<&View<'_>>) -> Vec<FieldChange> {
    let [old, new] = [old, new].map(|view| view.map_or_else(View::hidden_fields, View::fields));
    (old.into_iter().zip(new))
        .filter(|(old, new)| old.value != new.value)
        .map(|(old, new)| FieldChange {
            field: old.name,
            old: view_json::value(old.value),
            new: view_json::value(new.value),
        })
        .collect()
}
