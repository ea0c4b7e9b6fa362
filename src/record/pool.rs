//! What the records in memory share.

use std::collections::HashSet;
use std::hash::Hash;
use std::sync::Arc;

use super::{KeyRecord, Origin};
use crate::access::realm::Realm;
use crate::access::scope_set::ScopeSet;

/// The scope sets and the origins of many records, each once. There are few of them, and millions of keys.
#[derive(Default)]
pub(crate) struct Pool {
    scopes: Kept<ScopeSet>,
    origins: Kept<Arc<Origin>>,
    realms: Kept<Realm>,
}

impl Pool {
    /// A copy of the record, with the scopes and the origin of the others that have them.
    ///
    /// It is always a new one, and the last thing that is allocated here. What the caller allocates next is then likely
    /// to lie next to it.
    pub(crate) fn share(&mut self, record: &KeyRecord) -> Arc<KeyRecord> {
        let mut copy = record.clone();
        self.scopes.share(&mut copy.scopes);
        let Self {
            origins, realms, ..
        } = self;
        origins.share_with(&mut copy.origin, |origin| {
            realms.share(&mut Arc::make_mut(origin).realm);
        });
        Arc::new(copy)
    }

    /// The same realm, as the records have it: two of one text are compared without reading it.
    pub(crate) fn realm(&mut self, mut realm: Realm) -> Realm {
        self.realms.share(&mut realm);
        realm
    }
}

struct Kept<T> {
    values: HashSet<T>,
    /// At this number of values, those that no record has are removed.
    limit: usize,
}

const LEAST_LIMIT: usize = 1_024;

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Self {
            values: HashSet::new(),
            limit: LEAST_LIMIT,
        }
    }
}

impl<T: Clone + Eq + Hash + Counted> Kept<T> {
    fn share(&mut self, value: &mut T) {
        self.share_with(value, |_| {});
    }

    /// Prepares a value that none of the others has.
    fn share_with(&mut self, value: &mut T, prepare: impl FnOnce(&mut T)) {
        if let Some(kept) = self.values.get(value) {
            *value = kept.clone();
            return;
        }
        if self.values.len() >= self.limit {
            self.values.retain(Counted::is_held_elsewhere);
            self.limit = LEAST_LIMIT.max(2 * self.values.len());
        }
        prepare(value);
        self.values.insert(value.clone());
    }
}

/// A value that knows whether there is another reference to it.
trait Counted {
    fn is_held_elsewhere(&self) -> bool;
}

impl Counted for ScopeSet {
    fn is_held_elsewhere(&self) -> bool {
        self.is_shared()
    }
}

impl Counted for Realm {
    fn is_held_elsewhere(&self) -> bool {
        self.is_shared()
    }
}

impl Counted for Arc<Origin> {
    fn is_held_elsewhere(&self) -> bool {
        Arc::strong_count(self) > 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{KeyDigest, KeyId, KeyRecordParts, Realm, Timestamp};

    fn record(key: u8, scopes: &str) -> Arc<KeyRecord> {
        let id = KeyId::from_hash([key; 16]);
        let (realm, digest) = (
            Realm::new("acme").unwrap(),
            KeyDigest::from_bytes([key; 32]),
        );
        let subject = "alice".parse().unwrap();
        let mut parts = KeyRecordParts::new(id, realm, digest, subject, Timestamp::from_unix(9));
        parts.scopes = scopes.parse().unwrap();
        parts.into()
    }

    #[test]
    fn r23_records_share_what_they_have_in_common_and_leave_nothing_behind() {
        let mut pool = Pool::default();
        let (one, other) = (record(1, "read write"), record(2, "read write"));
        assert!(!Arc::ptr_eq(&one.origin, &other.origin));
        let (one, other) = (pool.share(&one), pool.share(&other));
        assert!(Arc::ptr_eq(&one.origin, &other.origin));
        assert_eq!(one, record(1, "read write"));
        assert_eq!(other, record(2, "read write"));

        // Those of a ring, and of another origin, are one text.
        let mut of_another_origin = record(4, "read").to_parts();
        of_another_origin.pepper_version = Some(2);
        let another = pool.share(&KeyRecord::from(of_another_origin));
        let realm = pool.realm(Realm::new("acme").unwrap());
        assert!(!Arc::ptr_eq(&one.origin, &another.origin));
        for found in [one.realm(), another.realm()] {
            assert!(std::ptr::eq(found.as_str(), realm.as_str()));
        }

        for number in 0..10 * LEAST_LIMIT {
            pool.share(&record(3, &format!("scope{number}")));
        }
        assert!(pool.scopes.values.len() <= LEAST_LIMIT);
        let kept = pool.scopes.values.iter();
        assert!(kept.into_iter().any(|scopes| scopes == one.scopes()));
    }
}
