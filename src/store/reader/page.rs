//! The reader of one page of a list, record by record: a page may hold a thousand views of a megabyte, and is never in memory as
//! a whole.
//!
//! The catalog chooses the page, and the records may have changed when they are read: each is checked against the whole query
//! before it goes out. Records that no longer belong to the list are replaced by those that follow.

use std::sync::Arc;
use std::vec;

use sled::IVec;

use super::{ListQuery, Page, Reader};
use crate::codec::stored_record::{self, Filter, Layout};
use crate::store::{StoreError, pieces};

/// Number of optimizations that are looked up beyond a page, to take the places of those that changed meanwhile. If more have
/// changed, the page is shorter.
const SPARE: usize = 32;

impl Reader {
    /// Reads one page of a list as a whole.
    ///
    /// # Errors
    /// The errors of [`Reader::get`].
    pub fn list(&self, query: &ListQuery<'_>) -> Result<Page, StoreError> {
        let mut page = self.page(query);
        let body = page.next_piece(usize::MAX)?;
        Ok(Page { body: body.into(), total: page.total() })
    }

    /// Returns a view as lists show it, if the query selects it wherever it stands in the list.
    ///
    /// # Errors
    /// The errors of [`Reader::get`].
    pub fn listed_view(&self, id: &str, query: &ListQuery<'_>) -> Result<Option<Vec<u8>>, StoreError> {
        let Some(number) = self.ids.get(id) else { return Ok(None) };
        let found = checked(self, &query.filter(), number);
        let view = self.progress.failure.note_error(found)?.map(|(stored, layout)| {
            let mut view = Vec::new();
            push_view(&stored, &layout, &mut view);
            view
        });
        Ok(view)
    }

    /// Returns the ids of the optimizations on one page of a list, and the number of those on all pages.
    pub fn page_ids(&self, query: &ListQuery<'_>) -> (Vec<Arc<str>>, u64) {
        let catalog = self.catalog.read();
        let list = catalog.list(query);
        let numbers = list.page(query.offset, query.limit);
        (numbers.into_iter().filter_map(|number| catalog.id_of(number)).collect(), list.total())
    }

    /// Begins to read one page of a list piece by piece.
    pub fn page(&self, query: &ListQuery<'_>) -> PageReader {
        PageReader::new(self, query)
    }
}

/// A reader of one page. Its pieces are together `{"optimizations": [...], "total": n}`, the objectives filled in.
pub struct PageReader {
    reader: Reader,
    filter: Filter,
    numbers: vec::IntoIter<u32>,
    limit: usize,
    /// Number of views that the page may still hold.
    left: usize,
    total: u64,
    is_begun: bool,
    is_over: bool,
}

impl PageReader {
    fn new(reader: &Reader, query: &ListQuery<'_>) -> PageReader {
        let list = reader.catalog.read().list(query);
        let (numbers, total) = (list.page(query.offset, query.limit + SPARE), list.total());
        PageReader {
            reader: reader.clone(),
            filter: query.filter(),
            numbers: numbers.into_iter(),
            limit: query.limit,
            left: query.limit,
            total,
            is_begun: false,
            is_over: false,
        }
    }

    /// Returns the number of optimizations on all pages, as far as is known by now: records that were found not to belong to the
    /// list any more are not counted.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// Returns true if the body has been read to its end.
    pub fn is_over(&self) -> bool {
        self.is_over
    }

    /// Reads the next piece of the body: `len` bytes, and the rest of the view that goes beyond them. The last piece is shorter,
    /// and all after it are empty.
    ///
    /// # Errors
    /// The errors of [`Reader::get`].
    pub fn next_piece(&mut self, len: usize) -> Result<Vec<u8>, StoreError> {
        let progress = self.reader.progress.clone();
        progress.failure.note_error(self.read_piece(len))
    }

    fn read_piece(&mut self, len: usize) -> Result<Vec<u8>, StoreError> {
        let mut piece = Vec::new();
        if self.is_over {
            return Ok(piece);
        }
        if !self.is_begun {
            self.is_begun = true;
            piece.extend_from_slice(br#"{"optimizations":["#);
        }
        while self.left > 0 && piece.len() < len {
            let Some(number) = self.numbers.next() else {
                self.left = 0;
                break;
            };
            let Some((stored, layout)) = checked(&self.reader, &self.filter, number)? else {
                self.total = self.total.saturating_sub(1);
                continue;
            };
            if self.left < self.limit {
                piece.push(b',');
            }
            self.left -= 1;
            push_view(&stored, &layout, &mut piece);
        }
        if self.left == 0 {
            self.is_over = true;
            piece.extend_from_slice(format!(r#"],"total":{}}}"#, self.total).as_bytes());
        }
        Ok(piece)
    }
}

/// Reads a record that the filter still accepts, and its layout.
fn checked(reader: &Reader, filter: &Filter, number: u32) -> Result<Option<(IVec, Layout)>, StoreError> {
    let Some(stored) = pieces::get(&reader.trees, &reader.trees.optimizations, &number.to_be_bytes())? else {
        return Ok(None);
    };
    let layout = stored_record::layout(&stored)?;
    Ok(filter.accepts(&stored, &layout)?.then_some((stored, layout)))
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
