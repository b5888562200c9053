//! The 19 fields of a view as values that can be compared and shown.

use serde::ser::{Error as _, Serialize, Serializer};
use serde_json::value::RawValue;

use crate::domain::View;

/// The value of a field of a view.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FieldValue {
    Null,
    Text(Box<str>),
    Number(u64),
    /// The text of a JSON object.
    Object(Box<str>),
}

/// A field that an event changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldChange {
    pub field: &'static str,
    pub old: FieldValue,
    pub new: FieldValue,
}

/// Returns the fields that differ, in the view's order. All fields of a view that is `None` are null.
pub fn changes(old: Option<&View<'_>>, new: Option<&View<'_>>) -> Vec<FieldChange> {
    let pairs = fields(old).into_iter().zip(fields(new));
    pairs
        .map(|((field, old), (_, new))| FieldChange { field, old, new })
        .filter(|change| change.old != change.new)
        .collect()
}

/// Returns all fields with their names, in the view's order. All fields of a view that is `None` are null.
pub fn fields(view: Option<&View<'_>>) -> [(&'static str, FieldValue); 19] {
    let text =
        |of: fn(&View<'_>) -> Option<Box<str>>| view.and_then(of).map_or(FieldValue::Null, FieldValue::Text);
    let object =
        |of: fn(&View<'_>) -> Option<Box<str>>| view.and_then(of).map_or(FieldValue::Null, FieldValue::Object);
    [
        ("id", text(|view| Some(view.id.into()))),
        ("name", text(|view| view.name.map(Box::from))),
        ("description", text(|view| view.description.map(Box::from))),
        ("project_id", text(|view| Some(view.project_id.into()))),
        ("organization_id", text(|view| Some(view.organization_id.into()))),
        (
            "status",
            view.and_then(|view| view.status)
                .map_or(FieldValue::Null, |status| FieldValue::Text(Box::from(status.as_str()))),
        ),
        ("kind", text(|view| view.kind.map(Box::from))),
        ("created_at", text(|view| Some(view.created_at.to_string().into()))),
        ("created_by_email", text(|view| view.created_by_email.map(Box::from))),
        ("cell_spec_id", text(|view| view.cell_spec_id.map(Box::from))),
        ("parameterized_model_id", text(|view| view.parameterized_model_id.map(Box::from))),
        ("parameterized_model_name", text(|view| view.parameterized_model_name.map(Box::from))),
        ("cell_name", text(|view| view.cell_name.map(Box::from))),
        ("optimization_template_id", text(|view| view.optimization_template_id.map(Box::from))),
        ("metrics", object(|view| view.metrics.map(Box::from))),
        ("objectives", object(|view| view.objectives.map(Box::from))),
        ("error", text(|view| view.error.map(Box::from))),
        ("error_code", text(|view| view.error_code.map(Box::from))),
        ("run_count", view.map_or(FieldValue::Null, |view| FieldValue::Number(view.run_count))),
    ]
}

impl Serialize for FieldValue {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            FieldValue::Null => serializer.serialize_none(),
            FieldValue::Text(text) => serializer.serialize_str(text),
            FieldValue::Number(number) => serializer.serialize_u64(*number),
            // The text goes out as it is, so that every number stays as it was written.
            FieldValue::Object(text) => {
                serde_json::from_str::<&RawValue>(text).map_err(S::Error::custom)?.serialize(serializer)
            }
        }
    }
}
