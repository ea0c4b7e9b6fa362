//! A part of a list.

use std::fmt;
use std::ops::Deref;
use std::str::FromStr;
use std::sync::Arc;

use super::ListQuery;
use crate::error::{Error, ErrorKind};
use crate::key::KeyId;
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
    unreadable: Vec<Unreadable>,
    next: Option<Cursor>,
}

/// A record that cannot be read. It matches the query, as far as that is known.
#[derive(Debug, Clone)]
pub struct Unreadable {
    id: Option<KeyId>,
    error: StoreError,
}

/// A place in a list: after a record. It stays the same when that record is gone.
///
/// As a text, to be kept between two requests, it is the id and the second of issue of that record:
///
/// ```
/// use tower_api_key::store::Cursor;
///
/// let place: Cursor = "AAAAAAAAAAAA-1800000000".parse()?;
/// assert_eq!(place.to_string(), "AAAAAAAAAAAA-1800000000");
/// # Ok::<(), tower_api_key::Error>(())
/// ```
// The order is that of the fields: of the newest first, backwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cursor {
    issued_at: Timestamp,
    id: KeyId,
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
            Some(unreadable) => Err(unreadable.error),
            None => Ok(self.records),
        }
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

impl Unreadable {
    /// A record that cannot be read because of this error, with its id, if that is known.
    pub fn new(id: Option<KeyId>, error: StoreError) -> Self {
        Self { id, error }
    }

    /// The id, by which the key can be revoked. `None` if not even that can be read.
    pub fn id(&self) -> Option<KeyId> {
        self.id
    }

    /// Why it cannot be read: the [source](std::error::Error::source) names the column.
    pub fn error(&self) -> &StoreError {
        &self.error
    }
}

impl Cursor {
    /// After the record of this id, which was issued at this time.
    pub fn new(id: KeyId, issued_at: Timestamp) -> Self {
        Self { issued_at, id }
    }

    /// After this record.
    pub fn of(record: &KeyRecord) -> Self {
        Self::new(record.id(), record.issued_at())
    }

    /// The id of the record.
    pub fn id(self) -> KeyId {
        self.id
    }

    /// When the record was issued.
    pub fn issued_at(self) -> Timestamp {
        self.issued_at
    }
}

impl FromStr for Cursor {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let invalid = || Error::from(ErrorKind::InvalidCursor);
        let (id, seconds) = text.split_once('-').ok_or_else(invalid)?;
        let is_number = seconds.bytes().all(|byte| byte.is_ascii_digit());
        let seconds = seconds.parse().ok().filter(|_| is_number);
        let issued_at = Timestamp::from_unix(seconds.ok_or_else(invalid)?);
        Ok(Self::new(id.parse().map_err(|_| invalid())?, issued_at))
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.id, self.issued_at.as_unix())
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
