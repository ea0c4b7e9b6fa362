//! A page that is built row by row.

use std::sync::Arc;

use super::list_statements::number;
use super::position::Position;
use crate::key::KeyId;
use crate::record::KeyRecord;
use crate::record::row::moment;
use crate::store::StoreError;
use crate::store::listing::StoredPlace;
use crate::store::{Cursor, ListQuery, Page, Unreadable};
use crate::time::Timestamp;

/// A page that is built row by row.
#[derive(Debug)]
pub struct PageBuilder<'a> {
    query: &'a ListQuery,
    records: Vec<Arc<KeyRecord>>,
    /// `None` if one could not be read.
    last_uses: Option<Vec<Option<Timestamp>>>,
    unreadable: Vec<Unreadable>,
    last: Option<Position>,
    cut: Option<Cut>,
    next: Option<Cursor>,
}

/// Where a page in the order of the table may end.
#[derive(Debug)]
struct Cut {
    place: StoredPlace,
    records: usize,
    unreadable: usize,
}

impl<'a> PageBuilder<'a> {
    /// The beginning of the page that a query asks for.
    pub fn new(query: &'a ListQuery) -> Self {
        let after = query.after.map(|after| match after.stored() {
            // The beginning of every other order.
            Some(place) => Position::new(Vec::new(), i64::MAX).stored_by(place.as_bytes().into()),
            None => Position::new(after.id().as_str().into(), number(after.issued_at())),
        });
        Self {
            query,
            records: Vec::new(),
            last_uses: Some(Vec::new()),
            unreadable: Vec::new(),
            last: after,
            cut: None,
            next: None,
        }
    }

    /// The row after which to read on.
    pub fn after(&self) -> Option<&Position> {
        self.last.as_ref()
    }

    /// How many rows are missing, `None` if the query has no limit.
    pub fn missing(&self) -> Option<usize> {
        let limit = self.query.limit?;
        let read = self.records.len() + self.unreadable.len();
        Some(limit.saturating_sub(read))
    }

    /// Takes the next row, with its record and its last use in seconds since the Unix epoch, and returns whether the
    /// page may have another. A page ends after a row whose place can be named, even beyond the limit, because the next
    /// page begins after it.
    ///
    /// If the list is in the order of the table, each position has the value that it is [stored by](Position::stored_by).
    /// The page may then end before its limit, at a place that says little of that value.
    pub fn take(
        &mut self,
        position: Position,
        record: Result<Arc<KeyRecord>, StoreError>,
        last_used: Option<i64>,
    ) -> bool {
        self.note_cut(&position);
        if self.missing() == Some(0) && self.end() {
            return false;
        }
        match record {
            Ok(record) => {
                self.records.push(record);
                self.note(last_used);
            }
            Err(error) => {
                let id = std::str::from_utf8(&position.id).ok();
                let id = id.and_then(|id| id.parse().ok());
                self.unreadable.push(Unreadable::new(id, error));
            }
        }
        self.last = Some(position);
        true
    }

    /// Notes the place before this row, if the page may end there: the best of the last eighth of a page.
    fn note_cut(&mut self, next: &Position) {
        let Some(limit) = self.query.limit else {
            return;
        };
        let (records, unreadable) = (self.records.len(), self.unreadable.len());
        let read = records + unreadable;
        if read == 0 || read < limit - limit / 8 {
            return;
        }
        let last = self.last.as_ref().and_then(|last| last.stored.as_deref());
        let Some((last, next)) = last.zip(next.stored.as_deref()) else {
            return;
        };
        let Some(place) = StoredPlace::between(last, next) else {
            return;
        };
        let best = self.cut.as_ref().map_or(u32::MAX, |cut| cut.place.bits());
        if place.bits() <= best {
            self.cut = Some(Cut {
                place,
                records,
                unreadable,
            });
        }
    }

    /// Ends the page, if the place of the next can be named.
    fn end(&mut self) -> bool {
        let last = self.last.as_ref();
        if last.is_some_and(|last| last.stored.is_some()) {
            let Some(cut) = &self.cut else {
                return false;
            };
            self.records.truncate(cut.records);
            self.unreadable.truncate(cut.unreadable);
            if let Some(uses) = &mut self.last_uses {
                uses.truncate(cut.records);
            }
            self.next = Some(Cursor::in_store(cut.place));
        } else {
            self.next = last.and_then(Position::cursor);
        }
        self.next.is_some()
    }

    fn note(&mut self, last_used: Option<i64>) {
        let last_used = last_used.map(|at| moment("last_used_at", at)).transpose();
        match (&mut self.last_uses, last_used) {
            (Some(uses), Ok(last_used)) => uses.push(last_used),
            // Who asks for the uses hears of it.
            (uses, Err(_)) => *uses = None,
            (None, _) => {}
        }
    }

    /// The page.
    pub fn page(self) -> Page {
        let page = Page::new(self.records)
            .with_unreadable(self.unreadable)
            .with_next(self.next);
        match self.last_uses {
            Some(uses) => page.with_last_uses(uses),
            None => page,
        }
    }
}

impl Position {
    /// The place, if it can be named.
    fn cursor(&self) -> Option<Cursor> {
        let id: KeyId = std::str::from_utf8(&self.id).ok()?.parse().ok()?;
        let issued_at = u64::try_from(self.issued_at).ok()?;
        Some(Cursor::new(id, Timestamp::from_unix(issued_at)))
    }
}

#[cfg(test)]
mod tests {
    use super::{PageBuilder, Position};
    use crate::KeyDigest;
    use crate::store::{ListQuery, Page, StoreError};

    /// The page of rows with these values, which cannot be read.
    fn page(values: &[Vec<u8>], query: &ListQuery) -> Page {
        let mut page = PageBuilder::new(query);
        for value in values {
            let position = Position::new(b"AAAAAAAAAAAA".to_vec(), 0).stored_by(value.clone());
            if !page.take(position, Err(StoreError::unavailable("unread")), None) {
                break;
            }
        }
        page.page()
    }

    fn digests() -> Vec<Vec<u8>> {
        let digest = |number: u32| KeyDigest::sha256(&number.to_be_bytes());
        let mut digests: Vec<_> = (0..100_000)
            .map(|number| digest(number).as_bytes().to_vec())
            .collect();
        digests.sort_unstable();
        digests
    }

    #[test]
    fn r35_a_place_in_the_order_of_digests_says_little_of_one() {
        let digests = digests();
        let query = ListQuery::new().in_any_order().limit(10_000);
        for begin in (0..90_000).step_by(1_000) {
            let place = page(&digests[begin..], &query).next().unwrap();
            // An exact end would say seventeen bits and more of the digest that comes next.
            assert!(place.stored().unwrap().bits() <= 8, "{place}");
        }
    }

    #[test]
    fn a_page_ends_at_the_last_digest_before_its_place() {
        let digests = digests();
        for limit in [1, 2, 7, 8, 9, 1_000] {
            let query = ListQuery::new().in_any_order().limit(limit);
            let page = page(&digests, &query);
            let (count, place) = (page.unreadable().len(), page.next().unwrap());
            let place = place.stored().unwrap().as_bytes();
            assert!(count <= limit && count >= limit - limit / 8, "{count}");
            assert!(digests[count - 1].as_slice() < &place[..], "{limit}");
            assert!(&place[..] < digests[count].as_slice(), "{limit}");
            let rest = ListQuery::new().after(page.next().unwrap());
            let rest = PageBuilder::new(&rest).after().cloned().unwrap();
            assert_eq!(rest.stored.unwrap(), place);
        }
    }

    #[test]
    fn a_page_goes_on_while_no_place_parts_two_rows() {
        let alike: Vec<Vec<u8>> = (0..10)
            .map(|last| [[7; 31].as_slice(), &[last]].concat())
            .collect();
        let query = ListQuery::new().in_any_order().limit(3);
        let page = |rows: &[Vec<u8>]| {
            let page = page(rows, &query);
            (page.unreadable().len(), page.next().is_some())
        };
        assert_eq!(page(&alike), (10, false));
        let other = [alike, vec![vec![9; 32]]].concat();
        assert_eq!(page(&other), (10, true));
    }
}
