//! What a report asks for.

use std::time::Duration;

use super::finding::{Finding, FindingKind};
use crate::store::{Cursor, ListQuery};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// What a [report](crate::KeyRing::report) asks for, and which keys it judges next.
///
/// | setting | default | why |
/// |---|---|---|
/// | [`unused_for`](Self::unused_for) | 90 days | a job that runs once in three months is the rarest that most services have |
/// | [`never_used_for`](Self::never_used_for) | 30 days | a key that nobody took up within a month is not missed |
/// | [`expiring_within`](Self::expiring_within) | 14 days | the holder of the key needs time to replace it |
/// | [`never_exercised_for`](Self::never_exercised_for) | 90 days | as for `unused_for`: a report of a quarter needs its scope four times a year |
/// | [`new_network_within`](Self::new_network_within) | 30 days | a report of each month shows each new network once or twice |
/// | [`limit`](Self::limit) | 10 000 keys | some 10 MB of memory, and a store finds its way once for many keys |
///
/// ```
/// use std::time::Duration;
/// use tower_api_key::report::{FindingKind, ReportQuery};
///
/// const DAY: Duration = Duration::from_secs(24 * 60 * 60);
///
/// let query = ReportQuery::new().unused_for(30 * DAY).without(FindingKind::NoExpiry);
/// ```
#[derive(Debug, Clone)]
pub struct ReportQuery {
    pub(super) unused_for: Duration,
    pub(super) never_used_for: Duration,
    pub(super) expiring_within: Duration,
    pub(super) never_exercised_for: Duration,
    pub(super) new_network_within: Duration,
    without: Vec<FindingKind>,
    after: Option<Cursor>,
    limit: usize,
}

impl Default for ReportQuery {
    fn default() -> Self {
        Self::new()
    }
}

impl ReportQuery {
    /// All findings, with the defaults.
    pub fn new() -> Self {
        Self {
            unused_for: 90 * DAY,
            never_used_for: 30 * DAY,
            expiring_within: 14 * DAY,
            never_exercised_for: 90 * DAY,
            new_network_within: 30 * DAY,
            without: Vec::new(),
            after: None,
            limit: 10_000,
        }
    }

    /// A key is [`Unused`](Finding::Unused) if its last use is at least this long ago.
    #[must_use]
    pub fn unused_for(mut self, time: Duration) -> Self {
        self.unused_for = time;
        self
    }

    /// A key is [`NeverUsed`](Finding::NeverUsed) if it is valid for at least this long, and no use of it is known.
    #[must_use]
    pub fn never_used_for(mut self, time: Duration) -> Self {
        self.never_used_for = time;
        self
    }

    /// A key is [`Expiring`](Finding::Expiring) if it ends within this time.
    #[must_use]
    pub fn expiring_within(mut self, time: Duration) -> Self {
        self.expiring_within = time;
        self
    }

    /// Scopes are [never exercised](Finding::ScopesNeverExercised) if no use of the key has exercised them, and the first
    /// and the last use that were tracked are at least this long apart.
    #[must_use]
    pub fn never_exercised_for(mut self, time: Duration) -> Self {
        self.never_exercised_for = time;
        self
    }

    /// A network is [new](Finding::NewNetwork) if the key was first used from there within this time, and was used from
    /// others earlier than that: what is new to a key that is new itself is no finding.
    #[must_use]
    pub fn new_network_within(mut self, time: Duration) -> Self {
        self.new_network_within = time;
        self
    }

    /// Leaves out the findings of a kind. It can be called several times.
    #[must_use]
    pub fn without(mut self, kind: FindingKind) -> Self {
        self.without.push(kind);
        self
    }

    /// Judges only keys after this place: the [`next`](super::ReportPage::next) of the page before.
    #[must_use]
    pub fn after(mut self, place: Cursor) -> Self {
        self.after = Some(place);
        self
    }

    /// Judges at most this many keys for a page, and at least one.
    #[must_use]
    pub fn limit(mut self, keys: usize) -> Self {
        self.limit = keys.max(1);
        self
    }

    pub(super) fn asks(&self, finding: &Finding) -> bool {
        self.asks_for(finding.kind())
    }

    /// Whether it asks what keys were used for.
    pub(super) fn asks_for_usage(&self) -> bool {
        self.asks_for(FindingKind::ScopesNeverExercised) || self.asks_for(FindingKind::NewNetwork)
    }

    fn asks_for(&self, kind: FindingKind) -> bool {
        !self.without.contains(&kind)
    }

    /// The keys that are judged next.
    pub(super) fn list(&self) -> ListQuery {
        ListQuery {
            after: self.after,
            any_order: true,
            ..ListQuery::new().unrevoked().limit(self.limit)
        }
    }
}
