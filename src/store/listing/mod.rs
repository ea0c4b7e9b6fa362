//! The query of a list.

mod cursor;
mod page;
mod stored_place;
mod unreadable;

use std::time::Duration;

pub use cursor::Cursor;
pub use page::Page;
#[cfg(feature = "sql")]
pub(crate) use stored_place::StoredPlace;
pub use unreadable::Unreadable;

use crate::access::scope::Scope;
use crate::key::KeyId;
use crate::record::{KeyRecord, KeyState};
use crate::time::Timestamp;

/// Which records to list, in which order, and how many at a time.
///
/// A record is listed if it meets every filter. Without a filter, every record of the realm is.
///
/// A query keeps no error for later, because its fields are public and a store may be asked without a ring:
/// a filter that was dropped would list the keys of others. So a scope is a parsed [`Scope`], and a subject
/// is a text that is compared as it is.
///
/// ```
/// use std::time::Duration;
/// use tower_api_key::{KeyState, Scope, store::ListQuery};
///
/// const DAY: Duration = Duration::from_secs(24 * 60 * 60);
///
/// let ends_soon = ListQuery::new().expiring_within(14 * DAY).limit(100);
/// let forgotten = ListQuery::new().unused_for(90 * DAY).limit(100);
/// let leaked = ListQuery::new().scope(Scope::new("orders:write")?).state(KeyState::Live);
/// # Ok::<(), tower_api_key::Error>(())
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
#[expect(clippy::struct_excessive_bools, reason = "each is asked for by itself")]
pub struct ListQuery {
    /// Only keys of this subject.
    pub subject: Option<String>,
    /// Only keys of this lineage.
    pub lineage: Option<KeyId>,
    /// Only keys that are not revoked.
    pub unrevoked: bool,
    /// Only keys in one of these states, or in a grace period if [`in_grace`](Self::in_grace) is set.
    /// Empty for all.
    pub states: Vec<KeyState>,
    /// Only keys in a grace period, or in one of the [`states`](Self::states).
    pub in_grace: bool,
    /// Only keys that are not over, and that end within this time.
    pub expiring_within: Option<Duration>,
    /// Only keys that are not over, and that were not used for at least this time.
    pub unused_for: Option<Duration>,
    /// Only keys that carry this scope.
    pub scope: Option<Scope>,
    /// Only keys whose id starts with this text.
    pub id_prefix: Option<String>,
    /// In the order of their issue, the newest first, instead of the order of the ids.
    pub newest_first: bool,
    /// In any order, unless it is [newest first](Self::newest_first).
    pub any_order: bool,
    /// When states and durations are judged. [`KeyRing::list`](crate::KeyRing::list) sets it to the
    /// reading of its clock.
    pub at: Timestamp,
    /// Only keys after this place: the [`next`](Page::next) of the page before.
    pub after: Option<Cursor>,
    /// At most this many. `None` for all.
    pub limit: Option<usize>,
}

impl Default for ListQuery {
    fn default() -> Self {
        Self::new()
    }
}

impl ListQuery {
    /// All records of the realm.
    pub fn new() -> Self {
        Self {
            subject: None,
            lineage: None,
            unrevoked: false,
            states: Vec::new(),
            in_grace: false,
            expiring_within: None,
            unused_for: None,
            scope: None,
            id_prefix: None,
            newest_first: false,
            any_order: false,
            at: Timestamp::from_unix(0),
            after: None,
            limit: None,
        }
    }

    /// Only keys of this subject.
    #[must_use]
    pub fn subject(mut self, subject: impl Into<String>) -> Self {
        self.subject = Some(subject.into());
        self
    }

    /// Only keys of this lineage.
    #[must_use]
    pub fn lineage(mut self, lineage: KeyId) -> Self {
        self.lineage = Some(lineage);
        self
    }

    /// Only keys that are not revoked, whether they have expired or not.
    #[must_use]
    pub fn unrevoked(mut self) -> Self {
        self.unrevoked = true;
        self
    }

    /// Only keys in this state. If it is called several times, the list has keys in any of the states.
    /// [`KeyState::Live`] includes those in a grace period.
    #[must_use]
    pub fn state(mut self, state: KeyState) -> Self {
        self.states.push(state);
        self
    }

    /// Only keys in the grace period after a rotation, or in one of the [`state`](Self::state)s that
    /// are named as well.
    #[must_use]
    pub fn in_grace(mut self) -> Self {
        self.in_grace = true;
        self
    }

    /// Only keys that are not over, and whose expiry, or end of their grace period, comes within
    /// this time.
    #[must_use]
    pub fn expiring_within(mut self, time: Duration) -> Self {
        self.expiring_within = Some(time);
        self
    }

    /// Only keys that are not over, and whose last use is at least this long ago. If a key was not used
    /// since its issue, the time counts from its issue. It needs a ring that
    /// [tracks](crate::KeyRingBuilder::track_last_use) uses: without one, no key was ever used.
    #[must_use]
    pub fn unused_for(mut self, time: Duration) -> Self {
        self.unused_for = Some(time);
        self
    }

    /// Only keys that carry this scope.
    #[must_use]
    pub fn scope(mut self, scope: Scope) -> Self {
        self.scope = Some(scope);
        self
    }

    /// Only keys whose id starts with this text. Case counts.
    #[must_use]
    pub fn id_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.id_prefix = Some(prefix.into());
        self
    }

    /// By their time of issue, the newest first, and by their ids, the last first, if they were
    /// issued in the same second.
    #[must_use]
    pub fn newest_first(mut self) -> Self {
        self.newest_first = true;
        self
    }

    /// In whatever order the store reads its keys the fastest: to see each of many keys once. The pages still have
    /// everything once, even if keys are issued or removed meanwhile. A store may list by the ids all the same.
    #[must_use]
    pub fn in_any_order(mut self) -> Self {
        self.any_order = true;
        self
    }

    /// Judges states and durations at this time, for a store that is queried without a ring.
    #[must_use]
    pub fn at(mut self, now: Timestamp) -> Self {
        self.at = now;
        self
    }

    /// Only keys after this place, in a query that is otherwise the same.
    #[must_use]
    pub fn after(mut self, place: Cursor) -> Self {
        self.after = Some(place);
        self
    }

    /// At most this many.
    #[must_use]
    pub fn limit(mut self, limit: usize) -> Self {
        self.limit = Some(limit);
        self
    }

    /// Whether the query matches a record, apart from the realm and the limit. The last use counts only
    /// for [`unused_for`](Self::unused_for).
    pub fn matches(&self, record: &KeyRecord, last_used: Option<Timestamp>) -> bool {
        self.subject
            .as_deref()
            .is_none_or(|subject| subject == record.subject().as_str())
            && self
                .lineage
                .is_none_or(|lineage| lineage == record.lineage())
            && !(self.unrevoked && record.revocation().is_some())
            && self.matches_state(record)
            && self.matches_end(record)
            && self.matches_use(record, last_used)
            && self
                .scope
                .as_ref()
                .is_none_or(|scope| record.scopes().contains(scope.as_str()))
            && self
                .id_prefix
                .as_deref()
                .is_none_or(|prefix| record.id().as_str().starts_with(prefix))
            && self
                .after
                .is_none_or(|after| self.is_before(after, Cursor::of(record)))
    }

    /// Whether the answer depends on the moment that it is judged [at](Self::at).
    pub(crate) fn is_about_time(&self) -> bool {
        self.in_grace
            || !self.states.is_empty()
            || self.expiring_within.is_some()
            || self.unused_for.is_some()
    }

    /// Whether one place comes before another in the order of this query.
    pub(crate) fn is_before(&self, one: Cursor, other: Cursor) -> bool {
        // A place in another order says nothing of this one.
        if one.stored().is_some() {
            true
        } else if self.newest_first {
            one > other
        } else {
            one.id() < other.id()
        }
    }

    fn matches_state(&self, record: &KeyRecord) -> bool {
        let state = record.state_at(self.at);
        (self.states.is_empty() && !self.in_grace)
            || self.states.contains(&state)
            || (self.in_grace && state == KeyState::Live && record.grace_ends_at().is_some())
    }

    fn matches_end(&self, record: &KeyRecord) -> bool {
        self.expiring_by().is_none_or(|by| {
            let end = record.valid_until();
            end != Timestamp::MAX && self.at < end && end <= by
        })
    }

    fn matches_use(&self, record: &KeyRecord, last_used: Option<Timestamp>) -> bool {
        let Some(time) = self.unused_for else {
            return true;
        };
        // A clock that was set back may have noted a use before the issue.
        let since = last_used.map_or(record.issued_at(), |used| used.max(record.issued_at()));
        self.at < record.valid_until()
            && since
                .checked_add(time)
                .is_some_and(|until| until <= self.at)
    }

    /// The last moment at which a key that is [expiring](Self::expiring_within) ends.
    pub fn expiring_by(&self) -> Option<Timestamp> {
        let time = self.expiring_within?;
        Some(self.at.checked_add(time).unwrap_or(Timestamp::MAX))
    }

    /// The last moment at which a key that is [unused](Self::unused_for) may have been used or issued.
    /// `None` also if no moment is early enough.
    pub fn unused_since(&self) -> Option<Timestamp> {
        let since = self.at.as_unix().checked_sub(self.unused_for?.as_secs());
        since.map(Timestamp::from_unix)
    }
}
