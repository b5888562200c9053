//! The forms in which a page shows its records. All are slices of the stored bytes: nothing of a response is parsed or built.

use crate::codec::stored_record::{self, CorruptValue, Layout, StatusFields};
use crate::domain::view;
use crate::store::list_query::ViewForm;

/// The form in which a page shows a record.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum RecordForm {
    View(ViewForm),
    /// The status and what explains it; and the time at which it came about, if the registers can be decoded.
    Status {
        with_time: bool,
    },
}

impl RecordForm {
    /// Returns a number that differs for each form.
    pub fn code(self) -> u8 {
        match self {
            RecordForm::View(ViewForm::Full) => 0,
            RecordForm::View(ViewForm::Summary) => 1,
            RecordForm::Status { with_time } => 2 + u8::from(with_time),
        }
    }
}

/// Appends a record to a page.
pub(super) fn push_record(
    stored: &[u8],
    layout: &Layout,
    form: RecordForm,
    out: &mut Vec<u8>,
) -> Result<(), CorruptValue> {
    match form {
        RecordForm::View(ViewForm::Full) => push_view(stored, layout, out),
        RecordForm::View(ViewForm::Summary) => {
            for part in stored_record::without_results(stored, layout)? {
                out.extend_from_slice(&stored[part]);
            }
        }
        RecordForm::Status { with_time } => push_status(stored, layout, with_time, out)?,
    }
    Ok(())
}

/// Appends a view as lists show it: with its objectives.
fn push_view(stored: &[u8], layout: &Layout, out: &mut Vec<u8>) {
    let (before, after) = (
        &stored[layout.response.start..layout.objectives_null.start],
        &stored[layout.objectives_null.end..layout.response.end],
    );
    let objectives = layout.objectives.as_ref().map_or(&b"null"[..], |objectives| &stored[objectives.clone()]);
    out.reserve(before.len() + objectives.len() + after.len() + 1);
    out.extend_from_slice(before);
    out.extend_from_slice(objectives);
    out.extend_from_slice(after);
}

fn push_status(stored: &[u8], layout: &Layout, with_time: bool, out: &mut Vec<u8>) -> Result<(), CorruptValue> {
    let StatusFields { id, status, error, error_code } = StatusFields::find_in(stored, layout)?;
    for (key, value) in [
        (&br#"{"optimization_id":"#[..], id),
        (br#","status":"#, status),
        (br#","error":"#, error),
        (br#","error_code":"#, error_code),
    ] {
        out.extend_from_slice(key);
        out.extend_from_slice(value);
    }
    let updated_at = match with_time {
        true => view::status_updated_at(&stored_record::decode_optimization(stored)?),
        false => None,
    };
    let updated_at = updated_at.map_or_else(|| "null".to_owned(), |time| format!("\"{time}\""));
    out.extend_from_slice(format!(r#","updated_at":{updated_at}}}"#).as_bytes());
    Ok(())
}
