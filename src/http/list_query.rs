//! The parameters of a list, from the query string to the query that the store gets. Mistakes are reported in FastAPI's form,
//! which existing clients know: all at once, each with its location and its type.

mod values;

use axum::http::Uri;

use super::errors::{HttpError, Mistake};
use super::ignored_parameters::KnownParameters;
use super::query_string::pairs;
use super::wait_query;
use crate::domain::{StatusSet, Timestamp};
use crate::store::{Cursor, ListQuery, PageStart, Sort, ViewForm};
use values::status_of;
pub use values::{MAX_LIMIT, MAX_NAME_PART, limit_of, mistake};

pub const DEFAULT_LIMIT: usize = 100;

/// The most ids that a list may be asked for.
pub const MAX_IDS: usize = 1_000;

/// The names of the parameters of lists that have one value.
pub const SINGLE: [&str; 10] =
    ["project_id", "kind", "limit", "offset", "cursor", "created_after", "created_before", "sort", "summary", "q"];

/// The parameters that lists know.
pub const LIST_PARAMETERS: KnownParameters =
    KnownParameters { single: &[&SINGLE, &wait_query::SINGLE], repeated: &["status", "id", "after"] };

/// The parameters of a list, parsed and within their bounds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListParameters {
    pub project_id: Option<String>,
    pub statuses: StatusSet,
    pub kind: Option<String>,
    /// The ids of the views; `None` for views of any id.
    pub ids: Option<Vec<String>>,
    /// A part of the name, as it was typed.
    pub name_part: Option<String>,
    pub created_from: Option<Timestamp>,
    pub created_before: Option<Timestamp>,
    pub sort: Sort,
    pub form: ViewForm,
    /// Number of views on the page, 1 to 1000.
    pub limit: usize,
    pub start: Start,
}

/// The beginning of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// The number of views that are skipped. It is at most `i64::MAX`, so that adding the limit to it cannot overflow.
    Offset(usize),
    /// An empty cursor, with which reading by cursors begins.
    First,
    After(Cursor),
}

/// The values of a query string as they were sent. Of a parameter that has one value, the last counts.
#[derive(Default)]
struct RawParameters {
    statuses: Vec<String>,
    ids: Vec<String>,
    limit: Option<String>,
    offset: Option<String>,
    cursor: Option<String>,
    created_after: Option<String>,
    created_before: Option<String>,
    sort: Option<String>,
    summary: Option<String>,
    name_part: Option<String>,
}

impl ListParameters {
    /// Parses the query string. Unknown parameters are ignored.
    pub fn of(uri: &Uri) -> Result<ListParameters, HttpError> {
        let mut parameters = ListParameters::default();
        let mut raw = RawParameters::default();
        for (name, value) in pairs(uri) {
            match name.as_str() {
                "project_id" => parameters.project_id = Some(value),
                "kind" => parameters.kind = Some(value),
                "status" => raw.statuses.push(value),
                "id" => raw.ids.push(value),
                "limit" => raw.limit = Some(value),
                "offset" => raw.offset = Some(value),
                "cursor" => raw.cursor = Some(value),
                "created_after" => raw.created_after = Some(value),
                "created_before" => raw.created_before = Some(value),
                "sort" => raw.sort = Some(value),
                "summary" => raw.summary = Some(value),
                "q" => raw.name_part = Some(value),
                _ => {}
            }
        }
        let mistakes = parameters.set(raw);
        if mistakes.is_empty() { Ok(parameters) } else { Err(HttpError::Invalid(mistakes)) }
    }

    /// Sets the values that have to be parsed. Returns the mistakes in them.
    fn set(&mut self, raw: RawParameters) -> Vec<Mistake> {
        let mut mistakes = Vec::new();
        for status in &raw.statuses {
            if let Some(status) = accepted(status_of(status), &mut mistakes) {
                self.statuses.insert(status);
            }
        }
        if let Some(limit) = parsed(raw.limit, values::limit_of, &mut mistakes) {
            self.limit = limit;
        }
        if let Some(offset) = parsed(raw.offset.clone(), values::offset_of, &mut mistakes) {
            self.start = Start::Offset(offset);
        }
        self.created_from =
            parsed(raw.created_after, |text| values::time_of("created_after", text), &mut mistakes);
        self.created_before =
            parsed(raw.created_before, |text| values::time_of("created_before", text), &mut mistakes);
        if let Some(sort) = parsed(raw.sort, values::sort_of, &mut mistakes) {
            self.sort = sort;
        }
        if let Some(form) = parsed(raw.summary, values::form_of, &mut mistakes) {
            self.form = form;
        }
        self.name_part =
            parsed(raw.name_part, values::name_part_of, &mut mistakes).filter(|part| !part.is_empty());
        self.ids = accepted(ids_of(raw.ids), &mut mistakes).flatten();
        if let Some(cursor) = raw.cursor {
            match self.start_at(&cursor, raw.offset.is_some_and(|offset| offset.trim() != "0")) {
                Ok(start) => self.start = start,
                Err(mistake) => mistakes.push(mistake),
            }
        }
        mistakes
    }

    fn start_at(&self, cursor: &str, has_offset: bool) -> Result<Start, Mistake> {
        let wrong = |msg: &str| Err(mistake("cursor", msg.to_owned(), "value_error"));
        if has_offset {
            return wrong("Input should not be combined with an offset");
        }
        if cursor.is_empty() {
            return Ok(Start::First);
        }
        match Cursor::from_text(cursor) {
            Some(cursor) if cursor.sort == self.sort => Ok(Start::After(cursor)),
            Some(_) => wrong("Input should be a cursor of a list in the same order: begin with an empty cursor"),
            None => wrong("Input should be empty, or a cursor that a page of the list has given"),
        }
    }

    /// Returns the store's query for a reader of this organization, or of any.
    pub fn query<'a>(&'a self, organization_id: Option<&'a str>) -> ListQuery<'a> {
        ListQuery {
            organization_id,
            project_id: self.project_id.as_deref(),
            statuses: self.statuses,
            kind: self.kind.as_deref(),
            ids: self.ids.as_deref(),
            name_part: self.name_part.as_deref(),
            created_from: self.created_from,
            created_before: self.created_before,
            sort: self.sort,
            limit: self.limit,
            start: match &self.start {
                Start::Offset(offset) => PageStart::Offset(*offset),
                Start::First => PageStart::First,
                Start::After(cursor) => PageStart::After(cursor),
            },
            form: self.form,
        }
    }
}

impl Default for ListParameters {
    fn default() -> ListParameters {
        ListParameters {
            project_id: None,
            statuses: StatusSet::ANY,
            kind: None,
            ids: None,
            name_part: None,
            created_from: None,
            created_before: None,
            sort: Sort::default(),
            form: ViewForm::Full,
            limit: DEFAULT_LIMIT,
            start: Start::Offset(0),
        }
    }
}

fn accepted<T>(read: Result<T, Mistake>, mistakes: &mut Vec<Mistake>) -> Option<T> {
    read.map_err(|mistake| mistakes.push(mistake)).ok()
}

fn parsed<T>(
    text: Option<String>,
    parse: impl FnOnce(&str) -> Result<T, Mistake>,
    mistakes: &mut Vec<Mistake>,
) -> Option<T> {
    accepted(parse(&text?), mistakes)
}

fn ids_of(mut ids: Vec<String>) -> Result<Option<Vec<String>>, Mistake> {
    ids.sort_unstable();
    ids.dedup();
    match ids.len() {
        0 => Ok(None),
        1..=MAX_IDS => Ok(Some(ids)),
        _ => Err(mistake("id", format!("Input should have at most {MAX_IDS} ids"), "too_long")),
    }
}

#[cfg(test)]
mod tests;
