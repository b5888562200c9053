//! The reader of one page of a list, record by record: a page may hold a thousand views of a megabyte, and is never in memory as
//! a whole.
//!
//! The catalog chooses the page, and the records may have changed when they are read: each is checked against the whole query
//! before it goes out. Records that no longer belong to the list are replaced by those that follow; but not on a page that a cursor
//! continues, since those that follow are on the next page.

use std::collections::HashSet;
use std::sync::Arc;
use std::vec;

use sled::IVec;
use xxhash_rust::xxh3::Xxh3;

use super::view_forms::{RecordForm, push_record};
use super::{Page, Reader};
use crate::codec::stored_record::{self, Filter, Layout};
use crate::store::list_query::{Cursor, ListQuery, PageStart};
use crate::store::{StoreError, pieces};

/// Number of optimizations that are looked up beyond a page, to take the places of those that changed meanwhile. If more have
/// changed, the page is shorter.
const SPARE: usize = 32;

impl Reader {
    /// Reads one page of a list as a whole.
    ///
    /// # Errors
    /// The errors of [`Reader::get`] and of [`Reader::page`].
    pub fn list(&self, query: &ListQuery<'_>) -> Result<Page, StoreError> {
        let mut page = self.page(query)?;
        let body = page.next_piece(usize::MAX)?;
        Ok(Page { body: body.into(), total: page.total(), next: page.next.take() })
    }

    /// Returns a view as lists show it, if the query selects it wherever it stands in the list.
    ///
    /// # Errors
    /// The errors of [`Reader::get`].
    pub fn listed_view(&self, id: &str, query: &ListQuery<'_>) -> Result<Option<Vec<u8>>, StoreError> {
        // The filter of records does not know their ids.
        let is_named = query.ids.is_none_or(|ids| ids.iter().any(|named| named == id));
        let Some(number) = self.ids.get(id).filter(|_| is_named) else { return Ok(None) };
        let found = checked(self, &query.filter(), number);
        let Some((stored, layout)) = self.progress.failure.note_error(found)? else { return Ok(None) };
        let mut view = Vec::new();
        push_record(&stored, &layout, RecordForm::View(query.form), &mut view)?;
        Ok(Some(view))
    }

    /// Returns the ids of the optimizations on one page of a list, and the number of those on all pages.
    ///
    /// # Errors
    /// The error of [`Reader::page`].
    pub fn page_ids(&self, query: &ListQuery<'_>) -> Result<(Vec<Arc<str>>, u64), StoreError> {
        let list = self.catalog.read().list(query);
        let plan = list.page(query, 0, &self.name_orders, &self.catalog)?;
        let catalog = self.catalog.read();
        Ok((plan.numbers.into_iter().filter_map(|number| catalog.id_of(number)).collect(), plan.total))
    }

    /// Begins to read one page of a list piece by piece.
    ///
    /// # Errors
    /// [`StoreError::TooManyToSearch`], which ends nothing.
    pub fn page(&self, query: &ListQuery<'_>) -> Result<PageReader, StoreError> {
        let list = self.catalog.read().list(query);
        let plan = list.page(query, SPARE, &self.name_orders, &self.catalog)?;
        let by_cursor = !matches!(query.start, PageStart::Offset(_));
        let end = if by_cursor { PageEnd::Cursor } else { PageEnd::Total };
        let page = PageReader::new(self, plan.numbers, query.filter(), RecordForm::View(query.form), end);
        Ok(PageReader { limit: query.limit, left: query.limit, total: plan.total, next: plan.next, ..page })
    }

    /// Begins to read the statuses of some optimizations, in the order of their ids. Those that a reader of the organization (`None`:
    /// of any) may not see are left out, and so are all after the first `limit`.
    pub fn statuses(&self, ids: &[String], organization_id: Option<&str>, limit: usize) -> PageReader {
        let mut known = HashSet::new();
        let numbers =
            ids.iter().filter_map(|id| self.ids.get(id)).filter(|number| known.insert(*number)).collect();
        let filter = ListQuery { organization_id, ..ListQuery::default() }.filter();
        // Registers of another format cannot be decoded.
        let form = RecordForm::Status { with_time: self.check_format().is_ok() };
        let page = PageReader::new(self, numbers, filter, form, PageEnd::Array);
        PageReader { limit, left: limit, ..page }
    }
}

/// The end of a page's body, and with it its beginning.
#[derive(Clone, Copy, PartialEq, Eq)]
enum PageEnd {
    /// The total.
    Total,
    /// The total and the next cursor.
    Cursor,
    /// Nothing: the page is an array.
    Array,
}

/// A reader of one page. Its pieces are together `{"optimizations": [...], "total": n}`, or an array of statuses.
pub struct PageReader {
    reader: Reader,
    filter: Filter,
    numbers: vec::IntoIter<u32>,
    form: RecordForm,
    end: PageEnd,
    limit: usize,
    /// Number of views that the page may still hold.
    left: usize,
    total: u64,
    next: Option<Cursor>,
    /// The hash of the views that were read, from which the page's version follows.
    hash: Xxh3,
    is_begun: bool,
    is_over: bool,
}

impl PageReader {
    fn new(reader: &Reader, numbers: Vec<u32>, filter: Filter, form: RecordForm, end: PageEnd) -> PageReader {
        PageReader {
            reader: reader.clone(),
            filter,
            numbers: numbers.into_iter(),
            form,
            end,
            limit: 0,
            left: 0,
            total: 0,
            next: None,
            hash: Xxh3::new(),
            is_begun: false,
            is_over: false,
        }
    }

    /// Returns the number of optimizations on all pages, as far as is known by now: records that were found not to belong to the
    /// list any more are not counted.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// Returns the position after which the next page begins, if there is one and the list is read by cursors.
    pub fn next(&self) -> Option<&Cursor> {
        self.next.as_ref()
    }

    /// Returns true if a piece of the body has been read.
    pub fn is_begun(&self) -> bool {
        self.is_begun
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

    /// Returns the version of the page, which changes with its body. The views that are still to be read are looked at as they are
    /// now: a body may be newer than its version, and never older.
    ///
    /// # Errors
    /// The errors of [`Reader::get`].
    pub fn version(&self) -> Result<u64, StoreError> {
        self.reader.progress.failure.note_error(self.find_version())
    }

    fn find_version(&self) -> Result<u64, StoreError> {
        let (mut hash, mut total, mut left) = (self.hash.clone(), self.total, self.left);
        for number in self.numbers.clone() {
            if left == 0 {
                break;
            }
            // A large view is not put together for this: the reference to its pieces changes with it.
            let stored = pieces::get_stored(&self.reader.trees.optimizations, &number.to_be_bytes())?;
            match stored {
                Some(stored) if pieces::is_reference(&stored) => hash.update(&stored),
                Some(stored) => {
                    let layout = stored_record::layout(&stored)?;
                    if !self.filter.accepts(&stored, &layout)? {
                        total = total.saturating_sub(1);
                        continue;
                    }
                    add_view(&stored, &layout, &mut hash);
                }
                None => {
                    total = total.saturating_sub(1);
                    continue;
                }
            }
            left -= 1;
        }
        hash.update(&total.to_le_bytes());
        hash.update(self.next_cursor().as_bytes());
        hash.update(&[self.form.code()]);
        Ok(hash.digest())
    }

    fn read_piece(&mut self, len: usize) -> Result<Vec<u8>, StoreError> {
        let mut piece = Vec::new();
        if self.is_over {
            return Ok(piece);
        }
        if !self.is_begun {
            self.is_begun = true;
            let is_array = self.end == PageEnd::Array;
            piece.extend_from_slice(if is_array { br"[" } else { br#"{"optimizations":["# });
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
            add_view(&stored, &layout, &mut self.hash);
            push_record(&stored, &layout, self.form, &mut piece)?;
        }
        if self.left == 0 {
            self.is_over = true;
            self.push_end(&mut piece);
        }
        Ok(piece)
    }

    fn push_end(&self, piece: &mut Vec<u8>) {
        let total = self.total;
        let end = match self.end {
            PageEnd::Array => "]".to_owned(),
            PageEnd::Total => format!(r#"],"total":{total}}}"#),
            PageEnd::Cursor => format!(r#"],"total":{total},"next_cursor":{}}}"#, self.next_cursor()),
        };
        piece.extend_from_slice(end.as_bytes());
    }

    /// Returns the next cursor as JSON, or null. Its text needs no escapes.
    fn next_cursor(&self) -> String {
        self.next.as_ref().map_or_else(|| "null".to_owned(), |cursor| format!("\"{}\"", cursor.to_text()))
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

/// Adds a view to the hash of its page. Its own hash is without its objectives, which lists show.
fn add_view(stored: &[u8], layout: &Layout, hash: &mut Xxh3) {
    hash.update(&layout.etag.to_le_bytes());
    if let Some(objectives) = &layout.objectives {
        hash.update(&stored[objectives.clone()]);
    }
}
