//! The query of a history.

use super::{HistoryEntry, HistoryPlace};
use crate::key::KeyId;
use crate::time::Timestamp;

/// Which entries of a history, in which order, and how many at a time.
///
/// An entry is listed if it meets every filter. Without a filter, every entry of the realm is, the newest first.
///
/// ```
/// use tower_api_key::{Timestamp, store::HistoryQuery};
///
/// let of_alice = HistoryQuery::new().subject("alice").limit(100);
/// let this_week = HistoryQuery::new().since(Timestamp::from_unix(1_800_000_000)).oldest_first();
/// ```
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct HistoryQuery {
    /// Only entries about this key.
    pub key: Option<KeyId>,
    /// Only entries about keys of this subject.
    pub subject: Option<String>,
    /// Only entries from this time on.
    pub since: Option<Timestamp>,
    /// Only entries from before this time.
    pub before: Option<Timestamp>,
    /// The oldest first, instead of the newest.
    pub oldest_first: bool,
    /// Only entries after this place: the [`next`](super::HistoryPage::next) of the page before.
    pub after: Option<HistoryPlace>,
    /// At most this many. `None` for all.
    pub limit: Option<usize>,
}

impl HistoryQuery {
    /// Every entry of the realm, the newest first.
    pub fn new() -> Self {
        Self::default()
    }

    /// Only entries about this key.
    #[must_use]
    pub fn key(mut self, key: KeyId) -> Self {
        self.key = Some(key);
        self
    }

    /// Only entries about keys of this subject.
    #[must_use]
    pub fn subject(mut self, subject: impl Into<String>) -> Self {
        self.subject = Some(subject.into());
        self
    }

    /// Only entries from this time on.
    #[must_use]
    pub fn since(mut self, since: Timestamp) -> Self {
        self.since = Some(since);
        self
    }

    /// Only entries from before this time.
    #[must_use]
    pub fn before(mut self, before: Timestamp) -> Self {
        self.before = Some(before);
        self
    }

    /// The oldest first, to export a history. An entry that is committed late may then be among those that were
    /// listed already: in a database, several transactions commit in another order than that of their
    /// statements. Let two exports overlap by some minutes, and tell entries apart by their
    /// [place](HistoryEntry::place).
    #[must_use]
    pub fn oldest_first(mut self) -> Self {
        self.oldest_first = true;
        self
    }

    /// Only entries after this place.
    #[must_use]
    pub fn after(mut self, place: HistoryPlace) -> Self {
        self.after = Some(place);
        self
    }

    /// At most this many.
    #[must_use]
    pub fn limit(mut self, limit: usize) -> Self {
        self.limit = Some(limit);
        self
    }

    /// Whether an entry meets every filter. The realm, the place and the limit are not among them.
    pub fn matches(&self, entry: &HistoryEntry) -> bool {
        let subject = self.subject.as_deref();
        self.key.is_none_or(|key| entry.key_id() == Some(key))
            && subject.is_none_or(|subject| entry.subject() == Some(subject))
            && self.since.is_none_or(|since| entry.at() >= since)
            && self.before.is_none_or(|before| entry.at() < before)
    }
}
