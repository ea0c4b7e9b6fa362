//! A limit on the keys of a subject, as a change states it.

use crate::access::realm::Realm;
use crate::access::subject::Subject;
use crate::record::KeyRecord;
use crate::time::Timestamp;

/// A limit on the keys of a subject. A change with it applies only if the subject has no more keys
/// afterwards.
///
/// The records of a lineage count as one key, because a key in its grace period and the one that replaced it
/// are of one lineage. Records that are revoked, or that ended by the time of the limit, do not count.
///
/// ```
/// use tower_api_key::store::{Change, KeyLimit, KeyStore, MemoryStore, StoreErrorKind, Write};
/// use tower_api_key::{Grant, KeyRing, Timestamp};
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let store = MemoryStore::new();
/// let ring = KeyRing::builder("acme").build(store.clone())?;
/// let record = ring.issue(Grant::new("alice")).await?.record().clone();
///
/// // Alice has one key, which is within a limit of one and beyond a limit of none.
/// let now = Timestamp::from_unix(1_800_000_000);
/// let limited = |most| {
///     let limit = KeyLimit::new(ring.realm(), record.subject(), most, now);
///     Change::new(Vec::new()).only_within(limit)
/// };
/// store.commit(&limited(1)).await?;
/// let refused = store.commit(&limited(0)).await.unwrap_err();
/// assert_eq!(refused.kind(), StoreErrorKind::TooManyKeys);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyLimit {
    realm: Realm,
    subject: Subject,
    most: usize,
    at: Timestamp,
}

impl KeyLimit {
    /// At most this many keys of a subject in a realm that have not ended at this time.
    pub fn new(realm: &Realm, subject: &Subject, most: usize, at: Timestamp) -> Self {
        Self {
            realm: realm.clone(),
            subject: subject.clone(),
            most,
            at,
        }
    }

    /// The realm of the keys.
    pub fn realm(&self) -> &Realm {
        &self.realm
    }

    /// The subject of the keys.
    pub fn subject(&self) -> &Subject {
        &self.subject
    }

    /// The highest number of lineages.
    pub fn most(&self) -> usize {
        self.most
    }

    /// The time by which a key must have ended so that it does not count.
    pub fn at(&self) -> Timestamp {
        self.at
    }

    /// Whether a record counts. A key that is not yet valid does.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tower_api_key::{Grant, KeyRing, store::{KeyLimit, MemoryStore}};
    ///
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// let ring = KeyRing::builder("acme").build(MemoryStore::new())?;
    /// let key = ring.issue(Grant::new("alice").expires_in(Duration::from_secs(60))).await?;
    /// let record = key.record();
    /// let counts = |at| KeyLimit::new(ring.realm(), record.subject(), 1, at).counts(record);
    /// assert!(counts(record.issued_at()));
    /// assert!(!counts(record.valid_until()));
    /// # Ok::<(), tower_api_key::Error>(())
    /// # }).unwrap();
    /// ```
    pub fn counts(&self, record: &KeyRecord) -> bool {
        // The end of a revoked record is the epoch.
        self.at < record.valid_until()
            && *record.realm() == self.realm
            && *record.subject() == self.subject
    }
}
