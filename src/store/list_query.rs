//! The query of a list: its filters, its order, and the page.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use crate::codec::stored_record::{self, Filter};
use crate::domain::name_key::caseless;
use crate::domain::{StatusSet, Timestamp};

/// A query of a list: filters, an order, and a page. `None` filters nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListQuery<'a> {
    /// The organization that may see the list; `None` for views of all organizations.
    pub organization_id: Option<&'a str>,
    /// The project whose views are listed.
    pub project_id: Option<&'a str>,
    /// The statuses of the views that are listed.
    pub statuses: StatusSet,
    /// The kind of the views that are listed.
    pub kind: Option<&'a str>,
    /// The ids of the views that are listed.
    pub ids: Option<&'a [String]>,
    /// A part of the names of the views that are listed, in any case.
    pub name_part: Option<&'a str>,
    /// The earliest time of creation of the views that are listed.
    pub created_from: Option<Timestamp>,
    /// The time before which the views that are listed were created.
    pub created_before: Option<Timestamp>,
    /// The order of the list.
    pub sort: Sort,
    /// Maximum number of views on the page.
    pub limit: usize,
    /// The beginning of the page in the list.
    pub start: PageStart<'a>,
    /// The part of each view that is shown.
    pub form: ViewForm,
}

/// The order of a list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sort {
    /// The value that views are sorted by.
    pub key: SortKey,
    /// True if the list is turned round as a whole.
    pub is_reversed: bool,
}

/// The value that views are sorted by. Views of one value are sorted by creation, and then by id.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum SortKey {
    /// The time of creation, the newest first, and then the id.
    #[default]
    Creation,
    /// The name without regard to case, and those without a name last.
    Name,
}

/// The beginning of a page in its list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageStart<'a> {
    /// A number of views that come before the page.
    Offset(usize),
    /// The first view, of a list that is read by cursors.
    First,
    /// The view after a position.
    After(&'a Cursor),
}

impl Default for PageStart<'_> {
    fn default() -> Self {
        PageStart::Offset(0)
    }
}

/// The part of each view that a list shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ViewForm {
    /// The whole view, the objectives filled in.
    #[default]
    Full,
    /// The view without its objectives and metrics.
    Summary,
}

/// A position in a list: what its order compares of one view. It stays where it is while views come and go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// The order of the list.
    pub sort: Sort,
    /// The time of creation of the view.
    pub created_at: Timestamp,
    /// The key of the view's name; `None` if it has none, or if the list is not sorted by name.
    pub name_key: Option<String>,
    /// The id of the view.
    pub id: String,
}

/// The version of encoded cursors.
const CURSOR_VERSION: u8 = 1;

impl Cursor {
    /// Encodes the cursor as a text for a query string. Another instance, with another store, understands it.
    pub fn to_text(&self) -> String {
        let bytes = stored_record::encode_versioned(CURSOR_VERSION, self, "cursor").unwrap_or_default();
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Decodes a cursor; `None` if the text is none, or one that no page has given.
    pub fn from_text(text: &str) -> Option<Cursor> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let cursor: Cursor = stored_record::decode_versioned(CURSOR_VERSION, &bytes, "cursor").ok()?;
        // What is decoded may have been made by anybody, and a time out of its range cannot be compared.
        let Cursor { created_at, .. } = &cursor;
        (Timestamp::new(created_at.seconds(), created_at.nanos()) == Some(*created_at)).then_some(cursor)
    }
}

impl ListQuery<'_> {
    /// Returns the check of a record that the list shows.
    pub(super) fn filter(&self) -> Filter {
        Filter {
            organization_id: self.organization_id.map(|id| id.as_bytes().to_vec()),
            project_id: self.project_id.map(stored_record::json_text),
            statuses: self.statuses,
            kind: self.kind.map(stored_record::json_text),
            name_part: self.name_part.map(|part| caseless(part).into_owned()),
            created_from: self.created_from,
            created_before: self.created_before,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_cursor_comes_back(id: String, name_key: Option<String>, seconds in 0..9_i64, nanos in 0..9_u32, is_reversed: bool) {
            let key = if name_key.is_some() { SortKey::Name } else { SortKey::Creation };
            let created_at = Timestamp::new(seconds, nanos).unwrap();
            let cursor = Cursor { sort: Sort { key, is_reversed }, created_at, name_key, id };
            prop_assert_eq!(Cursor::from_text(&cursor.to_text()), Some(cursor));
        }

        #[test]
        fn a_cursor_with_a_time_that_is_none_is_refused(seconds: i64, nanos: u32) {
            let made_up = (Sort::default(), (seconds, nanos), None::<String>, "id");
            let bytes = stored_record::encode_versioned(CURSOR_VERSION, &made_up, "cursor").unwrap();
            let read = Cursor::from_text(&URL_SAFE_NO_PAD.encode(bytes));
            prop_assert_eq!(read.map(|cursor| cursor.created_at), Timestamp::new(seconds, nanos));
        }

        #[test]
        fn no_text_makes_it_panic(text: String, bytes: Vec<u8>) {
            let _ = Cursor::from_text(&text);
            let _ = Cursor::from_text(&URL_SAFE_NO_PAD.encode(bytes));
        }
    }
}
