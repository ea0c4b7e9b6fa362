//! A part of a list.

use std::ops::Deref;
use std::sync::Arc;

use super::{Cursor, ListQuery, Unreadable};
use crate::record::KeyRecord;
use crate::store::StoreError;
use crate::time::Timestamp;

/// A part of a list: its records in order, the unreadable ones, and where the next page begins.
///
/// It dereferences to the slice of its records:
///
/// ```
/// # use tower_api_key::{Grant, KeyRing, store::{ListQuery, MemoryStore}};
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let ring = KeyRing::builder("acme").build(MemoryStore::new())?;
/// ring.issue(Grant::new("alice")).await?;
/// let page = ring.list(&ListQuery::new().limit(100)).await?;
/// assert_eq!(page.len(), 1);
/// assert_eq!(page[0].subject(), "alice");
/// assert!(page.unreadable().is_empty());
/// assert_eq!(page.next(), None);
/// # Ok::<(), tower_api_key::Error>(())
/// # }).unwrap();
/// ```
#[derive(Debug, Clone, Default)]
pub struct Page {
    records: Vec<Arc<KeyRecord>>,
    /// As many as there are records, or nothing is known.
    last_uses: Option<Vec<Option<Timestamp>>>,
    unreadable: Vec<Unreadable>,
    next: Option<Cursor>,
}

impl Page {
    /// The page of these records, with nothing after it.
    pub fn new(records: Vec<Arc<KeyRecord>>) -> Self {
        Self {
            records,
            ..Self::default()
        }
    }

    /// The page of those of these records that match a query, each with its last use. For a store that
    /// has the records of a realm at hand, in any order.
    pub fn select(
        records: impl IntoIterator<Item = (Arc<KeyRecord>, Option<Timestamp>)>,
        query: &ListQuery,
    ) -> Self {
        let asked = records
            .into_iter()
            .filter(|(record, last_used)| query.matches(record, *last_used))
            .map(|(record, _)| record);
        let mut records: Vec<_> = asked.collect();
        records.sort_by_key(|record| record.id());
        if query.newest_first {
            records.sort_by_key(|record| std::cmp::Reverse(Cursor::of(record)));
        }
        Self::cut(records, query)
    }

    /// The first of these records, which are in order, up to the limit of the query.
    pub(crate) fn cut(mut records: Vec<Arc<KeyRecord>>, query: &ListQuery) -> Self {
        let limit = query.limit.unwrap_or(usize::MAX);
        let more = records.len() > limit;
        records.truncate(limit);
        let last = records.last().map(|record| Cursor::of(record));
        Self {
            next: last.filter(|_| more),
            ..Self::new(records)
        }
    }

    /// The records, in the order of the query.
    pub fn records(&self) -> &[Arc<KeyRecord>] {
        &self.records
    }

    /// When each of the records was last used, if the store read that with them. `None` says nothing of the uses: ask
    /// [`KeyStore::last_uses`](crate::store::KeyStore::last_uses).
    pub fn last_uses(&self) -> Option<&[Option<Timestamp>]> {
        let known = self.last_uses.as_deref();
        known.filter(|uses| uses.len() == self.records.len())
    }

    /// The records that could not be read. They count towards the limit.
    pub fn unreadable(&self) -> &[Unreadable] {
        &self.unreadable
    }

    /// Where the next page begins. `None` if nothing comes after this page.
    pub fn next(&self) -> Option<Cursor> {
        self.next
    }

    /// All records that match, for a decision that must not miss one.
    ///
    /// # Errors
    ///
    /// The error of the first record that could not be read.
    pub fn complete(self) -> Result<Vec<Arc<KeyRecord>>, StoreError> {
        match self.unreadable.into_iter().next() {
            Some(unreadable) => Err(unreadable.into_error()),
            None => Ok(self.records),
        }
    }

    /// Adds when each of the records was last used, in their order, for a store that has read that with them.
    #[must_use]
    pub fn with_last_uses(mut self, uses: Vec<Option<Timestamp>>) -> Self {
        self.last_uses = Some(uses);
        self
    }

    /// Adds the records that could not be read.
    #[must_use]
    pub fn with_unreadable(mut self, unreadable: Vec<Unreadable>) -> Self {
        self.unreadable = unreadable;
        self
    }

    /// Sets where the next page begins.
    #[must_use]
    pub fn with_next(mut self, next: Option<Cursor>) -> Self {
        self.next = next;
        self
    }
}

impl Deref for Page {
    type Target = [Arc<KeyRecord>];

    fn deref(&self) -> &Self::Target {
        &self.records
    }
}

impl IntoIterator for Page {
    type Item = Arc<KeyRecord>;
    type IntoIter = std::vec::IntoIter<Arc<KeyRecord>>;

    fn into_iter(self) -> Self::IntoIter {
        self.records.into_iter()
    }
}

impl<'a> IntoIterator for &'a Page {
    type Item = &'a Arc<KeyRecord>;
    type IntoIter = std::slice::Iter<'a, Arc<KeyRecord>>;

    fn into_iter(self) -> Self::IntoIter {
        self.records.iter()
    }
}
