//! A small store with a selectable fault.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::task::{Context, Waker};
use std::time::Duration;

use tower_api_key::store::{
    BoxFuture, Change, ExpiryClaims, ExpiryLadder, Found, Index, KeyStore, ListQuery, Lookup,
    MemoryStore, Page, Revoked, StoreError, StoreErrorKind, StoreId, Target,
};
use tower_api_key::{Actor, KeyDigest, KeyId, KeyRecord, Realm, Revocation, Timestamp};

use super::batches;
use super::fault::Fault;
use super::state::State;

#[derive(Clone)]
pub(crate) struct BrokenStore {
    fault: Fault,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    /// Kept for as long as a commit must not be seen.
    gate: tokio::sync::RwLock<()>,
    turn: tokio::sync::Mutex<()>,
    under_way: AtomicUsize,
    remembered: Mutex<BTreeMap<[u8; 32], Option<Arc<KeyRecord>>>>,
    memory: MemoryStore,
    /// Whether the identity was requested.
    asked: AtomicBool,
}

/// Shared by all the stores whose fault is a common identity.
static SHARED: LazyLock<MemoryStore> = LazyLock::new(MemoryStore::new);

/// As long as a database takes: others run meanwhile, even if the machine is busy.
async fn gap() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

impl BrokenStore {
    pub(crate) fn new(fault: Fault) -> Self {
        let shared = Arc::new(Shared::default());
        shared.state.lock().unwrap().fault = fault;
        Self { fault, shared }
    }

    fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        act(&mut self.shared.state.lock().unwrap())
    }

    async fn apply(&self, change: &Change) -> Result<(), StoreError> {
        match self.fault {
            Fault::AppliesUntilRefused => self.with(|state| {
                if state.check_writes(change).is_ok() {
                    state.check_limits(change)?;
                }
                for (index, write) in change.writes().iter().enumerate() {
                    state.check_write(&change.writes()[..index], write)?;
                    state.put(write);
                }
                Ok(())
            }),
            Fault::AppliesInSteps => self.in_steps(change).await,
            Fault::ForgetsHalfWhenDropped => {
                let _unseen = self.shared.gate.write().await;
                self.in_steps(change).await
            }
            Fault::RemovesBeforeItPuts => {
                let ids: BTreeSet<KeyId> = change.writes().iter().map(|w| w.record.id()).collect();
                self.with(|state| {
                    state.apply(change)?;
                    state.hidden.extend(&ids);
                    Ok::<_, StoreError>(())
                })?;
                gap().await;
                self.with(|state| state.hidden.retain(|id| !ids.contains(id)));
                Ok(())
            }
            Fault::ChecksBeforeItLocks => self.late(change).await,
            Fault::ChecksVersionsBeforeItLocks if self.with(|state| state.holds_all(change)) => {
                self.late(change).await
            }
            Fault::ChecksLimitsBeforeItLocks => {
                self.with(|state| state.check(change))?;
                gap().await;
                self.with(|state| {
                    state.check_writes(change)?;
                    state.put_all(change.writes());
                    Ok(())
                })
            }
            Fault::FailsBesideOthers => {
                let others = self.shared.under_way.fetch_add(1, Ordering::SeqCst);
                gap().await;
                let outcome = match others {
                    0 => self.with(|state| state.apply(change)),
                    _ => Err(StoreError::unavailable("locked")),
                };
                self.shared.under_way.fetch_sub(1, Ordering::SeqCst);
                outcome
            }
            _ => self.with(|state| state.apply(change)),
        }
    }

    /// Checks everything at once, and then writes one record after the other.
    async fn in_steps(&self, change: &Change) -> Result<(), StoreError> {
        let (first, rest) = match change.writes() {
            [first, rest @ ..] => (std::slice::from_ref(first), rest),
            [] => (&[][..], &[][..]),
        };
        self.with(|state| {
            state.check(change)?;
            state.put_all(first);
            Ok::<_, StoreError>(())
        })?;
        for write in rest {
            gap().await;
            self.with(|state| state.put(write));
        }
        Ok(())
    }

    /// Checks, and then writes a change that may have become invalid meanwhile.
    async fn late(&self, change: &Change) -> Result<(), StoreError> {
        self.with(|state| state.check(change))?;
        gap().await;
        self.with(|state| state.put_all(change.writes()));
        Ok(())
    }

    async fn end(
        &self,
        realm: &Realm,
        target: &Target,
        revocation: Revocation,
    ) -> Result<Revoked, StoreError> {
        let at = revocation.at.as_unix();
        let versions = |state: &State, ids: &[KeyId]| -> Vec<Option<u64>> {
            let record = |id| state.keys.get(id).map(|record| record.version());
            ids.iter().map(record).collect()
        };
        match self.fault {
            Fault::RevokesNothingLate if i64::try_from(at).is_err() => {
                Err(StoreError::unavailable("the column cannot hold this"))
            }
            Fault::RevokesInSteps => {
                let ids = self.with(|state| state.named(realm, target));
                let mut revoked = Revoked::default();
                for id in ids {
                    gap().await;
                    let step = self.with(|state| state.end(&[id], revocation));
                    revoked.found |= step.found;
                    revoked.ended.extend(step.ended);
                }
                Ok(revoked)
            }
            Fault::RevokesWhatItRead | Fault::RevokesWhatItReadOrConflicts => {
                let (ids, before) = self.with(|state| {
                    let ids = state.named(realm, target);
                    let versions = versions(state, &ids);
                    (ids, versions)
                });
                gap().await;
                self.with(|state| {
                    let changed = versions(state, &ids) != before;
                    if changed && self.fault == Fault::RevokesWhatItReadOrConflicts {
                        return Err(StoreErrorKind::Conflict.into());
                    }
                    Ok(state.end(&ids, revocation))
                })
            }
            Fault::RevokesNothingAtTheLastVersion => self.with(|state| {
                let ids = state.named(realm, target);
                if versions(state, &ids).contains(&Some(u64::MAX)) {
                    return Err(StoreError::unavailable("there is no next version"));
                }
                Ok(state.end(&ids, revocation))
            }),
            _ => Ok(self.with(|state| {
                let ids = state.named(realm, target);
                state.end(&ids, revocation)
            })),
        }
    }

    fn found(&self, realm: &Realm, digest: &KeyDigest) -> Option<Arc<KeyRecord>> {
        let found = self.with(|state| state.find(realm, digest));
        let mut remembered = self.shared.remembered.lock().unwrap();
        match self.fault {
            Fault::FindsWhatItFoundBefore => remembered
                .entry(*digest.as_bytes())
                .or_insert(found)
                .clone(),
            Fault::FindsTheFirstVersion => match found {
                Some(record) => remembered
                    .entry(*digest.as_bytes())
                    .or_insert(Some(record))
                    .clone(),
                None => None,
            },
            _ => found,
        }
    }
}

impl KeyStore for BrokenStore {
    fn find(&self, realm: &Realm, digest: &KeyDigest) -> Lookup {
        let (store, realm, digest) = (self.clone(), realm.clone(), *digest);
        Lookup::Pending(Box::pin(async move {
            let _seen = store.shared.gate.read().await;
            Ok(store.found(&realm, &digest))
        }))
    }

    fn index(&self, realm: &Realm) -> Option<&Index> {
        self.shared
            .memory
            .index(realm)
            .filter(|_| self.fault == Fault::NamesAnotherIndex)
    }

    fn identity(&self) -> Option<StoreId> {
        let own = StoreId::of(&self.shared);
        match self.fault {
            Fault::SharesItsIdentity => SHARED.identity(),
            Fault::ChangesItsIdentity => {
                let asked = self.shared.asked.swap(true, Ordering::SeqCst);
                (!asked).then_some(own)
            }
            Fault::ChangesItsIdentityWithACommit => {
                let is_empty = self.with(|state| state.keys.is_empty());
                is_empty.then_some(own)
            }
            _ => Some(own),
        }
    }

    fn spawn(&self, mut task: BoxFuture<'static, ()>) -> Result<(), BoxFuture<'static, ()>> {
        match self.fault {
            Fault::None => drop(tokio::spawn(task)),
            Fault::DropsTasks => drop(task),
            Fault::RunsTasksInTurn => {
                let store = self.clone();
                tokio::spawn(async move {
                    let _turn = store.shared.turn.lock().await;
                    task.await;
                });
            }
            Fault::GivesBackTheSecondTask if !self.shared.asked.swap(true, Ordering::SeqCst) => {
                drop(tokio::spawn(task));
            }
            Fault::GivesBackABegunTask => {
                let _ = task.as_mut().poll(&mut Context::from_waker(Waker::noop()));
                return Err(task);
            }
            _ => return Err(task),
        }
        Ok(())
    }

    fn commit<'a>(&'a self, change: &'a Change) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(self.apply(change))
    }

    fn revoke<'a>(
        &'a self,
        realm: &'a Realm,
        target: &'a Target,
        revocation: Revocation,
        _: Option<&'a Actor>,
    ) -> BoxFuture<'a, Result<Revoked, StoreError>> {
        Box::pin(self.end(realm, target, revocation))
    }

    fn get<'a>(&'a self, realm: &'a Realm, id: KeyId) -> BoxFuture<'a, Found> {
        Box::pin(async move { Ok(self.with(|state| state.get(realm, id))) })
    }

    fn get_many<'a>(&'a self, realm: &'a Realm, ids: &'a [KeyId]) -> BoxFuture<'a, Vec<Found>> {
        Box::pin(async move {
            batches::get_many(self.fault, realm, ids, |realm, id| {
                self.with(|state| state.get(realm, id))
            })
        })
    }

    fn list<'a>(
        &'a self,
        realm: &'a Realm,
        query: &'a ListQuery,
    ) -> BoxFuture<'a, Result<Page, StoreError>> {
        Box::pin(async move {
            let _seen = self.shared.gate.read().await;
            Ok(self.with(|state| state.list(realm, query)))
        })
    }

    fn realms(&self) -> BoxFuture<'_, Result<Vec<Realm>, StoreError>> {
        Box::pin(async move {
            Ok(match self.fault {
                Fault::NamesOtherRealms => vec!["orders".parse().unwrap()],
                _ => Vec::new(),
            })
        })
    }

    fn purge<'a>(
        &'a self,
        realm: &'a Realm,
        ended_by: Timestamp,
        _: Option<&'a Actor>,
    ) -> BoxFuture<'a, Result<u64, StoreError>> {
        Box::pin(async move { Ok(self.with(|state| state.purge(realm, ended_by))) })
    }

    fn claim_expiry_notices<'a>(
        &'a self,
        realm: &'a Realm,
        ladder: &'a ExpiryLadder,
        now: Timestamp,
        limit: usize,
    ) -> BoxFuture<'a, Result<ExpiryClaims, StoreError>> {
        Box::pin(async move {
            if self.fault == Fault::ReadsWhatIsDueBeforeItLocks {
                let due = self.with(|state| state.due(realm, ladder, now, limit));
                gap().await;
                return Ok(self.with(|state| state.claim(due, limit)));
            }
            Ok(self.with(|state| {
                let due = state.due(realm, ladder, now, limit);
                state.claim(due, limit)
            }))
        })
    }

    fn record_uses<'a>(
        &'a self,
        realm: &'a Realm,
        uses: &'a [(KeyId, Timestamp)],
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            if !matches!(
                self.fault,
                Fault::ReadsUsesBeforeItLocks
                    | Fault::WritesRecordsBackWithAUse
                    | Fault::PutsRecordsBackWithAUse
                    | Fault::RecordsUsesOfTheGone
                    | Fault::PassesOverChangedRecords
            ) {
                self.with(|state| state.record_uses(realm, uses));
                return Ok(());
            }
            for &told in uses {
                let Some(read) = self.with(|state| state.read_use(realm, told.0)) else {
                    continue;
                };
                gap().await;
                self.with(|state| state.write_use(told, read));
            }
            Ok(())
        })
    }

    fn last_uses<'a>(
        &'a self,
        realm: &'a Realm,
        ids: &'a [KeyId],
    ) -> BoxFuture<'a, Result<Vec<Option<Timestamp>>, StoreError>> {
        Box::pin(async move { Ok(self.with(|state| state.last_uses(realm, ids))) })
    }
}
