//! A page of a stretch of an order: counted from either end, after a cursor, and of the places that a test accepts.

use std::ops::Range;

use super::facets::FacetFilter;
use super::order::{Order, Place};

/// The part of an order that a list shows: the places that pass a filter, by their ranks among these.
pub struct Stretch<'a> {
    pub order: &'a Order,
    pub filter: FacetFilter,
    pub range: Range<u64>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    Forward,
    Backward,
}

/// The size of a page, and its distance from its beginning.
#[derive(Clone, Copy)]
pub struct Window {
    pub offset: usize,
    pub len: usize,
}

/// The places of a page, in the direction in which the list is read.
pub struct WindowPlaces {
    pub places: Vec<Place>,
    /// True if places follow the page.
    pub is_more: bool,
}

impl Stretch<'_> {
    /// Returns the number of places that `test` accepts, and a page of them. The page begins at the end of the stretch from which
    /// it is read, or at the cursor with the rank `cursor`. Without a test it takes logarithmic time.
    pub fn page(
        &self,
        window: Window,
        direction: Direction,
        cursor: Option<u64>,
        test: Option<impl Fn(&Place) -> bool>,
    ) -> (u64, WindowPlaces) {
        let (total, before_cursor) = self.count(cursor, test.as_ref());
        let (offset, len) = (window.offset as u64, window.len as u64);
        let (page, is_more) = match direction {
            Direction::Forward => {
                let begin = before_cursor.unwrap_or(0).saturating_add(offset).min(total);
                let end = begin.saturating_add(len).min(total);
                (begin..end, end < total)
            }
            Direction::Backward => {
                let end = before_cursor.unwrap_or(total).saturating_sub(offset);
                let begin = end.saturating_sub(len);
                (begin..end, begin > 0)
            }
        };
        let mut places = self.accepted(page, test.as_ref());
        if direction == Direction::Backward {
            places.reverse();
        }
        (total, WindowPlaces { places, is_more })
    }

    /// Counts the places that a test accepts: all of them, and those of a rank below the cursor's.
    fn count(&self, cursor: Option<u64>, test: Option<&impl Fn(&Place) -> bool>) -> (u64, Option<u64>) {
        let len = self.range.end - self.range.start;
        let before = cursor.map(|rank| rank.clamp(self.range.start, self.range.end) - self.range.start);
        let Some(test) = test else { return (len, before) };
        let (mut visited, mut total, mut accepted_before) = (0, 0, 0);
        self.order.visit(self.filter, self.range.start, len, |place| {
            if test(place) {
                total += 1;
                accepted_before += u64::from(before.is_some_and(|before| visited < before));
            }
            visited += 1;
            true
        });
        (total, before.map(|_| accepted_before))
    }

    /// Returns the accepted places of some ranks among the accepted ones.
    fn accepted(&self, ranks: Range<u64>, test: Option<&impl Fn(&Place) -> bool>) -> Vec<Place> {
        let count = usize::try_from(ranks.end - ranks.start).unwrap_or(usize::MAX);
        let Some(test) = test else {
            return self.order.places(self.filter, self.range.start + ranks.start, count);
        };
        let mut places = Vec::with_capacity(count);
        if count == 0 {
            return places;
        }
        let mut rank = 0;
        self.order.visit(self.filter, self.range.start, self.range.end - self.range.start, |place| {
            if test(place) {
                if ranks.contains(&rank) {
                    places.push(*place);
                }
                rank += 1;
            }
            rank < ranks.end
        });
        places
    }
}
