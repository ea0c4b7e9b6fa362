//! Stores that do not know well what keys were used for.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tower_api_key::store::{
    BoxFuture, Change, Found, KeyStore, KeyUsage, ListQuery, Lookup, MemoryStore, NetworkUse, Page,
    Revoked, ScopeUse, StoreError, StoreId, Target,
};
use tower_api_key::{Actor, KeyDigest, KeyId, Realm, Revocation, Timestamp};
use tower_api_key_contract::{Clause, contract_without};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    KeepsTheLastAlone,
    KeepsTheFirstAlone,
    KeepsTheTimesOfTheLast,
    DropsNetworks,
    KeepsEveryNetwork,
    TakesTheFirstOfAKey,
    MovesLastUses,
    AnswersInTheOrderOfIds,
    KnowsOtherRealms,
    RecordsInAnyRealm,
    RecordsOfTheGone,
    RemembersThePurged,
    ReadsBeforeItLocks,
    EndsWithARevocation,
    CutsTimesToAnI64,
    Pretends,
}

#[derive(Clone)]
struct Faulty {
    store: MemoryStore,
    fault: Fault,
    usages: Arc<Mutex<BTreeMap<KeyId, KeyUsage>>>,
}

impl Faulty {
    fn new(fault: Fault) -> Self {
        Self {
            store: MemoryStore::new(),
            fault,
            usages: Arc::default(),
        }
    }

    fn usages(&self) -> MutexGuard<'_, BTreeMap<KeyId, KeyUsage>> {
        self.usages.lock().unwrap()
    }

    fn known(&self, id: KeyId) -> KeyUsage {
        self.usages().get(&id).cloned().unwrap_or_default()
    }

    async fn is_there(&self, realm: &Realm, id: KeyId) -> bool {
        self.store.get(realm, id).await.unwrap().is_some()
    }

    fn added(&self, known: KeyUsage, told: &KeyUsage) -> KeyUsage {
        let mut sum = known.clone();
        sum.add(told);
        match self.fault {
            Fault::KeepsTheLastAlone => told.clone(),
            Fault::KeepsTheFirstAlone if known != KeyUsage::new() => known,
            Fault::KeepsTheTimesOfTheLast => match (sum.scopes(), told.scopes()) {
                (Some(all), Some(told)) => {
                    let scopes = ScopeUse::new(told.first(), told.last(), all.scopes().clone());
                    sum.clone().scope_use(scopes)
                }
                _ => sum,
            },
            Fault::DropsNetworks => match sum.scopes() {
                Some(scopes) => KeyUsage::new().scope_use(scopes.clone()),
                None => KeyUsage::new(),
            },
            Fault::KeepsEveryNetwork => match sum.networks() {
                Some(networks) => {
                    let each = networks.networks().iter().copied();
                    sum.clone()
                        .network_use(NetworkUse::new(networks.first(), each, 0))
                }
                None => sum,
            },
            Fault::CutsTimesToAnI64 => match sum.scopes() {
                Some(used) => {
                    let last = used.last().min(Timestamp::from_unix(i64::MAX as u64));
                    let scopes = ScopeUse::new(used.first(), last, used.scopes().clone());
                    sum.clone().scope_use(scopes)
                }
                None => sum,
            },
            _ => sum,
        }
    }
}

impl KeyStore for Faulty {
    fn find(&self, realm: &Realm, digest: &KeyDigest) -> Lookup {
        self.store.find(realm, digest)
    }

    fn identity(&self) -> Option<StoreId> {
        self.store.identity()
    }

    fn commit<'a>(&'a self, change: &'a Change) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            self.store.commit(change).await?;
            if self.fault == Fault::EndsWithARevocation {
                for write in change.writes() {
                    if write.record.revocation().is_some() {
                        self.usages().remove(&write.record.id());
                    }
                }
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
        self.store.revoke(realm, target, revocation, by)
    }

    fn get<'a>(&'a self, realm: &'a Realm, id: KeyId) -> BoxFuture<'a, Found> {
        self.store.get(realm, id)
    }

    fn list<'a>(
        &'a self,
        realm: &'a Realm,
        query: &'a ListQuery,
    ) -> BoxFuture<'a, Result<Page, StoreError>> {
        self.store.list(realm, query)
    }

    fn purge<'a>(
        &'a self,
        realm: &'a Realm,
        ended_by: Timestamp,
        by: Option<&'a Actor>,
    ) -> BoxFuture<'a, Result<u64, StoreError>> {
        Box::pin(async move {
            let purged = self.store.purge(realm, ended_by, by).await?;
            if self.fault != Fault::RemembersThePurged {
                let ids: Vec<KeyId> = self.usages().keys().copied().collect();
                for id in ids {
                    if !self.is_there(realm, id).await {
                        self.usages().remove(&id);
                    }
                }
            }
            Ok(purged)
        })
    }

    fn record_uses<'a>(
        &'a self,
        realm: &'a Realm,
        uses: &'a [(KeyId, Timestamp)],
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        self.store.record_uses(realm, uses)
    }

    fn last_uses<'a>(
        &'a self,
        realm: &'a Realm,
        ids: &'a [KeyId],
    ) -> BoxFuture<'a, Result<Vec<Option<Timestamp>>, StoreError>> {
        self.store.last_uses(realm, ids)
    }

    fn record_usage<'a>(
        &'a self,
        realm: &'a Realm,
        usages: &'a [(KeyId, KeyUsage)],
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            let mut seen = Vec::new();
            for (id, told) in usages {
                if !(self.fault == Fault::RecordsInAnyRealm || self.is_there(realm, *id).await)
                    || self.fault == Fault::TakesTheFirstOfAKey && seen.contains(id)
                {
                    continue;
                }
                seen.push(*id);
                let known = self.known(*id);
                if self.fault == Fault::RecordsOfTheGone {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                if self.fault == Fault::ReadsBeforeItLocks {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                    self.usages().insert(*id, self.added(known, told));
                } else {
                    let mut usages = self.usages();
                    let known = usages.remove(id).unwrap_or_default();
                    usages.insert(*id, self.added(known, told));
                }
                if self.fault == Fault::MovesLastUses
                    && let Some(scopes) = told.scopes()
                {
                    let used = [(*id, scopes.last())];
                    self.store.record_uses(realm, &used).await?;
                }
            }
            Ok(())
        })
    }

    fn usages<'a>(
        &'a self,
        realm: &'a Realm,
        ids: &'a [KeyId],
    ) -> BoxFuture<'a, Result<Vec<KeyUsage>, StoreError>> {
        Box::pin(async move {
            let mut ids = ids.to_vec();
            match self.fault {
                Fault::AnswersInTheOrderOfIds => ids.sort_unstable(),
                Fault::Pretends => return Ok(vec![KeyUsage::new(); ids.len()]),
                _ => {}
            }
            let mut usages = Vec::new();
            for id in ids {
                let is_known =
                    self.fault == Fault::KnowsOtherRealms || self.is_there(realm, id).await;
                usages.push(if is_known {
                    self.known(id)
                } else {
                    KeyUsage::new()
                });
            }
            Ok(usages)
        })
    }
}

async fn verdict(fault: Fault) -> Result<(), tower_api_key_contract::Violation> {
    contract_without(&[Clause::ExpiryNotices, Clause::History], async || {
        Faulty::new(fault)
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_store_that_keeps_usage_keeps_the_contract() {
    verdict(Fault::None).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn each_fault_of_usage_is_caught() {
    for (fault, seen) in [
        (Fault::KeepsTheLastAlone, "after a use of a scope"),
        (Fault::KeepsTheFirstAlone, "after a use of a scope"),
        (Fault::KeepsTheTimesOfTheLast, "after a use of a scope"),
        (Fault::DropsNetworks, "after a use from a network"),
        (Fault::KeepsEveryNetwork, "after uses from many networks"),
        (Fault::TakesTheFirstOfAKey, "after several uses of a key"),
        (Fault::MovesLastUses, "record_usage moved a last use"),
        (Fault::AnswersInTheOrderOfIds, "of known and unknown keys"),
        (Fault::KnowsOtherRealms, "in another realm"),
        (Fault::RecordsInAnyRealm, "in another realm"),
        (Fault::RecordsOfTheGone, "purged during a use"),
        (
            Fault::RemembersThePurged,
            "after a key was purged and put again",
        ),
        (Fault::ReadsBeforeItLocks, "after uses at once"),
        (Fault::EndsWithARevocation, "after the key was revoked"),
        (Fault::CutsTimesToAnI64, "after a use beyond an i64"),
        (Fault::Pretends, "after a use without a scope"),
    ] {
        let violation = verdict(fault).await.expect_err(&format!("{fault:?}"));
        assert_eq!(violation.clause(), Clause::Usage, "{fault:?}: {violation}");
        assert!(violation.seen().contains(seen), "{fault:?}: {violation}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_store_without_usage_says_so() {
    let without = [Clause::ExpiryNotices, Clause::History, Clause::Usage];
    let pretends = async || Faulty::new(Fault::Pretends);
    let violation = contract_without(&without, pretends).await.unwrap_err();
    assert_eq!(violation.clause(), Clause::Usage);
    let seen = "record_usage was left out of the suite, but the store supports it";
    assert_eq!(violation.seen(), seen);
}
