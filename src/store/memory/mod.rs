//! Records in memory.

mod expiring;
mod history;
mod ordered;
mod port;
mod records;
mod tally;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use self::history::{History, Made};
use self::records::Records;
use super::{
    Change, Ended, Expected, Freshness, Index, Revoked, StoreError, StoreErrorKind, Target, Write,
};
use crate::access::actor::Actor;
use crate::access::realm::Realm;
use crate::record::{KeyRecord, Revocation};
use crate::support::apart::Apart;
use crate::time::{Clock, Timestamp};

/// A store in memory, for tests, for keys that are imported at start-up, and as the measure of the
/// others. Clones share their records. Rings of several realms can share one.
///
/// A look-up does not take a lock and does not write a cache line that other requests share, except the
/// reference count of the record. Writers take turns.
///
/// ```
/// use tower_api_key::{KeyRing, store::MemoryStore};
///
/// let store = MemoryStore::new();
/// let orders = KeyRing::builder("acme").realm("orders").build(store.clone())?;
/// let billing = KeyRing::builder("acme").realm("billing").build(store)?;
/// # Ok::<(), tower_api_key::Error>(())
/// ```
#[derive(Clone)]
pub struct MemoryStore(Arc<Shared>);

struct Shared {
    index: Index,
    /// The records that writers read. Holding the lock is the right to write to both.
    records: Apart<Mutex<Records>>,
    /// By which the history is dated, if one is kept.
    clock: Option<Arc<dyn Clock>>,
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self(Arc::new(Shared {
            index: Index::new(Freshness::always()),
            records: Apart::default(),
            clock: None,
        }))
    }

    /// An empty store that keeps the [history](crate::KeyRing::history) of its records, dated by this clock. It takes
    /// some hundred bytes for each change, until it is [forgotten](crate::KeyRing::forget_history).
    ///
    /// ```
    /// use tower_api_key::store::{HistoryQuery, MemoryStore};
    /// use tower_api_key::{Grant, KeyRing, SystemClock};
    ///
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// let ring = KeyRing::builder("acme").build(MemoryStore::with_history(SystemClock))?;
    /// ring.issue(Grant::new("alice")).await?;
    /// assert_eq!(ring.history(&HistoryQuery::new()).await?.len(), 1);
    /// # Ok::<(), tower_api_key::Error>(())
    /// # }).unwrap();
    /// ```
    pub fn with_history(clock: impl Clock) -> Self {
        let records = Records::with(History::default());
        Self(Arc::new(Shared {
            index: Index::new(Freshness::always()),
            records: Apart(Mutex::new(records)),
            clock: Some(Arc::new(clock)),
        }))
    }

    /// When and by whom a change is made. The time is read before the lock is taken, because a clock is code of others.
    fn made<'a>(&self, by: Option<&'a Actor>) -> Made<'a> {
        let at = match &self.0.clock {
            Some(clock) => clock.now(),
            None => Timestamp::MAX,
        };
        Made { at, by }
    }

    fn records(&self) -> MutexGuard<'_, Records> {
        // Every refusal comes before the first write, so a panic elsewhere leaves no half-applied change
        // behind.
        self.0
            .records
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// [`commit`](super::KeyStore::commit) without a future, for a store that keeps its records here.
    ///
    /// ```
    /// use tower_api_key::store::{Change, MemoryStore};
    ///
    /// let records = MemoryStore::new();
    /// records.apply(&Change::new(Vec::new()))?;
    /// # Ok::<(), tower_api_key::store::StoreError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of the contract: [`Conflict`](StoreErrorKind::Conflict),
    /// [`Duplicate`](StoreErrorKind::Duplicate) and [`TooManyKeys`](StoreErrorKind::TooManyKeys). A change by which a key would
    /// [gain](crate::Gain) authority is [`Unavailable`](StoreErrorKind::Unavailable).
    pub fn apply(&self, change: &Change) -> Result<(), StoreError> {
        let made = self.made(change.actor());
        let mut records = self.records();
        let (mut ids, mut digests) = (BTreeSet::new(), BTreeSet::new());
        for write in change.writes() {
            let record = &write.record;
            self.check(&records, record, write.expected)?;
            if !ids.insert(record.id()) || !digests.insert(record.digest().as_bytes()) {
                return Err(StoreErrorKind::Duplicate.into());
            }
        }
        for limit in change.limits() {
            if !records.is_within(limit, change.writes()) {
                return Err(StoreErrorKind::TooManyKeys.into());
            }
        }
        // Look-ups see one write after the other: a key that dies is dead before one that stays has
        // shrunk, and both before their replacement lives.
        let mut writes: Vec<&Write> = change.writes().iter().collect();
        writes.sort_by_key(|write| match write.expected {
            Expected::Version(_) if write.record.revocation().is_some() => 0,
            Expected::Version(_) => 1,
            Expected::Absent => 2,
        });
        for write in writes {
            self.put(&mut records, Arc::clone(&write.record), made);
        }
        Ok(())
    }

    fn put(&self, records: &mut Records, record: Arc<KeyRecord>, made: Made<'_>) {
        records.put(&self.0.index.hold(record), made);
    }

    fn end(
        &self,
        realm: &Realm,
        target: &Target,
        revocation: Revocation,
        made: Made<'_>,
    ) -> Revoked {
        let mut records = self.records();
        let named = records.named(realm, target);
        let mut ended = Vec::new();
        for record in named.iter().filter(|it| it.revocation().is_none()) {
            let subject = record.subject().to_string();
            ended.push(Ended::new(Some(record.id()), Some(subject)));
            let write = Write::revoked(record, revocation.reason, revocation.at);
            self.put(&mut records, write.record, made);
        }
        Revoked::new(!named.is_empty(), ended)
    }

    fn check(
        &self,
        records: &Records,
        record: &KeyRecord,
        expected: Expected,
    ) -> Result<(), StoreError> {
        match (expected, records.of_id(record.id())) {
            (Expected::Absent, None) if !self.0.index.contains(record.digest()) => Ok(()),
            (Expected::Absent, _) => Err(StoreErrorKind::Duplicate.into()),
            (Expected::Version(version), Some(held))
                if held.version() == version && record.version() >= version =>
            {
                match record.gain_over(held) {
                    None => Ok(()),
                    Some(gain) if gain.is_another_key() => Err(StoreErrorKind::Conflict.into()),
                    // The index would not take it.
                    Some(gain) => Err(StoreError::unavailable(format!(
                        "{gain}: the authority of a key only shrinks"
                    ))),
                }
            }
            (Expected::Version(_), _) => Err(StoreErrorKind::Conflict.into()),
        }
    }

    fn remove_ended(&self, realm: &Realm, ended_by: Timestamp, made: Made<'_>) -> u64 {
        let mut records = self.records();
        let ended: Vec<Arc<KeyRecord>> = records
            .iter()
            .filter(|record| record.realm() == realm)
            .filter(|record| record.ended_at().is_some_and(|end| end <= ended_by))
            .cloned()
            .collect();
        for record in &ended {
            self.0.index.remove(record.digest(), record.version());
            records.remove(record, made);
        }
        ended.len() as u64
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore")
            .field("records", &self.records().len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Poll, Waker};
    use std::time::Duration;

    use super::*;
    use crate::store::{ExpiryLadder, KeyStore, KeyUsage, ScopeUse};
    use crate::{Grant, KeyRing, ManualClock, RevocationReason, ScopeSet};

    fn now<T>(future: impl Future<Output = T>) -> T {
        match std::pin::pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(output) => output,
            Poll::Pending => panic!("memory answers at once"),
        }
    }

    #[test]
    fn r23_a_purge_leaves_nothing_of_a_record_in_any_index() {
        let store = MemoryStore::new();
        let ring = KeyRing::builder("acme")
            .clock(ManualClock::new(Timestamp::from_unix(1_800_000_000)))
            .retention(Duration::ZERO)
            .build(store.clone())
            .unwrap();
        let id = now(ring.issue(Grant::new("alice"))).unwrap().record().id();
        let used = [(id, Timestamp::from_unix(1_800_000_000))];
        now(store.record_uses(ring.realm(), &used)).unwrap();
        let scopes = ScopeUse::new(used[0].1, used[0].1, ScopeSet::empty());
        let usage = [(id, KeyUsage::new().scope_use(scopes))];
        now(store.record_usage(ring.realm(), &usage)).unwrap();
        assert_eq!(store.records().sizes(), [1; 5]);
        let nearly = Timestamp::from_unix(1_800_000_000 + 89 * 24 * 60 * 60);
        let ladder = ExpiryLadder::default();
        now(store.claim_expiry_notices(ring.realm(), &ladder, nearly, 10)).unwrap();
        assert_eq!(store.records().expiring(), [1; 2]);
        now(ring.revoke(id, RevocationReason::Unspecified)).unwrap();
        assert_eq!(now(ring.purge()).unwrap(), 1);
        assert_eq!(store.0.index.len(), 0);
        let records = store.records();
        assert_eq!(records.sizes(), [0; 5]);
        assert_eq!(records.expiring(), [0; 2]);
    }

    #[test]
    fn a_limit_looks_at_no_key_of_a_subject_with_many() {
        const KEYS: usize = 2_000;
        let store = MemoryStore::new();
        let ring = KeyRing::builder("acme")
            .clock(ManualClock::new(Timestamp::from_unix(1_800_000_000)))
            .max_keys_per_subject(KEYS)
            .retention(Duration::ZERO)
            .build(store.clone())
            .unwrap();
        let issue = || now(ring.issue(Grant::new("alice")));
        let mut ids = Vec::new();
        for _ in 0..KEYS {
            ids.push(issue().unwrap().record().id());
        }
        let few = store.records().looked_at();
        // Each of the first keys looks at those before it, until their number is kept.
        assert_eq!(few, (0..=33).sum::<usize>());
        for id in ids {
            let kind = issue().unwrap_err().kind();
            assert_eq!(kind, crate::ErrorKind::TooManyKeys { limit: KEYS });
            let new = now(ring.regrant(id, Grant::new("alice"))).unwrap();
            let new = new.record().id();
            now(ring.rotate(new, Duration::from_secs(60))).unwrap();
            now(ring.revoke_lineage(new, RevocationReason::Superseded)).unwrap();
            issue().unwrap();
        }
        assert_eq!(store.records().looked_at(), few);
        now(ring.revoke_subject("alice", RevocationReason::Superseded)).unwrap();
        issue().unwrap();
        assert_eq!(store.records().looked_at(), few);
        now(ring.revoke_subject("alice", RevocationReason::Superseded)).unwrap();
        now(ring.purge()).unwrap();
        assert_eq!(store.records().sizes(), [0; 5]);
        assert_eq!(store.records().tallies(), 0);
    }
}
