//! A part of a history.

use std::ops::Deref;

use super::{HistoryEntry, HistoryPlace};

/// A part of a history: its entries in order, and where the next page begins. It dereferences to the slice of its
/// entries.
///
/// ```
/// use tower_api_key::store::HistoryPage;
///
/// let page = HistoryPage::new(Vec::new(), None);
/// assert!(page.is_empty());
/// assert_eq!(page.next(), None);
/// ```
#[derive(Debug, Clone, Default)]
pub struct HistoryPage {
    entries: Vec<HistoryEntry>,
    next: Option<HistoryPlace>,
}

impl HistoryPage {
    /// The page of the first of these entries, which are in order, up to the limit of the query. More entries than
    /// the limit say that there is a next page.
    pub fn new(mut entries: Vec<HistoryEntry>, limit: Option<usize>) -> Self {
        let limit = limit.unwrap_or(usize::MAX);
        let more = entries.len() > limit;
        entries.truncate(limit);
        let last = entries.last().map(|entry| entry.place().clone());
        Self {
            next: last.filter(|_| more),
            entries,
        }
    }

    /// The entries, in the order of the query.
    pub fn entries(&self) -> &[HistoryEntry] {
        &self.entries
    }

    /// The place of the last entry, for [`HistoryQuery::after`](super::HistoryQuery::after). `None` if there are no
    /// more.
    pub fn next(&self) -> Option<HistoryPlace> {
        self.next.clone()
    }
}

impl Deref for HistoryPage {
    type Target = [HistoryEntry];

    fn deref(&self) -> &[HistoryEntry] {
        &self.entries
    }
}

impl IntoIterator for HistoryPage {
    type Item = HistoryEntry;
    type IntoIter = std::vec::IntoIter<HistoryEntry>;

    fn into_iter(self) -> Self::IntoIter {
        self.entries.into_iter()
    }
}

impl<'a> IntoIterator for &'a HistoryPage {
    type Item = &'a HistoryEntry;
    type IntoIter = std::slice::Iter<'a, HistoryEntry>;

    fn into_iter(self) -> Self::IntoIter {
        self.entries.iter()
    }
}
