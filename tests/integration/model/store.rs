//! A store in memory that shows every commit separately, lets a rival in before one, and holds look-ups.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use tokio::sync::oneshot;
use tower_api_key::store::{
    BoxFuture, Change, Index, KeyStore, ListQuery, Lookup, MemoryStore, Revoked, StoreError,
    StoreErrorKind, StoreId, Target,
};
use tower_api_key::{Actor, KeyDigest, KeyId, KeyRecord, Realm, Revocation, Timestamp};

use super::now;
use super::rings::REALMS;

/// All records of a store after one commit, ordered by their ids.
pub(super) type Snapshot = BTreeMap<KeyId, Arc<KeyRecord>>;

/// One commit or purge, and its result.
#[derive(Debug)]
pub(super) struct Commit {
    pub(super) store: usize,
    pub(super) snapshot: Snapshot,
    /// The change as its `Debug` shows it, or `None` for a purge.
    pub(super) change: Option<String>,
}

/// The commits of all stores, in order.
pub(super) type Log = Arc<Mutex<Vec<Commit>>>;

/// The time when a held look-up reads its record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Read {
    /// Before it is held: the answer is as old as the wait, like a replica's.
    First,
    /// When it is released.
    Last,
}

#[derive(Clone)]
pub(super) struct RecordingStore {
    number: usize,
    records: MemoryStore,
    log: Log,
    script: Arc<Mutex<Script>>,
    rival: Waiting,
    /// The number of changes that were refused because another came first.
    conflicts: Arc<Mutex<u64>>,
    /// Whether rings may read the records in place.
    in_place: bool,
}

#[derive(Default)]
struct Script {
    hold: Option<Read>,
    held: Option<oneshot::Sender<()>>,
}

/// An action before the next commit of any store.
pub(super) type Waiting = Arc<Mutex<Option<Box<dyn FnOnce() + Send>>>>;

impl RecordingStore {
    pub(super) fn new(number: usize, log: &Log, rival: &Waiting) -> Self {
        Self {
            number,
            records: MemoryStore::new(),
            log: Arc::clone(log),
            script: Arc::default(),
            rival: Arc::clone(rival),
            conflicts: Arc::default(),
            in_place: false,
        }
    }

    /// The same store, for rings that read the records in place: no look-up is held.
    pub(super) fn in_place(&self) -> Self {
        Self {
            in_place: true,
            ..self.clone()
        }
    }

    /// The number of changes since the last call that were refused because another came first.
    pub(super) fn conflicts(&self) -> u64 {
        std::mem::take(&mut *self.conflicts.lock().unwrap())
    }

    /// Holds the look-ups of `begin`. Returns the handle that releases the look-up, if there was one.
    pub(super) fn holding<T>(
        &self,
        read: Read,
        begin: impl FnOnce() -> T,
    ) -> (T, Option<oneshot::Sender<()>>) {
        self.script.lock().unwrap().hold = Some(read);
        let value = begin();
        let mut script = self.script.lock().unwrap();
        script.hold = None;
        (value, script.held.take())
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        let mut snapshot = Snapshot::new();
        for realm in REALMS {
            let realm = Realm::new(realm).unwrap();
            for record in now(self.records.list(&realm, &ListQuery::new())).unwrap() {
                let other = snapshot.insert(record.id(), record);
                assert!(other.is_none(), "invariant 12: an id is in two records");
            }
        }
        snapshot
    }

    fn record(&self, change: Option<String>) {
        self.log.lock().unwrap().push(Commit {
            store: self.number,
            snapshot: self.snapshot(),
            change,
        });
    }
}

impl KeyStore for RecordingStore {
    fn find(&self, realm: &Realm, digest: &KeyDigest) -> Lookup {
        let mut script = self.script.lock().unwrap();
        let Some(read) = script.hold else {
            return self.records.find(realm, digest);
        };
        let (release, released) = oneshot::channel();
        script.held = Some(release);
        let first = self.records.find(realm, digest);
        let (records, realm, digest) = (self.records.clone(), realm.clone(), *digest);
        Lookup::Pending(Box::pin(async move {
            let _ = released.await;
            let lookup = match read {
                Read::First => first,
                Read::Last => records.find(&realm, &digest),
            };
            match lookup {
                Lookup::Ready(found) => found,
                Lookup::Pending(found) => found.await,
            }
        }))
    }

    fn index(&self, realm: &Realm) -> Option<&Index> {
        self.records.index(realm).filter(|_| self.in_place)
    }

    fn identity(&self) -> Option<StoreId> {
        self.records.identity()
    }

    fn commit<'a>(&'a self, change: &'a Change) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            let rival = self.rival.lock().unwrap().take();
            if let Some(rival) = rival {
                rival();
            }
            let committed = self.records.commit(change).await;
            if let Err(error) = &committed
                && error.kind() == StoreErrorKind::Conflict
            {
                *self.conflicts.lock().unwrap() += 1;
            }
            committed?;
            // One that writes nothing asks whether its limits hold.
            if !change.writes().is_empty() {
                self.record(Some(format!("{change:?}")));
            }
            Ok(())
        })
    }

    fn revoke<'a>(
        &'a self,
        realm: &'a Realm,
        target: &'a Target,
        revocation: Revocation,
        by: Option<&'a Actor>,
    ) -> BoxFuture<'a, Result<Revoked, StoreError>> {
        Box::pin(async move {
            let rival = self.rival.lock().unwrap().take();
            if let Some(rival) = rival {
                rival();
            }
            let revoked = self.records.revoke(realm, target, revocation, by).await?;
            if !revoked.ended.is_empty() {
                self.record(Some(format!("{target:?} {revocation:?} {revoked:?}")));
            }
            Ok(revoked)
        })
    }

    fn purge<'a>(
        &'a self,
        realm: &'a Realm,
        ended_by: Timestamp,
        by: Option<&'a Actor>,
    ) -> BoxFuture<'a, Result<u64, StoreError>> {
        Box::pin(async move {
            let count = self.records.purge(realm, ended_by, by).await?;
            self.record(None);
            Ok(count)
        })
    }

    crate::support::forward!(records: get, list, record_uses, last_uses);
}
